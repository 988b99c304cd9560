// The heads of every attribute: its elements that no other one follows. Several heads are a concurrent write.
// Yjs keeps the elements of a key as a chain of items, also when they were overwritten and their values are gone.

const dot = id => id ? `${id.client}.${id.clock}` : null

export class Forks {
  #map
  #forked = new Set()
  #lost = new Map() // by key and tip, what lost and is collected when its transaction ends
  #before = new Map() // by key and element, what it held until this page wrote over it
  #news = new Set()

  constructor(doc) {
    this.doc = doc
    this.#map = doc.getMap('attr')
    this.#look(this.#map._map.keys())
    this.#map.observe(this.#listen)
  }

  // By rising id; none where the key was never written.
  heads(key) {
    const items = []
    for (let item = this.#map._map.get(key); item; item = item.left) items.push(item)
    const followed = new Set(items.map(({ origin }) => dot(origin)))
    const heads = items.filter(({ lastId }) => !followed.has(dot(lastId))).map(({ lastId, origin, content }) => {
      const tip = dot(lastId), entry = `${key}|${tip}`, held = content.getContent(), isHere = held.length > 0
      return {
        client: lastId.client, clock: lastId.clock, tip, isKnown: isHere || this.#lost.has(entry),
        value: isHere ? held.at(-1) : this.#lost.get(entry), base: this.#before.get(`${key}|${dot(origin)}`) ?? null,
      }
    })
    return heads.sort((a, b) => a.client - b.client || a.clock - b.clock)
  }

  get forked() { return [...this.#forked].sort() }

  // The forked keys that were written and not taken since: all, or those in which this page had a part.
  takeNews(all) {
    const isOurs = key => this.heads(key).some(({ client }) => client === this.doc.clientID)
    const news = [...this.#news].filter(key => all || isOurs(key))
    for (const key of news) this.#news.delete(key)
    return news
  }

  // Remembers what an attribute held before this page wrote it: whoever else wrote from there began from the same.
  noteBefore(key, value) { this.#before.set(`${key}|${dot(this.#map._map.get(key).origin)}`, [value]) }

  close() { this.#map.unobserve(this.#listen) }

  #listen = event => this.#look(event.keysChanged)

  #look(keys) {
    for (const key of keys) {
      const heads = this.#isOne(key) ? [] : this.heads(key)
      if (heads.length < 2) this.#forked.delete(key)
      else {
        this.#forked.add(key)
        this.#news.add(key)
        // Yjs drops overwritten values after the observers of their transaction.
        for (const { tip, isKnown, value } of heads) if (isKnown) this.#lost.set(`${key}|${tip}`, value)
      }
    }
  }

  #isOne(key) { return this.#map._map.get(key).left === null }
}
