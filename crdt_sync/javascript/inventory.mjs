// Products, locations and stock: a page's face of a tenant's catalog and of the movement documents of its periods.
import { ACTIVE, deletion, isDeletion, readCatalog, readPeriods, readPolicy } from './catalog.mjs'
import { Conflicts } from './conflicts.mjs'
import { AlreadyExists, InvalidValue, UnknownLocation, UnknownProduct, VersionMismatch } from './errors.mjs'
import { findInconsistencies, incidentFaults } from './inconsistencies.mjs'
import { Stock } from './stock.mjs'
import { LIFE, byText, checkField, checkName, checkValue, fieldOf, isValue, locationKey, nfc, productKey, same }
  from './values.mjs'

const ESCROW = 'escrow'
const POLICIES = ['off', 'refuse', 'back-order', 'allow']
const checkAttribute = (field, value) => {
  const checked = checkValue(field, value)
  if (field === ESCROW && readPolicy(checked, null) === null) {
    throw new InvalidValue(`${field}: ${JSON.stringify(value)} is none of ${POLICIES.join(', ')}`)
  }
  return checked
}

export class Inventory extends Stock {
  #conflicts
  #catalog = null // as it was read last; null when something has changed since
  #listen = () => { this.#catalog = null }

  constructor(desk, catalog, options) {
    super(desk, desk.draft(catalog), options)
    this.#conflicts = new Conflicts(this.catalog, desk, {
      revived: () => this.#read().revived.keys(), remove: sku => this.#deletion(sku),
    })
    catalog.getMap('attr').observe(this.#listen)
    // What others wrote at once is kept with the next edit; most often somebody else has kept it by then.
    desk.beforeEnd(() => this.#conflicts.keepLost(true))
    desk.onEnd(writes => writes?.forEach(([draft, root, key, , before]) => {
      const isOver = draft === this.catalog && root === 'attr' && before !== undefined
      if (isOver) this.#conflicts.forks.noteBefore(key, before)
    }))
  }

  close() {
    super.close()
    this.#conflicts.close()
    this.catalog.doc.getMap('attr').unobserve(this.#listen)
  }

  // Catalog

  addProduct(sku, attributes = {}) { this.#add('product', productKey, sku, attributes) }

  addLocation(name, attributes = {}) { this.#add('location', locationKey, name, attributes) }

  deleteProduct(sku) {
    this.desk.edit(() => {
      const product = this.knownProduct(sku)
      this.catalog.checkWritable()
      this.catalog.put('attr', productKey(product, LIFE), this.#deletion(product))
    })
  }

  // `seen` is the version() that the value was chosen on; with `keepStale` a late one is kept as a side of a conflict.
  setAttribute(sku, field, value, { seen, keepStale = false } = {}) {
    this.desk.edit(() => {
      const product = this.knownProduct(sku), actual = seen == null ? null : this.version(product, field)
      if (seen == null || seen === actual) return this.#set(productKey(product, checkField(field)), field, value)
      const key = productKey(product, checkField(field)), checked = checkAttribute(checkField(field), value)
      if (!keepStale) throw new VersionMismatch(key, seen, actual)
      this.catalog.checkWritable()
      this.#conflicts.claim(key, checked)
    })
  }

  setLocationAttribute(name, field, value) {
    this.desk.edit(() => this.#set(locationKey(this.knownLocation(name), checkField(field)), field, value))
  }

  // Changes with every write of the field, by whomever.
  version(sku, field) { return this.#conflicts.version(productKey(checkName('product', sku), checkField(field))) }

  attribute(sku, field) { return this.#get(productKey(this.knownProduct(sku), checkField(field))) }

  locationAttribute(name, field) { return this.#get(locationKey(this.knownLocation(name), checkField(field))) }

  attributes(sku) { return { ...this.products().get(this.knownProduct(sku)) } }

  products() { return this.#read().products }

  locations() { return this.#read().locations }

  policy(sku, at) {
    const product = fieldOf(this.catalog, productKey, sku, ESCROW)
    return readPolicy(product, fieldOf(this.catalog, locationKey, at, ESCROW)) ?? 'refuse'
  }

  // Conflicts

  // What a person should look at, of one product or location if named. Where the movements of some period are not open,
  // inconsistencies are not listed: half of them prove nothing.
  conflicts({ product, location } = {}) {
    const found = [...this.#conflicts.list(), ...this.isWhole ? this.#conflicts.unseen(findInconsistencies(this)) : []]
    return found.filter(conflict => (product === undefined || conflict.product === nfc(product)) &&
      (location === undefined || conflict.location === nfc(location)))
  }

  // Every invariant that a merge has broken, acknowledged or not.
  inconsistencies() {
    this.checkWhole()
    return findInconsistencies(this)
  }

  // Resolves what there is a rule for, in the catalog, and returns it.
  settleConflicts() {
    return this.desk.edit(() => {
      this.catalog.checkWritable()
      return this.#conflicts.settle()
    })
  }

  resolutions() { return this.#conflicts.resolutions() }

  // What lost against a write of this page goes into the vault at once.
  keepLost() { this.desk.edit(() => this.#conflicts.keepLost(false)) }

  // Reports

  orphans() {
    const { products, locations } = this.#read()
    return this.stockTable().filter(({ sku, location }) => !products.has(sku) || !locations.has(location))
  }

  faults() {
    const catalog = this.#read()
    return [
      ...catalog.faults, ...this.catalog.metaFaults(), ...readPeriods(this.catalog.keys('periods')).faults,
      ...this.#conflicts.faults(), ...incidentFaults(this.catalog),
      ...this.drafts.flatMap(draft => draft.metaFaults()), ...this.stockFaults(),
      ...policyFaults(catalog.products, productKey), ...policyFaults(catalog.locations, locationKey),
    ].sort((a, b) => byText(a.root, b.root) || byText(a.key, b.key) || byText(a.reason, b.reason))
  }

  // Inside

  knownProduct(sku) {
    const checked = checkName('product', sku)
    if (this.#isActive(productKey, checked, 'products')) return checked
    throw new UnknownProduct(`the catalog has no product '${checked}'`)
  }

  knownLocation(name) {
    const checked = checkName('location', name)
    if (this.#isActive(locationKey, checked, 'locations')) return checked
    throw new UnknownLocation(`the catalog has no location '${checked}'`)
  }

  #isActive(key, name, shelf) {
    const life = this.catalog.get('attr', key(name, LIFE))
    // Only a deletion needs a full read: whether it stands depends on what came in beside it.
    return life === ACTIVE || (isDeletion(life) && this.#read()[shelf].has(name))
  }

  #get(key) {
    const value = this.catalog.get('attr', key)
    if (isValue(value)) return value
    throw new InvalidValue('holds something else than text, a number, true, false, null or a list of these')
  }

  #add(what, keyOf, name, attributes) {
    this.desk.edit(() => {
      const checked = checkName(what, name), life = keyOf(checked, LIFE)
      const values = Object.entries(attributes).map(([field, value]) =>
        [keyOf(checked, checkField(field)), checkAttribute(checkField(field), value)])
      this.catalog.checkWritable()
      const present = this.catalog.get('attr', life)
      if (present === ACTIVE && values.every(([key, value]) => same(this.catalog.get('attr', key), value))) return
      if (present !== null && (!isDeletion(present) || this.#read().products.has(checked))) {
        throw new AlreadyExists(`${what} '${checked}' is in the catalog already, with other content`)
      }
      for (const [key, value] of [[life, ACTIVE], ...values]) this.catalog.put('attr', key, value)
    })
  }

  #set(key, field, value) {
    const checked = checkAttribute(checkField(field), value)
    this.catalog.checkWritable()
    this.#conflicts.replace(key, checked)
  }

  #deletion(sku) {
    const entries = this.catalog.entries('attr').set(productKey(sku, LIFE), ACTIVE)
    const fields = readCatalog(entries, () => ({})).products.get(sku)
    return deletion(fields, this.#moved(sku), this.desk.replica, this.desk.tick())
  }

  // How many movements of a product there are in each period that is open here.
  #moved(sku) {
    const counts = Object.fromEntries(this.openPeriods.map(period => [period, 0]))
    for (const movement of this.everything()) if (movement.sku === sku) counts[movement.period]++
    return counts
  }

  // Read anew after any change; whether a deleted product is back depends on movements, too.
  #read() {
    if (this.#catalog && this.#catalog.puts === this.catalog.puts) return this.#catalog
    const read = readCatalog(this.catalog.entries('attr'), sku => this.#moved(sku))
    const hasDeletions = [...this.catalog.entries('attr').values()].some(isDeletion)
    this.#catalog = hasDeletions ? null : { ...read, puts: this.catalog.puts }
    return read
  }
}

const policyFaults = (shelf, keyOf) => [...shelf].filter(([, fields]) => readPolicy(fields[ESCROW], null) === null)
  .map(([name]) => ({
    root: 'attr', key: keyOf(name, ESCROW),
    reason: 'is no policy for escrow, so sales beyond one\'s rights are refused',
  }))
