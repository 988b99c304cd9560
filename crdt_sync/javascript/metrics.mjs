// Metrics of one period: gauges, counters, series, histograms and distinct counts. Every writer has slots of its own.
import { InvalidValue, QuantityOutOfRange, WrongKind } from './errors.mjs'
import { buckets } from './rollups.mjs'
import { TimeSeries } from './series.mjs'
import { Histogram, Registers } from './sketches.mjs'
import { INT_MAX, checkName, checkQuantity, checkTotal, comp, join, parseBase36, split, stampIn, whole }
  from './values.mjs'

const prefixOf = (metric, entity) => join(comp(checkName('metric', metric)), comp(checkName('entity', entity)))

export class Metrics {
  #stamp = null // of the samples of this edit
  #generation = 0

  constructor(desk, doc, { writer, period }) {
    const draft = desk.draft(doc)
    Object.assign(this, { desk, draft, writer: checkName('writer', writer), period, part: comp(writer) })
    desk.onEnd(() => { this.#stamp = null })
  }

  // Gauges: what a number is now; of all writers the latest statement counts.

  setGauge(metric, entity, number) {
    this.desk.edit(() => {
      const key = join(prefixOf(metric, entity), this.part)
      if (!Number.isFinite(number) || (Number.isInteger(number) && !Number.isSafeInteger(number))) {
        throw new InvalidValue(`${String(number)} can't be a gauge: a finite number within ±(2**53 - 1) can`)
      }
      this.draft.checkWritable()
      // With a clock that lags, our new number would lose against an older one that we can see.
      for (const { stamp } of this.#gauges()) this.desk.clock.receive(stamp, this.desk.now())
      this.draft.put('g', key, [this.desk.tick(), number])
    })
  }

  gauge(metric, entity) { return this.#latest(this.#gauges(prefixOf(metric, entity))) }

  // A total that somebody else counts: the latest statement counts, and it is never added up.
  observe(metric, entity, total) {
    this.desk.edit(() => {
      checkTotal(total, 'an observed total')
      const prefix = prefixOf(metric, entity) + '/'
      if ([...this.draft.keys('c')].some(key => key.startsWith(prefix))) {
        throw new WrongKind(`'${metric}' of '${entity}' is counted here; what others count needs a name of its own`)
      }
      this.setGauge(metric, entity, total)
    })
  }

  // Counters: what happened here; the total is the sum over all writers.

  count(metric, entity, by = 1) {
    this.desk.edit(() => {
      const key = join(prefixOf(metric, entity), this.part, this.#generation.toString(36)), step = checkQuantity(by)
      this.draft.checkWritable()
      const total = (whole(this.draft.get('c', key)) ?? 0) + step
      if (total > INT_MAX) throw new QuantityOutOfRange(by, "would take this writer's total beyond 2**53 - 1")
      this.draft.put('c', key, total)
    })
  }

  // What a meter of this writer's own reads; a lower reading than before says that it was reset.
  countTo(metric, entity, reading) {
    this.desk.edit(() => {
      checkTotal(reading, 'the reading of a meter')
      const slot = join(prefixOf(metric, entity), this.part) + '/'
      join(slot + '0')
      this.draft.checkWritable()
      const own = [...this.draft.keys('c')].filter(key => key.startsWith(slot))
      const known = own.map(key => parseBase36(key.slice(slot.length)))
      const generation = Math.max(0, ...known.filter(number => number !== null))
      const isReset = reading < (whole(this.draft.get('c', slot + generation.toString(36))) ?? 0)
      this.draft.put('c', slot + (generation + Number(isReset)).toString(36), reading)
    })
  }

  counter(metric, entity) {
    return this.#slots('c', prefixOf(metric, entity), 4, count => stampIn(count) !== null)
      .reduce((sum, [, count]) => sum + count, 0)
  }

  // Samples, and what they come to.

  series(metric, entity, { decimals = 0 } = {}) {
    return new TimeSeries(this, () => prefixOf(metric, entity), decimals)
  }

  // A series in buckets of `widthS` seconds, from its rollups and the samples that they do not cover.
  buckets(metric, entity, { widthS, from = 0, to = INT_MAX }) {
    return buckets(this.draft, prefixOf(metric, entity), widthS, from, to)
  }

  histogram(metric, entity) {
    return this.#sketch('h', prefixOf(metric, entity), [this.#generation.toString(36)], 4, Histogram)
  }

  distinct(metric, entity) { return this.#sketch('d', prefixOf(metric, entity), [], 3, Registers) }

  // One stamp for all samples of an edit, later than those that they may have to replace.
  stampAfter(seen) {
    const now = this.desk.now(), adopted = seen.filter(stamp => this.desk.clock.receive(stamp, now))
    if (this.#stamp === null || adopted.some(stamp => stamp >= this.#stamp)) this.#stamp = this.desk.tick()
    return this.#stamp
  }

  #sketch(root, prefix, more, parts, Sketch) {
    const key = join(prefix, this.part, ...more), { draft } = this
    const isBytes = value => value instanceof Uint8Array
    return {
      record: (value, times) => this.#record(root, key, Sketch, slot => [slot.record(value, times)]),
      recordAll: values => this.#record(root, key, Sketch, slot => [...values].map(value => slot.record(value))),
      read: () => {
        const all = new Sketch()
        for (const [, bytes] of this.#slots(root, prefix, parts, isBytes, draft)) {
          const slot = decoded(bytes, Sketch)
          if (slot) root === 'h' ? all.add(slot) : all.join(slot)
        }
        return all
      },
    }
  }

  #record(root, key, Sketch, act) {
    this.desk.edit(() => {
      const before = this.draft.get(root, key), slot = before === null ? new Sketch() : decoded(before, Sketch)
      // Only this page writes its slot: going on over what somebody else left there would lose either's counts.
      if (!slot) throw new InvalidValue(`the slot ${key} of this writer was overwritten`)
      const outcomes = act(slot)
      this.draft.checkWritable()
      if (root === 'h' || outcomes.includes(true)) this.draft.put(root, key, slot.encode())
    })
  }

  #slots(root, prefix, parts, isSlot) {
    return [...this.draft.entries(root)].filter(([key, slot]) =>
      (prefix === null || key.startsWith(prefix + '/')) && split(key, parts) !== null && isSlot(slot))
  }

  #gauges(prefix = null) {
    const isGauge = slot => Array.isArray(slot) && stampIn(slot[0]) !== null && Number.isFinite(slot[1])
    return this.#slots('g', prefix, 3, isGauge).map(([key, [stamp, number]]) => ({ key, stamp, number }))
  }

  #latest(slots) {
    const isLater = (a, b) => a.stamp !== b.stamp ? a.stamp > b.stamp : a.key > b.key
    return slots.reduce((a, b) => a && isLater(a, b) ? a : b, null)?.number ?? null
  }
}

const decoded = (bytes, Sketch) => {
  if (!(bytes instanceof Uint8Array)) return null
  try {
    return Sketch.decode(bytes)
  } catch (error) {
    if (error instanceof InvalidValue) return null
    throw error
  }
}
