// Pages that use crdt-sync-documents, under remote control: one JSON command a line on standard input, one answer a line.
// Each command is [name of a page, command, ...arguments], each answer {result}, or {code} of the error that it raised.
// Ends with its input. The package is that of the checkout, or where --package= says.
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'
import { resolve } from 'node:path'
import * as Y from 'yjs'

const from = process.argv.find(argument => argument.startsWith('--package='))?.slice(10) ?? '../../../crdt_sync/javascript'
const { openDocuments, DocumentError, comp } = await import(pathToFileURL(resolve(from, 'crdt-sync-documents.mjs')))

const pages = new Map()
const plain = (_key, value) => value instanceof Map ? Object.fromEntries(value) : value instanceof Set ? [...value].sort()
  : typeof value === 'bigint' ? value.toString() : value
const base64 = bytes => Buffer.from(bytes).toString('base64')

const open = (name, { replica, period, nowMs, others = [] }) => {
  const docs = { catalog: new Y.Doc(), metrics: new Y.Doc() }
  const movements = Object.fromEntries([...period ? [period] : [], ...others].map(one => [one, docs[one] = new Y.Doc()]))
  const face = openDocuments({
    catalog: docs.catalog, movements, metrics: period ? { [period]: docs.metrics } : {}, replica, period, now: () => nowMs,
  })
  const changes = []
  face.onChange(change => changes.push(change))
  const updates = Object.fromEntries(Object.keys(docs).map(doc => [doc, []]))
  for (const [doc, made] of Object.entries(docs)) {
    made.on('update', (update, origin) => { if (origin !== 'merge') updates[doc].push(base64(update)) })
  }
  pages.set(name, { docs, face, changes, period, updates })
}
// Whatever a page can say about its inventory.
const look = ({ face: { inventory } }) => ({
  products: inventory.products(), locations: inventory.locations(), stock: inventory.stockTable(),
  rights: inventory.stockTable().map(({ sku, location }) => [sku, location, inventory.rights(sku, location), inventory.onHand(sku, location)]),
  holds: inventory.holds(), conflicts: inventory.conflicts(), resolutions: inventory.resolutions(),
  oversold: inventory.oversold(), overdrawn: inventory.overdrawn(), backOrders: inventory.backOrders(),
  inTransit: inventory.inTransit(), idleCounts: inventory.idleCounts(), faults: inventory.faults(),
  orphans: inventory.orphans(), unknownKinds: inventory.unknownKinds(), refs: inventory.refs(), periods: inventory.periods(),
  requests: inventory.requests(), movements: inventory.movements(),
})

const commands = {
  open,
  close: name => { pages.get(name).face.close(); pages.delete(name) },
  // A method of the inventory, such as sell.
  inventory: (name, method, ...args) => pages.get(name).face.inventory[method](...args),
  metrics: (name, method, ...args) => {
    const { face, period } = pages.get(name)
    return face.metrics(period)[method](...args)
  },
  // What a method of a series, histogram or distinct count gives: sketch(name, 'series', ['m', 'e'], 'extend', [...]).
  sketch: (name, kind, where, method, ...args) => {
    const { face, period } = pages.get(name)
    const given = face.metrics(period)[kind](...where)[method](...args)
    return kind === 'series' || method !== 'read' ? given : { count: given.count, estimate: given.estimate, buckets: given.buckets, zeros: given.zeros }
  },
  // Several commands in one edit.
  edit: (name, ...steps) => pages.get(name).face.edit(() => steps.map(([command, ...args]) => commands[command](name, ...args))),
  resolve: (name, key, choice) => {
    const conflict = pages.get(name).face.inventory.conflicts().find(one => one.key === key)
    if (!conflict) return 'none'
    conflict.resolve(choice)
  },
  period: name => pages.get(name).face.inventory.period,
  undo: name => pages.get(name).face.undo(),
  look: name => look(pages.get(name)),
  changes: name => pages.get(name).changes.splice(0),
  update: (name, doc) => base64(Y.encodeStateAsUpdate(pages.get(name).docs[doc])),
  merge: (name, doc, update) => Y.applyUpdate(pages.get(name).docs[doc], Buffer.from(update, 'base64'), 'merge'),
  // What the page itself has written since the last call.
  takeUpdates: (name, doc) => pages.get(name).updates[doc].splice(0),
  // A stranger's write, past the package.
  put: (name, doc, root, key, value) => pages.get(name).docs[doc].getMap(root).set(key, value),
  bytes: (name, doc, root, key) => base64(pages.get(name).docs[doc].getMap(root).get(key) ?? []),
  comp: (_name, ...texts) => texts.map(comp),
}

for await (const line of createInterface({ input: process.stdin })) {
  const [name, command, ...args] = JSON.parse(line)
  let answer
  try {
    answer = { result: commands[command](name, ...args) ?? null }
  } catch (error) {
    answer = error instanceof DocumentError ? { code: error.code, message: error.message } : { crash: error.stack }
  }
  process.stdout.write(JSON.stringify(answer, plain) + '\n')
}
