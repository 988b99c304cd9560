"""The quality of a catalog, and of the movements that are open beside it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ValidationError

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.documents.names import CATALOG
from crdt_sync.documents.quality.expectations import Expectations
from crdt_sync.documents.quality.report import Checks, Dimension, DocumentQuality, Finding
from crdt_sync.documents.roots import Value
from crdt_sync.documents.schema import ATTRIBUTES, META, MOVEMENTS, PERIODS, Fault

MOVEMENTS_SUBJECT = "inventory"
"""The movements of all open periods are looked at together: stock is a sum over all of them."""

_CATALOG_ROOTS = frozenset({ATTRIBUTES, PERIODS, META, "conflict", "resolve", "edits"})


def assess_catalog(inventory: InventoryDocument, expected: Expectations) -> DocumentQuality:
    """Products and locations against their models, what can't be read, and what is in conflict."""
    checks = Checks(CATALOG)
    products, locations = inventory.products(), inventory.locations()
    for sku, fields in products.items():
        _check_fields(checks, f"product {sku}", fields, expected.product)
    for name, fields in locations.items():
        _check_fields(checks, f"location {name}", fields, expected.location)
    attributes = sum(map(len, products.values())) + sum(map(len, locations.values()))
    contested = [
        Finding(
            Dimension.CONSISTENCY,
            f"product {conflict.product}" if conflict.product is not None else f"location {conflict.location}",
            conflict.field,
            [sibling.value for sibling in conflict.siblings],
            "one value, or a resolution that chooses",
        )
        for conflict in inventory.conflicts()
        if conflict.kind != "data_inconsistency"
    ]
    checks.held(Dimension.CONSISTENCY, max(attributes - len(contested), 0))
    checks.failed(contested)
    checks.failed([_unreadable(fault) for fault in inventory.faults() if fault.root in _CATALOG_ROOTS])
    return checks.result()


def assess_movements(inventory: InventoryDocument, expected: Expectations, now_ms: int) -> DocumentQuality:
    """The movements that are open here: which can be read, which contradict each other, and how recent they are."""
    checks = Checks(MOVEMENTS_SUBJECT)
    movements = list(inventory.movements())
    checks.held(Dimension.VALIDITY, len(movements))
    checks.failed([_unreadable(fault) for fault in inventory.faults() if fault.root == MOVEMENTS])
    unknown = inventory.unknown_kinds()
    for kind in sorted(unknown):
        finding = Finding(Dimension.VALIDITY, f"kind {kind}", "kind", unknown[kind], "a kind that this version counts")
        checks.failed([finding], times=unknown[kind])
    broken = _inconsistent_cells(inventory)
    cells = inventory.stock_table()
    checks.held(Dimension.CONSISTENCY, max(len(cells) - len(broken), 0))
    for findings in broken.values():
        # One check a cell, however much is wrong with it; everything is listed.
        checks.failed(findings[:1])
        checks.failed(findings[1:], times=0)
    if expected.movements_every_s is not None:
        _check_age(checks, movements[-1].at_ms if movements else None, expected.movements_every_s, now_ms)
    return checks.result()


def _check_fields(checks: Checks, subject: str, fields: Mapping[str, Value], model: type[BaseModel]) -> None:
    lacking, wrong = set(), []
    try:
        model.model_validate(fields)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            name = str(problem["loc"][0]) if problem["loc"] else ""
            if problem["type"] == "missing":
                lacking.add(name)
            else:
                wrong.append(Finding(Dimension.VALIDITY, subject, name, fields.get(name), problem["msg"]))
    required = {name for name, info in model.model_fields.items() if info.is_required()}
    checks.held(Dimension.COMPLETENESS, len(required - lacking))
    checks.failed(
        [
            Finding(Dimension.COMPLETENESS, subject, name, None, f"a value: {_described(model, name)}")
            for name in sorted(lacking)
        ]
    )
    # A value that fits none of several types is one wrong value, with several reasons.
    by_field = {finding.field: finding for finding in reversed(wrong)}
    checks.held(Dimension.VALIDITY, len(fields.keys() - by_field.keys()))
    checks.failed(list(by_field.values()))


def _described(model: type[BaseModel], name: str) -> str:
    info = model.model_fields[name]
    return info.description or str(info.annotation).removeprefix("<class '").removesuffix("'>")


def _inconsistent_cells(inventory: InventoryDocument) -> dict[tuple[str, str], list[Finding]]:
    broken: dict[tuple[str, str], list[Finding]] = {}

    def add(cell: tuple[str, str], field: str, value: object, expected: str) -> None:
        subject = f"{cell[0]} at {cell[1]}"
        broken.setdefault(cell, []).append(Finding(Dimension.CONSISTENCY, subject, field, value, expected))

    for cell, quantity in inventory.orphans().items():
        add(cell, "orphan", quantity, "a product and a location that the catalog has")
    for oversell in inventory.oversold():
        add((oversell.sku, oversell.location), "stock", oversell.balance, "never below zero")
    for (sku, location, rid), units in inventory.overdrawn().items():
        add((sku, location), f"rights of {rid}", units, "never below zero")
    for count in inventory.idle_counts():
        add((count.sku, count.location), "stock-take", count.mid, "one that saw the one before")
    return broken


def _unreadable(fault: Fault) -> Finding:
    return Finding(
        Dimension.VALIDITY, f"entry {fault.root}/{fault.key}", fault.root, fault.key, f"none that {fault.reason}"
    )


def _check_age(checks: Checks, last_ms: int | None, every_s: int, now_ms: int) -> None:
    if last_ms is not None and now_ms - last_ms <= every_s * 1000:
        checks.held(Dimension.FRESHNESS)
        return
    expected = f"a movement within {every_s} s"
    checks.failed([Finding(Dimension.FRESHNESS, MOVEMENTS_SUBJECT, "latest movement", last_ms, expected)])
