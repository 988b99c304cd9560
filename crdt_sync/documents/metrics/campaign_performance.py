"""Campaigns: whom they reached, who engaged, what was spent and what came back, by variant and region.

Series ``campaign.reach``, ``campaign.engagements`` (whole numbers), ``campaign.spend`` and ``campaign.revenue`` (four
decimals, in the campaign's currency). The entity is ``{campaign}``, ``{campaign}|{variant}`` or
``{campaign}|{variant}|{region}``, each part percent-encoded as in keys. A sample is an **amount of its interval**, at
the time at which the interval begins, not a running total; so a stretch of time is the sum of its samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from typing import NamedTuple

from crdt_sync.documents.keys import check_name, comp, uncomp
from crdt_sync.documents.metrics.derived import check_total, ratio, rounded
from crdt_sync.documents.metrics.metrics_document import MetricsDocument
from crdt_sync.documents.metrics.series import extend_together, scale
from crdt_sync.documents.schema import INT_MAX
from crdt_sync.errors import InvalidValue

MONEY_DECIMALS = 4
FIELDS: Mapping[str, int] = {"reach": 0, "engagements": 0, "spend": MONEY_DECIMALS, "revenue": MONEY_DECIMALS}
"""Each series and its decimals."""

GOOD_ENGAGEMENT_RATE = Fraction(5, 100)
GOOD_ROI = Fraction(1)

_EXACT = Context(prec=100)
_PARTS_MAX = 3


class Slice(NamedTuple):
    """What figures are about; an empty text stands for "not told apart"."""

    campaign: str
    variant: str = ""
    region: str = ""

    @property
    def entity(self) -> str:
        """As it is written. Raises :class:`InvalidName`."""
        parts = [comp(check_name("campaign", self.campaign)), *(comp(part) for part in self[1:])]
        while not parts[-1]:
            parts.pop()
        return "|".join(parts)

    @classmethod
    def parse(cls, entity: str) -> Slice | None:
        """None for an entity that is no slice of a campaign."""
        parts = entity.split("|")
        texts = [uncomp(part) if part else "" for part in parts]
        known = [text for text in texts if text is not None]
        if len(known) != len(texts) or len(parts) > _PARTS_MAX or not parts[0] or not parts[-1]:
            return None
        return cls(*known)


@dataclass(frozen=True, slots=True)
class CampaignFigures:
    """Sums over a stretch of time."""

    reach: int = 0
    engagements: int = 0
    spend: Decimal = Decimal(0)
    revenue: Decimal = Decimal(0)

    def plus(self, other: CampaignFigures) -> CampaignFigures:
        return CampaignFigures(
            self.reach + other.reach,
            self.engagements + other.engagements,
            _EXACT.add(self.spend, other.spend),
            _EXACT.add(self.revenue, other.revenue),
        )

    @property
    def engagement_rate(self) -> Decimal | None:
        """Engagements for each one reached, rounded to six places; None when nobody was reached."""
        return ratio(self.engagements, self.reach)

    @property
    def roi(self) -> Decimal | None:
        """(revenue - spend) / spend, rounded to six places; -1 when nothing came back, None when nothing was spent."""
        return ratio(Fraction(self.revenue) - Fraction(self.spend), self.spend)

    @property
    def quality_score(self) -> Decimal | None:
        """0 to 1: the mean of how near the engagement rate comes to 5 % and the return on investment to 1, each cut
        at 0 and 1, rounded to six places. The one that is unknown is left out; None when both are."""
        parts = []
        if self.reach:
            parts.append(Fraction(self.engagements, self.reach) / GOOD_ENGAGEMENT_RATE)
        if self.spend:
            parts.append((Fraction(self.revenue) / Fraction(self.spend) - 1) / GOOD_ROI)
        kept = [min(Fraction(1), max(Fraction(0), part)) for part in parts]
        return rounded(sum(kept, Fraction(0)) / len(kept)) if kept else None


class CampaignPerformance:
    """Campaigns in a metrics document."""

    def __init__(self, metrics: MetricsDocument) -> None:
        self._metrics = metrics

    def record(
        self,
        what: Slice,
        at_ms: int,
        *,
        reach: int | None = None,
        engagements: int | None = None,
        spend: float | Decimal | None = None,
        revenue: float | Decimal | None = None,
    ) -> int:
        """Record the amounts of the interval that begins at ``at_ms``; return how many were new.

        Raises :class:`QuantityOutOfRange` unless reach and engagements are whole numbers from 0, :class:`InvalidValue`
        for money below 0 or of more than four decimals, and as :meth:`TimeSeries.extend` does; then none of them is
        recorded."""
        values = {"reach": reach, "engagements": engagements, "spend": spend, "revenue": revenue}
        given = {name: _check(name, value) for name, value in values.items() if value is not None}
        entity = what.entity
        return extend_together(
            [
                (self._metrics.series(f"campaign.{name}", entity, decimals=FIELDS[name]), [(at_ms, value)])
                for name, value in given.items()
            ]
        )

    def slices(self, from_ms: int = 0, to_ms: int = INT_MAX) -> dict[Slice, CampaignFigures]:
        """Everything recorded from ``from_ms`` to before ``to_ms``, told apart as far as it was recorded so.

        Raises :class:`InvalidValue` where the stretch cuts through a bucket of a fold whose samples are gone."""
        tables = {name: self._metrics.all_amounts(f"campaign.{name}", from_ms, to_ms) for name in FIELDS}
        entities = sorted({entity for table in tables.values() for entity in table})
        found = {}
        for entity in entities:
            what = Slice.parse(entity)
            if what is not None:
                sums = {name: table.get(entity, 0) for name, table in tables.items()}
                found[what] = CampaignFigures(
                    int(sums["reach"]), int(sums["engagements"]), Decimal(sums["spend"]), Decimal(sums["revenue"])
                )
        return found

    def campaign(self, campaign: str, from_ms: int = 0, to_ms: int = INT_MAX) -> CampaignFigures:
        """One campaign, all its variants and regions together."""
        slices = self.slices(from_ms, to_ms)
        return add(figures for what, figures in slices.items() if what.campaign == campaign)

    def variants(self, campaign: str, from_ms: int = 0, to_ms: int = INT_MAX) -> dict[str, CampaignFigures]:
        """An A/B comparison: the campaign's figures by variant, all regions together."""
        found: dict[str, CampaignFigures] = {}
        for what, figures in self.slices(from_ms, to_ms).items():
            if what.campaign == campaign:
                found[what.variant] = found.get(what.variant, CampaignFigures()).plus(figures)
        return found


def lift(variant: CampaignFigures, control: CampaignFigures) -> Decimal | None:
    """By what share a variant's engagement rate exceeds the control's, rounded to six places: 0.1 is 10 % better."""
    if not variant.reach or not control.reach:
        return None
    ours = Fraction(variant.engagements, variant.reach)
    theirs = Fraction(control.engagements, control.reach)
    return ratio(ours - theirs, theirs)


def add(parts: Iterable[CampaignFigures]) -> CampaignFigures:
    summed = CampaignFigures()
    for part in parts:
        summed = summed.plus(part)
    return summed


def _check(name: str, value: float | Decimal) -> float | Decimal:
    if not FIELDS[name]:
        return check_total(name, value)
    if scale(value, FIELDS[name]) < 0:
        raise InvalidValue(f"{name} {value!r} is below 0")
    return value
