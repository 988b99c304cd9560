"""How people engaged with tweets of two accounts, looked up by two collectors whose lookups overlap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from crdt_sync.documents.metrics.post_engagement import PostEngagement, PostFigures
from crdt_sync.documents.names import period_of
from crdt_sync.peer import OfflinePeer
from server.replay.metric_replay import MetricOptions, MetricReport, crew_with_relay, read_rows, run_command, unix_ms

FILE_NAME = "tweet_engagement.csv.gz"
LOOKED_UP = "2017-10-20T00:00", "2017-10-23T00:00"
"""When each of the two collectors looked; the source names these days."""
EDIT_POSTS = 500
QUANTILES = 0.5, 0.9, 0.99
QUANTILE_ERROR, DISTINCT_ERROR = 0.01, 0.05
LIKES, POSTS = "likes of a post", "posts"


@dataclass(frozen=True, slots=True)
class Tweet:
    account: str
    post: str
    likes: int
    reposts: int
    replies: int


async def replay_engagement(options: MetricOptions) -> MetricReport:
    """Record what each collector has looked up offline, sync, and compare every post.

    Raises :class:`ReplayFailed`, :class:`UnreadableData`, :class:`SyncError`."""
    columns = "account", "status_id", "replies", "retweets", "favorites"
    tweets = [
        Tweet(row["account"], row["status_id"], int(row["favorites"]), int(row["retweets"]), int(row["replies"]))
        for row in read_rows(options.data, FILE_NAME, columns, options.limit)
    ]
    report, period = MetricReport(), period_of(unix_ms(LOOKED_UP[0]))
    third = len(tweets) // 3
    # The middle third is looked up by both, and must not count twice.
    halves = tweets[: 2 * third], tweets[third:]
    report.figures |= {"posts in the file": len(tweets), "posts looked up": sum(map(len, halves))}
    async with crew_with_relay(options.work, "engagement", report) as crew:
        collectors = [await crew.hire(f"collector-{number}") for number in (1, 2)]
        for collector, half, looked_up in zip(collectors, halves, LOOKED_UP, strict=True):
            await _record(collector, half, period, unix_ms(looked_up))
        await crew.sync(*collectors, periods=[period])
        reader = await crew.hire("reader")
        await crew.sync(reader, periods=[period])
        await _compare(reader, report, tweets, halves, period)
    return report


async def _record(collector: OfflinePeer, tweets: Sequence[Tweet], period: str, at_ms: int) -> None:
    for start in range(0, len(tweets), EDIT_POSTS):
        async with collector.edit(period=period) as docs:
            posts = PostEngagement(docs.metrics)
            batch = tweets[start : start + EDIT_POSTS]
            for tweet in batch:
                posts.record(tweet.post, at_ms, likes=tweet.likes, reposts=tweet.reposts, replies=tweet.replies)
            for account in sorted({tweet.account for tweet in batch}):
                own = [tweet for tweet in batch if tweet.account == account]
                docs.metrics.histogram(LIKES, account).record_all([tweet.likes for tweet in own])
                docs.metrics.distinct(POSTS, account).record_all([tweet.post for tweet in own])


async def _compare(
    reader: OfflinePeer, report: MetricReport, tweets: Sequence[Tweet], halves: Iterable[Sequence[Tweet]], period: str
) -> None:
    async with reader.read(periods=[period]) as docs:
        figures = PostEngagement(docs.metrics).all_figures()
        report.compare("posts", _shown(figures), _expected(tweets))
        totals: defaultdict[str, int] = defaultdict(int)
        expected: defaultdict[str, int] = defaultdict(int)
        for tweet in tweets:
            expected[tweet.account] += tweet.likes + tweet.reposts + tweet.replies
            if tweet.post in figures:
                totals[tweet.account] += figures[tweet.post].engagements
        report.compare("engagements by account", totals, expected)
        for account in sorted(expected):
            likes = sorted(tweet.likes for half in halves for tweet in half if tweet.account == account)
            histogram = docs.metrics.histogram(LIKES, account).read()
            _compare_quantiles(report, account, {share: histogram.quantile(share) for share in QUANTILES}, likes)
            posts = len({tweet.post for tweet in tweets if tweet.account == account})
            estimate = docs.metrics.distinct(POSTS, account).read().estimate()
            report.figures[f"distinct posts of {account}, estimated"] = estimate
            if abs(estimate - posts) > posts * DISTINCT_ERROR:
                report.differences.append(f"distinct posts of {account}: about {estimate} instead of {posts}")
        report.differences += [f"{fault.root}/{fault.key} {fault.reason}" for fault in docs.metrics.faults()]


def _compare_quantiles(
    report: MetricReport, account: str, read: Mapping[float, float | None], likes: Sequence[int]
) -> None:
    for share, found in read.items():
        exact = likes[int(share * (len(likes) - 1))]
        if found is None or abs(found - exact) > exact * QUANTILE_ERROR * (1 + 1e-9):
            report.differences.append(f"quantile {share} of the likes of {account}: {found} instead of {exact}")


def _shown(figures: Mapping[str, PostFigures]) -> dict[str, object]:
    return {post: (one.likes, one.reposts, one.replies, one.virality) for post, one in figures.items()}


def _expected(tweets: Iterable[Tweet]) -> dict[str, object]:
    """The plain computation, by fractions of its own."""
    expected: dict[str, object] = {}
    for tweet in tweets:
        engagements = tweet.likes + tweet.reposts + tweet.replies
        virality = round(Fraction(tweet.reposts, engagements), 6) if engagements else None
        expected[tweet.post] = tweet.likes, tweet.reposts, tweet.replies, virality
    return expected


def tweet_engagement(
    data: Annotated[Path, typer.Option(help=f"{FILE_NAME}, or the directory that it is in.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first ROWS rows.", metavar="ROWS")] = None,
    seed: Annotated[int, typer.Option(help="Taken as every replay takes it; nothing is drawn here.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Replay tweet engagement: two collectors whose lookups overlap.

    Exit code 0 only when every post and every sum equals the file, and sketches lie within their errors.
    """
    run_command(replay_engagement, data, limit, seed, json_file)
