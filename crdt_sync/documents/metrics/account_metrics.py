"""Accounts: how many follow them, whom they follow, what they posted, and how people engaged.

Series ``account.followers``, ``account.following``, ``account.posts`` and ``account.engagements``, the account as the
entity. Each sample is a total as the service reported it at that time; all collectors of one account write the same
series, and a time counts once.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from crdt_sync.documents.metrics.derived import given, grown, latest_before, ratio
from crdt_sync.documents.metrics.metrics_document import MetricsDocument
from crdt_sync.documents.metrics.series import extend_together

FIELDS = ("followers", "following", "posts", "engagements")


@dataclass(frozen=True, slots=True)
class AccountFigures:
    """An account at the end of a stretch of time. None stands for what nobody has reported."""

    followers: int | None
    following: int | None
    posts: int | None
    delta_followers: int | None
    """By how much the followers grew within the stretch; negative when they became fewer."""
    delta_posts: int | None
    delta_engagements: int | None

    @property
    def engagement_rate(self) -> Decimal | None:
        """Engagements within the stretch for each follower at its end, rounded to six places."""
        if self.followers is None or self.delta_engagements is None:
            return None
        return ratio(self.delta_engagements, self.followers)


class AccountMetrics:
    """Accounts in a metrics document."""

    def __init__(self, metrics: MetricsDocument) -> None:
        self._metrics = metrics

    def record(
        self,
        account: str,
        at_ms: int,
        *,
        followers: int | None = None,
        following: int | None = None,
        posts: int | None = None,
        engagements: int | None = None,
    ) -> int:
        """Record totals as the service reports them at ``at_ms``; return how many were new.

        Raises :class:`QuantityOutOfRange` unless each is a whole number from 0, and as :meth:`TimeSeries.extend`
        does; then none of them is recorded."""
        values = (followers, following, posts, engagements)
        fields = given(dict(zip(FIELDS, values, strict=True)))
        return extend_together(
            [(self._metrics.series(f"account.{name}", account), [(at_ms, value)]) for name, value in fields.items()]
        )

    def figures(self, account: str, from_ms: int, to_ms: int) -> AccountFigures:
        """The account from ``from_ms`` to before ``to_ms``."""
        followers, following, posts, engagements = (
            self._metrics.series(f"account.{name}", account).points() for name in FIELDS
        )
        return AccountFigures(
            latest_before(followers, to_ms),
            latest_before(following, to_ms),
            latest_before(posts, to_ms),
            grown(followers, from_ms, to_ms),
            grown(posts, from_ms, to_ms),
            grown(engagements, from_ms, to_ms),
        )
