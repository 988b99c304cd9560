"""Mentions of ten ticker symbols, collected by ten offline peers with duplicated, repeated and late samples."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from crdt_sync.documents.names import period_of
from crdt_sync.peer import OfflinePeer
from server.replay.metric_replay import (
    Crew,
    MetricOptions,
    MetricReport,
    crew_with_relay,
    read_rows,
    run_command,
    unix_ms,
)
from server.replay.relay_process import ReplayFailed

FILE_NAME = "nab_tweet_mentions.csv.gz"
METRIC = "mentions"
COLLECTORS = 10
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
DUPLICATED, REPEATED, LATE = 0.15, 0.05, 0.02
"""Shares: hours that a second collector has, too; days that are recorded again; hours that come after the rollups."""


class Mention(NamedTuple):
    ticker: str
    at_ms: int
    number: int


@dataclass(slots=True)
class Plan:
    """Who collects what: by collector its samples in time, and those that it brings late."""

    on_time: list[list[Mention]] = field(default_factory=lambda: [[] for _ in range(COLLECTORS)])
    late: list[list[Mention]] = field(default_factory=lambda: [[] for _ in range(COLLECTORS)])
    repeated_days: set[int] = field(default_factory=set)


def make_plan(mentions: Sequence[Mention], seed: int) -> Plan:
    """Each ticker has a collector of its own; some hours have a second one, some others come late."""
    chance, plan = random.Random(seed), Plan()  # noqa: S311  a plan to be repeated, no secret
    numbers = {ticker: number for number, ticker in enumerate(sorted({one.ticker for one in mentions}))}
    in_order = sorted(mentions)
    for (ticker, _), hour in groupby(in_order, key=lambda one: (one.ticker, one.at_ms // HOUR_MS)):
        samples, own, drawn = list(hour), numbers[ticker] % COLLECTORS, chance.random()
        (plan.late if drawn < LATE else plan.on_time)[own] += samples
        if drawn > 1 - DUPLICATED:
            plan.on_time[(own + 1) % COLLECTORS] += samples
    days = sorted({one.at_ms // DAY_MS for one in mentions})
    plan.repeated_days = {day for day in days if chance.random() < REPEATED}
    return plan


async def replay_mentions(options: MetricOptions) -> MetricReport:
    """Collect, roll up at two peers at once, bring late samples, roll up again, let go of samples.

    A report without differences says that totals and rollups equal the plain computation over the file. Raises
    :class:`ReplayFailed`, :class:`UnreadableData`, :class:`SyncError`."""
    rows = read_rows(options.data, FILE_NAME, ("ts", "ticker", "mentions"), options.limit)
    mentions = [Mention(row["ticker"], unix_ms(row["ts"]), int(row["mentions"])) for row in rows]
    plan, report = make_plan(mentions, options.seed), MetricReport()
    periods = sorted({period_of(one.at_ms) for one in mentions})
    report.figures |= {
        "samples in the file": len(mentions),
        "samples collected": sum(map(len, [*plan.on_time, *plan.late])),
        "late samples": sum(map(len, plan.late)),
        "periods": len(periods),
    }
    async with crew_with_relay(options.work, "mentions", report) as crew:
        collectors = [await crew.hire(f"collector-{number}") for number in range(COLLECTORS)]
        for collector, samples in zip(collectors, plan.on_time, strict=True):
            await _record(collector, samples, plan.repeated_days)
        await crew.sync(*collectors, periods=periods)
        await crew.sync(*collectors[:2], periods=periods)
        await _roll_at_once(crew, collectors[:2], periods)
        for collector, samples in zip(collectors, plan.late, strict=True):
            await _record(collector, samples, set())
        await crew.sync(*collectors, periods=periods)
        await crew.sync(*collectors[1:3], periods=periods)
        await _roll_at_once(crew, collectors[1:3], periods)
        await _compare(crew, report, plan, mentions, periods)
        report.figures["chunks let go"] = await _let_go(crew, collectors[1], periods)
        reader = await crew.hire("second-reader")
        await crew.sync(reader, periods=periods)
        hours = await _rolled_hours(reader, periods)
        report.compare("hourly rollups after letting go", hours, _plain_hours([*plan.on_time, *plan.late]))
    return report


async def _record(collector: OfflinePeer, samples: Iterable[Mention], repeated_days: set[int]) -> None:
    """One edit a day, without the relay."""
    for day, of_day in groupby(sorted(samples, key=lambda one: one.at_ms), key=lambda one: one.at_ms // DAY_MS):
        batch = list(of_day)
        if await _add(collector, batch) != len(batch):
            raise ReplayFailed(f"{len(batch)} new samples of day {day} were not all taken for new")
        if day in repeated_days and await _add(collector, batch):
            raise ReplayFailed(f"samples of day {day} that were recorded again were taken for new")


async def _add(collector: OfflinePeer, batch: Sequence[Mention]) -> int:
    by_ticker: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for one in batch:
        by_ticker[one.ticker].append((one.at_ms, one.number))
    async with collector.edit(period=period_of(batch[0].at_ms)) as docs:
        return sum(docs.metrics.series(METRIC, ticker).extend(found) for ticker, found in sorted(by_ticker.items()))


async def _roll_at_once(crew: Crew, peers: Sequence[OfflinePeer], periods: Sequence[str]) -> None:
    """Each rolls up what it has without having seen the other's rows; then both sync."""
    for peer in peers:
        for period in periods:
            async with peer.edit(period=period) as docs:
                for metric, ticker in docs.metrics.all_series():
                    docs.metrics.rollup(metric, ticker, width_s=3600).roll()
    await crew.sync(*peers, *peers, periods=periods)


async def _let_go(crew: Crew, peer: OfflinePeer, periods: Sequence[str]) -> int:
    cleared = 0
    for period in periods:
        async with peer.edit(period=period) as docs:
            for metric, ticker in docs.metrics.all_series():
                cleared += docs.metrics.rollup(metric, ticker, width_s=3600).discard()
    await crew.sync(peer, periods=periods)
    return cleared


async def _compare(
    crew: Crew, report: MetricReport, plan: Plan, mentions: Sequence[Mention], periods: Sequence[str]
) -> None:
    """What a fresh peer reads against the file."""
    reader = await crew.hire("reader")
    await crew.sync(reader, periods=periods)
    totals: defaultdict[str, int] = defaultdict(int)
    counts: defaultdict[str, int] = defaultdict(int)
    faults = 0
    for period in periods:
        async with reader.read(periods=[period]) as docs:
            for ticker, samples in docs.metrics.all_samples(METRIC).items():
                totals[ticker] += sum(int(sample.value) for sample in samples)
                counts[ticker] += len(samples)
            faults += len(docs.metrics.faults())
    expected: defaultdict[str, int] = defaultdict(int)
    expected_counts: defaultdict[str, int] = defaultdict(int)
    for one in mentions:
        expected[one.ticker] += one.number
        expected_counts[one.ticker] += 1
    report.compare("totals", totals, expected)
    report.compare("sample counts", counts, expected_counts)
    report.compare("hourly rollups", await _rolled_hours(reader, periods), _plain_hours([*plan.on_time, *plan.late]))
    if faults:
        report.differences.append(f"{faults} faults were reported in documents that only peers have written")


async def _rolled_hours(reader: OfflinePeer, periods: Sequence[str]) -> Mapping[str, tuple[int, int, int, int]]:
    hours = {}
    for period in periods:
        async with reader.read(periods=[period]) as docs:
            for metric, ticker in docs.metrics.all_series():
                for one in docs.metrics.rollup(metric, ticker, width_s=3600).buckets():
                    figures = one.count, int(one.sum), int(one.low), int(one.high)
                    hours[f"{ticker} {one.start_ms}"] = figures
    return hours


def _plain_hours(collected: Iterable[Iterable[Mention]]) -> Mapping[str, tuple[int, int, int, int]]:
    """Count, sum, low and high by ticker and hour, of all that was collected, by whomever."""
    values: defaultdict[str, list[int]] = defaultdict(list)
    for samples in collected:
        for one in samples:
            values[f"{one.ticker} {one.at_ms // HOUR_MS * HOUR_MS}"].append(one.number)
    return {hour: (len(found), sum(found), min(found), max(found)) for hour, found in values.items()}


def nab_tweet_mentions(
    data: Annotated[Path, typer.Option(help=f"{FILE_NAME}, or the directory that it is in.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first ROWS rows.", metavar="ROWS")] = None,
    seed: Annotated[int, typer.Option(help="Duplicates and late samples are drawn from it.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Replay tweet mentions: ten collectors with duplicated and late samples, rollups at two peers at once.

    Exit code 0 only when totals and rollups equal the plain computation over the file.
    """
    run_command(replay_mentions, data, limit, seed, json_file)
