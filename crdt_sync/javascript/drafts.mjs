// Edits: what is written is staged first, and goes into the documents when the edit ends, or, when it throws, nowhere.
import { DocumentError, PeriodClosed, SchemaTooNew } from './errors.mjs'
import { whole } from './values.mjs'

const SCHEMA = 1

// One document as an edit sees it: its root maps, and over them what is staged.
export class Draft {
  #staged = new Map()
  puts = 0 // how often anything was staged

  constructor(doc, desk) { Object.assign(this, { doc, desk }) }

  get clientId() { return this.doc.clientID }

  // How many elements this client has written: the clock of the next one.
  get nextClock() {
    const last = this.doc.store.clients.get(this.clientId)?.at(-1)
    return last ? last.id.clock + last.length : 0
  }

  get(root, key) {
    const staged = this.#staged.get(root)
    return staged?.has(key) ? staged.get(key) : this.doc.getMap(root).get(key) ?? null
  }

  has(root, key) { return this.#staged.get(root)?.has(key) || this.doc.getMap(root).has(key) }

  entries(root) {
    const entries = new Map(this.doc.getMap(root).entries())
    this.#staged.get(root)?.forEach((value, key) => entries.set(key, value))
    return entries
  }

  keys(root) { return this.entries(root).keys() }

  // Only within an edit; a later write of the same key replaces it.
  put(root, key, value) {
    this.desk.checkOpen()
    if (!this.#staged.has(root)) this.#staged.set(root, new Map())
    this.#staged.get(root).set(key, value)
    this.puts++
  }

  checkWritable() {
    for (const field of ['minWriter', 'minReader']) {
      const asked = whole(this.get('meta', field))
      if (asked > SCHEMA) {
        throw new SchemaTooNew(`the document asks for version ${asked} to be edited, this is version ${SCHEMA}`)
      }
    }
    if (this.get('meta', 'closed') !== null) {
      throw new PeriodClosed('the period of this document is closed; write into the current one')
    }
  }

  // Entries of `meta` that should be whole numbers and are not.
  metaFaults() {
    return ['schema', 'minReader', 'minWriter', 'epoch', 'closed']
      .filter(field => this.get('meta', field) !== null && whole(this.get('meta', field)) === null)
      .map(key => ({ root: 'meta', key, reason: 'is no whole number' }))
  }

  get staged() { return [...this.#staged].flatMap(([root, staged]) => [...staged].map(write => [root, ...write])) }

  discard() {
    if (this.#staged.size) this.puts++
    this.#staged.clear()
  }
}

// All documents of a page, and the edit that is under way.
export class Desk {
  #drafts = new Map()
  #isOpen = false
  #onEnd = []
  #beforeEnd = []

  constructor({ replica, clock, now }) {
    Object.assign(this, { replica, clock, now })
  }

  // The draft of a document; always the same one.
  draft(doc) {
    if (!this.#drafts.has(doc)) this.#drafts.set(doc, new Draft(doc, this))
    return this.#drafts.get(doc)
  }

  // Calls `listener(writes)` after every edit, with what it wrote as [draft, root, key, value, before], where
  // `before` is undefined if there was nothing, or with null when it was given up.
  onEnd(listener) { this.#onEnd.push(listener) }

  // Calls `listener()` when an edit that has written something is about to end; it may add to it.
  beforeEnd(listener) { this.#beforeEnd.push(listener) }

  tick() { return this.clock.tick(this.now()) }

  checkOpen() {
    if (!this.#isOpen) throw new DocumentError('writes belong into an edit')
  }

  // Runs `act`; what it writes goes into each document in one transaction, or, when it throws, nowhere.
  edit(act) {
    if (this.#isOpen) return act()
    this.#isOpen = true
    let result
    try {
      result = act()
      if (typeof result?.then === 'function') throw new DocumentError('an edit must not wait: load all it needs before')
      const hasWrites = [...this.#drafts.values()].some(draft => draft.staged.length)
      if (hasWrites) for (const listener of this.#beforeEnd) listener()
    } catch (error) {
      this.#end(null)
      throw error
    }
    this.#end(this.#writes())
    return result
  }

  #writes() {
    return [...this.#drafts.values()].flatMap(draft =>
      draft.staged.map(([root, key, value]) => [draft, root, key, value, draft.doc.getMap(root).get(key)]))
  }

  #end(writes) {
    for (const draft of this.#drafts.values()) draft.discard()
    this.#isOpen = false
    const errors = []
    for (const draft of new Set(writes?.map(([draft]) => draft))) {
      // Some listener of the document's may throw; what was decided goes into the other documents all the same.
      try {
        this.#commit(draft, writes.filter(([of]) => of === draft))
      } catch (error) {
        errors.push(error)
      }
    }
    for (const listener of this.#onEnd) listener(writes)
    if (errors.length) throw errors[0]
  }

  #commit(draft, writes) {
    const { doc } = draft, isSigned = writes.some(([, root]) => root === 'attr')
    const stamp = isSigned && this.tick()
    doc.transact(() => {
      // Says who wrote attributes, and when: bytes don't. The first element names itself and those after it.
      if (isSigned) doc.getMap('edits').set(`${doc.clientID}.${draft.nextClock}`, [this.replica, stamp])
      for (const [, root, key, value] of writes) doc.getMap(root).set(key, value)
    }, this)
  }
}
