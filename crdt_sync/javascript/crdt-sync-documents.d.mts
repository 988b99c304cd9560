// Types of crdt-sync-documents. They name Yjs by what is needed of it, so that the package depends on nothing.

/** A Y.Doc of yjs 13.6 or later. */
export interface YDoc {
  readonly clientID: number
  getMap(name: string): unknown
  transact<T>(act: () => T, origin?: unknown): T
  on(event: any, listener: any): unknown
  off(event: any, listener: any): unknown
}

/** What an attribute holds. Money is a whole number of minor units; whole numbers lie within ±(2^53 - 1). */
export type Scalar = string | number | boolean | null
export type Value = Scalar | Scalar[]
export type Attributes = Record<string, Value>
export type Policy = 'off' | 'refuse' | 'back-order' | 'allow'
export type Short = Exclude<Policy, 'off'>

export interface Cell { sku: string, location: string }
export interface CellStock extends Cell { stock: number }

/** One entry of the log, as everybody has it. `stamp` is for {@link timeOf}. */
export interface Movement extends Cell {
  period: string
  mid: string
  kind: string
  quantity: number
  /** The replica that wrote it. */
  rid: string
  stamp: number
  ref: string | null
  ext: Record<string, unknown>
}
export type HoldState = 'open' | 'expired' | 'released' | 'confirmed'
export interface Hold { movement: Movement, state: HoldState, endedBy: string | null, untilMs: number | null }
export interface Rights {
  /** Units that each replica may take without asking anybody. */
  of: Record<string, number>
  /** Units that are in stock and in nobody's rights. */
  unassigned: number
  /** Replicas below zero, and by how much. */
  overdrawn: Record<string, number>
}
/** A replica has asked for rights and was not handed all of them yet. */
export interface RightsRequest extends Cell {
  mid: string
  rid: string
  quantity: number
  stamp: number
  answers: Record<string, number>
  missing: number
}
export interface Oversell extends Cell { stamp: number, mid: string, balance: number }
export interface Overdrawn extends Cell { replica: string, units: number }
export interface Fault { root: string, key: string, reason: string }

/** One of the values that stand against each other. */
export interface Sibling {
  tip: string
  value: Value
  /** False where the value is gone. */
  isKnown: boolean
  client: number | null
  /** Who wrote it, as it calls itself; null for a plain page. */
  device: string | null
  stamp: number | null
  /** Whose token it came with, where a relay has noted it. */
  person: string | null
  /** What the field held before, if that is known. */
  base: [Value] | null
}
/** How to close a conflict: what this device wrote, what everybody reads now, the sibling of a tip, any value, or a
 * merge function, with what all began from where {@link Conflict.base} does not know it. */
export type Choice = 'local' | 'server' | string | { accept: string } | { value: Value } |
  { merge: 'max' | 'min' | 'union' | 'sum' | 'text', base?: Value }
export type ConflictKind = 'concurrent_update' | 'update_delete' | 'version_mismatch' | 'data_inconsistency'
export interface Conflict {
  key: string
  product: string | null
  location: string | null
  /** Of a data inconsistency its sort, such as `oversold`. */
  field: string
  kind: ConflictKind
  siblings: Sibling[]
  /** What everybody reads meanwhile; of a data inconsistency the units that it is about. */
  current: Value
  base: [Value] | null
  /** Of a data inconsistency: what it is, for people, and by what it was found. It knows 'server' only. */
  sentence?: string
  evidence?: string[]
  resolve(choice: Choice): void
  /** Of a data inconsistency: somebody has seen it and leaves it as it is. */
  acknowledge?(): void
}
export interface Resolution {
  key: string
  mid: string
  product: string | null
  location: string | null
  field: string
  how: 'local' | 'server' | 'merge' | 'auto'
  value: Value
  device: string
  stamp: number
  siblings: Sibling[]
  evidence: string[]
}

export interface Inventory {
  /** The period that is written to now. */
  readonly period: string
  /** The periods that anybody noted; those whose documents are open here. */
  periods(): string[]
  readonly openPeriods: string[]

  addProduct(sku: string, attributes?: Attributes): void
  addLocation(name: string, attributes?: Attributes): void
  deleteProduct(sku: string): void
  setAttribute(sku: string, field: string, value: Value, options?: { seen?: string, keepStale?: boolean }): void
  setLocationAttribute(name: string, field: string, value: Value): void
  attribute(sku: string, field: string): Value
  locationAttribute(name: string, field: string): Value
  attributes(sku: string): Attributes
  products(): Map<string, Attributes>
  locations(): Map<string, Attributes>
  /** Changes with every write of the field. */
  version(sku: string, field: string): string
  policy(sku: string, at: string): Policy

  receive(sku: string, quantity: number, options: { at: string, ref?: string | null }): string
  sell(sku: string, quantity: number,
    options: { at: string, ref?: string | null, hold?: string | null, short?: Short | null }): string
  adjust(sku: string, delta: number, options: { at: string, ref?: string | null }): string
  transfer(sku: string, quantity: number,
    options: { source: string, to: string, ref?: string | null }): [shipment: string, arrival: string]
  ship(sku: string, quantity: number,
    options: { source: string, to: string, ref?: string | null, recipient?: string | null }): string
  arrive(shipment: string): string
  count(sku: string, counted: number, options: { at: string, ref?: string | null }): string
  hold(sku: string, quantity: number, options: { at: string, untilMs?: number | null, ref?: string | null }): string
  confirm(hold: string): string
  release(hold: string): string
  expire(hold: string): string
  give(sku: string, quantity: number, options: { at: string, to: string, ref?: string | null }): string
  request(sku: string, quantity: number, options: { at: string, ref?: string | null }): string
  reclaim(sku: string, quantity: number, options: { at: string, of?: string | null, ref?: string | null }): string

  stock(sku: string, at: string): number
  onHand(sku: string, at: string): number
  stockTable(): CellStock[]
  rights(sku: string, at: string): Rights
  requests(): RightsRequest[]
  holds(state?: HoldState): Hold[]
  oversold(): Oversell[]
  overdrawn(): Overdrawn[]
  backOrders(): Movement[]
  inTransit(): Movement[]
  idleCounts(): Movement[]
  movements(): Movement[]
  find(mid: string): Movement | null
  refs(): Set<string>
  orphans(): CellStock[]
  unknownKinds(): Record<string, number>
  faults(): Fault[]

  conflicts(about?: { product?: string, location?: string }): Conflict[]
  inconsistencies(): Omit<Conflict, 'resolve'>[]
  /** Resolves what the catalog has a rule for, and returns it. */
  settleConflicts(): Conflict[]
  resolutions(): Resolution[]
}

export interface Sample { at: number, value: number, scaled: bigint, decimals: number, writer: string }
export interface TimeSeries {
  /** False when the same sample is there already. */
  add(at: number, value: number | bigint | string): boolean
  /** All of them or none; returns how many were new. */
  extend(samples: Iterable<[at: number, value: number | bigint | string]>): number
  samples(from?: number, to?: number): Sample[]
  latest(before?: number): Sample | null
}
export interface Bucket {
  startMs: number
  widthS: number
  count: number
  sum: number
  low: number
  high: number
  last: number
  lastMs: number
}
export interface HistogramSlot {
  record(value: number, times?: number): void
  recordAll(values: Iterable<number>): void
  read(): { readonly count: number, quantile(share: number): number | null }
}
export interface DistinctSlot {
  record(text: string): void
  recordAll(texts: Iterable<string>): void
  read(): { readonly estimate: number }
}
export interface Metrics {
  /** This page's name in the slots of the document; new whenever the page is loaded. */
  readonly writer: string
  setGauge(metric: string, entity: string, number: number): void
  gauge(metric: string, entity: string): number | null
  observe(metric: string, entity: string, total: number): void
  count(metric: string, entity: string, by?: number): void
  countTo(metric: string, entity: string, reading: number): void
  counter(metric: string, entity: string): number
  series(metric: string, entity: string, options?: { decimals?: number }): TimeSeries
  buckets(metric: string, entity: string, options: { widthS: number, from?: number, to?: number }): Bucket[]
  histogram(metric: string, entity: string): HistogramSlot
  distinct(metric: string, entity: string): DistinctSlot
}

export interface Change {
  /** Such as `inventory/catalog`. */
  document: string
  root: string
  keys: string[]
  products: string[]
  locations: string[]
  /** Whether this page wrote it. */
  isOwn: boolean
}

export interface Options {
  /** The document inventory/catalog. */
  catalog: YDoc
  /** The documents inventory/{period} by period, loaded. */
  movements?: Record<string, YDoc>
  /** The documents metrics/{period} by period, loaded. */
  metrics?: Record<string, YDoc>
  /** Nobody else may write under this name. By default `web.` and the client id of the catalog. */
  replica?: string
  /** Where to write; by default the UTC month, or the UTC day once the month's document is full or closed. */
  period?: string | (() => string)
  /** Unix milliseconds. */
  now?: () => number
  clock?: HybridClock
}
export interface Documents {
  readonly replica: string
  readonly clock: HybridClock
  readonly inventory: Inventory
  /** The metrics of a period, by default of the one that is written to; null where its document is not open. */
  metrics(period?: string): Metrics | null
  openMovements(period: string, doc: YDoc): void
  openMetrics(period: string, doc: YDoc): void
  /** All that `act` writes goes into the documents together, or, when it throws, nothing. It must not wait. */
  edit<T>(act: () => T): T
  /** Takes back this page's last edit of attributes and returns their keys. */
  undo(): string[]
  onChange(listener: (change: Change) => void): () => void
  close(): void
}
export function openDocuments(options: Options): Documents

/** Stamps: (Unix ms - 2020) * 4096 + counter, strictly increasing. */
export class HybridClock {
  constructor(latest?: number)
  latest: number
  tick(nowMs: number): number
  receive(stamp: number, nowMs: number): boolean
}
export function timeOf(stamp: number): number
export function periodOf(atMs: number): string
export function dayOf(atMs: number): string
export function nfc(text: string): string
export function comp(text: string): string

/** A misuse, told before anything is written. */
export class DocumentError extends Error { readonly code: string }
export class InvalidName extends DocumentError { readonly what: string; readonly value: unknown }
export class InvalidValue extends DocumentError {}
export class QuantityOutOfRange extends DocumentError { readonly quantity: unknown }
export class UnknownProduct extends DocumentError {}
export class UnknownLocation extends DocumentError {}
export class AlreadyExists extends DocumentError {}
export class PeriodClosed extends DocumentError {}
export class WrongKind extends DocumentError {}
export class SchemaTooNew extends DocumentError {}
export class VersionMismatch extends DocumentError {
  readonly key: string
  readonly seen: string
  readonly actual: string
}
export class UnknownSibling extends DocumentError { readonly key: string; readonly tip: string }
export class InsufficientRights extends DocumentError { readonly have: number; readonly want: number }
export class NotTheHolder extends DocumentError { readonly hold: string; readonly holder: string }
export class HoldEnded extends DocumentError { readonly hold: string; readonly state: HoldState }
export class PeriodsMissing extends DocumentError { readonly periods: string[] }
export class NothingToUndo extends DocumentError {}
export class CannotUndo extends DocumentError { readonly reasons: string[]; readonly isFinal: boolean }
