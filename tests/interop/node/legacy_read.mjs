// Reads lists of updates, one a line, as base64 in JSON, and prints what the map "m", the array "a" and the text "t" say.
import * as Y from 'yjs'
import { createInterface } from 'node:readline'

for await (const line of createInterface({ input: process.stdin })) {
  const doc = new Y.Doc()
  for (const update of JSON.parse(line)) Y.applyUpdate(doc, Buffer.from(update, 'base64'))
  const [m, a, t] = [doc.getMap('m').toJSON(), doc.getArray('a').toJSON(), doc.getText('t').toString()]
  console.log(JSON.stringify({ m, a, t, pending: doc.store.pendingStructs !== null }))
}
