// The index of a page's movements, kept up to date entry by entry as they are written here or come in.
import { StockIndex } from './stock-index.mjs'
import { kindOf } from './movements.mjs'
import { isEqual } from './values.mjs'

export class WarmStock {
  #index = null // null: to be read anew
  #homes = new Map() // by id, the period of the document that an entry was read from
  #documents = new Map()

  constructor(desk) { this.desk = desk }

  get periods() { return [...this.#documents.keys()] }

  draft(period) { return this.#documents.get(period)?.draft }

  get drafts() { return [...this.#documents.values()].map(({ draft }) => draft) }

  // Takes in the document of a period, also in the place of another one.
  open(period, doc) {
    this.#leave(period)
    const draft = this.desk.draft(doc), map = doc.getMap('mv'), originals = doc.getMap('orig')
    const listen = event => this.#hear(period, event)
    const forget = () => { this.#index = null }
    map.observe(listen)
    originals.observe(forget)
    const leave = () => {
      map.unobserve(listen)
      originals.unobserve(forget)
    }
    // Of an id in two documents the entry of the earlier period counts, so they are read in order.
    this.#documents = new Map([...this.#documents, [period, { draft, leave }]].sort(([a], [b]) => a < b ? -1 : 1))
    this.#index = null
  }

  close() { for (const period of this.periods) this.#leave(period) }

  get index() { return (this.#index ??= this.#read()) }

  // Writes a movement under a new id.
  put(period, mid, row) {
    const { draft } = this.#documents.get(period)
    draft.put('mv', mid, row)
    if (this.#index && !this.#homes.has(mid)) this.#add(this.#index, period, mid, row)
    else this.#index = null
  }

  // An edit was given up, and what it had written with it.
  forget() { this.#index = null }

  // The entries of one period as they were first written.
  *entries(period) {
    const { draft } = this.#documents.get(period), originals = draft.entries('orig')
    for (const [mid, row] of draft.entries('mv')) yield [mid, originals.get(mid) ?? row]
  }

  get(period, mid) {
    const { draft } = this.#documents.get(period)
    return draft.get('orig', mid) ?? draft.get('mv', mid)
  }

  #read() {
    const index = new StockIndex()
    this.#homes.clear()
    for (const period of this.periods) for (const [mid, row] of this.entries(period)) this.#add(index, period, mid, row)
    return index
  }

  #add(index, period, mid, row) {
    if (!this.#homes.has(mid)) this.#homes.set(mid, period)
    index.add(mid, row)
  }

  #hear(period, { keysChanged, target }) {
    const now = this.desk.now()
    for (const mid of keysChanged) {
      const row = target.get(mid), known = this.#index?.rows.get(mid)
      if (kindOf(row) !== null && Number.isSafeInteger(row[5])) this.desk.clock.receive(row[5], now)
      if (!this.#index || (known && known === row)) continue
      // Written a second time, deleted by a stranger, or known from another document: only reading all gives the sum.
      if (this.#homes.has(mid)) {
        if (this.#homes.get(mid) !== period || !isEqual(known ?? null, row ?? null)) this.#index = null
      } else this.#add(this.#index, period, mid, row)
    }
  }

  #leave(period) {
    this.#documents.get(period)?.leave()
    this.#documents.delete(period)
  }
}
