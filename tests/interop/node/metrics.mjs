// Time series, histograms and distinct counts of a metrics document in plain JavaScript, to be read.
// docs/reference/documents.md explains the layouts; these are its lines, run by tests/interop/test_metrics_in_node.py.

const bytesAt = (doc, root, metric, entity, parts) => [...doc.getMap(root)]
  .filter(([key]) => key.startsWith([metric, entity].map(part => encodeURIComponent(part.normalize('NFC'))).join('/') + '/'))
  .map(([key, value]) => [key.split('/'), value])
  .filter(([key, value]) => key.length === parts && value instanceof Uint8Array && value.length)

// Packed numbers: LEB128, signed ones zigzagged. BigInt, because 64 bits are more than a number holds exactly.
const unpack = bytes => {
  const numbers = []
  let number = 0n, shift = 0n
  for (const byte of bytes) {
    number |= BigInt(byte & 127) << shift
    shift += 7n
    if (byte < 128) { numbers.push(number); number = shift = 0n }
  }
  if (shift) throw new RangeError('a packed number does not end')
  return numbers
}
const signed = n => n & 1n ? -((n + 1n) >> 1n) : n >> 1n

// A chunk: its samples as {at, scaled, stamp}, and how many decimals the scaled values have.
export const readChunk = bytes => {
  if (bytes[0] !== 1) throw new RangeError('a chunk of another version')
  let at = 2
  const next = () => {
    const from = at
    while (bytes[at++] > 127);
    return unpack(bytes.subarray(from, at))[0]
  }
  const count = Number(next()), first = signed(next()), last = first + next(), stamps = []
  for (let runs = Number(next()), stamp = 0n, run = 0; run < runs; run++) {
    const length = Number(next())
    stamp = run ? stamp + signed(next()) : next()
    for (let i = 0; i < length; i++) stamps.push(stamp)
  }
  const size = Number(next()), bends = unpack(bytes.subarray(at, at + size)), steps = unpack(bytes.subarray(at + size))
  if (stamps.length !== count || bends.length !== count - 1 || steps.length !== count) throw new RangeError('no chunk')
  let time = first, gap = 0n, scaled = 0n
  const samples = steps.map((step, i) => {
    if (i) time += gap += signed(bends[i - 1])
    return { at: time, scaled: scaled += signed(step), stamp: stamps[i] }
  })
  if (time !== last) throw new RangeError('no chunk')
  return { decimals: bytes[1], samples }
}
// A series: of several samples at one time the one with the greatest (stamp, writer, chunk number).
export const samples = (doc, metric, entity) => {
  const best = new Map()
  for (const [[, , writer, number], bytes] of bytesAt(doc, 's', metric, entity, 4)) {
    let chunk
    try { chunk = readChunk(bytes) } catch { continue }
    for (const { at, scaled, stamp } of chunk.samples) {
      const one = { at, scaled, stamp, writer, number: parseInt(number, 36), decimals: chunk.decimals }, held = best.get(at)
      if (!held || isLater(one, held)) best.set(at, one)
    }
  }
  return [...best.values()].sort((a, b) => a.at < b.at ? -1 : 1)
}
const isLater = (a, b) => a.stamp !== b.stamp ? a.stamp > b.stamp
  : a.writer !== b.writer ? a.writer > b.writer : a.number > b.number

// A histogram: counts by bucket, bucket 'zeros' for values of 0. Bucket i holds values up to (1.01 / 0.99) ** i.
export const histogram = (doc, metric, entity) => {
  const counts = new Map()
  for (const [, bytes] of bytesAt(doc, 'h', metric, entity, 4)) {
    if (bytes[0] !== 1 || bytes[1] !== 1) continue
    const [low, zeros, ...hits] = unpack(bytes.subarray(2))
    const add = (bucket, hit) => hit && counts.set(bucket, (counts.get(bucket) ?? 0) + Number(hit))
    add('zeros', zeros)
    hits.forEach((hit, i) => add(Number(signed(low)) + i, hit))
  }
  return counts
}

// Distinct texts: 4,096 registers, joined by the greater one; the estimate after Ertl (2017), algorithm 6.
const REGISTERS = 4096, RANK_MAX = 53
export const registers = (doc, metric, entity) => {
  const ranks = new Uint8Array(REGISTERS)
  const join = (register, rank) => { ranks[register] = Math.max(ranks[register], rank) }
  for (const [, bytes] of bytesAt(doc, 'd', metric, entity, 3)) {
    if (bytes[0] !== 1 || bytes[1] !== 12) continue
    const body = bytes.subarray(3)
    if (bytes[2] === 1) body.forEach((rank, register) => join(register, rank))
    else for (let i = 0, at = -1, pairs = unpack(body).map(Number); i < pairs.length; i += 2) join(at += pairs[i] + 1, pairs[i + 1])
  }
  return ranks
}
export const distinct = (doc, metric, entity) => {
  const counts = new Array(RANK_MAX + 1).fill(0)
  registers(doc, metric, entity).forEach(rank => counts[rank]++)
  let total = REGISTERS * tau(1 - counts[RANK_MAX] / REGISTERS)
  for (let rank = RANK_MAX - 1; rank > 0; rank--) total = 0.5 * (total + counts[rank])
  total += REGISTERS * sigma(counts[0] / REGISTERS)
  return Math.round(REGISTERS * REGISTERS / (2 * Math.log(2)) / total)
}
const sigma = share => {
  if (share === 1) return Infinity
  for (let total = share, weight = 1, power = share, before; ; weight += weight) {
    before = total
    total += (power *= power) * weight
    if (total === before) return total
  }
}
const tau = share => {
  if (share === 0 || share === 1) return 0
  for (let total = 1 - share, weight = 1, power = share, before; ;) {
    before = total
    total -= (1 - (power = Math.sqrt(power))) ** 2 * (weight *= 0.5)
    if (total === before) return total / 3
  }
}
