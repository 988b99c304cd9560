// Folds: what the movements of closed periods come to, so that a reader need not open those. The relay folds.
import { flaw, isKnown, kindOf } from './movements.mjs'
import { bytesOf, dayOf, isObject, isPeriod, isText, parseBase36, periodOf, stampIn, uncomp, whole }
  from './values.mjs'

const MARK_BYTES = 8
const MOVEMENTS_MAX = 100_000, CLIENTS_MAX = 2_000
export const FOLD_ROOTS = Object.freeze(['folds', 'fold', 'carry', 'ended', 'settled'])

// Which movements of a closed period its fold counts: ranges of the sequence numbers of each client.
class Coverage {
  static read(draft) {
    const value = draft.get('meta', 'covers')
    return isObject(value) ? Coverage.#decoded(value) : null
  }

  static #decoded(value) {
    const coverage = new Coverage()
    coverage.others = new Set()
    coverage.ranges = new Map()
    for (const [client, content] of Object.entries(value)) {
      const ends = Array.isArray(content) ? content : [0, content]
      if (client === '') {
        if (!Array.isArray(content) || !content.every(isText)) return null
        coverage.others = new Set(content)
      } else {
        const isRising = ends.every((end, i) => stampIn(end) !== null && (i === 0 || ends[i - 1] < end))
        if (!isRising || ends.length % 2) return null
        coverage.ranges.set(client, ends)
      }
    }
    return coverage
  }

  has(mid) {
    const [client, sequence] = [mid.slice(0, mid.indexOf('.')), mid.slice(mid.indexOf('.') + 1)]
    const number = parseBase36(sequence)
    if (number === null || number >= Number.MAX_SAFE_INTEGER) return this.others.has(mid)
    // Between a beginning and its end an odd number of boundaries lies behind.
    return (this.ranges.get(client) ?? []).filter(end => end <= number).length % 2 === 1
  }
}
export const coverageOf = draft => Coverage.read(draft)

export class Folds {
  notes = new Set() // the folded periods that can be used here
  shares = [] // of each cell what each replica has a right to, without what carried movements do
  carried = new Map() // movements of folded periods that count by themselves
  faults = []
  isWhole = true
  #marks = new Set()

  // `draftOf(period)` is the draft of a movement document, if it is open.
  constructor(catalog, draftOf) {
    const noted = this.#readNotes(catalog)
    if (!noted.length) return
    // Catalog and movements travel apart: until a document says what its fold counts, nobody can tell what is in it.
    const wait = noted.findIndex(period => draftOf(period) && !coverageOf(draftOf(period)))
    this.notes = new Set(wait < 0 ? noted : noted.slice(0, wait))
    this.waitsFor = wait < 0 ? null : noted[wait]
    this.#readShares(catalog)
    this.#readCarried(catalog)
    for (const period of this.notes) this.#readMarks(period, catalog.get('settled', period))
  }

  // Whether a movement that was late has got into a fold since.
  hasCounted(mid) { return this.#marks.size > 0 && this.#marks.has(markOf(mid)) }

  // Whether a shipment was booked in, a back-order served or a request replaced in a fold.
  isDoneWith(subject) { return this.#marks.size > 0 && this.#marks.has(markOf('@' + subject)) }

  // Whether an entry of the log of a document counts by itself, and not through a fold.
  counting(period, draft) {
    const covers = this.notes.has(period) ? coverageOf(draft) : null
    if (covers) return mid => !covers.has(mid) && !this.hasCounted(mid)
    return this.#marks.size ? mid => draft.get('home', mid) === null || !this.hasCounted(mid) : () => true
  }

  #fault(root, key, reason) { this.faults.push({ root, key, reason }) }

  #readNotes(catalog) {
    const noted = []
    for (const [period, value] of catalog.entries('folds')) {
      const [stamp, movements, digest] = Array.isArray(value) ? value : []
      const isNote = stampIn(stamp) !== null && stampIn(movements) !== null && isText(digest) && digest.length === 16
      if (isPeriod(period) && isNote) noted.push(period)
      else this.#fault('folds', period, 'is no period with stamp, number of movements and digest')
    }
    return noted.sort()
  }

  // Every folder has entries of its own: the later period's counts, and of one period all say the same.
  #readShares(catalog) {
    const cells = new Map()
    for (const [key, value] of catalog.entries('fold')) {
      const owner = splitShare(key), parts = partsIn(value)
      if (!owner || !parts) {
        this.#fault('fold', key, 'is no total of a product, a location and a replica')
        continue
      }
      const share = parts.find(({ period }) => this.notes.has(period))
      if (!share && parts.length > 1 && this.notes.size) this.isWhole = false
      if (!share) continue
      const [sku, location, rid] = owner, cell = key.split('/', 2).join('/')
      if (!cells.has(cell)) cells.set(cell, { sku, location, of: new Map() })
      const { of } = cells.get(cell), held = of.get(rid)
      const isLater = !held || share.period > held.period || (share.period === held.period && share.units > held.units)
      if (isLater) of.set(rid, share)
    }
    this.shares = [...cells.values()]
  }

  #readCarried(catalog) {
    for (const [mid, value] of catalog.entries('carry')) {
      const [period, row] = Array.isArray(value) ? value : [], ended = catalog.get('ended', mid)
      const kind = kindOf(row), isSound = kind !== null && (!isKnown(kind) || flaw(mid, row) === null)
      if (!isText(period) || !isSound) {
        this.#fault('carry', mid, 'is no movement that is carried on')
      } else if (this.notes.has(period) && !this.notes.has(ended)) this.carried.set(mid, { period, row })
    }
  }

  #readMarks(period, value) {
    if (value === null) return
    if (!(value instanceof Uint8Array) || value.length % MARK_BYTES) {
      return this.#fault('settled', period, 'is no row of eight-byte marks')
    }
    for (let at = 0; at < value.length; at += MARK_BYTES) this.#marks.add(hex(value.subarray(at, at + MARK_BYTES)))
  }
}

// What is wrong with the movement document of a period as a whole.
export const documentFaults = (period, draft) => {
  const faults = [], mids = draft.doc.getMap('mv')._map, add = (root, key, reason) => faults.push({ root, key, reason })
  if (draft.get('meta', 'covers') !== null && !coverageOf(draft)) {
    add('meta', 'covers', 'does not say which movements are in the fold')
  }
  if (mids.size > MOVEMENTS_MAX) add('mv', period, `holds ${mids.size} movements, more than ${MOVEMENTS_MAX}`)
  const clients = new Set([...mids.keys()].map(mid => mid.split('.')[0])).size
  if (clients > CLIENTS_MAX) add('mv', period, `was written by ${clients} sessions, more than ${CLIENTS_MAX}`)
  return faults
}

// Whether a period's document takes no more movements, so that they go into the day's.
export const isFull = ({ doc }) => doc.getMap('meta').has('closed') ||
  doc.getMap('mv')._map.size >= MOVEMENTS_MAX || doc.store.clients.size >= CLIENTS_MAX

// Where a movement belongs that is written now: the month, or the day where the month is full or closed. A day that is
// closed, too, is so because this clock lags: then it is the first month behind that and behind all that are closed.
export const currentPeriod = (now, draftOf, closed) => {
  const month = periodOf(now), day = dayOf(now), draft = draftOf(month)
  if (!closed.includes(month) && !(draft && isFull(draft))) return month
  if (!closed.includes(day)) return day
  const [year, number] = closed.reduce((a, b) => a > b ? a : b).split('-').map(Number)
  return periodOf(Date.UTC(year, number))
}

export const isClosed = ({ doc }) => doc.getMap('meta').has('closed')

const splitShare = key => {
  const parts = key.split('/')
  if (parts.length !== 4) return null
  const [sku, location, , folder] = parts.map(uncomp), rid = parts[2] ? uncomp(parts[2]) : ''
  return [sku, location, rid, folder].includes(null) ? null : [sku, location, rid]
}
const partsIn = value => {
  if (!Array.isArray(value) || value.length < 4) return null
  const [period, units, earlier, before] = [value[0], unitsIn(value[1]), value[2], unitsIn(value[3])]
  if (!isText(period) || units === null || before === null || !(earlier === null || isText(earlier))) return null
  return earlier === null ? [{ period, units }] : [{ period, units }, { period: earlier, units: before }]
}
const unitsIn = value => isText(value) ? (/^-?\d+$/.test(value) ? Number(value) : null) : whole(value)

const hex = bytes => Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('')
const markOf = text => hex(sha256(bytesOf(text)).subarray(0, MARK_BYTES))

// SHA-256, because that of the browsers can't be had without waiting.
const isPrime = n => n > 1 && ![...Array(n).keys()].some(d => d > 1 && n % d === 0)
const PRIMES = [...Array(312).keys()].filter(isPrime)
const fraction = (n, root) => (n ** root % 1) * 2 ** 32 | 0
const START = PRIMES.slice(0, 8).map(prime => fraction(prime, 1 / 2))
const ROUNDS = PRIMES.map(prime => fraction(prime, 1 / 3))
const sha256 = bytes => {
  const padded = new Uint8Array((bytes.length + 8 >> 6) + 1 << 6), view = new DataView(padded.buffer)
  padded.set(bytes)
  padded[bytes.length] = 128
  view.setUint32(padded.length - 4, bytes.length * 8)
  const state = Int32Array.from(START), words = new Int32Array(64)
  const turn = (word, by) => word >>> by | word << 32 - by
  for (let at = 0; at < padded.length; at += 64) {
    let [a, b, c, d, e, f, g, h] = state
    for (let i = 0; i < 64; i++) {
      const near = words[i - 15], far = words[i - 2]
      words[i] = i < 16 ? view.getInt32(at + 4 * i) : words[i - 16] + words[i - 7] +
        (turn(near, 7) ^ turn(near, 18) ^ near >>> 3) + (turn(far, 17) ^ turn(far, 19) ^ far >>> 10)
      const one = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (e & f ^ ~e & g) + ROUNDS[i] + words[i]
      const two = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + (a & b ^ a & c ^ b & c)
      ;[h, g, f, e, d, c, b, a] = [g, f, e, d + one | 0, c, b, a, one + two | 0]
    }
    ;[a, b, c, d, e, f, g, h].forEach((word, i) => { state[i] += word })
  }
  const digest = new DataView(new ArrayBuffer(32))
  state.forEach((word, i) => digest.setInt32(4 * i, word))
  return new Uint8Array(digest.buffer)
}
