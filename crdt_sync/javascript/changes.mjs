// Tells listeners what has changed, after each transaction, when all sums are up to date.
import { kindOf } from './movements.mjs'
import { nfc, parseKey } from './values.mjs'

export class Changes {
  #listeners = new Set()
  #leave = []

  constructor(desk) { this.desk = desk }

  // Calls `listener(change)` until the function that this returns is called.
  listen(listener) {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  watch(name, doc) {
    const hear = transaction => {
      for (const [type, keys] of transaction.changed) {
        const root = [...doc.share].find(([, shared]) => shared === type)?.[0]
        if (root === undefined) continue
        const isOwn = transaction.origin === this.desk
        this.#tell({ document: name, root, keys: [...keys], ...about(root, keys, type), isOwn })
      }
    }
    doc.on('afterTransaction', hear)
    this.#leave.push(() => doc.off('afterTransaction', hear))
  }

  close() { for (const leave of this.#leave) leave() }

  #tell(change) { for (const listener of [...this.#listeners]) listener(change) }
}

// Which products and locations a change is about.
const about = (root, keys, type) => {
  const products = new Set(), locations = new Set()
  for (const key of keys) {
    const parsed = parseKey(root === 'attr' ? key : key.slice(0, Math.max(key.lastIndexOf('|'), 0)))
    if (parsed) (parsed.isLocation ? locations : products).add(parsed.name)
    const row = root === 'mv' ? type.get(key) : null
    if (kindOf(row) !== null && typeof row[1] === 'string') products.add(nfc(row[1]))
    if (kindOf(row) !== null && typeof row[2] === 'string') locations.add(nfc(row[2]))
  }
  return { products: [...products], locations: [...locations] }
}
