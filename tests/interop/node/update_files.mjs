// node update_files.mjs read FILE: prints what the map "m" and the text "t" of an update file say.
// node update_files.mjs write FILE: writes one with both, and with something deleted.
import { readFileSync, writeFileSync } from 'node:fs'
import * as Y from 'yjs'

const [order, file] = process.argv.slice(2)
const doc = new Y.Doc()
const [map, text] = [doc.getMap('m'), doc.getText('t')]
if (order === 'read') {
  Y.applyUpdate(doc, readFileSync(file))
  process.stdout.write(JSON.stringify({ m: map.toJSON(), t: text.toString() }))
} else {
  map.set('tea', 450)
  map.set('nested', new Y.Map([['deep', [1, 'two', null]]]))
  map.set('gone', 1)
  map.delete('gone')
  text.insert(0, 'hello 🐈 world')
  text.delete(0, 6)
  writeFileSync(file, Y.encodeStateAsUpdate(doc))
}
