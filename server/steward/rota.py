"""Which duties there are, in the order in which they are done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from server.steward.duties import Duty
from server.steward.inventory_duties import (
    AnswerRequests,
    FoldPeriods,
    NoteIncidents,
    ReclaimRights,
    RehomeLate,
    SettleConflicts,
)
from server.steward.metrics_duties import AnswerLate, FoldMetrics, RetireMetrics

DUTIES: Final[Sequence[Duty]] = (
    SettleConflicts(),
    # What is late is moved on before anything is judged by what there is.
    RehomeLate(),
    NoteIncidents(),
    ReclaimRights(),
    AnswerRequests(),
    FoldPeriods(),
    FoldMetrics(),
    AnswerLate(),
    RetireMetrics(),
)
