"""What do our encodings cost beside the naive ones: bytes of the document, time to load it, time to read it?

Prediction: nested maps save a fifth of the bytes of products and load faster; movements as objects with names take
three times the bytes. Both lose writes when two sides create one map at once, which no number here shows. One flat
map of numbers takes 40 bytes a sample, packed chunks a tenth of that.

Load is what a peer does: bytes into a fresh document. Read is all of it as plain values.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from pycrdt import Doc, Map

from crdt_sync.documents.clock import HybridClock
from crdt_sync.documents.keys import comp, product_key
from crdt_sync.documents.metrics.metrics_document import MetricsDocument
from crdt_sync.documents.roots import Draft
from crdt_sync.replica import Replica, Write

PRODUCTS, MOVEMENTS, SERIES, MINUTES = 10_000, 100_000, 1_000, 1_440
NOW_MS, STAMP = 1_795_000_000_000, 889_500_467_200_000
DAY_MS = NOW_MS - NOW_MS % 86_400_000 - 86_400_000
REPEATS, PORTION = 3, 1_000


@dataclass(frozen=True, slots=True)
class Figures:
    what: str
    encoding: str
    count: int
    bytes: int
    load_ms: float
    read_ms: float


def product(number: int) -> dict[str, object]:
    return {
        "$life": "active",
        "name": f"Product number {number}",
        "price": 100 + number % 9_000,
        "barcode": f"50{number:011d}",
        "unit": "piece",
        "reorder_level": number % 40,
    }


def movement(random: Random, number: int) -> list[object]:
    kind = random.choice(["rcv", "sale", "adj"])
    return [kind, f"sku-{random.randrange(200)}", f"shop-{random.randrange(5)}", random.randint(1, 9), "till-1",
            STAMP + number * 4096]  # fmt: skip


def flat_products() -> bytes:
    replica = Replica()
    for start in range(0, PRODUCTS, PORTION):
        replica.write(
            [
                Write(
                    "attr",
                    f"{comp(f'sku-{number}')}/$life" if field == "$life" else product_key(f"sku-{number}", field),
                    value,
                )
                for number in range(start, start + PORTION)
                for field, value in product(number).items()
            ]
        )
    return replica.snapshot()


def nested(count: int, entry: Callable[[int], dict[str, object]], key: Callable[[int], str]) -> bytes:
    doc: Doc[Map] = Doc()
    root = doc.get("root", type=Map)
    for start in range(0, count, PORTION):
        with doc.transaction():
            for number in range(start, start + PORTION):
                root[key(number)] = Map(entry(number))
    return doc.get_update()


def logged_movements() -> bytes:
    random, replica = Random(1), Replica()
    for start in range(0, MOVEMENTS, PORTION):
        replica.write(
            [Write("mv", f"s.{number}", movement(random, number)) for number in range(start, start + PORTION)]
        )
    return replica.snapshot()


def named(random: Random, number: int) -> dict[str, object]:
    return dict(zip(("kind", "product", "place", "quantity", "by", "at"), movement(random, number), strict=True))


def samples() -> Iterator[tuple[int, list[tuple[int, int]]]]:
    random = Random(2)
    for series in range(SERIES):
        value, points = 500, []
        for minute in range(MINUTES):
            value = max(0, value + random.randint(-9, 9))
            points.append((DAY_MS + minute * 60_000, value))
        yield series, points


def packed_series() -> bytes:
    replica = Replica()
    clock = HybridClock()
    for series, points in samples():
        draft = Draft(replica)
        metrics = MetricsDocument(draft, wid="collector.1", clock=clock, now_ms=lambda: NOW_MS)
        metrics.series("mentions", f"s{series}").extend(points)
        replica.write([Write(*write) for write in draft.end()])
    return replica.snapshot()


def flat_numbers() -> bytes:
    doc: Doc[Map] = Doc()
    root = doc.get("root", type=Map)
    for series, points in samples():
        with doc.transaction():
            for at_ms, value in points:
                root[f"mentions/s{series}/{at_ms}"] = value
    return doc.get_update()


def measured(what: str, encoding: str, count: int, state: bytes, *, read: bool = True) -> Figures:
    loads, reads = [], []
    for _ in range(REPEATS):
        started_s = time.perf_counter()
        doc: Doc[Map] = Doc()
        doc.apply_update(state)
        loads.append(time.perf_counter() - started_s)
        started_s = time.perf_counter()
        for root in list(doc.keys()) if read else ():
            json.loads(str(doc.get(root, type=Map)))
        reads.append(time.perf_counter() - started_s)
    return Figures(what, encoding, count, len(state), min(loads) * 1e3, min(reads) * 1e3)


def read_packed(state: bytes) -> float:
    doc = Replica()
    doc.merge(state)
    metrics = MetricsDocument(Draft(doc), wid="reader.1", clock=HybridClock(), now_ms=lambda: NOW_MS)
    started_s = time.perf_counter()
    found = metrics.all_samples("mentions")
    assert sum(map(len, found.values())) == SERIES * MINUTES
    return (time.perf_counter() - started_s) * 1e3


def figures() -> Iterator[Figures]:
    yield measured("products x 6", "flat map (ours)", PRODUCTS, flat_products())
    yield measured("products x 6", "nested maps", PRODUCTS, nested(PRODUCTS, product, lambda n: f"sku-{n}"))
    yield measured("movements", "list per id (ours)", MOVEMENTS, logged_movements())
    random = Random(1)
    yield measured(
        "movements", "nested maps", MOVEMENTS, nested(MOVEMENTS, lambda n: named(random, n), lambda n: f"s.{n}")
    )
    packed = packed_series()
    ours = measured("samples", "packed chunks (ours)", SERIES * MINUTES, packed, read=False)
    yield Figures(ours.what, ours.encoding, ours.count, ours.bytes, ours.load_ms, read_packed(packed))
    yield measured("samples", "flat map of numbers", SERIES * MINUTES, flat_numbers())


def main() -> None:
    print(f"{'what':<14} {'encoding':<22} {'count':>10} {'MB':>7} {'B each':>7} {'load ms':>8} {'read ms':>8}")
    for one in figures():
        each = one.bytes / one.count
        print(
            f"{one.what:<14} {one.encoding:<22} {one.count:>10,} {one.bytes / 1e6:>7.2f} {each:>7.2f} "
            f"{one.load_ms:>8.0f} {one.read_ms:>8.0f}"
        )


if __name__ == "__main__":
    main()
