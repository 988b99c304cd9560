// Random histories by real Yjs, and a reader of updates.
//   node histories.mjs write SEED COUNT OPS    prints one history a line, as JSON
//   node histories.mjs read                    reads lists of updates, one a line, and prints the content of each
// Updates are base64. Every random choice comes from the seed.
import * as Y from 'yjs'
import { createInterface } from 'node:readline'

const WORDS = ['x', 'till', 'größer', '😀', 'a😀b🏳️‍🌈', '\n', ' ']
const KEYS = ['a', 'b', 'price', '', 'ключ']
const CLIENTS = [1, 130, 70000, 2 ** 31, 2 ** 32 - 1, 2 ** 53 - 1]

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

const value = random => random.pick([
  null, true, false, 0, 3, -7, 2.5, -1e300, 2 ** 40, 0.1, '€ 5', '😀', '', [1, 'two', [null]], { k: { deep: [0.5] }, n: 1 },
])

class Writer {
  constructor(client, updates, random) {
    this.doc = new Y.Doc({ gc: random.chance(0.8), guid: `writer-${client}` })
    this.doc.clientID = client
    this.roots = rootsOf(this.doc)
    this.undo = new Y.UndoManager([this.roots.m, this.roots.l, this.roots.t], { captureTimeout: 0 })
    this.doc.on('update', (update, _origin, _doc, transaction) => {
      if (transaction.local) updates.push(update)
    })
  }

  edit(random) {
    this.doc.transact(() => {
      const changes = random.pick([1, 1, 1, 2, 6])
      for (let i = 0; i < changes; i++) random.pick(EDITS)(this, random)
    })
    if (random.chance(0.1)) random.chance(0.7) ? this.undo.undo() : this.undo.redo()
  }

  learn(other) {
    Y.applyUpdate(this.doc, Y.encodeStateAsUpdate(other.doc, Y.encodeStateVector(this.doc)))
  }
}

const EDITS = [
  ({ roots }, random) => editMap(roots.m, random),
  ({ roots }, random) => editMap(roots[''], random),
  ({ roots }, random) => editArray(roots.l, random),
  ({ roots }, random) => editText(roots.t, random),
  ({ roots }, random) => editText(roots.t, random),
  ({ roots }, random) => editXml(roots.x, random),
  ({ roots }, random) => editNested(roots.m, random),
]

function editMap(map, random) {
  const key = random.pick(KEYS)
  if (random.chance(0.25)) map.delete(key)
  else map.set(key, value(random))
}

function editArray(array, random) {
  const place = random.below(array.length + 1)
  if (place < array.length && random.chance(0.4)) array.delete(place, 1 + random.below(array.length - place))
  else if (random.chance(0.2)) array.insert(place, [random.pick([() => new Y.Map(), () => new Y.Text('é😀')])()])
  else array.insert(place, [value(random), value(random)])
}

// Where a text can be cut without cutting a character in two.
function boundaries(text) {
  const places = [0]
  for (const { insert } of text.toDelta()) {
    const lengths = typeof insert === 'string' ? [...insert].map(c => c.length) : [1]
    for (const length of lengths) places.push(places.at(-1) + length)
  }
  return places
}

function editText(text, random) {
  const places = boundaries(text)
  const from = random.below(places.length)
  const start = places[from]
  const length = random.pick(places.slice(from)) - start
  if (length > 0 && random.chance(0.35)) text.delete(start, length)
  else if (length > 0 && random.chance(0.3)) text.format(start, length, { bold: random.pick([true, null]), size: 12 })
  else if (random.chance(0.1)) text.insertEmbed(start, { z: 1, image: 'a[b', a: [1.5] })
  else text.insert(start, random.pick(WORDS))
}

function editXml(xml, random) {
  if (xml.length > 0 && random.chance(0.2)) return xml.delete(random.below(xml.length), 1)
  const child = xml.length > 0 ? xml.get(random.below(xml.length)) : null
  if (child instanceof Y.XmlElement && random.chance(0.5)) {
    if (random.chance(0.5)) child.setAttribute('id', random.pick(['1', '2']))
    else child.insert(0, [new Y.XmlText(random.pick(WORDS))])
  } else {
    xml.insert(random.below(xml.length + 1), [random.chance(0.5) ? new Y.XmlElement('p') : new Y.XmlText('t')])
  }
}

function editNested(map, random) {
  const key = random.pick(['map', 'list', 'text', 'file'])
  const nested = map.get(key)
  if (nested === undefined || random.chance(0.15)) map.set(key, newNested[key](random))
  else if (nested instanceof Y.Text) editText(nested, random)
  else if (nested instanceof Y.Array) editArray(nested, random)
  else if (nested instanceof Y.Map) editMap(nested, random)
}

const newNested = {
  map: () => new Y.Map([['born', 1]]),
  list: () => Y.Array.from([1, 'two']),
  text: () => new Y.Text('née'),
  file: random => random.chance(0.5)
    ? new Uint8Array([0, 1, 255])
    : new Y.Doc({ guid: `guid-${random.below(3)}`, autoLoad: true, meta: { owner: 'x' } }),
}

function rootsOf(doc) {
  return {
    m: doc.getMap('m'), '': doc.getMap(), l: doc.getArray('l'), t: doc.getText('t'), x: doc.getXmlFragment('x'),
  }
}

function contentOf(doc) {
  const { m, l, t, x, '': unnamed } = rootsOf(doc)
  const known = { m: m.toJSON(), '': unnamed.toJSON(), l: l.toJSON(), t: t.toJSON(), x: x.toString() }
  const json = JSON.parse(JSON.stringify(known, asJson))
  return { ...json, delta: t.toDelta(), size: Y.encodeStateVector(doc).length }
}

// Not an arrow function: a document turns itself into JSON before it is handed in, but its holder still has it.
function asJson(key, value) {
  const held = this[key]
  if (held instanceof Y.Doc) return { guid: held.guid }
  return held instanceof Uint8Array ? [...held] : value
}

const base64 = bytes => Buffer.from(bytes).toString('base64')

function writeHistory(seed, ops) {
  const random = randomFrom(seed)
  const updates = []
  const writers = CLIENTS.filter(() => random.chance(0.6)).concat([7, 8]).slice(0, 3)
    .map(client => new Writer(client, updates, random))
  const diffs = []
  for (let i = 0; i < ops; i++) {
    const [writer, other] = [random.pick(writers), random.pick(writers)]
    writer.edit(random)
    if (random.chance(0.4)) writer.learn(other)
    if (random.chance(0.1)) diffs.push(Y.encodeStateAsUpdate(writer.doc, Y.encodeStateVector(other.doc)))
  }
  for (const writer of writers) writers.forEach(other => writer.learn(other))
  const some = updates.filter(() => random.chance(0.5))
  return JSON.stringify({
    seed,
    updates: updates.map(base64),
    diffs: diffs.map(base64),
    merged: [base64(Y.mergeUpdates(updates)), ...(some.length ? [base64(Y.mergeUpdates(some))] : [])],
    states: writers.map(({ doc }) => base64(Y.encodeStateAsUpdate(doc))),
    content: contentOf(writers[0].doc),
  })
}

const [mode, ...numbers] = process.argv.slice(2)
if (mode === 'write') {
  const [seed, count, ops] = numbers.map(Number)
  for (let i = 0; i < count; i++) console.log(writeHistory(seed + i, ops))
} else {
  for await (const line of createInterface({ input: process.stdin })) {
    const doc = new Y.Doc()
    for (const update of JSON.parse(line)) Y.applyUpdate(doc, Buffer.from(update, 'base64'))
    console.log(JSON.stringify({ ...contentOf(doc), pending: doc.store.pendingStructs !== null }))
  }
}
