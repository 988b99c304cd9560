// One page's session, told on standard input as JSON: {docs: {name: [update in base64, ...]}, steps: [[function, ...]]}.
// A string that begins with "doc:" stands for a document, "docs:a,b" for several. Prints what the steps gave and what
// the documents hold at the end.
import { readFileSync } from 'node:fs'
import * as Y from 'yjs'
import * as documents from './documents.mjs'

const session = JSON.parse(readFileSync(0, 'utf8'))
const docs = {}
for (const [name, updates] of Object.entries(session.docs)) {
  docs[name] = new Y.Doc()
  for (const update of updates) Y.applyUpdate(docs[name], Buffer.from(update, 'base64'))
}
const resolve = argument => {
  if (typeof argument !== 'string') return argument
  if (argument.startsWith('doc:')) return docs[argument.slice(4)]
  return argument.startsWith('docs:') ? argument.slice(5).split(',').map(name => docs[name]) : argument
}
const plain = result => result instanceof Map ? [...result] : result instanceof Y.Doc ? null : result
const results = session.steps.map(([name, ...args]) => plain(documents[name](...args.map(resolve))) ?? null)
const updates = Object.fromEntries(
  Object.entries(docs).map(([name, doc]) => [name, Buffer.from(Y.encodeStateAsUpdate(doc)).toString('base64')]))
process.stdout.write(JSON.stringify({ results, updates }))
