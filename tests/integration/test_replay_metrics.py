"""The replays of metrics on real data: peers with files, a relay in a process, and sums that must come out."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from server.replay.campaigns import campaign_geo_weekly, replay_campaigns
from server.replay.engagement import replay_engagement, tweet_engagement
from server.replay.inventree import inventree, replay_inventree
from server.replay.mentions import nab_tweet_mentions, replay_mentions
from server.replay.metric_replay import MetricOptions, MetricReport
from server.replay.prices import History, replay_prices
from server.replay.relay_process import ROOT

FILES = "nab_tweet_mentions.csv.gz", "tweet_engagement.csv.gz", "campaign_geo_weekly.csv.gz"
RETAIL = "online_retail.csv.gz"
HISTORY = "inventree_tracking.csv.gz", "inventree_stock_items.csv.gz"


def find_data(name: str) -> Path:
    folder = Path(os.environ.get("CRDT_SYNC_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / name).is_file():
        pytest.skip(f"no data: put {name} into ../shared/data or name its folder in CRDT_SYNC_DATA")
    return folder


async def test_ten_collectors_with_duplicated_and_late_samples_agree_with_the_file(tmp_path: Path) -> None:
    report = await replay_mentions(MetricOptions(find_data(FILES[0]), tmp_path, limit=4_000))
    assert report.differences == []
    figures = report.figures
    assert int(figures["samples collected"]) > 4_000
    assert int(figures["late samples"]) > 0
    assert int(figures["chunks let go"]) > 0
    assert figures["totals compared"] == 10


async def test_posts_that_two_collectors_looked_up_count_once(tmp_path: Path) -> None:
    report = await replay_engagement(MetricOptions(find_data(FILES[1]), tmp_path, limit=600))
    assert report.differences == []
    assert report.figures["posts looked up"] == 800
    assert report.figures["posts compared"] == 600


async def test_roi_by_channel_and_region_equals_the_plain_computation(tmp_path: Path) -> None:
    report = await replay_campaigns(MetricOptions(find_data(FILES[2]), tmp_path, limit=1_000))
    assert report.differences == []
    assert report.figures["channels and regions compared"] == 205


async def test_goods_that_travel_between_locations_end_where_their_history_says(tmp_path: Path) -> None:
    find_data(HISTORY[1])
    report = await replay_inventree(MetricOptions(find_data(HISTORY[0]), tmp_path))
    assert report.differences == []
    assert report.figures["entries that change stock"] == 952
    assert report.figures["locations"] == 13
    assert report.figures["cells of a fresh peer compared"] == 226


async def test_prices_that_countries_set_offline_conflict_where_their_history_says(tmp_path: Path) -> None:
    report = await replay_prices(MetricOptions(find_data(RETAIL), tmp_path, limit=6_000))
    assert report.differences == []
    assert int(report.figures["open conflicts"]) > 5
    assert int(report.figures["resolutions in the audit trail"]) > int(report.figures["open conflicts"])


def test_the_history_beside_the_prices_knows_who_has_seen_what() -> None:
    history = History(2)
    history.write(0, "tea", 100)
    history.sync(0)
    history.sync(1)
    history.write(1, "tea", 110)
    history.sync(1)
    assert history.conflicts() == {}
    history.write(0, "tea", 120)
    history.sync(0)
    assert history.conflicts() == {"tea": "110 or 120"}
    assert history.is_contested(0, "tea")
    assert not history.is_contested(1, "tea")
    history.write(0, "tea", 130)
    history.sync(0)
    assert history.conflicts() == {}


def test_a_history_that_can_not_be_read_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / HISTORY[1]).write_bytes(gzip.compress(b"id,part\n1,7\n"))
    for wrong in ('2,{""quantity"": 1}', '1,{""quantity"": 0.0001}', '1,{""quantity"": ""x""}', "1,[]"):
        row = f'1,2021-07-28T14:37:51.084Z,{wrong.partition(",")[0]},1,"{wrong.partition(",")[2]}"'
        text = f"id,ts,item,tracking_type,deltas_json\n{row}\n"
        (tmp_path / HISTORY[0]).write_bytes(gzip.compress(text.encode()))
        done = invoke(inventree, "--data", str(tmp_path))
        assert done.exit_code == 2, done.output


def test_the_command_prints_its_figures_and_ends_with_0_when_all_agree(tmp_path: Path) -> None:
    file = tmp_path / FILES[1]
    rows = "created_at,account,status_id,replies,retweets,favorites,text_chars\n2014-08-14T16:50,a,17,5,12,96,89\n"
    file.write_bytes(gzip.compress(rows.encode()))
    done = invoke(tweet_engagement, "--data", str(file), "--json", str(tmp_path / "figures.json"))
    assert done.exit_code == 0, done.output
    assert "posts compared" in done.output
    assert json.loads((tmp_path / "figures.json").read_text())["differences"] == []


@pytest.mark.parametrize("command", [nab_tweet_mentions, tweet_engagement, campaign_geo_weekly])
def test_a_file_that_is_not_there_or_has_other_columns_is_a_usage_error(
    command: Callable[..., None], tmp_path: Path
) -> None:
    assert invoke(command, "--data", str(tmp_path)).exit_code == 2
    for name in FILES:
        (tmp_path / name).write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert invoke(command, "--data", str(tmp_path)).exit_code == 2


def test_a_difference_is_named_with_both_figures() -> None:
    report = MetricReport()
    report.compare("totals", {"AAPL": 1, "KO": 2}, {"AAPL": 1, "IBM": 3})
    assert report.differences == ["totals, IBM: None instead of 3", "totals, KO: 2 instead of None"]
    report.differences *= 20
    assert "and 20 more differences" in report.render()


def invoke(command: Callable[..., None], *arguments: str) -> Result:
    app = typer.Typer()
    app.command()(command)
    return CliRunner().invoke(app, arguments)
