// node read_stock.mjs RELAY TENANT, with a token in CRDT_SYNC_TOKEN: a stock Yjs client that was never here before joins
// the catalog, learns which periods there are, joins them one by one, and prints [[product, location, stock], ...].
import WebSocket from 'ws'
import * as Y from 'yjs'
import { WebsocketProvider } from 'y-websocket-3'
import { stockTable } from './documents.mjs'

const [relay, tenant] = process.argv.slice(2)
const TIMEOUT_MS = 120_000

const fail = reason => {
  process.stderr.write(`${reason}\n`)
  process.exit(1)
}

// Calls `read` with the document once everything that the relay holds of it is here.
const joined = (name, read) => new Promise(resolve => {
  const doc = new Y.Doc()
  const provider = new WebsocketProvider(`${relay}/ws/${tenant}`, name, doc, {
    params: { token: process.env.CRDT_SYNC_TOKEN }, WebSocketPolyfill: WebSocket, disableBc: true,
  })
  const deadline = setTimeout(() => fail(`${name} was not synced within ${TIMEOUT_MS / 1000} s`), TIMEOUT_MS)
  provider.on('connection-error', event => fail(`${name}: ${event.message ?? 'the connection failed'}`))
  provider.on('sync', isSynced => {
    if (!isSynced) return
    clearTimeout(deadline)
    const result = read(doc)
    provider.destroy()
    doc.destroy()
    resolve(result)
  })
})

const periods = await joined('inventory/catalog', catalog => [...catalog.getMap('periods').keys()].sort())
const stock = new Map()
for (const period of periods) {
  // One period at a time is in memory. A shipment and its arrival never meet here: the replay writes none.
  for (const [cell, quantity] of await joined(`inventory/${period}`, doc => stockTable([doc]))) {
    stock.set(cell, (stock.get(cell) ?? 0) + quantity)
  }
}
process.stdout.write(JSON.stringify([...stock].map(([cell, quantity]) => [...JSON.parse(cell), quantity])),
  () => process.exit(0))
