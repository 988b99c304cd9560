// Undo of this page's own edits. Yjs' UndoManager deletes what it takes back, and a deletion that meets a concurrent
// write is lost without a trace; here an undo is a write like any other, and only of what nobody has written since.
import { CannotUndo, NothingToUndo } from './errors.mjs'
import { LIFE, isEqual } from './values.mjs'

const UNDONE_MAX = 100

export class Undo {
  #edits = []
  #isUndoing = false

  constructor(desk, catalog) {
    this.catalog = catalog
    this.desk = desk
    desk.onEnd(writes => writes && !this.#isUndoing && this.#note(writes))
  }

  undo() {
    const edit = this.#edits.at(-1)
    if (!edit) throw new NothingToUndo('this page has made no edit that it could take back')
    const reasons = edit.map(({ draft, root, key, tip }) => {
      if (draft !== this.catalog || root !== 'attr' || key.endsWith('/' + LIFE)) {
        return `${root} ${key} can't be taken back, only be followed by its opposite`
      }
      return isEqual(this.#tip(key), tip) ? null : `${key} was written since`
    }).filter(reason => reason !== null)
    this.#edits.pop()
    if (reasons.length) throw new CannotUndo(reasons, { isFinal: true })
    this.#isUndoing = true
    try {
      this.desk.edit(() => {
        this.catalog.checkWritable()
        for (const { key, before } of edit) this.catalog.put('attr', key, before)
      })
    } finally {
      this.#isUndoing = false
    }
    return edit.map(({ key }) => key)
  }

  // What was merely noted beside the edit needs no undo.
  #note(writes) {
    const acts = writes.filter(([, root]) => !['periods', 'conflict'].includes(root))
    const edit = acts.map(([draft, root, key, , before]) =>
      ({ draft, root, key, before: before ?? null, tip: root === 'attr' ? this.#tip(key) : null }))
    if (!edit.length) return
    this.#edits.push(edit)
    if (this.#edits.length > UNDONE_MAX) this.#edits.shift()
  }

  #tip(key) {
    const { client, clock } = this.catalog.doc.getMap('attr')._map.get(key).lastId
    return `${client}.${clock}`
  }
}
