// Stock y-websocket clients under remote control: one JSON command a line on standard input, one answer a line.
// Each command is [id, name, ...arguments], each answer {id, result} or {id, error}. Ends with its input.
// With --speed=N this process's clock runs N times as fast, so that half a minute of silence takes no half minute.
import { createInterface } from 'node:readline'

const speed = Number((process.argv.find(argument => argument.startsWith('--speed=')) ?? '--speed=1').slice(8))
if (speed !== 1) {
  const [now, interval, born] = [Date.now, setInterval, Date.now()]
  Date.now = () => born + (now() - born) * speed
  globalThis.setInterval = (call, ms, ...rest) => interval(call, ms / speed, ...rest)
}

const [Y, { WebSocket }, one, two, three, documents] = await Promise.all(
  ['yjs', 'ws', 'y-websocket-1', 'y-websocket-2', 'y-websocket-3', './documents.mjs'].map(name => import(name)))
const { YSweetClient, backend } = await import('./y_sweet.mjs')
const { HocuspocusClient, SharedSocket, hocuspocus } = await import('./hocuspocus.mjs')
// The 4.x line brings a Yjs of its own, which says on import that there are two; they share nothing here.
const [four, Y14] = await Promise.all([import('@y/websocket'), import('@y/y')])
const providers = {
  1: one.WebsocketProvider, 2: two.WebsocketProvider, 3: three.WebsocketProvider, 4: four.WebsocketProvider,
}
const warnings = []
console.warn = (...words) => warnings.push(words.join(' '))
const base64 = bytes => Buffer.from(bytes).toString('base64')

class Client {
  constructor({ version, serverUrl, room, params, protocols, offline, tabs = false }) {
    this.doc = version === 4 ? new Y14.Doc() : new Y.Doc()
    this.edits = 0 // local transactions so far
    this.echoed = 0 // of these, how many the relay has echoed, which it does once they are on disk
    this.sent = []
    this.closes = []
    this.opens = 0
    this.refusals = 0
    this.empties = 0
    const client = this
    class Socket extends WebSocket {
      constructor(...options) {
        super(...options)
        this.on('open', () => client.opens++)
        this.on('message', data => client.hear(Buffer.from(data)))
        this.on('close', (code, reason) => client.closes.push([code, reason.toString()]))
        this.on('unexpected-response', (_request, response) => {
          client.refusals++
          this.emit('error', new Error(`status ${response.statusCode}`))
          this.emit('close', 1006, Buffer.alloc(0))
          response.resume()
        })
      }

      send(frame) {
        const data = Buffer.from(frame)
        if (data[0] === 0 && data[1] > 0) client.sent.push([base64(data.subarray(2)), client.edits])
        super.send(frame)
      }
    }
    this.doc.on('update', (_update, origin) => { if (origin !== this.provider) this.edits++ })
    this.provider = new providers[version](serverUrl, room, this.doc, {
      WebSocketPolyfill: Socket, disableBc: !tabs, params, protocols, connect: !offline, maxBackoffTime: 200,
    })
  }

  // An echo is an update frame with the very bytes of one of ours.
  hear(data) {
    if (data[0] === 1 && data[1] === 1 && data[2] === 0) this.empties++
    if (data[0] !== 0 || data[1] !== 2) return
    const heard = base64(data.subarray(2))
    const place = this.sent.findIndex(([payload]) => payload === heard)
    if (place < 0) return
    this.echoed = Math.max(this.echoed, this.sent[place][1])
    this.sent.splice(0, place + 1)
  }
}

const clients = new Map()
const of = name => clients.get(name)
const root = (doc, kind, name) => ({ map: 'getMap', array: 'getArray', text: 'getText' })[kind] && doc[
  { map: 'getMap', array: 'getArray', text: 'getText' }[kind]](name)

const commands = {
  open: (name, options) => { clients.set(name, new Client(options)) },
  openSocket: (name, url) => { clients.set(name, new SharedSocket(url)) },
  openHocuspocus: (name, { socket, ...options }) => {
    clients.set(name, new HocuspocusClient({ ...options, shared: socket && of(socket) }))
  },
  hocuspocus: (name, call, ...rest) => hocuspocus[call](of(name), ...rest),
  openYSweet: (name, options) => { clients.set(name, new YSweetClient(options)) },
  more: name => of(name).more,
  setParams: (name, params) => { of(name).provider.params = params },
  setAuth: (name, auth) => { of(name).auth = auth },
  backend: (call, ...rest) => backend[call](...rest),
  connect: name => of(name).provider.connect(),
  disconnect: name => of(name).provider.disconnect(),
  destroy: name => { of(name).provider.destroy(); clients.delete(name) },
  // The cable is pulled: no close frame, no farewell, no reconnect.
  cut: name => { of(name).provider.shouldConnect = false; of(name).provider.ws?._socket.destroy() },
  // The cable is pulled, and the page comes back by itself.
  interrupt: name => { of(name).provider.websocket._socket.destroy() },
  edit: (name, steps) => of(name).doc.transact(() => {
    for (const [kind, place, method, ...rest] of steps) root(of(name).doc, kind, place)[method](...rest)
  }),
  content: name => {
    const { doc } = of(name)
    return { m: doc.getMap('m').toJSON(), a: doc.getArray('a').toJSON(), t: doc.getText('t').toString() }
  },
  state: name => {
    const { provider, edits, echoed, closes, opens, refusals, empties, doc } = of(name)
    const { synced, wsconnected: connected, shouldConnect } = provider
    const protocol = provider.ws?.protocol ?? null
    return { synced, connected, shouldConnect, protocol, edits, echoed, closes, opens, refusals, empties,
      client: doc.clientID }
  },
  // What a client says of itself to its page: how many edits there were, and up to which all are saved.
  claim: name => {
    const { edits, echoed, more = {} } = of(name)
    const isSaved = more.unsyncedChanges === 0 || more.hasLocalChanges === false
    return { edits, saved: isSaved ? edits : echoed }
  },
  // How much of each client's edits it holds.
  clocks: name => {
    const { doc } = of(name)
    return [...(doc instanceof Y.Doc ? Y : Y14).decodeStateVector(
      (doc instanceof Y.Doc ? Y : Y14).encodeStateVector(doc))]
  },
  setState: (name, state) => of(name).provider.awareness.setLocalState(state),
  states: name => [...of(name).provider.awareness.getStates()],
  warnings: () => warnings,
  documents: (name, call, ...rest) => {
    const result = documents[call](of(name).doc, ...rest)
    return result instanceof Y.Map ? null : result ?? null
  },
  stockTable: names => [...documents.stockTable(names.map(name => of(name).doc))],
  stock: (names, sku, place) => documents.stock(names.map(name => of(name).doc), sku, place),
  // Edits without end, each after a pause of some ms: each writes its own number under a key of its own.
  write: (name, most, pause = 2, isProse = false) => {
    const client = of(name)
    const [map, text] = [client.doc.getMap('m'), client.doc.getText('t')]
    const next = () => {
      if (!clients.has(name) || client.edits >= most || client.isStopped) return
      client.doc.transact(() => {
        map.set(`${name}-${client.edits}`, client.edits)
        if (isProse) text.insert(client.edits % (text.length + 1), 'x')
      })
      setTimeout(next, pause)
    }
    next()
  },
  stop: name => { of(name).isStopped = true },
}

const say = answer => process.stdout.write(JSON.stringify(answer) + '\n')
for await (const line of createInterface({ input: process.stdin })) {
  const [id, name, ...rest] = JSON.parse(line)
  try {
    say({ id, result: await commands[name](...rest) ?? null })
  } catch (error) {
    say({ id, error: String(error) })
  }
}
process.exit()
