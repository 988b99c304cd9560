"""Figures that are derived from samples: each defined once, in exact decimals, the same on every machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Context, Decimal
from fractions import Fraction

from crdt_sync.documents.metrics.tracks import Sample
from crdt_sync.documents.schema import INT_MAX
from crdt_sync.errors import QuantityOutOfRange

PLACES = 6
"""A derived figure is rounded to so many places, half to even."""


def check_total(name: str, total: object) -> int:
    """Return a total, or raise :class:`QuantityOutOfRange` unless it is a whole number from 0 to 2**53 - 1."""
    if type(total) is not int or not 0 <= total <= INT_MAX:
        raise QuantityOutOfRange(total, f"{name} is a whole number from 0 to 2**53 - 1")
    return total


def ratio(numerator: int | Decimal | Fraction, denominator: int | Decimal | Fraction) -> Decimal | None:
    """The quotient, rounded to six places; None where the denominator is 0."""
    if not denominator:
        return None
    return rounded(Fraction(numerator) / Fraction(denominator))


def rounded(exact: Fraction) -> Decimal:
    scaled = round(exact * 10**PLACES)
    return Decimal(scaled).scaleb(-PLACES, Context(prec=max(28, len(str(scaled)) + 1)))


def latest_before(samples: Sequence[Sample], at_ms: int) -> int | None:
    """The last total before ``at_ms``; None when there is none, or it is no whole number."""
    for sample in reversed(samples):
        if sample.at_ms < at_ms:
            return sample.value if isinstance(sample.value, int) else None
    return None


def grown(samples: Sequence[Sample], from_ms: int, to_ms: int) -> int | None:
    """By how much a total grew from ``from_ms`` to before ``to_ms``: from its last sample before, or else its first
    one within. None without samples to compare."""
    last = latest_before(samples, to_ms)
    first = latest_before(samples, from_ms)
    if first is None:
        first = next(
            (one.value for one in samples if from_ms <= one.at_ms < to_ms and isinstance(one.value, int)), None
        )
    return None if last is None or first is None else last - first


def given(fields: Mapping[str, int | None]) -> dict[str, int]:
    """The fields that are not None, each checked to be a total. Raises :class:`QuantityOutOfRange`."""
    return {name: check_total(name, value) for name, value in fields.items() if value is not None}
