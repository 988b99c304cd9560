// Runs the JavaScript of docs/how-to/connect-a-yjs-page.md beside it: node page_driver.mjs COMMAND, with RELAY, TOKEN and
// BAD_TOKEN in the environment. Prints a line for every step; `saved` goes on when a line arrives on standard input.
import { execFileSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import { WebSocket } from 'ws'
import * as Y from 'yjs'

globalThis.WebSocket ??= WebSocket
const { RELAY, TOKEN, BAD_TOKEN } = process.env
const say = line => process.stdout.write(line + '\n')
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const synced = provider => provider.synced || new Promise(resolve => provider.once('sync', resolve))
const until = async (what, holds) => {
  while (!holds()) await new Promise(resolve => setTimeout(resolve, 20))
  say(what)
}

// Made when it is asked for, or a slow start would let it expire unused.
const shortToken = () => execFileSync('.venv/bin/crdt-sync',
  ['token', '--tenant', 'acme', '--role', 'operator', '--ttl', '4s'], { encoding: 'utf8' }).trim()

const commands = {
  // The first token does not hold, the second one expires soon, the third one is good.
  page: async () => {
    const { openDocument } = await import('./page.js')
    const tokens = [() => BAD_TOKEN, shortToken]
    const freshToken = async () => (tokens.shift() ?? (() => TOKEN))()
    const { doc, provider } = await openDocument(RELAY, 'notes/page', freshToken)
    await synced(provider)
    say('connected')
    doc.getMap('m').set('key', 'value')
    await new Promise(resolve => provider.once('closed', resolve))
    say('expired')
    await synced(provider)
    say('connected again')
  },
  ticket: async () => {
    const { ticket } = await import('./ticket.js')
    say((await ticket(RELAY, TOKEN)).length > 10 ? 'a ticket' : 'none')
    await ticket(RELAY, BAD_TOKEN).catch(error => say(`refused: ${error.message}`))
  },
  saved: async () => {
    const { connectShowingSaved } = await import('./saved.js')
    let isSaved
    const doc = new Y.Doc(), map = doc.getMap('m')
    const options = { params: { token: TOKEN }, disableBc: true }
    const provider = connectShowingSaved(`${RELAY}/ws/acme`, 'notes/saved', doc, options, is => { isSaved = is })
    map.set('a', 1)
    say(isSaved ? 'shown too early' : 'not saved')
    await until('saved', () => isSaved)
    map.delete('a')
    await until('delete saved', () => isSaved)
    await lines.next()
    await until('offline', () => !provider.wsconnected)
    map.set('b', 2)
    map.delete('b')
    say(isSaved ? 'shown too early' : 'not saved offline')
    await lines.next()
    await until('saved after the return', () => isSaved)
  },
  hocuspocus: async () => {
    const { openShared, openSocket } = await import('./hocuspocus_page.js')
    const socket = openSocket(RELAY, { WebSocketPolyfill: WebSocket, delay: 50, minDelay: 50 })
    const tokens = [shortToken]
    let isSaved
    const freshToken = async () => (tokens.shift() ?? (() => TOKEN))()
    const provider = openShared(socket, 'notes/hocuspocus', freshToken, is => { isSaved = is })
    await until('nothing to save', () => isSaved)
    provider.document.getMap('m').set('a', 1)
    say(isSaved ? 'shown too early' : 'not saved')
    await until('saved', () => isSaved)
    await until('a fresh token', () => tokens.length === 0 && provider.authorizedScope === 'read-write')
    const reader = openShared(socket, 'notes/other', () => TOKEN, () => {})
    await until('two on one socket', () => reader.synced)
  },
  sweet: async () => {
    const { clientToken } = await import('./sweet_backend.js')
    const { openSweet } = await import('./sweet_page.js')
    const server = RELAY.replace('ws://', `ys://${TOKEN}@`)
    let isSaved
    const askBackend = () => clientToken(server, 'notes/sweet', 'ada', true)
    const { doc, provider } = openSweet('notes/sweet', askBackend, is => { isSaved = is }, { WebSocketPolyfill: WebSocket })
    await until('nothing to save', () => isSaved)
    doc.getMap('m').set('a', 1)
    say(isSaved ? 'shown too early' : 'not saved')
    await until('saved', () => isSaved)
    provider.disconnect()
    const reader = openSweet('notes/sweet', () => clientToken(server, 'notes/sweet', 'bob', false), () => {},
      { WebSocketPolyfill: WebSocket })
    await until('read', () => reader.doc.getMap('m').get('a') === 1)
  },
  viewer: async () => {
    const { connectShowingSaved } = await import('./saved.js')
    let isSaved
    const warned = new Promise(resolve => { console.warn = resolve })
    const doc = new Y.Doc()
    const options = { params: { token: TOKEN }, disableBc: true }
    const provider = connectShowingSaved(`${RELAY}/ws/acme`, 'notes/saved', doc, options, is => { isSaved = is })
    await synced(provider)
    say(`reads ${JSON.stringify(doc.getMap('m').toJSON())}`)
    doc.getMap('m').set('c', 3)
    await warned
    say(isSaved ? 'shown as saved' : 'refused and not saved')
  },
}
await commands[process.argv[2]]()
process.exit(0)
