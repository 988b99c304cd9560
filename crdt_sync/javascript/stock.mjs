// Stock: movements under ids of their own, within the rights of this replica where a cell is under escrow.
import { HoldEnded, InsufficientRights, InvalidName, InvalidValue, NotTheHolder, PeriodsMissing } from './errors.mjs'
import { currentPeriod, documentFaults, isClosed } from './folds.mjs'
import { isReferring, readMovement } from './movements.mjs'
import { readPeriods } from './catalog.mjs'
import { openRequests } from './requests.mjs'
import { WarmStock } from './warm-stock.mjs'
import {
  byText, checkDelta, checkName, checkPeriod, checkQuantity, checkRef, checkTotal, isAhead, isMovementId, isTime,
} from './values.mjs'

const SHORT = ['refuse', 'back-order', 'allow']
const NOBODY = ''

export class Stock {
  #warm
  #sequences = new Map()

  constructor(desk, catalog, { movements, period }) {
    Object.assign(this, { desk, catalog })
    this.#warm = new WarmStock(desk, this.catalog)
    this.choosePeriod = typeof period === 'function' ? period : () => period ?? this.#currentPeriod()
    for (const [name, doc] of Object.entries(movements)) this.open(name, doc)
    desk.onEnd(writes => this.#warm.endEdit(writes === null))
  }

  // Takes in the movement document of a period, once it is loaded.
  open(period, doc) { this.#warm.open(checkPeriod(period), doc) }

  close() { this.#warm.close() }

  // The period that is written to now.
  get period() { return checkPeriod(this.choosePeriod()) }

  // The periods that anybody noted, sorted; each has, or soon will have, a movement document.
  periods() { return readPeriods(this.catalog.keys('periods')).periods }

  get index() { return this.#warm.index }

  get drafts() { return this.#warm.drafts }

  get openPeriods() { return this.#warm.periods }

  get folds() { return this.#warm.folds }

  // Moving goods

  receive(sku, quantity, { at, ref } = {}) {
    return this.#edit(() => this.#record('rcv', sku, at, checkQuantity(quantity), ref))
  }

  sell(sku, quantity, { at, ref, hold, short } = {}) {
    return this.#edit(() => {
      const units = checkQuantity(quantity), cell = this.#cell(sku, at)
      if (short != null && !SHORT.includes(short)) {
        throw new InvalidValue(`short: '${short}' is none of refuse, back-order and allow`)
      }
      if (hold != null) {
        const held = this.#hold(hold)
        if (held.sku !== cell.sku || held.location !== cell.location || held.quantity !== units) {
          throw new InvalidValue(`hold ${hold} keeps ${held.quantity} of '${held.sku}' at '${held.location}'`)
        }
        return this.confirm(hold)
      }
      const policy = this.policy(cell.sku, cell.location)
      if (policy === 'off' || this.#rightsFor(cell) >= units) return this.#record('sale', sku, at, units, ref)
      const way = short ?? policy
      if (way === 'back-order') return this.#record('backorder', sku, at, units, ref)
      if (way === 'allow') return this.#record('sale', sku, at, units, ref, { x: 1 })
      throw new InsufficientRights(this.#rightsFor(cell), units)
    })
  }

  adjust(sku, delta, { at, ref } = {}) {
    return this.#edit(() => {
      const checked = checkDelta(delta)
      this.#need(this.#cell(sku, at), -checked)
      return this.#record('adj', sku, at, checked, ref)
    })
  }

  transfer(sku, quantity, { source, to, ref } = {}) {
    return this.#edit(() => {
      const destination = this.knownLocation(to), shipment = this.ship(sku, quantity, { source, to: destination, ref })
      return [shipment, this.#record('recv', sku, destination, quantity, shipment)]
    })
  }

  ship(sku, quantity, { source, to, ref, recipient } = {}) {
    return this.#edit(() => {
      const destination = this.knownLocation(to)
      if (destination === this.knownLocation(source)) {
        throw new InvalidValue(`goods can't be sent from '${source}' to itself`)
      }
      const units = checkQuantity(quantity), ext = { to: destination }
      if (recipient != null) ext.for = checkName('replica', recipient)
      this.#need(this.#cell(sku, source), units)
      return this.#record('ship', sku, source, units, ref, ext)
    })
  }

  arrive(shipment) {
    return this.#edit(() => {
      const sent = this.#findCounting(checkName('shipment', shipment))
      if (sent?.kind !== 'ship' || typeof sent.ext.to !== 'string') {
        throw new InvalidName('shipment', shipment, 'the id of a shipment in this period or its history')
      }
      // An arrival is later than its shipment, also where this machine's clock lags.
      this.desk.clock.receive(sent.stamp, this.desk.now())
      return this.#record('recv', sent.sku, sent.ext.to, sent.quantity, shipment)
    })
  }

  count(sku, counted, { at, ref } = {}) {
    return this.#edit(() => {
      checkTotal(counted, 'what a stock-take finds')
      const cell = this.#cell(sku, at), book = this.#book(cell), delta = counted - book.total - book.held
      this.#need(cell, -delta)
      if (!this.desk.clock.receive(book.latest, this.desk.now())) {
        throw new InvalidValue(`the latest movement of '${sku}' at '${at}' is stamped by a clock over 60 s ahead`)
      }
      return this.#record('cnt', sku, at, delta, ref, { counted, prev: book.counting[0] ?? null })
    })
  }

  // Holds

  hold(sku, quantity, { at, untilMs, ref } = {}) {
    return this.#edit(() => {
      const units = checkQuantity(quantity)
      if (untilMs != null && !isTime(untilMs)) {
        throw new InvalidValue(`untilMs: ${untilMs} is no time: whole Unix milliseconds are`)
      }
      this.#need(this.#cell(sku, at), units)
      return this.#record('hold', sku, at, units, ref, untilMs == null ? {} : { until: untilMs })
    })
  }

  confirm(hold) { return this.#edit(() => this.#end('conf', this.#hold(hold), 'confirmed')) }

  release(hold) { return this.#edit(() => this.#end('rel', this.#hold(hold), 'released')) }

  expire(hold) {
    return this.#edit(() => {
      const held = this.#hold(hold)
      if (!Number.isSafeInteger(held.ext.until) || this.desk.now() < held.ext.until) {
        throw new InvalidValue(`hold ${hold} does not expire yet`)
      }
      return this.#end('exp', held, 'expired')
    })
  }

  holds(state) {
    const { index } = this
    return this.#counting().filter(({ kind }) => kind === 'hold').map(movement => {
      const { until } = movement.ext
      return { movement, ...index.holdState(movement.mid), untilMs: Number.isSafeInteger(until) ? until : null }
    }).filter(hold => state === undefined || hold.state === state)
  }

  // Rights

  rights(sku, at) { return this.index.rights(this.index.book(sku, at)) }

  give(sku, quantity, { at, to, ref } = {}) {
    return this.#edit(() => {
      const units = checkQuantity(quantity), cell = this.#cell(sku, at), receiver = checkName('replica', to)
      if (receiver === this.desk.replica) throw new InvalidValue(`'${receiver}' can't hand rights over to itself`)
      const have = this.#rightsFor(cell)
      if (have < units) throw new InsufficientRights(have, units)
      return this.#record('xfer', sku, at, units, ref, { to: receiver })
    })
  }

  // Asks the other replicas for rights to so many more units; a later request for the cell takes the place of this one.
  request(sku, quantity, { at, ref } = {}) {
    return this.#edit(() => this.#record('want', sku, at, checkQuantity(quantity), ref))
  }

  requests() { return openRequests(this.index.rows) }

  reclaim(sku, quantity, { at, of, ref } = {}) {
    return this.#edit(() => {
      const units = checkQuantity(quantity), cell = this.#cell(sku, at), { replica } = this.desk
      const lost = of == null ? NOBODY : checkName('replica', of)
      if (lost === replica) throw new InvalidValue(`'${lost}' has its own rights already`)
      this.checkWhole()
      const seen = this.rights(cell.sku, cell.location), have = of == null ? seen.unassigned : seen.of[lost] ?? 0
      if (have < units) throw new InsufficientRights(Math.max(have, 0), units)
      this.#catchUp(cell)
      return this.#record('xfer', sku, at, units, ref, { from: lost, to: replica })
    })
  }

  // Reading

  stock(sku, at) { return this.index.book(sku, at).total }

  onHand(sku, at) {
    const book = this.index.book(sku, at)
    return book.total + book.held
  }

  stockTable() { return this.index.books.map(({ sku, location, total }) => ({ sku, location, stock: total })) }

  oversold() { return this.#byCell().flatMap(book => this.index.oversold(book)) }

  overdrawn() {
    return this.#byCell().filter(({ sku, location }) => this.policy(sku, location) !== 'off').flatMap(book =>
      Object.entries(this.index.rights(book).overdrawn).map(([replica, units]) =>
        ({ sku: book.sku, location: book.location, replica, units })))
  }

  backOrders() {
    const everything = this.#counting()
    const served = new Set(everything.filter(({ kind }) => kind === 'sale').map(({ ref }) => ref))
    return everything.filter(({ kind, mid }) => kind === 'backorder' && !served.has(mid) && !this.folds.isDoneWith(mid))
  }

  inTransit() {
    const everything = this.#counting()
    const arrived = new Set(everything.filter(({ kind }) => kind === 'recv').map(({ ref }) => ref))
    return everything.filter(({ kind, mid }) => kind === 'ship' && !arrived.has(mid))
  }

  idleCounts() {
    const idle = new Set(this.index.idleCounts)
    if (!idle.size) return []
    return this.#counting().filter(({ mid }) => idle.has(mid))
  }

  unknownKinds() {
    const kinds = {}
    for (const kind of this.index.unknown.values()) kinds[kind] = (kinds[kind] ?? 0) + 1
    return kinds
  }

  find(mid, accepts = () => true) {
    for (const period of this.#warm.periods) {
      const movement = readMovement(period, mid, this.#warm.get(period, mid))
      if (movement && accepts(period)) return movement
    }
    const carried = this.folds.carried.get(mid)
    return carried ? readMovement(carried.period, mid, carried.row) : null
  }

  // The readable movements in the one order that all peers agree on.
  movements() {
    return [...this.everything()].sort((a, b) =>
      a.stamp - b.stamp || byText(a.mid, b.mid) || byText(a.period, b.period))
  }

  refs() {
    const all = [...this.everything(), ...this.#counting()]
    return new Set(all.filter(({ kind, ref }) => ref !== null && !isReferring(kind)).map(({ ref }) => ref))
  }

  // Of one id the earlier period's, as in the sum.
  *everything() {
    const found = new Set()
    for (const period of this.#warm.periods) {
      for (const [mid, row] of this.#warm.entries(period)) {
        const movement = found.has(mid) ? null : readMovement(period, mid, row)
        if (movement) yield movement
        if (movement) found.add(mid)
      }
    }
  }

  // Movements that somebody has changed after the fact, as they were at first, and those that came too late.
  *originals() { for (const draft of this.drafts) yield* draft.entries('orig') }

  late() { return this.#warm.late() }

  get isWhole() { return !this.#missingPeriods('').length }

  stockFaults() {
    const now = this.desk.now(), reason = 'is stamped by a clock that runs more than 60 s ahead'
    const ahead = [...this.everything()].filter(({ stamp }) => isAhead(stamp, now))
    const changed = this.drafts.flatMap(draft => [...draft.keys('orig')]).filter(isMovementId)
    return [
      ...this.index.faults, ...this.folds.faults, ...ahead.map(({ mid }) => ({ root: 'mv', key: mid, reason })),
      ...this.openPeriods.flatMap(period => documentFaults(period, this.#warm.draft(period))),
      ...changed.map(key =>
        ({ root: 'mv', key, reason: 'was changed after it was written; the first content counts' })),
    ]
  }

  // Inside

  #currentPeriod() {
    const closed = this.openPeriods.filter(period => isClosed(this.#warm.draft(period)))
    return currentPeriod(this.desk.now(), period => this.#warm.draft(period), [...closed, ...this.folds.notes.keys()])
  }

  // The movements that count by themselves and not through a fold, in order.
  #counting() {
    const found = new Map()
    for (const [period, mid, row] of this.#warm.counting()) {
      const movement = found.has(mid) ? null : readMovement(period, mid, row)
      if (movement) found.set(mid, movement)
    }
    return [...found.values()].sort((a, b) => a.stamp - b.stamp || byText(a.mid, b.mid))
  }

  #findCounting(mid) { return this.find(mid, period => this.#warm.isCounting(period, mid)) }

  #edit(act) { return this.desk.edit(act) }

  #byCell() { return this.index.books.sort((a, b) => byText(a.sku, b.sku) || byText(a.location, b.location)) }

  #book({ sku, location }) { return this.index.book(sku, location) }

  #cell(sku, at) { return { sku: this.knownProduct(sku), location: this.knownLocation(at) } }

  // Without one of the periods the balance of rights could leave out what this replica itself has sold.
  checkWhole(since = '') {
    const missing = this.#missingPeriods(since)
    if (missing.length) throw new PeriodsMissing(missing)
  }

  #missingPeriods(since) { return this.periods().filter(period =>
    period >= since && !this.#warm.draft(period) && !this.folds.notes.has(period)) }

  #rightsFor(cell) {
    this.checkWhole()
    this.#catchUp(cell)
    return Math.max(this.#book(cell).rights.get(this.desk.replica) ?? 0, 0)
  }

  #need(cell, units) {
    if (units <= 0 || this.policy(cell.sku, cell.location) === 'off') return
    const have = this.#rightsFor(cell)
    if (have < units) throw new InsufficientRights(have, units)
  }

  // What spends rights is later than what gave them, so that in the order of stamps no balance dips below zero.
  #catchUp(cell) { this.desk.clock.receive(this.#book(cell).latest, this.desk.now()) }

  #hold(hold) {
    const held = this.#findCounting(checkName('hold', hold))
    if (held?.kind !== 'hold') throw new InvalidName('hold', hold, 'the id of a hold in this period or its history')
    if (held.rid !== this.desk.replica) throw new NotTheHolder(hold, held.rid)
    return held
  }

  #end(kind, { mid, sku, location, quantity, period }, state) {
    // An end in a period that is not here would pass unseen. A day sorts after its month.
    this.checkWhole(period.slice(0, 7))
    this.#catchUp({ sku, location })
    const actual = this.index.holdState(mid)
    if (actual.endedBy === null) return this.#append(kind, sku, location, quantity, mid, {})
    if (actual.state === state) return actual.endedBy
    throw new HoldEnded(mid, actual.state)
  }

  #record(kind, sku, at, quantity, ref, ext = {}) {
    const { sku: product, location } = this.#cell(sku, at)
    return this.#append(kind, product, location, quantity, checkRef(ref), ext)
  }

  #append(kind, sku, location, quantity, ref, ext) {
    const { period } = this, draft = this.#warm.draft(period)
    if (!draft) throw new PeriodsMissing([period])
    draft.checkWritable()
    // A newcomer learns from the catalog which movement documents there are; equal concurrent notes are harmless.
    const isNoted = this.catalog.get('periods', period) !== null
    if (!isNoted) this.catalog.checkWritable()
    const row = [kind, sku, location, quantity, this.desk.replica, this.desk.tick()]
    const hasMore = Object.keys(ext).length > 0
    if (ref !== null || hasMore) row.push(ref)
    if (hasMore) row.push(ext)
    const mid = this.#takeId(draft)
    if (!isNoted) this.catalog.put('periods', period, 1)
    this.#warm.put(period, mid, row)
    return mid
  }

  // Nobody else writes under our client id, which is new whenever a page is loaded.
  #takeId(draft) {
    const author = draft.clientId.toString(36), key = `${this.period}/${author}`
    let sequence = this.#sequences.get(key) ?? 0
    while (draft.get('mv', `${author}.${sequence.toString(36)}`) !== null) sequence++
    this.#sequences.set(key, sequence + 1)
    return `${author}.${sequence.toString(36)}`
  }
}

