"""Weekly performance of marketing channels by region, recorded by four offline peers; ROI by channel and region."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from crdt_sync.documents.metrics.campaign_performance import CampaignFigures, CampaignPerformance, Slice
from crdt_sync.documents.names import period_of
from crdt_sync.peer import OfflinePeer
from server.replay.metric_replay import MetricOptions, MetricReport, crew_with_relay, read_rows, run_command, unix_ms

FILE_NAME = "campaign_geo_weekly.csv.gz"
COLUMNS = "week", "geo", "channel", "impressions", "spend", "geo_conversions", "revenue_per_conversion"
COLLECTORS = 4
CENT_OF_CENT = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Week:
    """One channel in one region for one week."""

    channel: str
    region: str
    at_ms: int
    impressions: int
    spend: Decimal
    revenue: Decimal


def read_weeks(options: MetricOptions) -> list[Week]:
    """The file's weeks. It gives revenue by region alone, so each channel is given its share by spend, in
    ten-thousandths. Money in the file is rounded to these, too. Raises :class:`UnreadableData`."""
    rows = list(read_rows(options.data, FILE_NAME, COLUMNS, options.limit))
    spent: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for row in rows:
        spent[row["week"], row["geo"]] += _money(row["spend"])
    weeks = []
    for row in rows:
        whole, spend = spent[row["week"], row["geo"]], _money(row["spend"])
        earned = Decimal(row["geo_conversions"]) * Decimal(row["revenue_per_conversion"])
        revenue = _money(earned * spend / whole) if whole else Decimal(0)
        at_ms, impressions = unix_ms(row["week"]), int(row["impressions"])
        weeks.append(Week(row["channel"], row["geo"], at_ms, impressions, spend, revenue))
    return weeks


async def replay_campaigns(options: MetricOptions) -> MetricReport:
    """Record every week offline, sync, and compare reach, spend, revenue and ROI by channel and region.

    Raises :class:`ReplayFailed`, :class:`UnreadableData`, :class:`SyncError`."""
    weeks, report = read_weeks(options), MetricReport()
    periods = sorted({period_of(week.at_ms) for week in weeks})
    regions = {region: number for number, region in enumerate(sorted({week.region for week in weeks}))}
    report.figures |= {"rows": len(weeks), "regions": len(regions), "periods": len(periods)}
    async with crew_with_relay(options.work, "campaigns", report) as crew:
        for number in range(COLLECTORS):
            collector = await crew.hire(f"collector-{number}")
            own = [week for week in weeks if regions[week.region] % COLLECTORS == number]
            await _record(collector, own)
            await crew.sync(collector)
        reader = await crew.hire("reader")
        await crew.sync(reader, periods=periods)
        read = await _read(reader, periods, report)
        shown = {name: _figures(figures) for name, figures in read.items()}
        report.compare("channels and regions", shown, _plain(weeks))
    return report


async def _record(collector: OfflinePeer, weeks: Sequence[Week]) -> None:
    """One edit a period."""
    for period, of_period in groupby(
        sorted(weeks, key=lambda week: week.at_ms), key=lambda week: period_of(week.at_ms)
    ):
        async with collector.edit(period=period) as docs:
            campaigns = CampaignPerformance(docs.metrics)
            for week in of_period:
                campaigns.record(
                    Slice(week.channel, region=week.region), week.at_ms,
                    reach=week.impressions, spend=week.spend, revenue=week.revenue,
                )  # fmt: skip


async def _read(reader: OfflinePeer, periods: Sequence[str], report: MetricReport) -> dict[str, CampaignFigures]:
    """Sums over all periods, by channel and by channel and region."""
    sums: defaultdict[str, CampaignFigures] = defaultdict(CampaignFigures)
    for period in periods:
        async with reader.read(periods=[period]) as docs:
            for what, figures in CampaignPerformance(docs.metrics).slices().items():
                for name in (what.campaign, f"{what.campaign} in {what.region}"):
                    sums[name] = sums[name].plus(figures)
            report.differences += [f"{fault.root}/{fault.key} {fault.reason}" for fault in docs.metrics.faults()]
    return sums


def _figures(figures: CampaignFigures) -> tuple[object, ...]:
    return figures.reach, Fraction(figures.spend), Fraction(figures.revenue), figures.roi


def _plain(weeks: Sequence[Week]) -> dict[str, object]:
    """The plain computation, in fractions."""
    sums: defaultdict[str, list[Fraction]] = defaultdict(lambda: [Fraction(), Fraction(), Fraction()])
    for week in weeks:
        for name in (week.channel, f"{week.channel} in {week.region}"):
            sums[name][0] += week.impressions
            sums[name][1] += Fraction(week.spend)
            sums[name][2] += Fraction(week.revenue)
    return {
        name: (reach, spend, revenue, round((revenue - spend) / spend, 6) if spend else None)
        for name, (reach, spend, revenue) in sums.items()
    }


def _money(amount: str | Decimal) -> Decimal:
    return Decimal(amount).quantize(CENT_OF_CENT, ROUND_HALF_EVEN)


def campaign_geo_weekly(
    data: Annotated[Path, typer.Option(help=f"{FILE_NAME}, or the directory that it is in.")],
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first ROWS rows.", metavar="ROWS")] = None,
    seed: Annotated[int, typer.Option(help="Taken as every replay takes it; nothing is drawn here.")] = 1,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Replay weekly marketing by channel and region, recorded by four offline peers.

    Exit code 0 only when reach, spend, revenue and ROI of every channel and region equal the plain computation.
    """
    run_command(replay_campaigns, data, limit, seed, json_file)
