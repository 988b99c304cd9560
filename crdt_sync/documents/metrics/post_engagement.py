"""Posts: likes, reposts, replies and impressions as the service reports them.

Series ``post.likes``, ``post.reposts``, ``post.replies`` and ``post.impressions``, the post as the entity. Each sample
is the total at that time, whoever looked it up.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from crdt_sync.documents.metrics.derived import given, latest_before, ratio
from crdt_sync.documents.metrics.metrics_document import MetricsDocument
from crdt_sync.documents.metrics.series import extend_together
from crdt_sync.documents.schema import INT_MAX

FIELDS = ("likes", "reposts", "replies", "impressions")


@dataclass(frozen=True, slots=True)
class PostFigures:
    """A post at one time. None stands for what nobody has reported."""

    likes: int | None
    reposts: int | None
    replies: int | None
    impressions: int | None

    @property
    def engagements(self) -> int:
        """Likes, reposts and replies together, as far as they are known."""
        return sum(number for number in (self.likes, self.reposts, self.replies) if number is not None)

    @property
    def engagement_rate(self) -> Decimal | None:
        """Engagements for each impression, rounded to six places; None while impressions are unknown or 0."""
        return None if self.impressions is None else ratio(self.engagements, self.impressions)

    @property
    def virality(self) -> Decimal | None:
        """The share of engagements that pass the post on, 0 to 1, rounded to six places; None without any."""
        return None if self.reposts is None else ratio(self.reposts, self.engagements)


class PostEngagement:
    """Posts in a metrics document."""

    def __init__(self, metrics: MetricsDocument) -> None:
        self._metrics = metrics

    def record(
        self,
        post: str,
        at_ms: int,
        *,
        likes: int | None = None,
        reposts: int | None = None,
        replies: int | None = None,
        impressions: int | None = None,
    ) -> int:
        """Record totals as the service reports them at ``at_ms``; return how many were new.

        Raises :class:`QuantityOutOfRange` unless each is a whole number from 0, and as :meth:`TimeSeries.extend`
        does; then none of them is recorded."""
        fields = given(dict(zip(FIELDS, (likes, reposts, replies, impressions), strict=True)))
        return extend_together(
            [(self._metrics.series(f"post.{name}", post), [(at_ms, value)]) for name, value in fields.items()]
        )

    def figures(self, post: str, before_ms: int = INT_MAX) -> PostFigures:
        """The post as it was last seen before ``before_ms``."""
        read = (self._metrics.series(f"post.{name}", post).points(0, before_ms) for name in FIELDS)
        return PostFigures(*(latest_before(samples, before_ms) for samples in read))

    def all_figures(self, before_ms: int = INT_MAX) -> dict[str, PostFigures]:
        """Every post as it was last seen before ``before_ms``, in one pass."""
        tables = [self._metrics.all_points(f"post.{name}", 0, before_ms) for name in FIELDS]
        posts = sorted({post for table in tables for post in table})
        return {
            post: PostFigures(*(latest_before(table.get(post, []), before_ms) for table in tables)) for post in posts
        }
