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
export const setRule = (catalog, name, value) => catalog.getMap('rules').set(name, value)

// Conflicts: the elements of a key that no other one follows, but for those that a resolution lists.
const dot = id => id ? id.client + '.' + id.clock : null
export const heads = (map, key) => {
  const items = []
  for (let item = map._map.get(key); item; item = item.left) items.push(item)
  const followed = new Set(items.map(({ origin }) => dot(origin)))
  return items.filter(({ lastId }) => !followed.has(dot(lastId)))
}
export const conflicts = catalog => {
  const [attr, vault, resolved] = ['attr', 'conflict', 'resolve'].map(root => catalog.getMap(root))
  const tips = ([entry, v]) => Array.isArray(v?.tips) ? v.tips.map(tip => entry.replace(/[^|]*$/, tip)) : []
  const covered = new Set([...resolved].flatMap(tips))
  const sibling = (key, { lastId, deleted, content }) => ({
    tip: dot(lastId),
    value: deleted ? vault.get(key + '|' + dot(lastId))?.[0] : content.getContent().at(-1),
  })
  const open = [...attr._map.keys()].map(key => ({
    key,
    siblings: heads(attr, key).map(head => sibling(key, head)).filter(({ tip }) => !covered.has(key + '|' + tip)),
  }))
  return open.filter(({ siblings }) => new Set(siblings.map(({ value }) => JSON.stringify(value))).size > 1)
}
export const resolveConflict = (catalog, { key, siblings }, value, rid) => catalog.transact(() => {
  const t = hlc(), id = catalog.clientID.toString(36) + '.' + t.toString(36)
  catalog.getMap('attr').set(key, value)
  const resolution = { tips: siblings.map(({ tip }) => tip), how: 'merge', v: value, by: rid, t }
  catalog.getMap('resolve').set(key + '|' + id, resolution)
})
export const acknowledge = (catalog, key, evidence, units, rid) => {
  const t = hlc(), id = catalog.clientID.toString(36) + '.' + t.toString(36)
  catalog.getMap('resolve').set(key + '|' + id, { tips: evidence, how: 'server', v: units, by: rid, t })
}

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
export const request = (doc, sku, place, quantity, rid) => move(doc, 'want', sku, place, quantity, rid)

const effect = {
  rcv: 1, sale: -1, adj: 1, ship: -1, recv: 1, hold: -1, conf: 0, rel: 1, exp: 1, cnt: 1, xfer: 0, backorder: 0,
  want: 0,
}
const rank = { exp: 1, rel: 2, conf: 3 }
const isObject = x => typeof x === 'object' && !Array.isArray(x)
const isText = x => typeof x === 'string'
const isSound = (v, mid) => Array.isArray(v) && isText(v[0]) && Object.hasOwn(effect, v[0]) &&
  [v[1], v[2], v[4]].every(isText) &&
  Number.isSafeInteger(v[3]) && (v[3] > 0 || v[0] === 'adj' || v[0] === 'cnt') &&
  Number.isSafeInteger(v[5]) && v[5] >= 0 &&
  (isText(v[6]) || (v[6] == null && v[0] !== 'recv' && !rank[v[0]])) && (v[7] == null || isObject(v[7])) &&
  (v[0] !== 'xfer' || (isText(v[7]?.to) && isText(v[7].from ?? ''))) &&
  (v[0] !== 'cnt' || (Number.isSafeInteger(v[7]?.counted) && isText(v[7].prev ?? ''))) &&
  /^[0-9a-z]{1,11}\.[0-9a-z]{1,11}$/.test(mid)
const isAfter = ([mid, v], [otherMid, other]) => v[5] > other[5] || (v[5] === other[5] && mid > otherMid)
export const movements = doc => new Map([...doc.getMap('mv'), ...doc.getMap('orig')])
export const stockTable = docs => {
  const table = new Map(), rows = new Map(), arrivals = new Map(), ends = new Map(), counts = new Map()
  const cellOf = v => JSON.stringify([nfc(v[1]), nfc(v[2])])
  const add = v => table.set(cellOf(v), (table.get(cellOf(v)) ?? 0) + effect[v[0]] * v[3])
  for (const doc of docs) movements(doc).forEach((v, mid) => isSound(v, mid) && !rows.has(mid) && rows.set(mid, v))
  rows.forEach((v, mid) => {
    const hold = rank[v[0]] && rows.get(v[6])
    if (v[0] === 'recv') {
      if (!arrivals.has(v[6]) || mid < arrivals.get(v[6])[0]) arrivals.set(v[6], [mid, v])
    } else if (rank[v[0]]) {
      const isEnd = hold?.[0] === 'hold' && [1, 2, 3, 4].every(place => hold[place] === v[place])
      if (isEnd && rank[v[0]] > (rank[ends.get(v[6])?.[0]] ?? 0)) ends.set(v[6], v)
    } else if (v[0] === 'cnt') {
      counts.set(cellOf(v), (counts.get(cellOf(v)) ?? new Map()).set(mid, v))
    } else add(v)
  })
  arrivals.forEach(([, arrival]) => add(arrival))
  ends.forEach(add)
  counts.forEach(counts => {
    let step = [...counts].reduce((a, b) => isAfter(b, a) ? b : a)
    while (step) {
      add(step[1])
      const prev = [step[1][7].prev, counts.get(step[1][7].prev)]
      step = prev[1] && isAfter(step, prev) ? prev : undefined
    }
  })
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
