"""What a tenant expects of its documents: models of products and locations, and how its series should come in."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from crdt_sync.documents.stock.escrow import Policy

Units: TypeAlias = Annotated[int, Field(ge=0, strict=True)]
Text: TypeAlias = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=500)]
Currency: TypeAlias = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Z]{3}$")]
Amount: TypeAlias = Units | tuple[Units, Currency]
"""Minor units, with or without their currency."""


class ProductFields(BaseModel):
    """The attributes of a product. A field without a default is expected of every product; others are free to be there,
    and those that no model names may hold anything. Make one of your own by deriving from it or from BaseModel."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Text
    price: Amount
    cost: Amount | None = None
    barcode: Text | None = None
    unit: Text | None = None
    reorder_level: Units | None = None
    escrow: Policy | None = None


class LocationFields(BaseModel):
    """The attributes of a location, as :class:`ProductFields`; none is expected of all."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: Text | None = None
    escrow: Policy | None = None


class SeriesExpectation(BaseModel):
    """How the series of one metric should come in."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metric: Text
    every_s: Annotated[int, Field(gt=0)]
    """A sample is expected in every stretch of so many seconds, from the first sample on."""
    low: float | None = None
    high: float | None = None


class Expectations(BaseModel):
    """All that a tenant expects. Without any, models of the usual fields stand in, and nothing is too old."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    product: type[BaseModel] = ProductFields
    location: type[BaseModel] = LocationFields
    series: tuple[SeriesExpectation, ...] = ()
    movements_every_s: Annotated[int, Field(gt=0)] | None = None
    """At least one movement is expected in so many seconds."""

    def of_metric(self, metric: str) -> SeriesExpectation | None:
        """What is expected of a metric, if anything is."""
        return next((expected for expected in self.series if expected.metric == metric), None)
