// Reads one metrics document, told on standard input as JSON: {update in base64, reads: [[function, metric, entity], ...]}.
import { readFileSync } from 'node:fs'
import * as Y from 'yjs'
import * as metrics from './metrics.mjs'

const session = JSON.parse(readFileSync(0, 'utf8'))
const doc = new Y.Doc()
Y.applyUpdate(doc, Buffer.from(session.update, 'base64'))
const plain = result => result instanceof Map ? [...result] : result
const results = session.reads.map(([name, ...series]) => plain(metrics[name](doc, ...series)))
process.stdout.write(JSON.stringify(results, (_, value) => typeof value === 'bigint' ? String(value) : value))
