// Movements: what one entry of an `mv` root says, and what it does by itself.
import { isMovementId, isObject, isText, nfc, stampIn, whole } from './values.mjs'

// What a quantity of each kind does to the stock at its place. Of an arrival, of what ends a hold, and of a stock-take
// only the entry that counts has its effect. Other kinds are for later versions to count.
export const EFFECT = Object.freeze({
  rcv: 1, sale: -1, adj: 1, ship: -1, recv: 1, hold: -1, conf: 0, rel: 1, exp: 1, cnt: 1, xfer: 0, backorder: 0,
  want: 0,
})
const OWN_RIGHTS = Object.freeze({ rcv: 1, sale: -1, adj: 1, ship: -1, hold: -1 })
export const RANK = Object.freeze({ exp: 1, rel: 2, conf: 3 })
export const STATE_OF = Object.freeze({ exp: 'expired', rel: 'released', conf: 'confirmed' })
const SIGNED = new Set(['adj', 'cnt'])
export const isReferring = kind => kind === 'recv' || kind in RANK

export const kindOf = value => Array.isArray(value) && isText(value[0]) ? value[0] : null
export const isKnown = kind => Object.hasOwn(EFFECT, kind)

// Why an entry of a known kind can't be counted, or null. What follows the eight places is for later versions.
export const flaw = (mid, value) => {
  if (!Array.isArray(value) || value.length < 6) {
    return 'is no list of kind, product, location, quantity, replica and stamp'
  }
  const [kind, sku, location, quantity, rid, stamp, ref, ext] = value
  if (![kind, sku, location, rid].every(isText)) return 'kind, product, location and replica must be text'
  if (whole(quantity) === null || (quantity <= 0 && !SIGNED.has(kind))) {
    return 'the quantity must be a whole number, positive except in an adjustment or a stock-take'
  }
  if (stampIn(stamp) === null) return 'the stamp must be a whole number, not negative'
  if (!(isText(ref) || (ref == null && !isReferring(kind)))) {
    return 'the reference must be text, and an arrival or the end of a hold needs one'
  }
  if (!(ext == null || isObject(ext))) return 'the eighth place must be an object'
  if (kind === 'xfer' && !(isText(ext?.to) && isText(ext.from ?? ''))) {
    return "rights that are handed over need a replica 'to', and may name one 'from'"
  }
  if (kind === 'cnt' && !(whole(ext?.counted) !== null && isText(ext.prev ?? ''))) {
    return "a stock-take needs the number 'counted', and 'prev', the id of the one before, or null"
  }
  return isMovementId(mid) ? null : 'the key is no movement id'
}

// One entry as an object; null when its kind is unknown or its layout wrong.
export const readMovement = (period, mid, value) => {
  if (!isKnown(kindOf(value)) || flaw(mid, value) !== null) return null
  const [kind, sku, location, quantity, rid, stamp, ref, ext] = value
  return {
    period, mid, kind, sku: nfc(sku), location: nfc(location), quantity: quantity + 0, rid, stamp,
    ref: ref ?? null, ext: ext ?? {},
  }
}

// Calls `add(rid, units)` for what a movement by itself does to whose rights.
export const eachRight = (row, add) => {
  const [kind, , , quantity, rid, , , ext] = row
  if (Object.hasOwn(OWN_RIGHTS, kind)) add(rid, OWN_RIGHTS[kind] * quantity)
  // Whether a stock-take counts may change with the next merge, rights must not change with it: what it found missing
  // is gone for good, what it found beyond the books belongs to nobody.
  else if (kind === 'cnt') add(rid, Math.min(quantity, 0))
  else if (kind === 'xfer') {
    const giver = ext.from ?? rid
    if (giver !== '') add(giver, -quantity)
    add(ext.to, quantity)
  }
}

// Who gets the rights to what arrives: whom the shipment names, or its sender. Not who books it in: that may be two.
export const recipientOf = shipment => {
  if (shipment?.[0] !== 'ship') return null
  return isText(shipment[7]?.for) ? shipment[7].for : shipment[4]
}

// Whether an end may end a hold: written by the holder, of the same product, place and quantity.
export const isEndOf = (end, hold) => [1, 2, 3, 4].every(place => end[place] === hold[place])

// Of all stock-takes of one cell the ids of those that count: the path from the latest through `prev`.
export const countingPath = counts => {
  const isAfter = (mid, other) =>
    counts.get(mid)[5] !== counts.get(other)[5] ? counts.get(mid)[5] > counts.get(other)[5] : mid > other
  let tip
  for (const mid of counts.keys()) if (tip === undefined || isAfter(mid, tip)) tip = mid
  const path = []
  while (tip !== undefined) {
    path.push(tip)
    const { prev } = counts.get(tip)[7]
    tip = counts.has(prev) && isAfter(tip, prev) ? prev : undefined
  }
  return path
}
