"""A data quality report: what was looked at, what was found, and a score. It never changes what it looks at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

THRESHOLD, GOAL = 0.8, 0.9
"""Below the first a document needs somebody's attention; from the second on it is as it should be."""


class Dimension(StrEnum):
    """In what way data can be good or bad."""

    COMPLETENESS = "completeness"
    """What is expected is there."""
    VALIDITY = "validity"
    """What is there can be read, and is what its field may hold."""
    CONSISTENCY = "consistency"
    """It does not contradict what else is there."""
    FRESHNESS = "freshness"
    """It came when it was expected."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    dimension: Dimension
    subject: str
    """What it is about: a product, a cell, a series, an entry."""
    field: str
    value: object
    """What is there, as it was stored; None where nothing is."""
    expected: str


@dataclass(frozen=True, slots=True)
class Assessment:
    """One dimension of a document."""

    dimension: Dimension
    checked: int
    failed: int
    """How many of the checks did not hold."""

    @property
    def score(self) -> float | None:
        """From 0 to 1: the share of checks that held; None where there was nothing to check."""
        return None if not self.checked else 1 - self.failed / self.checked


@dataclass(frozen=True, slots=True)
class DocumentQuality:
    """What was found in one document."""

    document: str
    assessments: tuple[Assessment, ...]
    findings: tuple[Finding, ...]

    @property
    def score(self) -> float | None:
        """The mean of its dimensions, each counted alike; None for a document with nothing to check."""
        return _mean(assessment.score for assessment in self.assessments)

    def of(self, dimension: Dimension) -> Assessment:
        """One dimension."""
        return next(assessment for assessment in self.assessments if assessment.dimension is dimension)


@dataclass(frozen=True, slots=True)
class QualityReport:
    """What was found in a tenant's documents."""

    documents: tuple[DocumentQuality, ...]

    @property
    def score(self) -> float | None:
        """The mean of the documents' scores."""
        return _mean(document.score for document in self.documents)

    @property
    def needs_attention(self) -> list[DocumentQuality]:
        """Documents below the threshold, the worst first."""
        low = [document for document in self.documents if document.score is not None and document.score < THRESHOLD]
        return sorted(low, key=lambda document: (document.score, document.document))


class Checks:
    """Counts checks by dimension and collects what did not hold."""

    def __init__(self, document: str) -> None:
        self._document = document
        self._checked = dict.fromkeys(Dimension, 0)
        self._failed = dict.fromkeys(Dimension, 0)
        self._findings: list[Finding] = []

    def held(self, dimension: Dimension, times: int = 1) -> None:
        """So many checks held."""
        self._checked[dimension] += times

    def failed(self, findings: Sequence[Finding], *, times: int | None = None) -> None:
        """Checks did not hold, one for each finding, or ``times`` that one finding stands for."""
        for finding in findings:
            count = 1 if times is None else times
            self._checked[finding.dimension] += count
            self._failed[finding.dimension] += count
        self._findings += findings

    def result(self) -> DocumentQuality:
        """What has come of it. Findings are ordered by what they are about."""
        assessments = tuple(Assessment(one, self._checked[one], self._failed[one]) for one in Dimension)
        ordered = sorted(
            self._findings, key=lambda found: (found.dimension, found.subject, found.field, found.expected)
        )
        return DocumentQuality(self._document, assessments, tuple(ordered))


def _mean(scores: Iterable[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None
