"""The prices of the retail lines, set by a peer for each country while offline: which conflicts are found."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from itertools import groupby
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.errors import UnknownProduct
from crdt_sync.peer import OfflinePeer
from server.replay.metric_replay import Crew, MetricOptions, MetricReport, crew_with_relay, read_rows, run_command
from server.replay.retail_data import FILE_NAME, UnreadableData

PRICE = "price"
SYNCS = 0.1
"""Share of invoices after which their country syncs."""


class Invoice(NamedTuple):
    country: str
    prices: Mapping[str, int]
    """In pence; of a product that is on it twice, the last one."""


class Write(NamedTuple):
    """One price that somebody set: who, and which of that peer's writes it was."""

    peer: int
    number: int
    pence: int


@dataclass(slots=True)
class Register:
    """What one place knows of one product's price: the writes that no other known write has seen."""

    latest: set[Write] = field(default_factory=set)


class History:
    """Which write had seen which others, by plain bookkeeping; it looks into no document.

    Every write is told what its peer knew then, as the numbers of everybody's writes up to which it had seen them."""

    def __init__(self, peers: int) -> None:
        self._seen = [[0] * peers for _ in range(peers)]
        self._relay = [0] * peers
        self._past: dict[Write, Sequence[int]] = {}
        self._writes: list[defaultdict[str, Register]] = [defaultdict(Register) for _ in range(peers + 1)]

    def write(self, peer: int, product: str, pence: int) -> None:
        """It has seen all that its peer knew, and stands in for it."""
        seen = self._seen[peer]
        seen[peer] += 1
        made = Write(peer, seen[peer], pence)
        self._past[made] = tuple(seen)
        self._writes[peer][product].latest = {made}

    def sync(self, peer: int) -> None:
        """Relay and peer know the same afterwards."""
        mine, theirs = self._writes[peer], self._writes[-1]
        for product in mine.keys() | theirs.keys():
            both = mine[product].latest | theirs[product].latest
            latest = {one for one in both if not any(self._has_seen(other, one) for other in both)}
            mine[product].latest, theirs[product].latest = latest, set(latest)
        merged = [max(pair) for pair in zip(self._seen[peer], self._relay, strict=True)]
        self._seen[peer], self._relay = merged, list(merged)

    def is_contested(self, peer: int, product: str) -> bool:
        """Whether a peer knows of latest writes that differ."""
        register = self._writes[peer].get(product)
        return register is not None and len({one.pence for one in register.latest}) > 1

    def conflicts(self) -> dict[str, str]:
        """The products whose latest writes differ, as far as the relay knows, with their prices as text."""
        found = {product: {one.pence for one in register.latest} for product, register in self._writes[-1].items()}
        return {product: _spelled(prices) for product, prices in found.items() if len(prices) > 1}

    def _has_seen(self, one: Write, other: Write) -> bool:
        return one != other and self._past[one][other.peer] >= other.number


def read_invoices(path: Path, limit: int | None) -> list[Invoice]:
    """The invoices in the order of the file. Raises :class:`UnreadableData`."""
    rows = read_rows(path, FILE_NAME, ("invoice", "stock_code", "unit_price", "country"), limit)
    return [
        Invoice(country, {row["stock_code"]: _pence(row["unit_price"]) for row in lines})
        for (_, country), lines in groupby(rows, key=lambda row: (row["invoice"], row["country"]))
    ]


async def replay_prices(options: MetricOptions) -> MetricReport:
    """Whoever sells at another price than the one it sees sets it; who sees a conflict there resolves it.

    A report without differences says that the open conflicts are those that the history has: of two writes neither
    of which had seen the other, with no third that saw both. Raises :class:`ReplayFailed`, :class:`UnreadableData`,
    :class:`SyncError`."""
    invoices = read_invoices(options.data, options.limit)
    countries = sorted({invoice.country for invoice in invoices})
    report, history = MetricReport(), History(len(countries))
    report.figures |= {"invoices": len(invoices), "countries": len(countries)}
    chance = random.Random(options.seed)  # noqa: S311  syncs to be repeated, no secret
    async with crew_with_relay(options.work, "prices", report) as crew:
        peers = [await crew.hire(f"country-{number}") for number in range(len(countries))]
        shop = Shop(crew, peers, history)
        for invoice in invoices:
            number = countries.index(invoice.country)
            await shop.sell(number, invoice.prices)
            if chance.random() < SYNCS:
                await shop.sync(number)
        for _ in range(2):
            for number in range(len(countries)):
                await shop.sync(number)
        report.figures |= {"prices set": shop.written, "conflicts resolved on the way": shop.resolved}
        await _compare(crew, report, history, peers[0])
    return report


class Shop:
    """The peers at work, and the history that is kept beside them."""

    def __init__(self, crew: Crew, peers: Sequence[OfflinePeer], history: History) -> None:
        self._crew = crew
        self._peers = peers
        self._history = history
        self.written = self.resolved = 0

    async def sell(self, number: int, prices: Mapping[str, int]) -> None:
        """One edit: the prices of an invoice, where they are not those that this country sees."""
        async with self._peers[number].edit() as docs:
            changed = {sku: pence for sku, pence in prices.items() if _price(docs.inventory, sku) != pence}
            # Looked up only where there is something to find: a listing reads all that is contested.
            is_contested = any(self._history.is_contested(number, sku) for sku in changed)
            open_ones = {found.product: found for found in docs.inventory.conflicts()} if is_contested else {}
            for sku, pence in changed.items():
                if sku in open_ones:
                    open_ones[sku].resolve(value=pence)
                    self.resolved += 1
                elif _is_known(docs.inventory, sku):
                    docs.inventory.set_attribute(sku, PRICE, pence)
                else:
                    docs.inventory.add_product(sku, price=pence)
        # Not before the edit is on disk: one that fails has written nothing.
        for sku, pence in changed.items():
            self._history.write(number, sku, pence)
        self.written += len(changed)

    async def sync(self, number: int) -> None:
        await self._crew.sync(self._peers[number])
        self._history.sync(number)


async def _compare(crew: Crew, report: MetricReport, history: History, first: OfflinePeer) -> None:
    reader = await crew.hire("reader")
    await crew.sync(reader)
    for name, peer in {"a fresh peer": reader, "the first country": first}.items():
        async with peer.read() as docs:
            found = {
                str(conflict.product): _spelled(int(str(sibling.value)) for sibling in conflict.siblings)
                for conflict in docs.inventory.conflicts()
                if conflict.field == PRICE
            }
        report.compare(f"conflicts at {name}", found, history.conflicts())
    report.figures["open conflicts"] = len(history.conflicts())
    async with reader.edit() as docs:
        for conflict in docs.inventory.conflicts():
            conflict.resolve("server")
    await crew.sync(reader, first)
    async with first.read() as docs:
        left, trail = docs.inventory.conflicts(), docs.inventory.resolutions()
    if left:
        report.differences.append(f"{len(left)} conflicts are open after all were resolved")
    report.figures["resolutions in the audit trail"] = len(trail)


def _price(inventory: InventoryDocument, sku: str) -> object:
    return inventory.attribute(sku, PRICE) if _is_known(inventory, sku) else None


def _is_known(inventory: InventoryDocument, sku: str) -> bool:
    try:
        inventory.attribute(sku, PRICE)
    except UnknownProduct:
        return False
    return True


def _pence(price: str) -> int:
    try:
        return int(Decimal(price) * 100)
    except InvalidOperation as error:
        raise UnreadableData(f"{price!r} is no price") from error


def _spelled(prices: Iterable[int]) -> str:
    return " or ".join(map(str, sorted(set(prices))))


def retail_prices(
    data: Annotated[Path, typer.Option(help=f"{FILE_NAME}, or the directory that it is in.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first LINES lines.", metavar="LINES")] = None,
    seed: Annotated[int, typer.Option(help="Syncs are drawn from it.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Replay retail prices: a peer for each country sets them offline; conflicts are found and resolved.

    Exit code 0 only when the open conflicts are those that were computed from who had seen what.
    """
    run_command(replay_prices, data, limit, seed, json_file)
