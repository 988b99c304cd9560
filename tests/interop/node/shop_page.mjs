// One page of a shop as an application would build it: stock y-websocket providers, and crdt-sync-documents over their
// documents. The first line on standard input says where: {serverUrl, token, period, replica?}. Each further line is
// [path to a method, ...arguments], such as ["inventory.sell", ...], each answer {result} or {code, have, want}.
import { createInterface } from 'node:readline'
import { WebSocket } from 'ws'
import { WebsocketProvider } from 'y-websocket-3'
import * as Y from 'yjs'
import { openDocuments } from '../../../crdt_sync/javascript/crdt-sync-documents.mjs'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const say = answer => process.stdout.write(JSON.stringify(answer, (_key, value) =>
  value instanceof Map ? Object.fromEntries(value) : value) + '\n')
const { serverUrl, token, period, replica } = JSON.parse((await lines.next()).value)

const open = name => {
  const doc = new Y.Doc()
  const provider = new WebsocketProvider(serverUrl, name, doc, {
    WebSocketPolyfill: WebSocket, disableBc: true, params: { token }, maxBackoffTime: 200,
  })
  return new Promise(resolve => provider.once('sync', () => resolve(doc)))
}
const [catalog, movements, metrics] = await Promise.all(
  ['inventory/catalog', `inventory/${period}`, `metrics/${period}`].map(open))
const docs = openDocuments({
  catalog, movements: { [period]: movements }, metrics: { [period]: metrics }, replica, period,
})
const heard = []
docs.onChange(change => heard.push(`${change.document} ${change.root} ${change.isOwn ? 'own' : 'others'}`))
const faces = {
  inventory: docs.inventory,
  metrics: docs.metrics(),
  page: {
    replica: () => docs.replica,
    undo: docs.undo,
    heard: () => [...new Set(heard)],
    resolve: (key, choice) => docs.inventory.conflicts().find(conflict => conflict.key === key).resolve(choice),
  },
}
say({ result: 'open' })
for await (const line of lines) {
  const [path, ...args] = JSON.parse(line), [face, method] = path.split('.')
  try {
    say({ result: faces[face][method](...args) ?? null })
  } catch (error) {
    say(error.code ? { code: error.code, have: error.have, want: error.want } : { crash: error.stack })
  }
}
process.exit()
