// Adds up movements as they come in: stock, rights, holds and stock-takes of every cell, and what must be reported.
import { EFFECT, RANK, STATE_OF, countingPath, eachRight, flaw, isEndOf, isKnown, isReferring, kindOf, recipientOf }
  from './movements.mjs'
import { byText, isEqual, nfc } from './values.mjs'

class Book {
  stock = 0 // without what its stock-takes found
  held = 0
  rights = new Map()
  counts = new Map()
  path = []
  mids = new Set() // the movements that count here, and all stock-takes
  latest = 0
  opening = 0 // what the folds say of its stock
  isFolded = false
  crossings = null // what oversold() found last; null since something came to this cell

  constructor(sku, location) { Object.assign(this, { sku, location }) }

  add(rid, units) { this.rights.set(rid, (this.rights.get(rid) ?? 0) + units) }

  get counting() { return (this.path ??= countingPath(this.counts)) }

  get total() { return this.counting.reduce((sum, mid) => sum + this.counts.get(mid)[3], this.stock) }
}

const EMPTY = new Book('', '')

// Neither the order of entries nor that of documents matters, and an entry that comes again changes nothing. Only where
// two documents hold different movements under one id the first that was added counts: add periods in their order.
// It begins with what the folds say; then only what no fold counts is to be added.
export class StockIndex {
  rows = new Map()
  unknown = new Map()
  #flaws = new Map()
  #books = new Map()
  #arrivals = new Map() // by shipment, its arrivals by id
  #ends = new Map() // by hold, its ends by id
  #booked = new Map()

  constructor(folds) {
    this.folds = folds
    for (const { sku, location, of } of folds.shares) {
      const book = this.#open(sku, location)
      book.isFolded = true
      of.forEach(({ units }, rid) => {
        book.stock = book.opening += units
        if (rid !== '') book.rights.set(rid, units)
      })
    }
    folds.carried.forEach(({ row }, mid) => this.add(mid, row))
  }

  add(mid, value) {
    const known = this.rows.get(mid)
    if (known !== undefined) {
      if (!isEqual(known, value)) this.flag(mid, 'is two different movements; the one of the earlier period counts')
      return
    }
    const kind = kindOf(value)
    if (kind !== null && !isKnown(kind)) return void this.unknown.set(mid, kind)
    const reason = flaw(mid, value)
    if (reason !== null) return this.flag(mid, reason)
    this.rows.set(mid, value)
    this.#take(mid, value)
  }

  flag(key, reason) { this.#flaws.set(`${key}\n${reason}`, { root: 'mv', key, reason }) }

  // The book of one cell, to be read; an empty one where nothing ever moved.
  book(sku, location) { return this.#books.get(cellOf(nfc(sku), nfc(location))) ?? EMPTY }

  // All cells that anything ever moved in.
  get books() { return [...this.#books.values()].filter(({ mids, isFolded }) => mids.size || isFolded) }

  rights({ rights, total }) {
    const of = [...rights].filter(([, units]) => units).sort(([a], [b]) => byText(a, b))
    return {
      of: Object.fromEntries(of),
      unassigned: of.reduce((rest, [, units]) => rest - units, total),
      overdrawn: Object.fromEntries(of.filter(([, units]) => units < 0)),
    }
  }

  // What has become of a hold, and the id of the movement that ended it.
  holdState(hold) {
    const booked = this.#booked.get('hold ' + hold)
    if (!booked) return { state: 'open', endedBy: null }
    return { state: STATE_OF[this.rows.get(booked.mid)[0]], endedBy: booked.mid }
  }

  // The movements that took a cell from zero or more to below, in the order of (stamp, id).
  oversold(book) { return [...book.crossings ??= this.#crossings(book)] }

  #crossings(book) {
    const steps = [], counting = new Set(book.counting)
    for (const mid of book.mids) {
      const row = this.rows.get(mid)
      if (row[0] === 'cnt' && !counting.has(mid)) continue
      // Booked in twice, the goods were there from the first booking on, also where the second one counts.
      const stamps = row[0] === 'recv' ? [...this.#arrivals.get(row[6]).values()].map(arrival => arrival[5]) : [row[5]]
      steps.push({ stamp: Math.min(...stamps), mid, delta: EFFECT[row[0]] * row[3] })
    }
    steps.sort((a, b) => a.stamp - b.stamp || byText(a.mid, b.mid))
    const found = []
    let balance = book.opening
    for (const { stamp, mid, delta } of steps) {
      const before = balance
      balance += delta
      if (balance < 0 && before >= 0) found.push({ sku: book.sku, location: book.location, stamp, mid, balance })
    }
    return found
  }

  // Stock-takes that do not count: another one, made without seeing them, is later.
  get idleCounts() {
    return this.books.flatMap(({ counts, counting }) => [...counts.keys()].filter(mid => !counting.includes(mid)))
  }

  get faults() {
    const faults = [...this.#flaws.values()]
    const fault = (key, what) => faults.push({ root: 'mv', key, reason: `ends a hold ${what}, so it changes nothing` })
    this.#ends.forEach((ends, subject) => {
      const hold = this.rows.get(subject)
      ends.forEach((end, mid) => {
        if (hold?.[0] !== 'hold') fault(mid, 'that is in no document here')
        else if (end[4] !== hold[4]) fault(mid, 'of another replica')
        else if (!isEndOf(end, hold)) fault(mid, 'of other goods than it says')
      })
    })
    for (const [shipment, arrivals] of this.#arrivals) {
      if (this.rows.has(shipment) || !this.folds.isDoneWith(shipment)) continue
      for (const key of arrivals.keys()) {
        faults.push({ root: 'mv', key, reason: 'books in a shipment of a folded period again, so it changes nothing' })
      }
    }
    return faults
  }

  #take(mid, row) {
    const [kind, sku, location, quantity, , stamp, ref] = row
    if (isReferring(kind)) {
      const referring = kind === 'recv' ? this.#arrivals : this.#ends
      if (!referring.has(ref)) referring.set(ref, new Map())
      referring.get(ref).set(mid, row)
      return kind === 'recv' ? this.#settleShipment(ref) : this.#settleHold(ref)
    }
    const book = this.#open(sku, location)
    book.mids.add(mid)
    book.crossings = null
    book.latest = Math.max(book.latest, stamp)
    eachRight(row, (rid, units) => book.add(rid, units))
    if (kind === 'cnt') {
      book.counts.set(mid, row)
      book.path = null
    } else book.stock += EFFECT[kind] * quantity
    if (kind === 'hold') book.held += quantity
    // What refers to it may have come first.
    if (kind === 'hold' && this.#ends.has(mid)) this.#settleHold(mid)
    if (kind === 'ship' && this.#arrivals.has(mid)) this.#settleShipment(mid)
  }

  // Two people may book in one shipment while both are offline; everybody must pick the same booking.
  #settleShipment(shipment) {
    const rows = this.#arrivals.get(shipment)
    if (!this.rows.has(shipment) && this.folds.isDoneWith(shipment)) return
    let first
    for (const mid of rows.keys()) if (first === undefined || mid < first) first = mid
    const [, sku, location, quantity] = rows.get(first)
    this.#settle('ship ' + shipment, { mid: first, sku, location, quantity, rid: recipientOf(this.rows.get(shipment)) })
  }

  // Confirmed before released before expired, and then the smallest id: a maximum over a total order.
  #settleHold(hold) {
    const row = this.rows.get(hold)
    if (row?.[0] !== 'hold') return
    let mid = null, rank = 0
    this.#ends.get(hold).forEach((end, id) => {
      if (!isEndOf(end, row) || RANK[end[0]] < rank || (RANK[end[0]] === rank && id > mid)) return
      rank = RANK[end[0]]
      mid = id
    })
    this.#settle('hold ' + hold, mid && { mid, sku: row[1], location: row[2], quantity: row[3], rid: row[4] })
  }

  #settle(subject, wanted) {
    const before = this.#booked.get(subject)
    // Another booking of a shipment may move it to an earlier time, also where it does not count.
    if (wanted) this.#open(wanted.sku, wanted.location).crossings = null
    if (before?.mid === wanted?.mid && before?.rid === wanted?.rid) return
    if (before) this.#book(before, -1)
    if (wanted) this.#book(wanted, 1)
    this.#booked.set(subject, wanted)
  }

  #book({ mid, sku, location, quantity, rid }, sign) {
    const book = this.#open(sku, location), [kind, , , , , stamp] = this.rows.get(mid), units = sign * quantity
    book.crossings = null
    book.mids[sign > 0 ? 'add' : 'delete'](mid)
    book.latest = Math.max(book.latest, stamp)
    if (kind !== 'recv') book.held -= units
    if (kind === 'conf') return
    book.stock += units
    if (rid !== null) book.add(rid, units)
  }

  #open(sku, location) {
    const key = cellOf(nfc(sku), nfc(location))
    if (!this.#books.has(key)) this.#books.set(key, new Book(nfc(sku), nfc(location)))
    return this.#books.get(key)
  }
}

const cellOf = (sku, location) => `${sku.length} ${sku}${location}`
