// What stands against what: values of one attribute that nobody has chosen from, who wrote them, and what was decided.
// Root `conflict` is the vault, `{attribute}|{tip}` -> [value, device, stamp, person, [base]]; `edits` says who wrote,
// `{client}.{clock}` -> [device, stamp]; `resolve` is the audit trail.
import { ACTIVE, DELETED, isDeletion } from './catalog.mjs'
import { InvalidValue, UnknownSibling } from './errors.mjs'
import { Forks } from './forks.mjs'
import { parseInconsistency } from './inconsistencies.mjs'
import { MERGES } from './merges.mjs'
import { readRules } from './rules.mjs'
import {
  LIFE, byText, canonical, checkValue, isMovementId, isObject, isText, isValue, parseKey, productKey, same, stampIn,
} from './values.mjs'

const SIBLINGS_MAX = 64
const CLAIM = '!' // such a tip is no element: somebody wrote on the grounds of an old version
const isDot = tip => /^\d+\.\d+$/.test(tip)
const textIn = noted => isText(noted) ? noted : null
const split = entry => [entry.slice(0, entry.lastIndexOf('|')), entry.slice(entry.lastIndexOf('|') + 1)]
const group = (map, key) => map.get(key) ?? map.set(key, []).get(key)

// Whether a value can be read, and what it says; a deletion with its evidence is "deleted".
const read = value => {
  if (isDeletion(value)) return { isKnown: true, value: DELETED }
  return isValue(value ?? null) ? { isKnown: true, value: value ?? null } : { isKnown: false, value: null }
}
const tipsIn = value => isObject(value) && Array.isArray(value.tips) ? value.tips.filter(isText) : []
const flawOf = value => {
  if (!isObject(value) || !tipsIn(value).length) return 'is no object with the tips that it resolves'
  if (!isText(value.by) || stampIn(value.t) === null || !isText(value.how)) return 'does not say how, by whom and when'
  return read(value.v).isKnown ? null : "holds a value that can't be read"
}
const isOpen = uncovered => {
  const known = uncovered.filter(({ isKnown }) => isKnown)
  const values = new Set(known.map(({ value }) => canonical(value)))
  return uncovered.length > 1 && (values.size > 1 || known.length < uncovered.length)
}
const ownerOf = ({ isLocation, name, field }) =>
  ({ product: isLocation ? null : name, location: isLocation ? name : null, field })

// What the documents say of tips; reads its roots once.
class Siblings {
  edits = new Map()

  constructor(catalog) {
    this.vault = catalog.entries('conflict')
    for (const [key, entry] of catalog.entries('edits')) {
      const [client, clock] = key.split('.').map(Number)
      if (!isDot(key) || !isText(entry?.[0]) || stampIn(entry[1]) === null) continue
      group(this.edits, client).push([clock, ...entry])
    }
    for (const edits of this.edits.values()) edits.sort(([a], [b]) => a - b)
  }

  ofHead(key, { client, clock, tip, isKnown, value, base }) {
    const noted = this.noted(key, tip), own = isKnown ? read(value) : noted, began = base && read(base[0])
    return {
      ...noted, ...this.written(client, clock), client, isKnown: own.isKnown || noted.isKnown,
      value: own.isKnown ? own.value : noted.value, base: noted.base ?? (began?.isKnown ? [began.value] : null),
    }
  }

  ofTip(key, tip) {
    if (!isDot(tip)) return this.noted(key, tip)
    const [client, clock] = tip.split('.').map(Number)
    return { ...this.noted(key, tip), client, ...this.written(client, clock) }
  }

  has(key, tip) { return this.vault.has(`${key}|${tip}`) }

  noted(key, tip) {
    const noted = this.vault.get(`${key}|${tip}`), nothing = { tip, value: null, isKnown: false, client: null }
    const [value, device, stamp, person, base] = Array.isArray(noted) ? noted : []
    const found = Array.isArray(noted) && noted.length ? { ...nothing, ...read(value) } : nothing
    const began = Array.isArray(base) && base.length === 1 ? read(base[0]) : { isKnown: false }
    return {
      ...found, device: textIn(device), stamp: stampIn(stamp), person: textIn(person),
      base: began.isKnown ? [began.value] : null,
    }
  }

  written(client, clock) {
    const [, device, stamp] = (this.edits.get(client) ?? []).findLast(([from]) => from <= clock) ?? [0, null, null]
    return { device, stamp }
  }
}

// The entry of the vault for a sibling; what nobody knows is left out at the end.
const entryOf = ({ value, device, stamp, person, base }) =>
  [value, device, stamp, ...base ? [person, base] : person !== null ? [person] : []]

export class Conflicts {
  // `revived()` gives the products that came back after their deletion, `remove(sku)` a `$life` that deletes one.
  constructor(catalog, desk, { revived, remove }) {
    Object.assign(this, { catalog, desk, revived, remove, forks: new Forks(catalog.doc) })
  }

  close() { this.forks.close() }

  version(key) { return this.forks.heads(key).map(({ tip }) => tip).join(',') }

  // Keeps a write that came too late beside what is there, so that a person sees both.
  claim(key, value) {
    const stamp = this.desk.tick()
    this.catalog.put('conflict', `${key}|${CLAIM}${this.#id(stamp)}`, [value, this.desk.replica, stamp])
  }

  // Sets an attribute. Equal values that were written at once closed by themselves, and stay closed: who writes over
  // them has seen them all, but its element follows just one, so it says so.
  replace(key, value) {
    const heads = this.forks.heads(key), { covered } = heads.length < 2 ? {} : this.#decided()
    const open = covered ? heads.filter(({ tip }) => !covered.get(key)?.includes(tip)) : []
    const siblings = open.length < 2 ? null : new Siblings(this.catalog)
    const held = siblings ? open.map(head => siblings.ofHead(key, head)) : []
    this.catalog.put('attr', key, value)
    if (held.length < 2 || !held.every(({ isKnown }) => isKnown)) return
    const isOne = new Set(held.map(one => canonical(one.value))).size === 1
    if (isOne) this.#record(key, open.map(({ tip }) => tip), value, 'auto')
  }

  // Of these inconsistencies the ones that nobody has acknowledged as they are now.
  unseen(found) {
    return found.filter(one => !this.#isSeen(one)).map(one => {
      const resolve = choice => this.desk.edit(() => this.#acknowledge(one, choice))
      return { ...one, resolve, acknowledge: () => resolve('server') }
    })
  }

  list() {
    const { covered, resolvers } = this.#decided(), siblings = new Siblings(this.catalog)
    const claims = this.#claims(siblings), found = new Map()
    for (const key of new Set([...this.forks.forked, ...claims.keys()])) {
      const parsed = parseKey(key), done = covered.get(key) ?? []
      if (!parsed) continue
      const heads = this.forks.heads(key).slice(0, SIBLINGS_MAX)
      const ofKey = [
        ...heads.map(head => siblings.ofHead(key, head)),
        ...(claims.get(key) ?? []).sort().map(tip => siblings.ofTip(key, tip)),
      ].filter(({ tip }) => !done.includes(tip))
      // A resolution is no change of the value that it happened to replace, so nothing may be added up from there.
      for (const one of ofKey) if ((resolvers.get(key) ?? []).includes(one.client)) one.base = null
      if (isOpen(ofKey)) found.set(key, this.#conflict(key, parsed, ofKey))
    }
    for (const sku of this.revived()) {
      const key = productKey(sku, LIFE), ofKey = this.forks.heads(key).map(head => siblings.ofHead(key, head))
      if (!found.has(key)) found.set(key, { ...this.#conflict(key, parseKey(key), ofKey), current: ACTIVE })
    }
    return [...found.keys()].sort(byText).map(key => found.get(key))
  }

  resolutions() {
    const siblings = new Siblings(this.catalog), found = []
    for (const [entry, value] of this.catalog.entries('resolve')) {
      const [key, mid] = split(entry), parsed = parseKey(key), broken = parsed ? null : parseInconsistency(key)
      if (!(parsed || broken) || flawOf(value) !== null) continue
      const heads = new Map(this.forks.heads(key).map(head => [head.tip, head])), tips = tipsIn(value)
      found.push({
        key, mid, ...broken ?? ownerOf(parsed), evidence: broken ? tips : [],
        how: ['local', 'server', 'auto'].includes(value.how) ? value.how : 'merge',
        value: read(value.v).value, device: value.by, stamp: value.t,
        siblings: (broken ? [] : tips).map(tip =>
          heads.has(tip) ? siblings.ofHead(key, heads.get(tip)) : siblings.ofTip(key, tip)),
      })
    }
    return found.sort((a, b) => a.stamp - b.stamp || byText(a.mid, b.mid) || byText(a.key, b.key))
  }

  faults() {
    const siblings = new Siblings(this.catalog), { faults } = readRules(this.catalog)
    for (const [entry, value] of this.catalog.entries('resolve')) {
      const [key] = split(entry), isAttribute = parseKey(key) !== null
      let reason = isAttribute || parseInconsistency(key) ? flawOf(value) : 'belongs to no attribute'
      if (reason === null && isAttribute) {
        const heads = this.forks.heads(key).map(({ tip }) => tip)
        const unknown = tipsIn(value).filter(tip => !heads.includes(tip) && !siblings.has(key, tip))
        if (unknown.length) reason = `lists unknown siblings: ${unknown.join(', ')}`
      }
      if (reason !== null) faults.push({ root: 'resolve', key: entry, reason })
    }
    return faults
  }

  // Puts into the vault what lost against writes of this page, or, with `all`, against anybody's: the CRDT forgets it.
  keepLost(all) {
    const keys = this.forks.takeNews(all)
    if (!keys.length) return
    const siblings = new Siblings(this.catalog)
    for (const key of keys) this.#keep(key, this.forks.heads(key).map(head => siblings.ofHead(key, head)))
  }

  // Resolves what the catalog has a rule for, and returns it; what its function refuses is for a person.
  settle() {
    const { merges } = readRules(this.catalog)
    return this.list().filter(conflict => {
      const merge = merges.get(conflict.field)
      if (merge === undefined || !conflict.siblings.every(({ isKnown }) => isKnown)) return false
      try {
        this.#close(conflict, this.#merged(conflict, merge), 'auto')
      } catch (error) {
        if (error instanceof InvalidValue) return false
        throw error
      }
      return true
    })
  }

  resolve(conflict, choice) {
    const { accept = null, merge = null, base, ...rest } = isText(choice) ? { accept: choice } : choice ?? {}
    if (Number(accept !== null) + Number(merge !== null) + Number('value' in rest) !== 1) {
      throw new InvalidValue(`${conflict.key}: give just one of accept, value and merge`)
    }
    this.#checkKnown(conflict)
    if (accept !== null) this.#close(conflict, ...this.#accepted(conflict, accept))
    else if (merge !== null) this.#close(conflict, this.#merged(conflict, merge, base), 'merge')
    else this.#close(conflict, checkValue(conflict.field, rest.value), 'merge')
  }

  #conflict(key, parsed, siblings) {
    const current = read(this.catalog.get('attr', key)).value
    const conflict = {
      key, ...ownerOf(parsed), kind: kindOf(parsed.field, siblings, current), siblings, current, base: baseOf(siblings),
      resolve: choice => this.desk.edit(() => this.resolve(conflict, choice)),
    }
    return conflict
  }

  #decided() {
    const covered = new Map(), resolvers = new Map()
    for (const [entry, value] of this.catalog.entries('resolve')) {
      const [key, mid] = split(entry)
      group(covered, key).push(...tipsIn(value))
      if (isMovementId(mid)) group(resolvers, key).push(parseInt(mid, 36))
    }
    return { covered, resolvers }
  }

  #claims(siblings) {
    const claims = new Map()
    for (const entry of siblings.vault.keys()) {
      const [key, tip] = split(entry)
      if (tip.startsWith(CLAIM)) group(claims, key).push(tip)
    }
    return claims
  }

  #accepted(conflict, accept) {
    if (accept === 'server') return [conflict.current, 'server']
    const isOurs = accept === 'local'
    const wanted = conflict.siblings.filter(({ device, tip, isKnown }) =>
      isKnown && (isOurs ? device === this.desk.replica : tip === accept))
    if (!wanted.length) throw new UnknownSibling(conflict.key, accept)
    // One device may have written two of them, before and after a restart.
    const { value } = wanted.reduce((a, b) => (b.stamp ?? 0) > (a.stamp ?? 0) ? b : a)
    return [value, isOurs ? 'local' : 'merge']
  }

  #merged({ key, field, siblings, base: known }, merge, base = known?.[0] ?? null) {
    if (!Object.hasOwn(MERGES, merge)) {
      const known = Object.keys(MERGES).sort().join(', ')
      throw new InvalidValue(`there is no merge function '${merge}'; there are ${known}`)
    }
    if (!siblings.every(({ isKnown }) => isKnown)) {
      throw new InvalidValue(`${key}: a sibling's value is gone, so that nothing can be merged`)
    }
    const values = siblings.map(({ value }) => value).sort((a, b) => byText(canonical(a), canonical(b)))
    return checkValue(field, MERGES[merge](values, checkValue('base', base)))
  }

  #checkKnown({ key, siblings }) {
    const noted = new Siblings(this.catalog), heads = this.forks.heads(key).map(({ tip }) => tip)
    for (const { tip } of siblings) if (!heads.includes(tip) && !noted.has(key, tip)) throw new UnknownSibling(key, tip)
  }

  #close({ key, field, product, siblings }, value, how) {
    const tips = siblings.map(({ tip }) => tip), covered = this.#decided().covered.get(key) ?? []
    if (tips.every(tip => covered.includes(tip)) && same(this.catalog.get('attr', key), value)) return
    let stored = value
    if (field === LIFE && product !== null) {
      if (value !== ACTIVE && value !== DELETED) {
        throw new InvalidValue(`${key}: a product is '${ACTIVE}' or '${DELETED}', not ${canonical(value)}`)
      }
      if (value === DELETED) stored = this.remove(product)
    }
    this.#keep(key, siblings)
    this.catalog.put('attr', key, stored)
    this.#record(key, tips, value, how)
  }

  #record(key, tips, value, how) {
    const stamp = this.desk.tick()
    this.catalog.put('resolve', `${key}|${this.#id(stamp)}`, { tips, how, v: value, by: this.desk.replica, t: stamp })
  }

  #acknowledge(broken, choice) {
    if ((isText(choice) ? choice : choice?.accept) !== 'server') {
      throw new InvalidValue(`${broken.key}: a data inconsistency is acknowledged, or made good by other movements`)
    }
    if (!this.#isSeen(broken)) this.#record(broken.key, broken.evidence, broken.current, 'server')
  }

  #isSeen({ key, evidence }) {
    const wanted = canonical([...new Set(evidence)].sort())
    return [...this.catalog.entries('resolve')].some(([entry, value]) =>
      split(entry)[0] === key && canonical([...new Set(tipsIn(value))].sort()) === wanted)
  }

  #keep(key, siblings) {
    const noted = new Siblings(this.catalog)
    for (const sibling of siblings.slice(0, SIBLINGS_MAX)) {
      if (sibling.isKnown && !noted.has(key, sibling.tip)) {
        this.catalog.put('conflict', `${key}|${sibling.tip}`, entryOf(sibling))
      }
    }
  }

  #id(stamp) { return `${this.catalog.clientId.toString(36)}.${stamp.toString(36)}` }
}

const kindOf = (field, siblings, current) => {
  // Behind `!-` stands a delete that a concurrent write has undone.
  if (siblings.some(({ tip }) => tip.startsWith(CLAIM) && !tip.startsWith('!-'))) return 'version_mismatch'
  const isCleared = current === null || siblings.some(({ isKnown, value }) => isKnown && value === null)
  return isCleared || field === LIFE ? 'update_delete' : 'concurrent_update'
}

// What all siblings began from, if that is known and the same for all: a list of one.
const baseOf = siblings => {
  const bases = new Set(siblings.map(({ base }) => base ? canonical(base[0]) : null))
  return bases.size === 1 ? siblings[0].base : null
}
