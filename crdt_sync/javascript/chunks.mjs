// Packed numbers (LEB128, signed ones zigzagged) and chunks: up to 120 samples of a series in one byte string.
// BigInt throughout, because 64 bits are more than a number holds exactly. Equal samples give Python's bytes.
import { InvalidValue } from './errors.mjs'
import { INT_MAX } from './values.mjs'

export const CHUNK_SAMPLES_MAX = 120, CHUNK_EDITS_MAX = 16, CHUNK_SPAN_MS = 3_600_000n, DECIMALS_MAX = 9
const VERSION = 1, NUMBER_BYTES_MAX = 10, INT64_MAX = 2n ** 63n - 1n
const isInt64 = number => number >= -INT64_MAX - 1n && number <= INT64_MAX

export const zigzag = number => number >= 0n ? number << 1n : (-number << 1n) - 1n
export const unzigzag = number => number & 1n ? -((number + 1n) >> 1n) : number >> 1n
export const pack = (out, numbers) => {
  for (let rest of numbers) {
    for (rest = BigInt(rest); rest > 127n; rest >>= 7n) out.push(Number(rest & 127n) | 128)
    out.push(Number(rest))
  }
}

// Reads packed numbers one by one; refuses bytes that pack() never wrote.
export class Unpacker {
  constructor(bytes, at = 0) { Object.assign(this, { bytes, at }) }

  next() {
    let number = 0n
    for (let place = 0; place < NUMBER_BYTES_MAX; place++) {
      const byte = this.bytes[this.at++]
      if (byte === undefined) throw new InvalidValue('a packed number does not end')
      number |= BigInt(byte & 127) << BigInt(7 * place)
      if (byte > 127) continue
      if (!byte && place) throw new InvalidValue('a packed number is longer than it need be')
      return number
    }
    throw new InvalidValue('a packed number is longer than it may be')
  }

  rest() {
    const numbers = []
    while (this.at < this.bytes.length) numbers.push(this.next())
    return numbers
  }
}

// `samples` in the order of rising times, as {at, scaled, stamp}, times and values BigInt.
export const encodeChunk = (samples, decimals) => {
  const out = [VERSION, decimals], column = [], runs = []
  for (const { stamp } of samples) {
    if (runs.at(-1)?.stamp === stamp) runs.at(-1).length++
    else runs.push({ stamp, length: 1 })
  }
  pack(out, [samples.length, zigzag(samples[0].at), samples.at(-1).at - samples[0].at, runs.length])
  runs.forEach(({ stamp, length }, i) =>
    pack(out, [length, i ? zigzag(BigInt(stamp) - BigInt(runs[i - 1].stamp)) : stamp]))
  let gap = 0n, value = 0n
  for (let i = 1; i < samples.length; i++) {
    const next = samples[i].at - samples[i - 1].at
    pack(column, [zigzag(next - gap)])
    gap = next
  }
  pack(out, [column.length])
  out.push(...column)
  for (const { scaled } of samples) {
    pack(out, [zigzag(scaled - value)])
    value = scaled
  }
  return Uint8Array.from(out)
}

// What a chunk's head says, without its samples.
export const readOutline = bytes => {
  if (bytes.length < 2 || bytes[0] !== VERSION || bytes[1] > DECIMALS_MAX) {
    throw new InvalidValue('is no chunk of this version')
  }
  const reader = new Unpacker(bytes, 2)
  const [count, packed, span, length] = [reader.next(), reader.next(), reader.next(), reader.next()]
  const first = unzigzag(packed), last = first + span, runs = []
  if (count < 1n || count > CHUNK_SAMPLES_MAX || length < 1n || length > count || !isInt64(first) || !isInt64(last)) {
    throw new InvalidValue(`a chunk of ${count} samples and ${length} runs from ${first}, ${span} ms long, is none`)
  }
  let before = null, sum = 0n
  for (let run = 0n; run < length; run++) {
    const many = reader.next(), number = reader.next(), stamp = before === null ? number : before + unzigzag(number)
    if (many < 1n || stamp < 0n || stamp > INT_MAX || stamp === before) {
      throw new InvalidValue('a chunk has a run that is none')
    }
    runs.push({ length: Number(many), stamp: Number(stamp) })
    sum += many
    before = stamp
  }
  if (sum !== count) throw new InvalidValue('the runs of a chunk do not add up to its samples')
  return {
    decimals: bytes[1], count: Number(count), first, last, runs, body: reader.at,
    stamp: Math.max(...runs.map(run => run.stamp)),
  }
}

// The samples of a chunk, as {at, scaled, stamp}, under its outline.
export const decodeChunk = bytes => {
  const outline = readOutline(bytes), reader = new Unpacker(bytes, outline.body)
  const end = Number(reader.next()) + reader.at
  const bends = new Unpacker(bytes.subarray(0, end), reader.at).rest(), steps = new Unpacker(bytes, end).rest()
  if (bends.length !== outline.count - 1 || steps.length !== outline.count) {
    const held = `${bends.length + 1} times and ${steps.length} values`
    throw new InvalidValue(`a chunk of ${outline.count} samples has ${held}`)
  }
  const stamps = outline.runs.flatMap(({ length, stamp }) => new Array(length).fill(stamp))
  let at = outline.first, gap = 0n, scaled = 0n
  const samples = steps.map((step, i) => {
    if (i) at += gap += unzigzag(bends[i - 1])
    if (i && gap < 1n) throw new InvalidValue('the times of a chunk do not rise')
    scaled += unzigzag(step)
    if (!isInt64(scaled)) throw new InvalidValue('a value in a chunk is beyond 64 bits')
    return { at, scaled, stamp: stamps[i] }
  })
  if (at !== outline.last) throw new InvalidValue('the times of a chunk do not end where it says')
  return { ...outline, samples }
}
