// Pages that just call map.set, map.delete and undo, and what each of them held when it wrote.
//   node concurrent_pages.mjs SEED COUNT OPS    prints one history a line, as JSON
// Updates are base64. Every random choice comes from the seed.
import * as Y from 'yjs'
import { heads } from './documents.mjs'

const KEYS = ['shirt/price', 'shirt/name', 'sock/price', '', '@A/ключ']
const CLIENTS = [1, 130, 70000, 2 ** 31, 2 ** 32 - 1]

// mulberry32
function randomFrom(seed) {
  const next = () => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const below = n => Math.floor(next() * n)
  return { chance: p => next() < p, below, pick: list => list[below(list.length)] }
}

class Page {
  constructor(client, history, random) {
    this.doc = new Y.Doc({ gc: random.chance(0.8) })
    this.doc.clientID = client
    this.history = history
    this.map = this.doc.getMap('attr')
    this.others = [this.doc.getMap('mv'), this.doc.getArray('list'), this.doc.getText('text')]
    this.undo = new Y.UndoManager([this.map], { captureTimeout: 0 })
    this.undone = []
    this.map.observe(event => { if (event.transaction.origin === this.undo) this.undone = [...event.keysChanged] })
    this.doc.on('update', (update, _origin, _doc, transaction) => {
      if (transaction.local) history.updates.push(base64(update))
    })
  }

  get clock() { return Y.getState(this.doc.store, this.doc.clientID) }

  knows() {
    return Object.fromEntries(Y.decodeStateVector(Y.encodeStateVector(this.doc)))
  }

  edit(random) {
    if (random.chance(0.15)) return this.takeBack(random)
    const [movements, list, text] = this.others
    this.doc.transact(() => {
      for (let changes = random.pick([1, 1, 1, 2, 4]); changes > 0; changes--) {
        const chance = random.below(100)
        if (chance < 15) this.map.delete(random.pick(KEYS))
        else if (chance < 25) movements.set(`${this.doc.clientID}.${this.clock}`, ['sale', 1])
        else if (chance < 30) list.insert(0, [1, 2])
        else if (chance < 35) text.insert(0, 'ab')
        else this.set(random.pick(KEYS), random)
      }
    })
  }

  set(key, random) {
    const knew = this.knows(), clock = this.clock
    const value = random.pick([`${this.doc.clientID}:${clock}`, clock, [clock, null], null, { of: clock }])
    this.map.set(key, value)
    this.history.writes.push({ key, client: this.doc.clientID, clock, value, knew })
  }

  // Undo writes what a key held before, as another element behind the last one.
  takeBack(random) {
    const knew = this.knows(), clock = this.clock
    this.undone = []
    random.chance(0.7) ? this.undo.undo() : this.undo.redo()
    if (this.clock === clock) return
    const written = this.undone.filter(key => this.map._map.get(key)?.id.clock >= clock)
    for (const key of written) {
      const { id } = this.map._map.get(key)
      if (id.client !== this.doc.clientID) continue
      this.history.writes.push({ key, client: id.client, clock: id.clock, value: this.map.get(key), knew })
    }
  }

  learn(other) {
    Y.applyUpdate(this.doc, Y.encodeStateAsUpdate(other.doc, Y.encodeStateVector(this.doc)))
  }
}

const base64 = bytes => Buffer.from(bytes).toString('base64')

function writeHistory(seed, ops) {
  const random = randomFrom(seed)
  const history = { seed, updates: [], writes: [] }
  const pages = CLIENTS.filter(() => random.chance(0.7)).concat([7, 8]).slice(0, 3)
    .map(client => new Page(client, history, random))
  for (let i = 0; i < ops; i++) {
    const [page, other] = [random.pick(pages), random.pick(pages)]
    page.edit(random)
    if (random.chance(0.4)) page.learn(other)
  }
  for (const page of pages) pages.forEach(other => page.learn(other))
  history.states = pages.map(({ doc }) => base64(Y.encodeStateAsUpdate(doc)))
  history.heads = Object.fromEntries(KEYS.map(key =>
    [key, heads(pages[0].map, key).map(({ lastId }) => lastId.client + '.' + lastId.clock)]))
  return JSON.stringify(history)
}

const [seed, count, ops] = process.argv.slice(2).map(Number)
for (let i = 0; i < count; i++) console.log(writeHistory(seed + i, ops))
