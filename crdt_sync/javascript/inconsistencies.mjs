// Invariants that a merge has broken, each derived from the documents, so everybody finds the same. That somebody has
// seen one is an entry of `resolve` whose tips are the evidence, and holds for just this evidence.
import { readMovement } from './movements.mjs'
import { LIFE, byText, comp, isObject, stampIn, uncomp } from './values.mjs'

const SENTENCES = Object.freeze({
  oversold: ({ sku, location, units, about }) =>
    `More of '${sku}' was taken at '${location}' than was there: ${units} after movement ${about}.`,
  orphan: ({ sku, location, units }) =>
    `${units} of '${sku}' are booked at '${location}', and the catalog never had both.`,
  counts: ({ sku, location, about }) =>
    `Two people counted '${sku}' at '${location}' at once; stock-take ${about} does not count.`,
  overdrawn: ({ sku, location, units, about }) =>
    `${about} has taken more of '${sku}' at '${location}' than it had rights to: ${units}.`,
  changed: ({ sku, location, about }) =>
    `Movement ${about} of '${sku}' at '${location}' was changed after the fact; what was written first counts.`,
  late: ({ sku, location, about }) =>
    `Movement ${about} of '${sku}' at '${location}' came after its period was closed.`,
})

const inconsistency = (sort, { sku, location }, about, units, movements) => ({
  key: [sort, comp(sku), comp(location), comp(about)].join('/'), kind: 'data_inconsistency', field: sort, product: sku,
  location, about, current: units, evidence: [...movements, `=${units}`], siblings: [], base: null,
  sentence: SENTENCES[sort]({ sku, location, about, units }),
})

// Sort, product and location of such a key, or null. No attribute has four parts.
export const parseInconsistency = key => {
  const [sort, sku, location, about, ...more] = key.split('/')
  if (about === undefined || more.length || !Object.hasOwn(SENTENCES, sort)) return null
  // Also of a cell that somebody has moved goods in under an empty name.
  const [product, at, what] = [sku, location, about].map(part => part && uncomp(part))
  const isKey = product !== null && at !== null && what !== null
  return isKey ? { product, location: at, field: sort } : null
}

export const findInconsistencies = inventory => {
  const { index, catalog } = inventory, found = [], seen = new Set()
  const isKnown = ({ sku, location }) =>
    [`${comp(sku)}/${LIFE}`, `@${comp(location)}/${LIFE}`].every(key => catalog.has('attr', key))
  for (const book of index.books) {
    for (const { mid, balance } of index.oversold(book)) {
      found.push(inconsistency('oversold', book, mid, balance, [mid]))
    }
    if (book.total && !isKnown(book)) found.push(inconsistency('orphan', book, '', book.total, []))
    if (inventory.policy(book.sku, book.location) === 'off') continue
    for (const [rid, units] of Object.entries(index.rights(book).overdrawn)) {
      found.push(inconsistency('overdrawn', book, rid, units, []))
    }
  }
  for (const { mid, quantity, ...cell } of inventory.idleCounts()) {
    found.push(inconsistency('counts', cell, mid, quantity, [mid]))
  }
  for (const [mid, row] of inventory.originals()) {
    const movement = seen.has(mid) ? null : readMovement('', mid, row)
    if (movement) found.push(inconsistency('changed', movement, mid, movement.quantity, [mid]))
    seen.add(mid)
  }
  for (const [mid, { period, row }] of inventory.late()) {
    const movement = readMovement(period, mid, row)
    if (movement) found.push(inconsistency('late', movement, mid, movement.quantity, [mid]))
  }
  return found.sort((a, b) => byText(a.key, b.key))
}

// Entries of the record that the relay keeps which can't be read.
export const incidentFaults = catalog => [...catalog.entries('incident')].filter(([key, entry]) => {
  const [noted, detail, gone = null] = Array.isArray(entry) ? entry : []
  const isStamped = stampIn(noted) !== null && (gone === null || stampIn(gone) !== null)
  return !parseInconsistency(key) || !isStamped || !isObject(detail)
}).map(([key]) => ({ root: 'incident', key, reason: 'is no incident' }))
