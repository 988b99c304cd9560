"""What came out of a replay: figures, and every difference between what was read and what the file says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from server.replay.crew import Ledger
from server.replay.plan import Plan
from server.replay.relay_process import RelayFigures
from server.replay.retail_data import Cell, RetailData

SHOWN_MAX = 20
Figure: TypeAlias = int | float | str | None


@dataclass(frozen=True, slots=True)
class Difference:
    """One cell that a reader saw otherwise; None where it had no such cell."""

    reader: str
    cell: Cell
    expected: int | None
    read: int | None


@dataclass(frozen=True, slots=True)
class RetailReport:
    """A replay that went through."""

    seed: int
    data: RetailData
    plan: Plan
    ledger: Ledger
    relay: RelayFigures | None
    """None for a relay that runs elsewhere: its memory and its files are not ours to look at."""
    expected: Mapping[Cell, int]
    tables: Mapping[str, Mapping[Cell, int]]
    """The stock table that each reader saw."""
    peer_bytes: int
    phases_s: Mapping[str, float]
    seconds: float

    def differences(self) -> list[Difference]:
        """Empty when every reader agrees with the file."""
        expected = self.expected
        return [
            Difference(reader, cell, expected.get(cell), table.get(cell))
            for reader, table in self.tables.items()
            if table != expected
            for cell in sorted(expected.keys() | table.keys())
            if expected.get(cell) != table.get(cell)
        ]

    def figures(self) -> dict[str, Figure]:
        """By name; sizes in bytes, times in seconds, None for what could not be measured."""
        data, ledger, relay = self.data, self.ledger, self.relay
        return {
            "seed": self.seed,
            "lines": data.lines,
            "lines of quantity 0": data.empty_lines,
            "movements": sum(len(invoice.lines) for invoice in data.invoices),
            "edits (invoices)": ledger.edits,
            "countries": len(data.countries),
            "peers": len(self.plan.peers),
            "offline stretches": len(self.plan.stretches),
            "syncs": ledger.syncs,
            "sync retries": ledger.retries,
            "kills in an edit": ledger.kills["edit"],
            "kills in a sync": ledger.kills["sync"],
            "edits found again after kills": ledger.found_again,
            "cells (product, country)": len(self.expected),
            "readers": len(self.tables),
            "differences": len(self.differences()),
            "bytes in the peers' files": self.peer_bytes,
            "bytes stored by the relay": None if relay is None else relay.stored_bytes,
            "relay's peak memory": None if relay is None else relay.peak_bytes,
            "its scribe's peak memory": None if relay is None else relay.scribe_peak_bytes,
            "a peer process's peak memory": ledger.peer_peak_bytes,
            "relay's verify": None if relay is None else relay.verify,
            **{f"seconds {phase}": round(seconds, 1) for phase, seconds in self.phases_s.items()},
            "seconds": round(self.seconds, 1),
        }


def render(report: RetailReport) -> str:
    """The table of figures, and one of differences where there are any."""
    rows = [(name, _shown(name, figure)) for name, figure in report.figures().items()]
    width = max(len(name) for name, _ in rows)
    text = "\n".join(f"{name:<{width}}  {figure:>14}" for name, figure in rows)
    differences = report.differences()
    return f"{text}\n\n{_render_differences(differences)}" if differences else text


def _render_differences(differences: Sequence[Difference]) -> str:
    lines = [f"{'reader':<12} {'product':<16} {'country':<22} {'in the file':>12} {'read':>12}"]
    for reader, (code, country), expected, read in (
        (one.reader, one.cell, one.expected, one.read) for one in differences[:SHOWN_MAX]
    ):
        lines.append(f"{reader:<12} {code:<16} {country:<22} {_number(expected):>12} {_number(read):>12}")
    if len(differences) > SHOWN_MAX:
        lines.append(f"and {len(differences) - SHOWN_MAX:,} more")
    return "\n".join(lines)


def _number(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _shown(name: str, figure: Figure) -> str:
    match figure:
        case None:
            return "not measured"
        case int() if "memory" in name or "bytes" in name:
            return f"{figure / 1e6:,.1f} MB"
        case int() if name != "seed":
            return f"{figure:,}"
        case _:
            return str(figure)
