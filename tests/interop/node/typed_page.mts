// A page that is only compiled: it uses everything that crdt-sync-documents offers, as its types say.
import * as Y from 'yjs'
import {
  CannotUndo, DocumentError, HybridClock, InsufficientRights, openDocuments, periodOf, timeOf,
  type Change, type Conflict, type Documents, type Sample,
} from 'crdt-sync-documents'

const period = periodOf(Date.now())
const docs: Documents = openDocuments({
  catalog: new Y.Doc(), movements: { [period]: new Y.Doc() }, metrics: { [period]: new Y.Doc() }, replica: 'web.1',
  period: () => period, now: () => 1, clock: new HybridClock(),
})
const { inventory } = docs
inventory.addProduct('shirt', { price: 1250, sizes: ['S', 'M'] })
inventory.setAttribute('shirt', 'price', 1300, { seen: inventory.version('shirt', 'price'), keepStale: true })
const price: string | number | boolean | null | (string | number | boolean | null)[] = inventory.attribute('shirt', 'price')
const [shipment] = inventory.transfer('shirt', 2, { source: 'A', to: 'B' })
inventory.sell('shirt', 1, { at: 'A', short: 'back-order' })
// @ts-expect-error a policy that does not exist
inventory.sell('shirt', 1, { at: 'A', short: 'never' })
// @ts-expect-error nobody knows where
inventory.sell('shirt', 1, {})
try {
  docs.edit(() => inventory.hold('shirt', 1, { at: 'A', untilMs: Date.now() }))
} catch (error) {
  if (error instanceof InsufficientRights) inventory.request('shirt', error.want - error.have, { at: 'A' })
  else if (error instanceof CannotUndo) console.log(error.reasons)
  else if (error instanceof DocumentError) console.log(error.code)
}
const open: Conflict[] = inventory.conflicts({ product: 'shirt' })
open[0].resolve('local')
open[0].resolve({ merge: 'sum', base: 10 })
open[0].resolve({ value: [1, 'a'] })
// @ts-expect-error a function that is not registered
open[0].resolve({ merge: 'average' })
const samples: Sample[] | undefined = docs.metrics()?.series('mentions', 'AAPL', { decimals: 2 }).samples()
docs.metrics(period)?.histogram('load', 'till').read().quantile(0.99)?.toFixed()
const stop: () => void = docs.onChange((change: Change) => console.log(change.products, change.isOwn))
console.log(price, shipment, samples, timeOf(inventory.movements()[0].stamp), docs.undo(), stop)
