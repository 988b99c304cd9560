// Stock HocuspocusProviders under the remote control of clients.mjs, alone on a socket or many on one.
import { HocuspocusProvider, HocuspocusProviderWebsocket } from '@hocuspocus/provider'
import { WebSocket } from 'ws'
import * as Y from 'yjs'

const SOON = { delay: 50, minDelay: 50, maxDelay: 200 }

const socketOptions = (url, noted) => ({
  url,
  ...SOON,
  WebSocketPolyfill: class extends WebSocket {
    constructor (...options) {
      super(...options)
      this.on('open', () => noted.opens++)
      this.on('message', data => {
        const frame = Buffer.from(data)
        if (frame.equals(Buffer.from([9]))) noted.empties++
        // A sync status that says "on disk"; addresses in tests are shorter than 128 bytes.
        if (frame.length === frame[0] + 3 && frame.readUInt16BE(frame[0] + 1) === 0x0801) noted.acks++
      })
      this.on('close', (code, reason) => noted.closes.push([code, reason.toString()]))
    }
  },
})

// One socket for several clients.
export class SharedSocket {
  constructor (url) {
    Object.assign(this, { opens: 0, empties: 0, acks: 0, closes: [], refusals: 0 })
    this.socket = new HocuspocusProviderWebsocket(socketOptions(url, this))
  }

  get more () { return { opens: this.opens, closes: this.closes } }
}

export class HocuspocusClient {
  // `tokens` are shown one after the other, the last one again and again; a number is how many ms to think before.
  constructor ({ url, shared, document, tokens, offline, ...options }) {
    Object.assign(this, { opens: 0, empties: 0, acks: 0, closes: [], refusals: 0, edits: 0, echoed: 0 })
    this.doc = new Y.Doc()
    this.tokens = tokens
    this.events = [] // in their order: what the provider has told its page
    const note = (...event) => this.events.push(event)
    this.doc.on('update', (_update, origin) => { if (origin !== this.inner) this.edits++ })
    const socket = shared ? { websocketProvider: shared.socket } : { ...socketOptions(url, this), autoConnect: !offline }
    this.inner = new HocuspocusProvider({
      ...socket,
      ...options,
      name: document,
      document: this.doc,
      token: async () => await this.nextToken(),
      onAuthenticated: ({ scope }) => note('authenticated', scope),
      onAuthenticationFailed: ({ reason }) => note('failed', reason),
      onSynced: () => note('synced'),
      onStateless: ({ payload }) => note('stateless', payload),
      onClose: ({ event }) => { if (event.code === 1000) note('closed', event.reason) },
      // The provider's own word for saved; of the edits made until then.
      onUnsyncedChanges: ({ number }) => { if (number === 0) this.echoed = this.edits },
    })
    if (shared && !offline) this.inner.attach()
  }

  async nextToken () {
    const token = this.tokens.length > 1 ? this.tokens.shift() : this.tokens[0]
    if (typeof token !== 'number') return token
    await new Promise(resolve => setTimeout(resolve, token))
    return await this.nextToken()
  }

  // What the commands of every client ask of a provider, in the words of y-websocket.
  get provider () {
    const { inner } = this
    const socket = inner.configuration.websocketProvider
    return {
      synced: inner.synced,
      wsconnected: socket.status === 'connected',
      get shouldConnect () { return socket.shouldConnect },
      set shouldConnect (should) { socket.shouldConnect = should },
      ws: socket.webSocket,
      websocket: socket.webSocket,
      awareness: inner.awareness,
      connect: () => { inner.connect() },
      disconnect: () => inner.disconnect(),
      destroy: () => inner.destroy(),
    }
  }

  get more () {
    const { unsyncedChanges, isAuthenticated, authorizedScope, synced } = this.inner
    return { unsyncedChanges, isAuthenticated, authorizedScope, synced, events: this.events, acks: this.acks }
  }
}

// Calls of one client that others have no word for.
export const hocuspocus = {
  attach: client => client.inner.attach(),
  detach: client => client.inner.detach(),
  forceSync: client => client.inner.forceSync(),
  sendStateless: (client, payload) => client.inner.sendStateless(payload),
  sendToken: (client, token) => { client.tokens = [token]; client.inner.sendToken() },
  setTokens: (client, tokens) => { client.tokens = tokens },
}
