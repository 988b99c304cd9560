// Sketches: how values are distributed (DDSketch) and how many different texts there were (HyperLogLog), as whole
// numbers that add up exactly. Equal contents have the same bytes as Python's.
import { Unpacker, pack, unzigzag, zigzag } from './chunks.mjs'
import { InvalidValue } from './errors.mjs'
import { INT_MAX, bytesOf, isText, nfc } from './values.mjs'

const VERSION = 1, ONE_PERCENT = 1, GAMMA = 1.01 / 0.99, LOG_GAMMA = Math.log(GAMMA), BUCKET_MAX = 2048
const SMALLEST = GAMMA ** -BUCKET_MAX, GREATEST = GAMMA ** BUCKET_MAX
const PRECISION = 12, REGISTERS = 4096, RANK_MAX = 53, SPARSE = 0, DENSE = 1, MASK = 2n ** 64n - 1n

export class Histogram {
  zeros = 0
  buckets = new Map()

  get count() { return [...this.buckets.values()].reduce((sum, hits) => sum + hits, this.zeros) }

  record(value, times = 1) {
    if (typeof value !== 'number' || !(value >= 0 && value <= GREATEST)) {
      throw new InvalidValue(`${value} can't be recorded: a number from 0 to ${GREATEST.toExponential(1)} can`)
    }
    if (!Number.isSafeInteger(times) || times < 1 || this.count + times > INT_MAX) {
      throw new InvalidValue(`${times} can't be how often a value was seen: 1 or more, and below 2**53 in all`)
    }
    if (value <= SMALLEST) this.zeros += times
    else {
      const bucket = Math.ceil(Math.log(value) / LOG_GAMMA)
      this.#hit(Math.max(-BUCKET_MAX, Math.min(BUCKET_MAX, bucket)), times)
    }
  }

  add(other) {
    this.zeros += other.zeros
    other.buckets.forEach((hits, bucket) => this.#hit(bucket, hits))
    return this
  }

  // The value below which `share` (0 to 1) of all values lie, within 1 %; null when nothing was recorded.
  quantile(share) {
    if (!(share >= 0 && share <= 1)) throw new InvalidValue(`${share} is no share: 0 to 1`)
    const { count } = this
    let rank = Math.trunc(share * (count - 1)) - this.zeros
    if (!count || rank < 0) return count ? 0 : null
    for (const bucket of [...this.buckets.keys()].sort((a, b) => a - b)) {
      rank -= this.buckets.get(bucket)
      if (rank < 0) return 2 * GAMMA ** bucket / (GAMMA + 1)
    }
    return GREATEST
  }

  encode() {
    const used = [...this.buckets.keys()], low = used.length ? Math.min(...used) : 0, out = [VERSION, ONE_PERCENT]
    pack(out, [zigzag(BigInt(low)), this.zeros])
    const high = used.length ? Math.max(...used) : -1
    for (let bucket = low; bucket <= high; bucket++) pack(out, [this.buckets.get(bucket) ?? 0])
    return Uint8Array.from(out)
  }

  static decode(bytes) {
    if (bytes[0] !== VERSION || bytes[1] !== ONE_PERCENT) throw new InvalidValue('is no histogram of this version')
    const reader = new Unpacker(bytes, 2), low = Number(unzigzag(reader.next())), found = new Histogram()
    const [zeros, ...hits] = [reader.next(), ...reader.rest()].map(Number)
    if (low < -BUCKET_MAX || low + hits.length - 1 > BUCKET_MAX || hits.reduce((a, b) => a + b, zeros) > INT_MAX) {
      throw new InvalidValue(`${hits.length} buckets from ${low} are more than a histogram can hold`)
    }
    if (hits.length ? !hits[0] || !hits.at(-1) : low) {
      throw new InvalidValue('a histogram begins and ends with a bucket that was hit')
    }
    found.zeros = zeros
    hits.forEach((many, i) => many && found.#hit(low + i, many))
    return found
  }

  #hit(bucket, times) { this.buckets.set(bucket, (this.buckets.get(bucket) ?? 0) + times) }
}

export class Registers {
  ranks = new Uint8Array(REGISTERS)

  // Whether it changed anything.
  record(text) {
    if (!isText(text) || /\p{Cs}/u.test(text)) {
      throw new InvalidValue("what is no text, or has a lone surrogate, can't be counted")
    }
    const hashed = hash64(bytesOf(nfc(text))), rest = hashed & (1n << 52n) - 1n
    return this.#raise(Number(hashed >> 52n), rest ? RANK_MAX - rest.toString(2).length : RANK_MAX)
  }

  join(other) {
    other.ranks.forEach((rank, register) => this.#raise(register, rank))
    return this
  }

  // About how many different texts were seen. Ertl 2017, algorithm 6.
  get estimate() {
    const counts = new Array(RANK_MAX + 1).fill(0)
    for (const rank of this.ranks) counts[rank]++
    let total = REGISTERS * tau(1 - counts[RANK_MAX] / REGISTERS)
    for (let rank = RANK_MAX - 1; rank > 0; rank--) total = 0.5 * (total + counts[rank])
    total += REGISTERS * sigma(counts[0] / REGISTERS)
    return Math.round(REGISTERS * REGISTERS / (2 * Math.log(2)) / total)
  }

  encode() {
    const sparse = [VERSION, PRECISION, SPARSE]
    let previous = -1
    this.ranks.forEach((rank, register) => {
      if (!rank) return
      pack(sparse, [register - previous - 1, rank])
      previous = register
    })
    return Uint8Array.from(sparse.length <= REGISTERS + 3 ? sparse : [VERSION, PRECISION, DENSE, ...this.ranks])
  }

  static decode(bytes) {
    const found = new Registers()
    if (bytes[0] !== VERSION || bytes[1] !== PRECISION || bytes.length < 3) {
      throw new InvalidValue('are no registers of this version')
    }
    if (bytes[2] === DENSE && bytes.length === REGISTERS + 3) found.ranks.set(bytes.subarray(3))
    else {
      const numbers = new Unpacker(bytes, 3).rest().map(Number)
      for (let i = 0, at = -1; i < numbers.length; i += 2) found.#raise(at += numbers[i] + 1, numbers[i + 1])
    }
    const again = found.encode()
    const isShortest = again.length === bytes.length && again.every((byte, i) => byte === bytes[i])
    if (Math.max(...found.ranks) > RANK_MAX || !isShortest) {
      throw new InvalidValue('registers hold a rank that no hash has, or are not in their shortest form')
    }
    return found
  }

  #raise(register, rank) {
    if (!(rank > this.ranks[register])) return false
    this.ranks[register] = rank
    return true
  }
}

// FNV-1a with the last mixing of MurmurHash3.
const hash64 = bytes => {
  let hashed = 0xCBF29CE484222325n
  for (const byte of bytes) hashed = (hashed ^ BigInt(byte)) * 0x100000001B3n & MASK
  for (const factor of [0xFF51AFD7ED558CCDn, 0xC4CEB9FE1A85EC53n]) hashed = (hashed ^ hashed >> 33n) * factor & MASK
  return hashed ^ hashed >> 33n
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
