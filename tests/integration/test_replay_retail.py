"""The replay of a shop's invoices: with lines made here always, with the real ones where they are found."""

import csv
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.replay.crew import Ledger, PeerProcess, Roster, settle_task
from server.replay.plan import Plan, assign, make_plan
from server.replay.relay_process import CLI, ROOT, ReplayFailed, embedded_relay
from server.replay.report import Difference, RetailReport, render
from server.replay.retail import RetailOptions, replay_retail
from server.replay.retail_data import Cell, Invoice, RetailData, UnreadableData, expected_stock, find_file, read_retail
from server.replay.tasks import Record, Setting, from_line, to_line

NODE_FOLDER = ROOT / "tests" / "interop" / "node"
HEADER = ["invoice", "ts", "stock_code", "description", "quantity", "unit_price", "customer_id", "country"]
# What the real file holds of traps: exact duplicates, codes that differ in case, returns of more than was ever sold,
# lines that move nothing, no description, blanks, commas, a month's end, accents.
TRAPS = [
    ["1", "2010-12-30T09:00", "85123A", "WHITE HEART ", "6", "2.55", "17850", "United Kingdom"],
    ["1", "2010-12-30T09:00", "85123A", "WHITE HEART ", "6", "2.55", "17850", "United Kingdom"],
    ["1", "2010-12-30T09:00", "85123a", "white heart", "1", "2.55", "17850", "United Kingdom"],
    ["2", "2010-12-30T09:01", "D", "", "0", "0", "", "France"],
    ["C3", "2010-12-30T09:02", "85123A", "damaged", "-80995", "0", "", "France"],
    ["3", "2010-12-31T18:00", "POST", "", "3", "18.00", "12583", "France"],
    ["4", "2011-01-02T08:10", "gift_0001_40", 'Gift, 40 "card"', "2", "33.33", "", "Réunion & Co/Ltd @"],
    ["5", "2011-01-02T08:11", "85123A", "?", "80995", "2.08", "16446", "Germany"],
]


def write_lines(path: Path, lines: list[list[str]]) -> Path:
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([HEADER, *lines])
    return path


def made_lines(invoices: int) -> list[list[str]]:
    """The traps, and ``invoices`` more of 1 to 5 lines, over 4 countries and 3 months."""
    lines = list(TRAPS)
    for number in range(invoices):
        country = ("United Kingdom", "France", "Germany", "EIRE")[number * 7 % 11 % 4]
        at = f"2011-0{1 + number * 3 // invoices}-{1 + number % 28:02}T10:00"
        for line in range(1 + number % 5):
            quantity = str((number * 13 + line * 5) % 23 - 4)
            lines.append([f"M{number}", at, f"P{(number + line) % 17}", "THING", quantity, "1", "", country])
    return lines


def node_folder() -> Path:
    if shutil.which("node") is None or not (NODE_FOLDER / "node_modules" / "yjs").is_dir():
        pytest.skip("no Node with yjs: install Node 20 and run npm ci in tests/interop/node")
    return NODE_FOLDER


def real_lines() -> Path:
    folder = Path(os.environ.get("CRDT_SYNC_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "online_retail.csv.gz").is_file():
        pytest.skip("no retail data: put online_retail.csv.gz into ../shared/data or name its folder in CRDT_SYNC_DATA")
    return folder


def seed_that_kills(data: RetailData, peers: int) -> int:
    """The first seed whose plan kills in an edit, in a sync, and at the end."""
    for seed in range(10_000):
        plan = make_plan(data, peers=peers, seed=seed)
        killed = [(s.killed_at > len(s.invoices), s.killed_at) for s in plan.stretches if s.killed_at is not None]
        if {in_sync for in_sync, _ in killed} == {False, True} and plan.killed_at_the_end:
            return seed
    raise AssertionError("no seed kills everywhere")


async def test_every_reader_agrees_with_lines_full_of_traps_although_peers_are_killed(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "lines.csv.gz", made_lines(160))
    data = read_retail(path)
    report = await replay_retail(
        RetailOptions(data=path, peers=4, work=tmp_path / "work", seed=seed_that_kills(data, 4))
    )
    assert report.differences() == []
    assert set(report.tables) == {"till-01", "till-02", "till-03", "till-04", "fresh-peer"}
    assert report.tables["fresh-peer"]["85123A", "France"] == 80_995
    assert report.tables["till-01"]["85123A", "United Kingdom"] == -12
    assert report.tables["till-01"]["85123a", "United Kingdom"] == -1
    assert report.ledger.edits == len(data.invoices)
    assert report.ledger.kills["edit"]
    assert report.ledger.kills["sync"]
    assert report.ledger.found_again
    assert report.relay is not None
    assert "0 damaged" in report.relay.verify


@pytest.mark.interop
async def test_a_sample_of_the_real_lines_is_read_alike_by_python_and_yjs(tmp_path: Path) -> None:
    node, path = node_folder(), real_lines()
    data = read_retail(find_file(path), 3_000)
    report = await replay_retail(
        RetailOptions(data=path, peers=6, limit=3_000, seed=seed_that_kills(data, 6), work=tmp_path / "work", node=node)
    )
    assert report.differences() == []
    assert "node" in report.tables
    assert report.data.lines == 3_000
    assert report.ledger.kills["edit"] + report.ledger.kills["sync"] >= 3


def test_the_command_prints_figures_and_ends_with_0_only_when_all_agree(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "lines.csv.gz", TRAPS)
    figures_file = tmp_path / "figures.json"
    command = [
        sys.executable,
        "-m",
        "server.replay",
        "retail",
        "--no-node",
        "--peers",
        "2",
        "--json",
        str(figures_file),
    ]
    outcome = subprocess.run(
        [*command, "--data", str(path)], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    assert "edits (invoices)" in outcome.stdout
    figures = json.loads(figures_file.read_text())
    assert figures["differences"] == 0
    assert figures["lines"] == len(TRAPS)
    assert figures["lines of quantity 0"] == 1
    missing = subprocess.run(
        [*command, "--data", str(tmp_path / "none")], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert missing.returncode == 2
    assert missing.stderr.strip() == f"crdt-sync: there is no file {tmp_path / 'none'}"


def test_a_stopped_replay_leaves_no_process_behind(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "lines.csv.gz", made_lines(6_000))
    work = tmp_path / "work"
    replaying = subprocess.Popen(
        [sys.executable, "-m", "server.replay", "retail", "--no-node", "--data", path, "--work", work],
        cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert replaying.stderr is not None
        # The first progress line comes after two seconds of recording, when all its processes are there.
        assert "recording" in replaying.stderr.readline()
        replaying.send_signal(signal.SIGTERM)
        _, words = replaying.communicate(timeout=60)
        assert replaying.returncode == 1, words
        assert "the replay was stopped" in words
        with pytest.raises(ProcessLookupError):
            os.killpg(replaying.pid, 0)
    finally:
        if replaying.poll() is None:
            os.killpg(replaying.pid, signal.SIGKILL)
            replaying.communicate()


async def test_an_edit_that_was_reported_and_is_gone_after_a_kill_ends_the_replay(tmp_path: Path) -> None:
    (tmp_path / "descriptions.json").write_text("{}")
    ledger = Ledger()
    process = PeerProcess(Setting("ws://127.0.0.1:1", "", "retail", str(tmp_path / "descriptions.json")), ledger)
    task = Record("till-01", str(tmp_path / "a.db"), [("1", "2010-12", "France", [("P", 2)])], ["HOT"], False, False)
    try:
        await process.perform(task)
        assert ledger.recorded == {"till-01": {"1"}}
        await process.perform(replace(task, resumed=True))
        assert ledger.found_again == 1
        with pytest.raises(ReplayFailed, match="till-01 was killed and has lost 1 edits, 1 for one"):
            await process.perform(replace(task, file=str(tmp_path / "empty.db"), resumed=True))
    finally:
        await process.close()


async def test_a_running_relay_serves_a_replay_once_and_its_tenant_must_be_empty(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "lines.csv.gz", TRAPS)
    async with embedded_relay(tmp_path, "shop") as relay:
        options = RetailOptions(
            data=path, peers=2, work=tmp_path / "one", relay=relay.running.url, token=relay.running.token, tenant="shop"
        )
        report = await replay_retail(options)
        assert report.differences() == []
        assert report.relay is None
        with pytest.raises(ReplayFailed, match="tenant shop of ws://.* has stock already"):
            await replay_retail(replace(options, work=tmp_path / "two"))
        with pytest.raises(ReplayFailed, match="unauthenticated"):
            await replay_retail(replace(options, work=tmp_path / "three", token="no token"))
        await relay.stop()
        await relay.verify()


async def test_a_relay_that_holds_less_than_was_recorded_shows_as_differences(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "lines.csv.gz", TRAPS)
    (tmp_path / "peers").mkdir()
    (tmp_path / "tables").mkdir()
    (tmp_path / "descriptions.json").write_text("{}")
    async with embedded_relay(tmp_path, "retail") as relay:
        running = relay.running
        setting = Setting(running.url, running.token, running.tenant, str(tmp_path / "descriptions.json"))
        process = PeerProcess(setting, Ledger())
        try:
            await Roster([(settle_task("fresh-peer", tmp_path), None)], lambda _: None).work(process)
        finally:
            await process.close()
        await relay.stop()
    table = {(code, country): n for code, country, n in json.loads((tmp_path / "tables/fresh-peer.json").read_text())}
    report = report_of(read_retail(path), expected_stock(path), {"fresh-peer": table})
    assert len(report.differences()) == len(expected_stock(path))
    assert Difference("fresh-peer", ("POST", "France"), -3, None) in report.differences()
    assert "fresh-peer" in render(report)


def report_of(data: RetailData, expected: Mapping[Cell, int], tables: Mapping[str, Mapping[Cell, int]]) -> RetailReport:
    plan = Plan([], [], frozenset())
    return RetailReport(1, data, plan, Ledger(), None, expected, tables, peer_bytes=0, phases_s={}, seconds=0.0)


def test_sums_are_taken_from_the_lines_and_not_from_the_invoices(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "lines.csv.gz", TRAPS)
    assert expected_stock(path) == {
        ("85123A", "United Kingdom"): -12,
        ("85123a", "United Kingdom"): -1,
        ("85123A", "France"): 80_995,
        ("POST", "France"): -3,
        ("gift_0001_40", "Réunion & Co/Ltd @"): -2,
        ("85123A", "Germany"): -80_995,
    }
    data = read_retail(path)
    assert (data.lines, data.empty_lines, len(data.invoices)) == (8, 1, 5)
    assert data.descriptions["85123A"] == "WHITE HEART "
    assert {invoice.period for invoice in data.invoices} == {"2010-12", "2011-01"}


def test_data_that_can_t_be_replayed_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UnreadableData, match="has no column country, description, invoice, quantity"):
        read_retail(tmp_path / "other.csv")
    broken = write_lines(tmp_path / "broken.csv.gz", made_lines(400))
    broken.write_bytes(broken.read_bytes()[:-900])
    with pytest.raises(UnreadableData, match="can't be read"):
        read_retail(broken)
    odd = write_lines(tmp_path / "odd.csv.gz", [TRAPS[0], [*TRAPS[0][:4], "six", *TRAPS[0][5:]]])
    with pytest.raises(UnreadableData, match="line 2 is not of this form"):
        read_retail(odd)
    two = write_lines(tmp_path / "two.csv.gz", [TRAPS[0], [*TRAPS[0][:-1], "France"]])
    with pytest.raises(UnreadableData, match="invoice 1 is of two countries"):
        read_retail(two)


@given(st.data())
def test_a_plan_gives_every_invoice_to_one_stretch_of_its_country_s_peer(draw: st.DataObject) -> None:
    countries = draw.draw(st.lists(st.sampled_from("ABCDE"), min_size=1, max_size=200))
    peers, seed = draw.draw(st.integers(1, 8)), draw.draw(st.integers(0, 1_000))
    invoices = [
        Invoice(str(number), country, f"2011-01-01T00:{number % 60:02}", [("P", 1)])
        for number, country in enumerate(countries)
    ]
    data = RetailData(invoices, {}, ("P",), len(invoices), 0)
    plan = make_plan(data, peers=peers, seed=seed)
    assert plan == make_plan(data, peers=peers, seed=seed)
    assert Counter(i.number for s in plan.stretches for i in s.invoices) == Counter(i.number for i in invoices)
    assert len(plan.peers) == min(peers, len(set(countries)))
    names = assign(data.countries, peers)
    assert all(names[i.country] == s.peer for s in plan.stretches for i in s.invoices)
    for peer in plan.peers:
        own = [s for s in plan.stretches if s.peer == peer]
        assert max(own, key=lambda s: s.number).syncs
    assert all(s.killed_at is None or 1 <= s.killed_at <= len(s.invoices) + s.syncs for s in plan.stretches)


def test_messages_to_peer_processes_come_back_as_they_were() -> None:
    for message in (
        Setting("ws://relay", "secret", "retail", "d.json"),
        Record("till-01", "a.db", [], ["P"], True, False),
        settle_task("till-01", Path("work")),
    ):
        assert from_line(to_line(message)) == message
    assert "secret" not in repr(Setting("ws://relay", "secret", "retail", "d.json"))
    assert CLI[0] == sys.executable
