// Functions that make one value of several that were written at once: the same ones as in Python, to the letter.
import { InvalidValue } from './errors.mjs'
import { byText, canonical, isText } from './values.mjs'

const numberIn = value => {
  if (typeof value !== 'number') throw new InvalidValue(`${canonical(value).slice(0, 80)} is no number`)
  return value
}
const numbersIn = siblings => siblings.filter(value => value !== null).map(numberIn)
const extreme = choose => siblings => {
  const numbers = numbersIn(siblings)
  return numbers.length ? choose(...numbers) : null
}

const union = siblings => {
  const items = new Map()
  for (const sibling of siblings) {
    const list = Array.isArray(sibling) ? sibling : sibling === null ? [] : [sibling]
    for (const item of list) items.set(canonical(item), item)
  }
  return [...items.keys()].sort(byText).map(key => items.get(key))
}

const sum = (siblings, base) => {
  const numbers = numbersIn(siblings), begin = numberIn(base)
  if (numbers.length !== siblings.length) throw new InvalidValue("sum: a field that somebody cleared can't be added up")
  if (![begin, ...numbers].every(Number.isSafeInteger)) {
    throw new InvalidValue('sum: only whole numbers add up to the same everywhere')
  }
  return numbers.reduce((total, number) => total + (number - begin), begin)
}

// All changes of all texts against what they began from. Refuses where two changed the same words differently.
const text = (siblings, base) => {
  if (!isText(base) || !siblings.every(isText)) {
    throw new InvalidValue('text: needs texts, and the text that they all began from')
  }
  const words = wordsOf(base), changes = new Map()
  for (const sibling of siblings) {
    for (const change of changesOf(words, wordsOf(sibling))) changes.set(JSON.stringify(change), change)
  }
  const ordered = [...changes.values()].sort((a, b) => a[0] - b[0] || a[1] - b[1] || byText(a[2], b[2]))
  const merged = []
  let position = 0, last = -1
  for (const [start, end, replacement] of ordered) {
    if (start < position || start === last) {
      throw new InvalidValue('text: two of them changed the same words differently')
    }
    merged.push(...words.slice(position, start), replacement)
    position = end
    last = start
  }
  return [...merged, ...words.slice(position)].join('')
}

export const MERGES = Object.freeze({ max: extreme(Math.max), min: extreme(Math.min), union, sum, text })

// What Python's \s and \w match, which is not what JavaScript's do.
const SPACE = '\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000'
const WORD = '\\p{L}\\p{N}_'
const WORDS = new RegExp(`[${SPACE}]+|[${WORD}]+|[^${SPACE}${WORD}]`, 'gu')
const wordsOf = text => text.match(WORDS) ?? []

// [start, end, replacement] of each stretch of `a` that differs in `b`, as Python's difflib finds them.
const changesOf = (a, b) => {
  const changes = []
  let i = 0, j = 0
  for (const [start, at, size] of [...matches(a, b, 0, a.length, 0, b.length), [a.length, b.length, 0]]) {
    if (start > i || at > j) changes.push([i, start, b.slice(j, at).join('')])
    i = start + size
    j = at + size
  }
  return changes
}
const matches = (a, b, low, high, from, to) => {
  const [i, j, size] = longestMatch(a, b, low, high, from, to)
  if (!size) return []
  return [...matches(a, b, low, i, from, j), [i, j, size], ...matches(a, b, i + size, high, j + size, to)]
}
const longestMatch = (a, b, low, high, from, to) => {
  let best = [low, from, 0], lengths = new Map()
  for (let i = low; i < high; i++) {
    const next = new Map()
    for (let j = from; j < to; j++) {
      if (a[i] !== b[j]) continue
      const size = (lengths.get(j - 1) ?? 0) + 1
      next.set(j, size)
      if (size > best[2]) best = [i - size + 1, j - size + 1, size]
    }
    lengths = next
  }
  return best
}
