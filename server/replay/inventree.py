"""InvenTree's stock movements: a peer for each location, goods that travel between them, months of three years."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from crdt_sync.documents.names import period_of
from crdt_sync.peer import OfflinePeer
from server.replay.metric_replay import (
    Crew,
    MetricOptions,
    MetricReport,
    crew_with_relay,
    read_rows,
    run_command,
    unix_ms,
)
from server.replay.retail_data import UnreadableData

FILE_NAME, ITEMS_NAME = "inventree_tracking.csv.gz", "inventree_stock_items.csv.gz"
NOWHERE = "nowhere"
"""Where items are that InvenTree has at no location."""
SYNCS = 0.1
"""Share of movements after which their peer syncs."""
UNITS = 1000
"""A unit of ours is a thousandth of theirs: some parts are counted in metres."""

SENT, RETURNED, INSTALLED = "100", "80", "35"
"""Codes by which an item leaves the stock with all that it has, and comes back."""


class Step(NamedTuple):
    """What one entry of the history does to an item."""

    entry: str
    at_ms: int
    part: str
    source: str | None
    """None when it was in no stock before."""
    before: int
    to: str | None
    after: int


@dataclass(slots=True)
class Item:
    """A stock item as its history has left it. Quantities in thousandths."""

    part: str
    location: str = NOWHERE
    quantity: int = 0
    is_out: bool = False

    @property
    def place(self) -> tuple[str, int] | None:
        return (self.location, self.quantity) if self.quantity and not self.is_out else None


def read_steps(folder: Path, limit: int | None) -> tuple[list[Step], dict[str, Item]]:
    """The history as steps in time, and how it leaves every item. Raises :class:`UnreadableData`."""
    parts = {row["id"]: row["part"] for row in read_rows(folder, ITEMS_NAME, ("id", "part"), None)}
    items: dict[str, Item] = {}
    steps = []
    columns = ("id", "ts", "item", "tracking_type", "deltas_json")
    for row in read_rows(folder, FILE_NAME, columns, limit):
        part = parts.get(row["item"])
        if part is None:
            raise UnreadableData(f"entry {row['id']} is about item {row['item']}, which {ITEMS_NAME} has not")
        item = items.setdefault(row["item"], Item(part))
        before = item.place
        _change(item, row["tracking_type"], row["deltas_json"])
        after = item.place
        if before != after:
            (source, had), (to, has) = before or (None, 0), after or (None, 0)
            steps.append(Step(row["id"], unix_ms(row["ts"][:19]), part, source, had, to, has))
    return steps, items


def _change(item: Item, code: str, deltas: str) -> None:
    try:
        change = json.loads(deltas or "{}", parse_float=Decimal)
        quantity = Decimal(change.get("quantity", Decimal(item.quantity) / UNITS)) * UNITS
        item.quantity, item.location = int(quantity), str(change.get("location", item.location))
    except (ValueError, AttributeError, InvalidOperation) as error:
        raise UnreadableData(f"{deltas[:80]!r} says no change of an item: {error}") from error
    if quantity != item.quantity:
        raise UnreadableData(f"{quantity / UNITS} is finer than a thousandth")
    if code in (SENT, INSTALLED):
        item.is_out = True
    elif code == RETURNED:
        item.is_out = False


async def replay_inventree(options: MetricOptions) -> MetricReport:
    """Every location's peer records what happens there; goods that move are shipped by one and booked in by another.

    A report without differences says that what a fresh peer reads equals the state that the history ends in. Raises
    :class:`ReplayFailed`, :class:`UnreadableData`, :class:`SyncError`."""
    steps, items = read_steps(options.data, options.limit)
    expected: Counter[tuple[str, str]] = Counter()
    for item in items.values():
        if (place := item.place) is not None:
            expected[item.part, place[0]] += place[1]
    report = MetricReport()
    locations = sorted({place for step in steps for place in (step.source, step.to) if place is not None})
    report.figures |= {
        "entries that change stock": len(steps),
        "items": len(items),
        "parts": len({item.part for item in items.values()}),
        "locations": len(locations),
        "periods": len({period_of(step.at_ms) for step in steps}),
    }
    async with crew_with_relay(options.work, "inventree", report) as crew:
        peers = {location: await crew.hire(f"location-{location}") for location in locations}
        await _stock_up(crew, peers, sorted({step.part for step in steps}))
        chance = random.Random(options.seed)  # noqa: S311  syncs to be repeated, no secret
        recorded = await _record_all(crew, peers, steps, chance)
        await crew.sync(*peers.values())
        await crew.sync(*peers.values())
        reader = await crew.hire("reader")
        await crew.sync(reader)
        for name, peer in {"a fresh peer": reader, "the first location": peers[locations[0]]}.items():
            await _compare(report, name, peer, expected)
        report.figures["movements"] = recorded
    return report


async def _stock_up(crew: Crew, peers: dict[str, OfflinePeer], parts: Sequence[str]) -> None:
    """One peer knows the catalog, and all others learn it."""
    first, *others = peers.values()
    async with first.edit() as docs:
        for part in parts:
            docs.inventory.add_product(part)
        for location in peers:
            docs.inventory.add_location(location)
    await crew.sync(first, *others)


async def _record_all(crew: Crew, peers: dict[str, OfflinePeer], steps: Sequence[Step], chance: random.Random) -> int:
    recorded = 0
    for step in steps:
        if step.source is not None and step.to is not None and step.source != step.to:
            recorded += await _move(crew, peers, step)
            continue
        place = step.to if step.to is not None else step.source
        assert place is not None, "a step comes from somewhere or goes somewhere"
        async with peers[place].edit(period=period_of(step.at_ms)) as docs:
            if step.source is None:
                docs.inventory.receive(step.part, step.after, at=place, ref=step.entry)
            elif step.to is None:
                docs.inventory.sell(step.part, step.before, at=place, ref=step.entry)
            else:
                docs.inventory.adjust(step.part, step.after - step.before, at=place, ref=step.entry)
        recorded += 1
        if chance.random() < SYNCS:
            await crew.sync(peers[place])
    return recorded


async def _move(crew: Crew, peers: dict[str, OfflinePeer], step: Step) -> int:
    """What is sent off here is booked in there, once it is known there; and once more by somebody in a hurry."""
    assert step.source is not None
    assert step.to is not None
    sender, receiver = peers[step.source], peers[step.to]
    period = period_of(step.at_ms)
    extra = step.after - step.before
    async with sender.edit(period=period) as docs:
        shipment = docs.inventory.ship(step.part, step.before, source=step.source, to=step.to, ref=step.entry)
    await crew.sync(sender, receiver)
    async with sender.edit(period=period) as docs:
        docs.inventory.arrive(shipment)
    async with receiver.edit(period=period) as docs:
        docs.inventory.arrive(shipment)
        if extra:
            docs.inventory.adjust(step.part, extra, at=step.to, ref=step.entry)
    return 3 + bool(extra)


async def _compare(report: MetricReport, name: str, peer: OfflinePeer, expected: Counter[tuple[str, str]]) -> None:
    async with peer.read() as docs:
        read = dict(_named(docs.inventory.stock_table().items()))
        report.compare(f"cells of {name}", read, dict(_named(expected.items())))
        faults = docs.inventory.faults()
    if faults:
        report.differences.append(f"{name} reports {len(faults)} faults, such as {faults[0]}")


def _named(cells: Iterable[tuple[tuple[str, str], int]]) -> Iterator[tuple[str, int]]:
    """Cells that hold something, by a name that a report can show."""
    for (part, location), quantity in cells:
        if quantity:
            yield f"{part} at {location}", quantity


def inventree(
    data: Annotated[Path, typer.Option(help=f"The directory with {FILE_NAME} and {ITEMS_NAME}.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first ROWS entries.", metavar="ROWS")] = None,
    seed: Annotated[int, typer.Option(help="Syncs are drawn from it.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Replay InvenTree's stock history: a peer for each location, shipments between them, three years of months.

    Exit code 0 only when the stock that peers read equals the state that the history ends in.
    """
    run_command(replay_inventree, data, limit, seed, json_file)
