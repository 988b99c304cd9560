// A stock y-sweet page under the remote control of clients.mjs, and its backend, which is y-sweet's own SDK.
import { YSweetProvider } from '@y-sweet/client'
import { DocConnection, DocumentManager } from '@y-sweet/sdk'
import { WebSocket } from 'ws'
import * as Y from 'yjs'

const PATIENCE_MS = 3000
const patience = () => new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error('the backend has waited too long')), PATIENCE_MS).unref()
})

export class YSweetClient {
  // `backend` is ys://TOKEN@host:port; `auth` is what the backend asks for its user.
  constructor ({ backend, docId, auth, offline }) {
    this.doc = new Y.Doc()
    this.edits = 0
    this.closes = []
    this.opens = 0
    this.refusals = 0
    this.empties = 0
    this.tokens = 0 // how many client tokens it has asked for
    this.changes = [] // what local-changes events have said
    this.auth = auth
    this.manager = new DocumentManager(backend)
    const client = this
    class Socket extends WebSocket {
      constructor (...options) {
        super(...options)
        this.on('open', () => client.opens++)
        this.on('message', data => { if (Buffer.from(data).equals(Buffer.from([1, 1, 0]))) client.empties++ })
        this.on('close', (code, reason) => client.closes.push([code, reason.toString()]))
        this.on('error', error => { if (/Unexpected server response/.test(error.message)) client.refusals++ })
      }
    }
    this.doc.on('update', (_update, origin) => { if (origin !== this.provider) this.edits++ })
    const authEndpoint = async () => {
      this.tokens++
      // Node's fetch, when it is reset while it connects, sometimes never settles; a backend would not wait for ever.
      return await Promise.race([this.manager.getClientToken(docId, this.auth), patience()])
    }
    this.provider = new YSweetProvider(authEndpoint, docId, this.doc, {
      connect: !offline, WebSocketPolyfill: Socket, showDebuggerLink: false,
    })
    this.provider.on('local-changes', has => this.changes.push(has))
  }

  // Of its edits, how many the relay has said to be on disk.
  get echoed () { return Math.max(0, this.provider.ackedVersion) }

  get more () {
    const { provider: { clientToken, hasLocalChanges, status }, tokens, changes } = this
    return { clientToken, hasLocalChanges, status, tokens, changes }
  }
}

const base64 = bytes => Buffer.from(bytes).toString('base64')
const failing = async promise => {
  try { return await promise } catch (error) { return { refused: error.message } }
}

// What a backend does without a page.
export const backend = {
  create: (server, docId) => failing(new DocumentManager(server).createDoc(docId)),
  token: (server, docId, auth) => failing(new DocumentManager(server).getClientToken(docId, auth)),
  check: server => failing(new DocumentManager(server).checkStore()),
  read: async (server, docId) => base64(await new DocumentManager(server).getDocAsUpdate(docId)),
  readAs: async clientToken => base64(await new DocConnection(clientToken).getAsUpdate()),
  write: (server, docId, update) => failing(
    new DocumentManager(server).updateDoc(docId, new Uint8Array(Buffer.from(update, 'base64')))),
  writeAs: (clientToken, update) => failing(
    new DocConnection(clientToken).updateDoc(new Uint8Array(Buffer.from(update, 'base64')))),
  contentOf: update => {
    const doc = new Y.Doc()
    Y.applyUpdate(doc, new Uint8Array(Buffer.from(update, 'base64')))
    return { m: doc.getMap('m').toJSON(), t: doc.getText('t').toString() }
  },
}
