// The index of a page's movements, kept up to date entry by entry as they are written here or come in.
import { PeriodsMissing } from './errors.mjs'
import { FOLD_ROOTS, Folds, coverageOf } from './folds.mjs'
import { isKnown, kindOf, flaw } from './movements.mjs'
import { StockIndex } from './stock-index.mjs'
import { isEqual, isMovementId } from './values.mjs'

export class WarmStock {
  #index = null // null: to be read anew
  #folds = null
  #homes = new Map() // by id, the period of the document that an entry was read from
  #documents = new Map()
  #isAhead = false // the index holds movements that no document does yet
  #forget = () => { this.#index = this.#folds = null }

  constructor(desk, catalog) {
    Object.assign(this, { desk, catalog })
    for (const root of FOLD_ROOTS) catalog.doc.getMap(root).observe(this.#forget)
  }

  get periods() { return [...this.#documents.keys()] }

  draft(period) { return this.#documents.get(period)?.draft }

  get drafts() { return [...this.#documents.values()].map(({ draft }) => draft) }

  // Takes in the document of a period, also in the place of another one.
  open(period, doc) {
    this.#leave(period)
    const draft = this.desk.draft(doc), map = doc.getMap('mv')
    const others = ['orig', 'home', 'meta'].map(root => doc.getMap(root))
    const listen = event => this.#hear(period, event)
    map.observe(listen)
    for (const other of others) other.observe(this.#forget)
    const leave = () => {
      map.unobserve(listen)
      for (const other of others) other.unobserve(this.#forget)
    }
    // Of an id in two documents the entry of the earlier period counts, so they are read in order.
    this.#documents = new Map([...this.#documents, [period, { draft, leave }]].sort(([a], [b]) => a < b ? -1 : 1))
    this.#forget()
  }

  close() {
    for (const period of this.periods) this.#leave(period)
    for (const root of FOLD_ROOTS) this.catalog.doc.getMap(root).unobserve(this.#forget)
  }

  get index() {
    const { folds } = this
    return (this.#index ??= this.#read(folds))
  }

  // What the folds say, as far as they can be used beside these documents.
  get folds() {
    this.#folds ??= new Folds(this.catalog, period => this.draft(period))
    // Later folds have overwritten what an earlier one said; the document that it waits for is what is missing.
    if (!this.#folds.isWhole) throw new PeriodsMissing([this.#folds.waitsFor])
    return this.#folds
  }

  // Writes a movement under a new id.
  put(period, mid, row) {
    const { draft } = this.#documents.get(period)
    draft.put('mv', mid, row)
    this.#isAhead = true
    if (this.#index && !this.#homes.has(mid) && !this.folds.notes.has(period)) this.#add(this.#index, period, mid, row)
    else this.#index = null
  }

  // An edit has ended. What it had staged is in the documents now, or, when it was given up, nowhere.
  endEdit(isGivenUp) {
    if (isGivenUp && this.#isAhead) this.#index = null
    this.#isAhead = false
  }

  // The entries of one period as they were first written, also those that a stranger has deleted since.
  entries(period) {
    const { draft } = this.#documents.get(period), entries = draft.entries('mv')
    draft.entries('orig').forEach((row, mid) => entries.set(mid, row))
    return entries
  }

  get(period, mid) {
    const { draft } = this.#documents.get(period)
    return draft.get('orig', mid) ?? draft.get('mv', mid)
  }

  // The ids, with their rows, that count by themselves and not through a fold: carried ones and those of open periods.
  *counting() {
    for (const [mid, { period, row }] of this.folds.carried) yield [period, mid, row]
    for (const period of this.periods) {
      const counts = this.folds.counting(period, this.draft(period))
      for (const [mid, row] of this.entries(period)) {
        if (counts(mid) && !this.folds.carried.has(mid)) yield [period, mid, row]
      }
    }
  }

  isCounting(period, mid) { return this.folds.counting(period, this.draft(period))(mid) }

  // Movements that stand in closed documents here, in no fold, and in no other period yet.
  late() {
    const found = new Map()
    for (const period of this.periods) {
      const covers = coverageOf(this.draft(period))
      for (const mid of covers ? this.draft(period).keys('mv') : []) {
        if (!isMovementId(mid) || covers.has(mid) || found.has(mid) || this.folds.hasCounted(mid)) continue
        const row = this.get(period, mid), kind = kindOf(row)
        if (kind === null || (isKnown(kind) && flaw(mid, row) !== null) || this.#isElsewhere(mid, period)) continue
        found.set(mid, { period, row })
      }
    }
    return found
  }

  #isElsewhere(mid, home) {
    return this.periods.some(period => {
      const covers = coverageOf(this.draft(period))
      return period !== home && this.draft(period).get('mv', mid) !== null && (!covers || covers.has(mid))
    })
  }

  #read(folds) {
    const index = new StockIndex(folds)
    this.#homes.clear()
    for (const mid of folds.carried.keys()) this.#homes.set(mid, null)
    for (const period of this.periods) {
      const counts = folds.counting(period, this.draft(period))
      for (const [mid, row] of this.entries(period)) if (counts(mid)) this.#add(index, period, mid, row)
    }
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
      // Written a second time, deleted by a stranger, known from another document, or of a closed period: only reading
      // all gives the sum.
      const isOpen = this.draft(period).get('meta', 'covers') === null
      if (isOpen && !this.#homes.has(mid)) this.#add(this.#index, period, mid, row)
      else if (this.#homes.get(mid) !== period || !isEqual(known ?? null, row ?? null)) this.#index = null
    }
  }

  #leave(period) {
    this.#documents.get(period)?.leave()
    this.#documents.delete(period)
  }
}
