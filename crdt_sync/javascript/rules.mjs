// What an operator configures for a tenant: root `rules` of the catalog, so that everybody goes by the same.
import { MERGES } from './merges.mjs'
import { isText, uncomp, whole } from './values.mjs'

const MERGE = 'merge/', QUALITY = 'quality/'
const bounds = (least, most, unit) => Object.freeze({ least, most, unit })
const NUMBERS = Object.freeze({
  'rights/keep': bounds(0, 100, 'percent'), 'rights/lapse': bounds(1, 36_500, 'days'),
  'periods/grace': bounds(0, 36_500, 'days'), 'metrics/keep': bounds(0, 36_500, 'days'),
  'metrics/width': bounds(1, 31 * 86_400, 'seconds'),
})

const fieldOf = key => {
  const about = key.startsWith(MERGE) ? uncomp(key.slice(MERGE.length)) : null
  return about?.startsWith('$') ? null : about
}
const flawOf = (key, value) => {
  if (fieldOf(key) !== null) {
    const isFunction = isText(value) && Object.hasOwn(MERGES, value)
    return isFunction ? null : `is no merge function: ${Object.keys(MERGES).sort().join(', ')} are`
  }
  if (!Object.hasOwn(NUMBERS, key)) return 'is no rule that this version knows'
  const { least, most, unit } = NUMBERS[key]
  if (whole(value) !== null && value >= least && value <= most) return null
  return `is not what this rule takes: a whole number of ${unit} from ${least} to ${most}`
}

// By field the merge function that closes its conflicts, and why other entries are ignored.
export const readRules = catalog => {
  const merges = new Map(), faults = []
  for (const [key, value] of catalog.entries('rules')) {
    const field = fieldOf(key), isOff = value === null && (field !== null || Object.hasOwn(NUMBERS, key))
    if (key.startsWith(QUALITY) || isOff) continue
    const reason = flawOf(key, value)
    if (reason !== null) faults.push({ root: 'rules', key, reason })
    else if (field !== null) merges.set(field, value)
  }
  return { merges, faults }
}
