// Inventory and metrics of a crdt-sync tenant for a page that keeps its documents with Yjs. Depends on nothing: the
// Y.Docs are the page's own, connected by whatever provider it likes.
import { Changes } from './changes.mjs'
import { Desk } from './drafts.mjs'
import { Inventory } from './inventory.mjs'
import { Metrics } from './metrics.mjs'
import { Undo } from './undo.mjs'
import { HybridClock, checkName, checkPeriod } from './values.mjs'

export * from './errors.mjs'
export { HybridClock, comp, dayOf, nfc, periodOf, timeOf } from './values.mjs'

// `catalog` is the Y.Doc of inventory/catalog, `movements` those of inventory/{period}, `metrics` those of
// metrics/{period}, each by period and loaded. `replica` names this writer: nobody else may write under it.
export const openDocuments = ({
  catalog, movements = {}, metrics = {}, replica = `web.${catalog.clientID}`, period, now = Date.now,
  clock = new HybridClock(),
}) => {
  const desk = new Desk({ replica: checkName('replica', replica), clock, now })
  const changes = new Changes(desk), keepLost = () => inventory.keepLost()
  const inventory = new Inventory(desk, catalog, { movements, period })
  const writer = `${desk.replica}.${now().toString(36)}`
  const faces = new Map()
  const openMetrics = (name, doc) => {
    faces.set(checkPeriod(name), new Metrics(desk, doc, { writer, period: name }))
    changes.watch(`metrics/${name}`, doc)
  }
  const openMovements = (name, doc) => {
    inventory.open(name, doc)
    changes.watch(`inventory/${name}`, doc)
  }
  changes.watch('inventory/catalog', catalog)
  for (const [name, doc] of Object.entries(movements)) changes.watch(`inventory/${name}`, doc)
  for (const [name, doc] of Object.entries(metrics)) openMetrics(name, doc)
  const undo = new Undo(desk, inventory.catalog)
  catalog.on('afterTransaction', keepLost)
  return {
    replica: desk.replica, clock, inventory, openMovements, openMetrics,
    metrics: (name = inventory.period) => faces.get(checkPeriod(name)) ?? null,
    edit: act => desk.edit(act),
    undo: () => undo.undo(),
    onChange: listener => changes.listen(listener),
    close: () => {
      catalog.off('afterTransaction', keepLost)
      changes.close()
      inventory.close()
    },
  }
}
