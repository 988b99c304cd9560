// Names, keys, numbers, values, periods and stamps: one spelling for each, the same as in Python.
import { InvalidName, InvalidValue, QuantityOutOfRange } from './errors.mjs'

export const INT_MAX = Number.MAX_SAFE_INTEGER
export const KEY_BYTES_MAX = 200
const VALUE_BYTES_MAX = 64 * 1024
const REF_BYTES_MAX = 200
const LONE_SURROGATE = /\p{Cs}/u
export const LIFE = '$life'

export const bytesOf = text => new TextEncoder().encode(text)
export const isText = value => typeof value === 'string'
export const isObject = value =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)

// Names. Composed and decomposed accents must not make two products.
export const nfc = text => text.normalize('NFC')
export const checkName = (what, text) => {
  if (!isText(text)) throw new InvalidName(what, text, 'a text')
  if (!text) throw new InvalidName(what, text, 'a text that is not empty')
  if (LONE_SURROGATE.test(text)) throw new InvalidName(what, text, 'text without lone surrogates')
  return nfc(text)
}
export const checkField = name => {
  const checked = checkName('field', name)
  if (checked.startsWith('$')) throw new InvalidName('field', checked, "names that begin with '$' are reserved")
  return checked
}
export const checkRef = ref => {
  if (ref == null) return null
  const checked = checkName('reference', ref)
  if (bytesOf(checked).length <= REF_BYTES_MAX) return checked
  throw new InvalidName('reference', checked, `at most ${REF_BYTES_MAX} bytes`)
}

// Keys: percent-encoded parts between slashes.
export const comp = text => encodeURIComponent(nfc(text))
export const uncomp = part => {
  let text
  try { text = decodeURIComponent(part) } catch { return null }
  return text && comp(text) === part ? text : null
}
export const join = (...parts) => {
  const key = parts.join('/')
  if (key.length > KEY_BYTES_MAX) {
    throw new InvalidName('key', key, `at most ${KEY_BYTES_MAX} bytes once encoded, got ${key.length}`)
  }
  return key
}
// The texts of a key with that many parts, or null when it is no such key.
export const split = (key, parts) => {
  const texts = key.split('/').map(uncomp)
  return texts.length === parts && !texts.includes(null) ? texts : null
}
const fieldPart = field => field === LIFE ? field : comp(field)
export const productKey = (sku, field) => join(comp(sku), fieldPart(field))
export const locationKey = (name, field) => join('@' + comp(name), fieldPart(field))
// What a field of a product or location holds; null where no key can name it. Others may have moved such goods, and
// those must not hide the rest.
export const fieldOf = (draft, keyOf, name, field) => {
  try {
    return draft.get('attr', keyOf(checkName('name', name), field))
  } catch (error) {
    if (error instanceof InvalidName) return null
    throw error
  }
}
// Whose attribute a key is, or null when it is no such key.
export const parseKey = key => {
  const slash = key.indexOf('/'), owner = key.slice(0, slash), attribute = key.slice(slash + 1)
  const isLocation = owner.startsWith('@'), name = uncomp(owner.slice(Number(isLocation)))
  const field = attribute === LIFE ? attribute : uncomp(attribute)
  if (slash < 0 || name === null || field === null || (field.startsWith('$') && field !== LIFE)) return null
  return { isLocation, name, field }
}
export const isMovementId = mid => /^[0-9a-z]{1,11}\.[0-9a-z]{1,11}$/.test(mid)
export const parseBase36 = text => /^(0|[1-9a-z][0-9a-z]{0,10})$/.test(text) ? parseInt(text, 36) : null

// Python orders texts by code points, JavaScript by UTF-16 units; lists must be the same in both.
const place = unit => unit < 0xD800 ? unit : unit < 0xE000 ? unit + 0x2000 : unit - 0x800
export const byText = (a, b) => {
  for (let i = 0; i < a.length && i < b.length; i++) {
    const one = a.charCodeAt(i), other = b.charCodeAt(i)
    if (one !== other) return place(one) - place(other)
  }
  return a.length - b.length
}

// Numbers: whole ones within ±(2^53 - 1), or null. -0 is 0.
export const whole = value => Number.isSafeInteger(value) ? value + 0 : null
export const stampIn = value => Number.isSafeInteger(value) && value >= 0 ? value : null
export const isTime = value => stampIn(value) !== null
export const checkDelta = delta => {
  if (!Number.isInteger(delta)) throw new QuantityOutOfRange(delta, 'must be a whole number')
  if (!Number.isSafeInteger(delta)) throw new QuantityOutOfRange(delta, 'must be within ±(2**53 - 1)')
  if (delta === 0) throw new QuantityOutOfRange(delta, 'must not be 0')
  return delta
}
export const checkQuantity = quantity => {
  if (checkDelta(quantity) < 0) throw new QuantityOutOfRange(quantity, 'must be positive')
  return quantity
}
export const checkTotal = (total, what) => {
  if (stampIn(total) === null) throw new QuantityOutOfRange(total, `${what} is a whole number from 0 to 2**53 - 1`)
  return total
}

// Values of attributes: text, number, boolean, null, or a list of these.
const isScalar = value => value === null || typeof value === 'boolean' || isText(value) || Number.isFinite(value)
export const isValue = value => isScalar(value) || (Array.isArray(value) && value.every(isScalar))
const checkScalar = (name, value) => {
  if (isText(value) && LONE_SURROGATE.test(value)) {
    throw new InvalidValue(`${name}: text with a lone surrogate can't be stored`)
  }
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    throw new InvalidValue(`${name}: ${value} is beyond ±(2**53 - 1); store it as text`)
  }
  if (isScalar(value)) return value
  const shown = typeof value === 'number' ? `${value} is no finite number` : `${typeof value} can't be stored`
  throw new InvalidValue(`${name}: ${shown}; text, finite numbers, booleans, null or a list of these can`)
}
export const checkValue = (name, value) => {
  const checked = Array.isArray(value) ? value.map(item => checkScalar(name, item)) : checkScalar(name, value)
  const size = bytesOf(canonical(checked)).length
  if (size > VALUE_BYTES_MAX) throw new InvalidValue(`${name}: ${size} bytes, at most ${VALUE_BYTES_MAX}`)
  return checked
}
// One text for equal values, by which siblings and the items of a union are sorted: Python's json.dumps to the letter.
export const canonical = value => {
  if (Array.isArray(value)) return `[${value.map(canonical).join(', ')}]`
  if (isObject(value)) {
    const members = Object.keys(value).sort(byText).map(key => `${JSON.stringify(key)}: ${canonical(value[key])}`)
    return `{${members.join(', ')}}`
  }
  return typeof value === 'number' && !Number.isSafeInteger(value) ? spellFloat(value) : JSON.stringify(value ?? null)
}
const spellFloat = number => {
  const [digits, exponent] = number.toExponential().split('e')
  const power = Number(exponent)
  if (power >= -4 && power < 16) return String(number) + (Number.isInteger(number) ? '.0' : '')
  return `${digits}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`
}
export const same = (a, b) => isValue(a ?? null) && isValue(b ?? null) && canonical(a) === canonical(b)
export const isEqual = (a, b) => a === b || canonical(a) === canonical(b)

// Periods: UTC months and days.
export const isPeriod = period => {
  if (!isText(period) || !/^\d{4}-\d\d(-\d\d)?$/.test(period) || period.startsWith('0000')) return false
  const day = period.length > 7 ? period : period + '-01', date = new Date(day + 'T00:00:00Z')
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(day)
}
export const checkPeriod = period => {
  if (isPeriod(period)) return period
  throw new InvalidName('period', period, 'a UTC month like 2026-11 or a UTC day like 2026-11-20')
}
export const dayOf = atMs => new Date(atMs).toISOString().slice(0, 10)
export const periodOf = atMs => dayOf(atMs).slice(0, 7)

// Stamps: (Unix ms - 2020) * 4096 + counter, so exact until 2089.
const EPOCH_MS = 1577836800000, STAMPS_PER_MS = 4096
export const AHEAD_MS_MAX = 60_000
export const timeOf = stamp => Math.floor(stamp / STAMPS_PER_MS) + EPOCH_MS
export const isAhead = (stamp, nowMs) => timeOf(stamp) > nowMs + AHEAD_MS_MAX
export class HybridClock {
  constructor(latest = 0) { this.latest = latest }

  // A new stamp, greater than every one that was made or received.
  tick(nowMs) {
    const stamp = Math.max(this.latest + 1, (nowMs - EPOCH_MS) * STAMPS_PER_MS)
    if (stamp > INT_MAX) throw new InvalidValue(`this clock says ${nowMs} ms, later than a stamp can hold`)
    return (this.latest = stamp)
  }

  // Adopt another writer's stamp; false, and not adopted, when it lies over 60 s ahead.
  receive(stamp, nowMs) {
    if (isAhead(stamp, nowMs)) return false
    this.latest = Math.max(this.latest, stamp)
    return true
  }
}
