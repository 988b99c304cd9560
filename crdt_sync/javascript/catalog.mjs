// The catalog: products, locations and their attributes, one register per field, in one flat map.
import { LIFE, isObject, isPeriod, isValue, parseKey, same } from './values.mjs'

export const ACTIVE = 'active', DELETED = 'deleted'
const UNREADABLE = 'holds something else than text, a number, true, false, null or a list of these'
const POLICIES = ['off', 'refuse', 'back-order', 'allow']

export const isDeletion = life => isObject(life) && life.s === DELETED && isObject(life.seen) && isObject(life.n)

// The `$life` of a product that is deleted now, with what its deleter has seen.
export const deletion = (fields, moved, by, stamp) =>
  ({ s: DELETED, seen: { ...fields }, n: { ...moved }, by, t: stamp })

// Whether a deletion had seen all that is known of its product. Periods that its deleter had not open, or that are not
// open here, say nothing; movements in a period that began later say that it is in use.
const isUndisturbed = ({ seen, n: counts }, fields, moved) => {
  const newest = Object.keys(counts).reduce((a, b) => a > b ? a : b, '')
  return Object.keys(fields).length === Object.keys(seen).length &&
    Object.keys(fields).every(name => Object.hasOwn(seen, name) && same(fields[name], seen[name])) &&
    Object.keys(counts).every(period => !Object.hasOwn(moved, period) || same(counts[period], moved[period])) &&
    !Object.keys(moved).some(period => period > newest && moved[period])
}

// Everything in the `attr` root, in one pass. What can't be read is skipped and reported. `moved(sku)` gives the number
// of movements of a product by period; it is asked only when some product was deleted.
export const readCatalog = (entries, moved) => {
  const catalog = { products: new Map(), locations: new Map(), revived: new Map(), faults: [] }
  const found = new Map()
  const fault = (key, reason) => catalog.faults.push({ root: 'attr', key, reason })
  for (const [key, value] of entries) {
    const parsed = parseKey(key)
    if (!parsed) {
      fault(key, 'is no key of the form {sku}/{field} or @{location}/{field}')
      continue
    }
    const { isLocation, name, field } = parsed, owner = key.slice(0, key.indexOf('/'))
    if (!found.has(owner)) found.set(owner, { isLocation, name, life: null, fields: [] })
    if (field === LIFE) found.get(owner).life = { key, value: value ?? null }
    else if (isValue(value ?? null)) found.get(owner).fields.push([field, value ?? null, key])
    else fault(key, UNREADABLE)
  }
  for (const { isLocation, name, life, fields } of found.values()) {
    const shelf = isLocation ? catalog.locations : catalog.products
    const kept = Object.fromEntries(fields.filter(([, value]) => value !== null))
    if (life?.value === ACTIVE) shelf.set(name, kept)
    else if (isDeletion(life?.value)) {
      if (isUndisturbed(life.value, kept, isLocation ? {} : moved(name))) continue
      shelf.set(name, kept)
      if (!isLocation) catalog.revived.set(name, kept)
    } else if (life && life.value !== null) fault(life.key, 'is a life cycle that this version does not know')
    else for (const [, , key] of fields) fault(key, 'belongs to nothing: it has no $life entry')
  }
  return catalog
}

// The periods that anybody noted, sorted, and the keys that are none.
export const readPeriods = keys => {
  const all = [...keys].sort()
  const reason = 'is no UTC month or day'
  const faults = all.filter(key => !isPeriod(key)).map(key => ({ root: 'periods', key, reason }))
  return { periods: all.filter(isPeriod), faults }
}

// The policy of a cell: the product's attribute where it has one, else the location's, else no escrow; null when the
// attribute is no policy.
export const readPolicy = (ofProduct, ofLocation) => {
  const chosen = ofProduct ?? ofLocation ?? 'off'
  return POLICIES.includes(chosen) ? chosen : null
}
