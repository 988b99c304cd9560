// Rollups, to be read: rows say what a writer's chunks 1 to `upto` come to in each stretch of time; later chunks, and
// writers without rows, are added sample by sample.
import { DECIMALS_MAX } from './chunks.mjs'
import { InvalidValue } from './errors.mjs'
import { INT_MAX, KEY_BYTES_MAX, isText, parseBase36, uncomp, whole } from './values.mjs'
import { chunkAt, tracksOf, unscale } from './series.mjs'

const floorDiv = (a, b) => a / b - (a % b !== 0n && (a < 0n) !== (b < 0n) ? 1n : 0n)
const min = (a, b) => a < b ? a : b
const max = (a, b) => a > b ? a : b

// The buckets that begin from `from` to before `to`, in time; writers add up.
export const buckets = (draft, prefix, widthS, from, to) => {
  if (!Number.isSafeInteger(widthS) || widthS < 1 || widthS > INT_MAX / 1000) {
    throw new InvalidValue(`${widthS} can't be the width of a bucket: whole seconds from 1 can`)
  }
  const rows = rowsOf(draft, prefix), tracks = tracksOf(draft, prefix), totals = new Map(), width = BigInt(widthS)
  for (const writer of new Set([...tracks.keys(), ...rows.keys()])) {
    const keys = tracks.get(writer) ?? new Map()
    addWriter(totals, draft, keys, soundRows(rows.get(writer) ?? [], [...keys.keys()]), width)
  }
  return [...totals].sort(([a], [b]) => a < b ? -1 : 1).map(([number, total]) => {
    const of = field => unscale(total[field], total.decimals)
    return {
      startMs: Number(number * width * 1000n), widthS, count: Number(total.count), sum: of('sum'), low: of('low'),
      high: of('high'), last: of('last'), lastMs: Number(total.lastMs),
    }
  }).filter(({ startMs }) => startMs >= from && startMs < to)
}

const addWriter = (totals, draft, keys, rows, width) => {
  const reach = base => Math.max(0, ...rows.filter(row => base === null || row.width === base).map(row => row.upto))
  // Of the widths that ours is a multiple of, the one whose rows reach furthest; the widest of several.
  const bases = [...new Set(rows.map(row => row.width))].filter(base => width % base === 0n)
  const [base = width] = bases.sort((a, b) => reach(b) - reach(a) || (a > b ? -1 : 1))
  const own = new Map(rows.filter(row => row.width === base).map(row => [row.number, row]))
  const covered = own.size ? reach(base) : 0
  for (const row of own.values()) join(totals, floorDiv(row.number * base, width), row)
  for (const [number, key] of keys) {
    const chunk = chunkAt(draft, key), isCleared = draft.get('s', key)?.length === 0
    if (isCleared && number > covered && number <= reach(null)) {
      throw new InvalidValue(`samples were let go after they had been rolled up; not into buckets of ${width} s`)
    }
    for (const { at, scaled } of chunk?.samples ?? []) {
      const row = own.get(floorDiv(at, base * 1000n))
      if (row && number <= row.upto) continue
      const one = { count: 1n, sum: scaled, low: scaled, high: scaled, last: scaled, lastMs: at }
      join(totals, floorDiv(at, width * 1000n), { ...one, decimals: chunk.decimals })
    }
  }
}

// Both together. Of two samples at the last time the greater value counts, so that order does not matter.
const join = (totals, number, other) => {
  const one = totals.get(number)
  if (!one) return totals.set(number, other)
  const decimals = Math.max(one.decimals, other.decimals), a = rescaled(one, decimals), b = rescaled(other, decimals)
  const isLast = b.lastMs > a.lastMs || (b.lastMs === a.lastMs && b.last > a.last)
  return totals.set(number, {
    decimals, count: a.count + b.count, sum: a.sum + b.sum, low: min(a.low, b.low), high: max(a.high, b.high),
    lastMs: max(a.lastMs, b.lastMs), last: isLast ? b.last : a.last,
  })
}
const rescaled = (total, decimals) => {
  const more = 10n ** BigInt(decimals - total.decimals)
  return { ...total, sum: total.sum * more, low: total.low * more, high: total.high * more, last: total.last * more }
}

// The rows of a series by writer: for each bucket the one with the greatest `upto`.
const rowsOf = (draft, prefix) => {
  const best = new Map()
  for (const [key, value] of draft.entries('r')) {
    const isRow = key.startsWith(prefix + '/') && key.length <= KEY_BYTES_MAX
    const row = isRow && readRow(key.slice(prefix.length + 1), value)
    if (!row) continue
    const place = `${row.bucket}/${row.writer}`, held = best.get(place)
    if (!held || isGreater(row, held)) best.set(place, row)
  }
  const found = new Map()
  for (const row of best.values()) found.set(row.writer, [...found.get(row.writer) ?? [], row])
  return found
}

const FIELDS = ['upto', 'count', 'sum', 'low', 'high', 'lastMs', 'last', 'decimals']
const isGreater = (a, b) => {
  const field = FIELDS.find(name => a[name] !== b[name])
  return field !== undefined && a[field] > b[field]
}

const readRow = (rest, value) => {
  const [bucket, writer, roller, ...more] = rest.split('/'), parsed = /^([0-9a-z]+)\.(-?)([0-9a-z]+)$/.exec(bucket)
  const width = parsed && parseBase36(parsed[1]), number = parsed && parseBase36(parsed[3])
  const hasNames = !more.length && uncomp(writer ?? '') && uncomp(roller ?? '')
  if (!width || number === null || (parsed[2] && !number) || !hasNames) return null
  if (!Array.isArray(value) || value.length < 7) return null
  const numbers = value.slice(0, 8).map(numberIn)
  if (numbers.includes(null)) return null
  const [upto, count, sum, low, high, lastMs, last, decimals = 0n] = numbers
  if (upto < 1n || count < 1n || low > last || last > high || low * count > sum || sum > high * count) return null
  if (decimals < 0n || decimals > DECIMALS_MAX) return null
  const signed = parsed[2] ? -BigInt(number) : BigInt(number)
  return {
    bucket, writer, width: BigInt(width), number: signed, upto: Number(upto), count, sum, low, high, lastMs, last,
    decimals: Number(decimals),
  }
}
const numberIn = place => {
  if (isText(place)) return /^-?\d{1,40}$/.test(place) ? BigInt(place) : null
  return whole(place) === null ? null : BigInt(place)
}

// Without rows that claim chunks which their writer never wrote; all of them where it has no chunks here at all.
const soundRows = (rows, numbers) => {
  const last = numbers.length ? Math.max(...numbers) : Infinity
  return rows.filter(({ upto }) => upto <= last)
}
