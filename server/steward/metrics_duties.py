"""The duties in a tenant's metrics: periods that end, samples that come too late, documents that were kept long enough.

Each asks :attr:`MetricsDocument.upkeep` what is due."""

from __future__ import annotations

from typing import Final

from crdt_sync.documents.metrics.periods import year_of
from crdt_sync.documents.names import metrics_document
from server.steward.duties import Charge


class FoldMetrics:
    """The metrics of a period that ended long enough ago are closed and folded into those of its year."""

    name: Final = "fold-metrics"

    async def run(self, charge: Charge) -> None:
        await self._note_unnoted(charge)
        async with charge.peer.read() as docs:
            rules = docs.inventory.rules()
            due = docs.metrics.upkeep.due_to_close(rules.periods_grace_days)
        for period in due:
            async with charge.peer.edit(metrics=[period, year_of(period)]) as docs:
                docs.metrics.upkeep.close(period, width_s=rules.metrics_width_s)

    async def _note_unnoted(self, charge: Charge) -> None:
        """What nobody has noted would be in no total, and never be folded."""
        async with charge.peer.read() as docs:
            known = docs.metrics.upkeep.periods().periods
        if unknown := charge.visited_metrics - known:
            # Most of them are empty, and then this edit writes nothing.
            async with charge.peer.edit(metrics=unknown) as docs:
                docs.metrics.upkeep.note_unnoted()


class AnswerLate:
    """Whoever writes into metrics that are folded already is told that it came too late."""

    name: Final = "answer-late"

    async def run(self, charge: Charge) -> None:
        async with charge.peer.read() as docs:
            late = docs.metrics.upkeep.late()
        if late:
            async with charge.peer.edit(metrics=[*late, *map(year_of, late)]) as docs:
                docs.metrics.upkeep.answer_late()


class RetireMetrics:
    """Metrics that are folded and were kept for as long as the tenant wants are dropped, for good."""

    name: Final = "retire-metrics"

    async def run(self, charge: Charge) -> None:
        async with charge.peer.read() as docs:
            keep_days = docs.inventory.rules().metrics_keep_days
            due = docs.metrics.upkeep.due_to_retire(keep_days)
        for period in due:
            charge.retire(metrics_document(period), f"folded, and kept for {keep_days} days since")
