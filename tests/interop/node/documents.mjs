// Inventory and metric documents in plain JavaScript. Every function takes the Y.Doc (or Y.Docs) that it is about.
// docs/reference/documents.md explains the layouts; these are its lines, run by tests/interop/test_documents_in_node.py.

// Names: one spelling per text, percent-encoded between slashes. Stamps: strictly increasing, exact until 2089.
let stamp = 0, sequence = 0
const nfc = text => text.normalize('NFC')
export const comp = text => encodeURIComponent(nfc(text))
export const hlc = () => (stamp = Math.max(stamp + 1, (Date.now() - 1577836800000) * 4096))

// Catalog: products, locations and their attributes. Money is a whole number of minor units.
export const setAttribute = (catalog, sku, field, value) =>
  catalog.getMap('attr').set(comp(sku) + '/' + comp(field), value)
export const attribute = (catalog, sku, field) => catalog.getMap('attr').get(comp(sku) + '/' + comp(field))
export const setPrice = (catalog, sku, cents) => setAttribute(catalog, sku, 'price', cents)
export const addProduct = (catalog, sku) => catalog.getMap('attr').set(comp(sku) + '/$life', 'active')
export const addLocation = (catalog, name) => catalog.getMap('attr').set('@' + comp(name) + '/$life', 'active')
export const notePeriod = (catalog, period) =>
  catalog.getMap('periods').has(period) || catalog.getMap('periods').set(period, 1)

// Stock: a log of movements under ids of their own. An arrival counts once per shipment: the one with the smallest id.
export const move = (doc, kind, sku, place, quantity, rid, ...refAndExt) => {
  const mid = doc.clientID.toString(36) + '.' + (sequence++).toString(36)
  doc.getMap('mv').set(mid, [kind, nfc(sku), nfc(place), quantity, rid, hlc(), ...refAndExt])
  return mid
}
export const transfer = (doc, sku, quantity, source, to, rid) => doc.transact(() => {
  const shipment = move(doc, 'ship', sku, source, quantity, rid, null, { to: nfc(to) })
  return [shipment, move(doc, 'recv', sku, to, quantity, rid, shipment)]
})

const effect = { rcv: 1, sale: -1, adj: 1, ship: -1, recv: 1 }
const isObject = x => typeof x === 'object' && !Array.isArray(x)
const isSound = (v, mid) => Array.isArray(v) && Object.hasOwn(effect, v[0]) &&
  [v[0], v[1], v[2], v[4]].every(text => typeof text === 'string') &&
  Number.isSafeInteger(v[3]) && (v[3] > 0 || v[0] === 'adj') && Number.isSafeInteger(v[5]) && v[5] >= 0 &&
  (typeof v[6] === 'string' || (v[6] == null && v[0] !== 'recv')) && (v[7] == null || isObject(v[7])) &&
  /^[0-9a-z]{1,11}\.[0-9a-z]{1,11}$/.test(mid)
export const stockTable = docs => {
  const table = new Map(), arrivals = new Map()
  const add = ([kind, sku, place, quantity]) => {
    const cell = JSON.stringify([nfc(sku), nfc(place)])
    table.set(cell, (table.get(cell) ?? 0) + effect[kind] * quantity)
  }
  for (const doc of docs) doc.getMap('mv').forEach((v, mid) => {
    if (!isSound(v, mid)) return
    if (v[0] !== 'recv') add(v)
    else if (!arrivals.has(v[6]) || mid < arrivals.get(v[6])[0]) arrivals.set(v[6], [mid, v])
  })
  arrivals.forEach(([, arrival]) => add(arrival))
  return table
}
export const stock = (docs, sku, place) => stockTable(docs).get(JSON.stringify([nfc(sku), nfc(place)])) ?? 0

// Metrics: one slot per writer (wid: new for every page). A gauge reads the latest slot, a counter the sum of all.
const slots = (doc, root, parts, isSlot, ...series) => [...doc.getMap(root)].filter(([key, slot]) =>
  key.split('/').length === parts && key.startsWith(series.map(comp).join('/') + '/') && isSlot(slot))
const isGauge = slot => Array.isArray(slot) && Number.isSafeInteger(slot[0]) && slot[0] >= 0 && Number.isFinite(slot[1])
const isCount = slot => Number.isSafeInteger(slot) && slot >= 0
const isLater = ([key, [at]], [otherKey, [otherAt]]) => at > otherAt || (at === otherAt && key > otherKey)

export const setGauge = (doc, wid, metric, entity, number) =>
  doc.getMap('g').set([metric, entity, wid].map(comp).join('/'), [hlc(), number])
export const gauge = (doc, metric, entity) =>
  slots(doc, 'g', 3, isGauge, metric, entity).reduce((a, b) => isLater(b, a) ? b : a, ['', [-1, undefined]])[1][1]
export const count = (doc, wid, metric, entity, by = 1) => {
  const key = [metric, entity, wid].map(comp).join('/') + '/0'
  doc.getMap('c').set(key, (doc.getMap('c').get(key) ?? 0) + by)
}
export const counter = (doc, metric, entity) =>
  slots(doc, 'c', 4, isCount, metric, entity).reduce((sum, [, n]) => sum + n, 0)
