// Time series: samples at times, packed into chunks. Every writer leaves a track of numbered chunks in the `s` root; of
// several samples at one time the one with the greatest (stamp, writer as keys spell it, number of the chunk) counts.
import { CHUNK_EDITS_MAX, CHUNK_SAMPLES_MAX, CHUNK_SPAN_MS, DECIMALS_MAX, decodeChunk, encodeChunk, readOutline }
  from './chunks.mjs'
import { AlreadyExists, InvalidValue } from './errors.mjs'
import { AHEAD_MS_MAX, INT_MAX, KEY_BYTES_MAX, dayOf, isTime, join, parseBase36, periodOf, uncomp } from './values.mjs'

const NUMBER_MAX = 36 ** 6
const isSame = (a, b) => a?.length === b.length && b.every((byte, i) => byte === a[i])

// `value` times 10 ** decimals, exactly: a number (by its shortest spelling), a BigInt, or a decimal as text.
export const scale = (value, decimals) => {
  const parsed = ['number', 'bigint', 'string'].includes(typeof value) &&
    /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(value))
  const shift = parsed ? Number(parsed[4] ?? 0) - (parsed[3]?.length ?? 0) + decimals : 0
  if (!parsed || Math.abs(shift) > 400) {
    throw new InvalidValue(`${value} can't be a sample: a finite number, or a decimal as text, can`)
  }
  const digits = BigInt(parsed[2] + (parsed[3] ?? '')), power = 10n ** BigInt(Math.abs(shift))
  if (shift < 0 && digits % power) {
    throw new InvalidValue(`${value} has more decimals than the ${decimals} of this series`)
  }
  const scaled = shift < 0 ? digits / power : digits * power
  if (scaled > INT_MAX) throw new InvalidValue(`${value} with ${decimals} decimals is beyond ±(2**53 - 1)`)
  return parsed[1] ? -scaled : scaled
}
// The number nearest to what a scaled one stands for.
export const unscale = (scaled, decimals) => Number(`${scaled}e-${decimals}`)

// The chunks of one series by writer and number, as bytes.
export const tracksOf = (draft, prefix) => {
  const tracks = new Map()
  for (const key of draft.keys('s')) {
    if (!key.startsWith(prefix + '/') || key.length > KEY_BYTES_MAX) continue
    const [writer, digits, ...rest] = key.slice(prefix.length + 1).split('/'), number = parseBase36(digits ?? '')
    if (rest.length || !number || uncomp(writer) === null) continue
    if (!tracks.has(writer)) tracks.set(writer, new Map())
    tracks.get(writer).set(number, key)
  }
  return tracks
}
// A chunk, or null where it was cleared or can't be read.
export const chunkAt = (draft, key, read = decodeChunk) => {
  const bytes = draft.get('s', key)
  if (!(bytes instanceof Uint8Array) || !bytes.length) return null
  try {
    return read(bytes)
  } catch (error) {
    if (error instanceof InvalidValue) return null
    throw error
  }
}
const isLater = (a, b) => a.stamp !== b.stamp ? a.stamp > b.stamp
  : a.part !== b.part ? a.part > b.part : a.number > b.number

export class TimeSeries {
  #pen
  #prefix
  #decimals

  constructor(pen, prefixOf, decimals) {
    if (!Number.isInteger(decimals) || decimals < 0 || decimals > DECIMALS_MAX) {
      throw new InvalidValue(`decimals must be a whole number from 0 to ${DECIMALS_MAX}, got ${decimals}`)
    }
    const prefix = prefixOf()
    // Refuses too long a name before anything is written.
    join(prefix, pen.part, NUMBER_MAX.toString(36))
    this.#pen = pen
    this.#prefix = prefix
    this.#decimals = decimals
  }

  add(at, value) { return this.extend([[at, value]]) > 0 }

  // Adds [time in Unix ms, value] pairs, all or none, and returns how many were new.
  extend(samples) { return this.#pen.desk.edit(() => this.#extend(samples)) }

  samples(from = 0, to = INT_MAX) {
    return this.#union(from, to).map(({ at, scaled, decimals, part }) =>
      ({ at: Number(at), value: unscale(scaled, decimals), scaled, decimals, writer: uncomp(part) }))
  }

  latest(before = INT_MAX) { return this.samples(0, before).at(-1) ?? null }

  #extend(samples) {
    const wanted = new Map(), { draft, part } = this.#pen
    for (const [at, value] of samples) wanted.set(BigInt(this.#checkTime(at)), scale(value, this.#decimals))
    draft.checkWritable()
    if (!wanted.size) return 0
    const tracks = tracksOf(draft, this.#prefix), own = tracks.get(part) ?? new Map(), open = Math.max(0, ...own.keys())
    const keys = [...tracks.values()].flatMap(of => [...of.values()])
    const outlines = keys.map(key => chunkAt(draft, key, readOutline))
    const times = [...wanted.keys()].map(Number)
    for (const { at, scaled, decimals } of this.#union(Math.min(...times), Math.max(...times) + 1)) {
      if (wanted.has(at) && isEqual(wanted.get(at), this.#decimals, scaled, decimals)) wanted.delete(at)
    }
    for (const [number, key] of own) {
      const chunk = chunkAt(draft, key), isOpen = number === open && chunk?.decimals === this.#decimals
      const again = !isOpen && chunk?.samples.find(({ at }) => wanted.has(at))
      if (again) throw new AlreadyExists(`this writer has left another value at ${again.at} ms behind in a full chunk`)
    }
    if (!wanted.size) return 0
    const stamp = this.#pen.stampAfter(outlines.filter(outline => outline).map(outline => outline.stamp))
    const fresh = [...wanted].map(([at, scaled]) => ({ at, scaled, stamp })).sort((a, b) => a.at < b.at ? -1 : 1)
    this.#write(fresh, own, open)
    return fresh.length
  }

  #write(fresh, own, open) {
    const { draft } = this.#pen, last = own.has(open) ? chunkAt(draft, own.get(open)) : null
    // Written too often, a chunk is left behind: each edit writes all of it again.
    const isWorn = last && new Set(last.samples.map(({ stamp }) => stamp)).size >= CHUNK_EDITS_MAX &&
      !last.samples.some(({ at }) => fresh.some(sample => sample.at === at))
    const isOpen = last?.decimals === this.#decimals && !isWorn
    let number = isOpen ? open : open + 1
    let chunk = new Map(isOpen ? last.samples.map(sample => [sample.at, sample]) : [])
    for (const sample of fresh) {
      if (!fits(chunk, sample.at)) {
        this.#put(number++, chunk)
        chunk = new Map()
      }
      chunk.set(sample.at, sample)
    }
    this.#put(number, chunk)
  }

  #put(number, chunk) {
    const key = join(this.#prefix, this.#pen.part, number.toString(36))
    const bytes = encodeChunk([...chunk.values()].sort((a, b) => a.at < b.at ? -1 : 1), this.#decimals)
    // The chunk that was open may only be left behind, as it was.
    if (!isSame(this.#pen.draft.get('s', key), bytes)) this.#pen.draft.put('s', key, bytes)
  }

  #union(from, to) {
    const best = new Map(), { draft } = this.#pen
    for (const [part, keys] of tracksOf(draft, this.#prefix)) {
      for (const [number, key] of keys) {
        const chunk = chunkAt(draft, key)
        if (!chunk || chunk.last < from || chunk.first >= to) continue
        for (const sample of chunk.samples) {
          if (sample.at < from || sample.at >= to) continue
          const one = { ...sample, part, number, decimals: chunk.decimals }, held = best.get(sample.at)
          if (!held || isLater(one, held)) best.set(sample.at, one)
        }
      }
    }
    return [...best.values()].sort((a, b) => a.at < b.at ? -1 : 1)
  }

  #checkTime(at) {
    const now = this.#pen.desk.now(), { period } = this.#pen
    if (!isTime(at)) throw new InvalidValue(`${at} is no time: whole Unix milliseconds are`)
    if (at > now + AHEAD_MS_MAX) throw new InvalidValue(`${at} ms lies in the future: it is ${now} ms now`)
    const own = period.length > 7 ? dayOf(at) : periodOf(at)
    if (own !== period) throw new InvalidValue(`${at} ms belongs to the period ${own}, this document holds ${period}`)
    return at
  }
}

const fits = (chunk, at) => {
  if (!chunk.size || chunk.has(at)) return true
  let first = at, last = at
  for (const time of chunk.keys()) {
    if (time < first) first = time
    if (time > last) last = time
  }
  return chunk.size < CHUNK_SAMPLES_MAX && last - first <= CHUNK_SPAN_MS
}
const isEqual = (a, decimals, b, others) => a * 10n ** BigInt(others) === b * 10n ** BigInt(decimals)
