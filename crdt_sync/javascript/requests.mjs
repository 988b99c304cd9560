// Requests for rights: `want` movements that were not answered in full yet.
import { nfc } from './values.mjs'

// Of one replica only the latest for a cell counts: it knows best what it still needs. The oldest first.
export const openRequests = rows => {
  const latest = new Map(), answers = new Map(), found = []
  for (const [mid, row] of rows) {
    const [kind, sku, location, , rid, stamp, ref] = row
    if (kind === 'xfer' && ref != null) answers.set(ref, [...answers.get(ref) ?? [], row])
    if (kind !== 'want') continue
    const asked = JSON.stringify([nfc(sku), nfc(location), rid]), held = latest.get(asked)
    if (!held || stamp > held.stamp || (stamp === held.stamp && mid > held.mid)) latest.set(asked, { mid, stamp, row })
  }
  for (const { mid, stamp, row } of latest.values()) {
    const sku = nfc(row[1]), location = nfc(row[2]), rid = row[4], given = {}
    for (const answer of answers.get(mid) ?? []) {
      if (answer[7].to !== rid || nfc(answer[1]) !== sku || nfc(answer[2]) !== location) continue
      const giver = answer[7].from ?? answer[4]
      given[giver] = (given[giver] ?? 0) + answer[3]
    }
    const missing = Object.values(given).reduce((rest, units) => rest - units, row[3])
    if (missing > 0) found.push({ mid, sku, location, rid, quantity: row[3], stamp, answers: given, missing })
  }
  return found.sort((a, b) => a.stamp - b.stamp || (a.mid < b.mid ? -1 : 1))
}
