"""The audit log: what is noted is on disk, floods stay small, and nothing that is noted fails its caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.errors import StoreCorrupted
from crdt_sync.stores.custody import begin_creation
from crdt_sync.stores.sqlite import open_sqlite_store
from server.storage.audit import (
    KIND,
    RELAY_LOG,
    AuditTrail,
    audit_file,
    audits_on_disk,
    is_written_by_a_relay,
    month_of,
    open_audit,
    read_audit,
)
from server.storage.audit_events import (
    BUNDLE_S,
    KINDS,
    ROWS_PER_MINUTE_MAX,
    TEXT_CHARS_MAX,
    AuditEvent,
    AuditKind,
    FloodGate,
    Row,
)
from server.storage.tenants import tenant_file


class Tally:
    """What the meters would show."""

    def __init__(self) -> None:
        self.written = self.lost = 0

    def wrote(self, count: int) -> None:
        self.written += count

    def lose(self, count: int) -> None:
        self.lost += count


@asynccontextmanager
async def opened(data_dir: Path, tally: Tally, *tenants: str) -> AsyncIterator[AuditTrail]:
    for tenant in tenants:
        tenant_file(data_dir, tenant).parent.mkdir(parents=True, exist_ok=True)
        tenant_file(data_dir, tenant).touch()
    async with open_audit(data_dir, on_written=tally.wrote, on_lost=tally.lose) as trail:
        yield trail


async def rows_of(data_dir: Path, tenant: str) -> Sequence[AuditEvent]:
    return await read_audit(data_dir, tenant)


EVENTS = st.builds(
    AuditEvent,
    st.sampled_from(sorted(KINDS)),
    st.sampled_from(["acme", None]),
    *[st.text(max_size=8)] * 5,
    at_ms=st.integers(0, 4_000_000_000_000),
    count=st.integers(1, 1 << 40),
)


@given(EVENTS)
def test_an_event_is_read_as_it_was_written(event: AuditEvent) -> None:
    assert AuditEvent.parse(event.to_bytes()) == event


def test_no_text_of_an_event_is_longer_than_it_may_be_or_no_unicode() -> None:
    read = AuditEvent.parse(AuditEvent("refused", subject="x" * 10_000, sentence="\ud800").to_bytes())
    assert (len(read.subject), read.sentence) == (TEXT_CHARS_MAX, "\\ud800")


@pytest.mark.parametrize("row", [b"", b"{}", b"[1]", b'{"kind":"party"}', b'{"kind":"refused","more":1}', b"\xff"])
def test_a_row_that_is_no_event_is_damage(row: bytes) -> None:
    with pytest.raises(StoreCorrupted, match="no event"):
        AuditEvent.parse(row)


# Floods


STEPS = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from("abcd"), st.sampled_from(["acme", RELAY_LOG])), max_size=60
)


@given(STEPS, st.integers(1, 5), st.integers(1, 5))
def test_P31_every_event_is_counted_in_exactly_one_row(
    steps: list[tuple[int, str, str]], rows_max: int, bundles_max: int
) -> None:
    gate, now_s, rows = FloodGate(rows_per_minute_max=rows_max, bundles_max=bundles_max), 0.0, list[Row]()
    for step_s, subject, log in steps:
        now_s += step_s
        rows += gate.due(now_s)
        rows += gate.take(log, AuditEvent("refused", subject=subject, at_ms=int(now_s * 1_000)), now_s)
    rows += gate.rest()
    assert list(gate.rest()) == []
    for log in ("acme", RELAY_LOG):
        assert sum(event.count for name, event in rows if name == log) == sum(name == log for *_, name in steps)


def test_equal_events_of_a_minute_become_a_row_at_once_and_one_with_the_count_of_the_others() -> None:
    gate = FloodGate()
    event = AuditEvent("refused", "acme", "ada", code="forbidden", at_ms=7)
    rows = [row for step in range(1_000) for row in gate.take("acme", event, step / 1_000)]
    assert rows == [("acme", event)]
    assert gate.due(BUNDLE_S - 0.1) == []
    ((_, counted),) = gate.due(BUNDLE_S)
    assert (counted.count, counted.subject, counted.at_ms) == (999, "ada", 7)


def test_events_that_differ_are_bounded_too_and_one_row_says_how_many_there_were() -> None:
    gate, rows = FloodGate(), list[Row]()
    for step in range(10_000):
        rows += gate.take("acme", AuditEvent("refused", subject=f"bot-{step}"), step / 1_000)
    assert len(rows) == ROWS_PER_MINUTE_MAX
    rows += gate.take("globex", AuditEvent("refused"), 10.0)
    assert rows[-1][0] == "globex", "another tenant's log is another matter"
    held = [event for _, event in gate.due(BUNDLE_S + 10) if event.kind == "held-back"]
    assert [event.count for event in held] == [10_000 - ROWS_PER_MINUTE_MAX]


# The trail


async def test_P31_what_was_noted_is_on_disk_when_the_trail_ends(tmp_path: Path) -> None:
    tally = Tally()
    async with opened(tmp_path, tally, "acme", "globex") as trail:
        for number in range(20):
            trail.note(AuditEvent("refused", "acme", f"user-{number}", at_ms=1_700_000_000_000 + number))
        trail.note(AuditEvent("revoked", "globex", "shop"))
    assert [event.subject for event in await rows_of(tmp_path, "acme")] == [f"user-{number}" for number in range(20)]
    assert [event.kind for event in await rows_of(tmp_path, "globex")] == ["revoked"]
    assert (tally.written, tally.lost) == (21, 0)


async def test_events_lie_in_a_log_of_their_month(tmp_path: Path) -> None:
    async with opened(tmp_path, Tally(), "acme") as trail:
        for at_ms in (1_700_000_000_000, 1_703_000_000_000):
            trail.note(AuditEvent("refused", "acme", str(at_ms), at_ms=at_ms))
    async with open_sqlite_store(audit_file(tmp_path, "acme"), create=False, kind=KIND) as store:
        assert await store.documents() == ["2023-11", "2023-12"]
    since = await read_audit(tmp_path, "acme", since_ms=1_703_000_000_000)
    assert [event.subject for event in since] == ["1703000000000"]


async def test_a_tenant_that_is_not_on_disk_gets_no_file(tmp_path: Path) -> None:
    async with opened(tmp_path, Tally(), "acme") as trail:
        for tenant in ("nobody", "../acme", "_relay", "", "ACME", None):
            trail.note(AuditEvent("refused", tenant, code=str(tenant)))
    assert audits_on_disk(tmp_path) == [RELAY_LOG]
    assert len(await rows_of(tmp_path, RELAY_LOG)) == 6


async def test_events_are_chosen_by_kind_time_and_number(tmp_path: Path) -> None:
    async with opened(tmp_path, Tally(), "acme") as trail:
        for number in range(10):
            kind: AuditKind = "refused" if number % 2 else "revoked"
            trail.note(AuditEvent(kind, "acme", str(number), at_ms=1_700_000_000_000 + number))

        async def events(**wanted: object) -> list[str]:
            return [event.subject for event in await trail.events("acme", **wanted)]  # type: ignore[arg-type]

        await trail.flush()
        assert len(await events()) == 10
        assert await events(kinds=["refused"]) == ["1", "3", "5", "7", "9"]
        assert await events(since_ms=1_700_000_000_007) == ["7", "8", "9"]
        assert await events(kinds=["revoked"], limit=2) == ["6", "8"]
        assert [event.subject for event in await rows_of(tmp_path, "acme")] == [str(number) for number in range(10)]
        assert is_written_by_a_relay(tmp_path)
        assert await trail.events("nobody") == ()
    assert not is_written_by_a_relay(tmp_path)


async def test_more_tenants_than_open_stores_are_all_written(tmp_path: Path) -> None:
    tally, tenants = Tally(), [f"t{number}" for number in range(5)]
    for tenant in tenants:
        tenant_file(tmp_path, tenant).parent.mkdir(parents=True, exist_ok=True)
        tenant_file(tmp_path, tenant).touch()
    trail = AuditTrail(tmp_path, tally.wrote, tally.lose, stores_max=2)
    writing = asyncio.create_task(trail.write())
    for tenant in tenants:
        trail.note(AuditEvent("refused", tenant))
    trail.end()
    await writing
    assert [len(await rows_of(tmp_path, tenant)) for tenant in tenants] == [1] * 5


async def test_P31_what_the_disk_does_not_take_waits_and_what_is_too_much_is_counted(tmp_path: Path) -> None:
    tally = Tally()
    (tmp_path / "audit").write_text("in the way of the folder")
    trail = AuditTrail(tmp_path, tally.wrote, tally.lose, rows_max=3)
    writing = asyncio.create_task(trail.write())
    for number in range(5):
        trail.note(AuditEvent("refused", subject=str(number)))
    assert tally.lost == 2
    await trail.flush()
    (tmp_path / "audit").unlink()
    trail.end()
    await writing
    assert [event.subject for event in await rows_of(tmp_path, RELAY_LOG)] == ["0", "1", "2"]
    assert (tally.written, tally.lost) == (3, 2)


async def test_P31_what_could_never_be_written_is_counted_as_lost(tmp_path: Path) -> None:
    tally = Tally()
    (tmp_path / "audit").write_text("in the way of the folder")
    async with opened(tmp_path, tally) as trail:
        trail.note(AuditEvent("refused"))
    assert (tally.written, tally.lost) == (0, 1)


async def test_a_row_that_was_changed_is_found(tmp_path: Path) -> None:
    async with opened(tmp_path, Tally(), "acme") as trail:
        trail.note(AuditEvent("refused", "acme", "mallory"))
    path = audit_file(tmp_path, "acme")
    path.write_bytes(path.read_bytes().replace(b"mallory", b"someone"))
    with pytest.raises(StoreCorrupted):
        await rows_of(tmp_path, "acme")


def test_months_are_those_of_utc() -> None:
    assert month_of(1_704_067_199_999) == "2023-12"
    assert month_of(1_704_067_200_000) == "2024-01"


async def test_a_log_whose_making_was_interrupted_is_not_there_yet(tmp_path: Path) -> None:
    path = audit_file(tmp_path, RELAY_LOG)
    path.parent.mkdir(parents=True)
    begin_creation(path)
    path.write_bytes(b"half")
    assert audits_on_disk(tmp_path) == []
    async with opened(tmp_path, Tally()) as trail:
        trail.note(AuditEvent("refused"))
    assert audits_on_disk(tmp_path) == [RELAY_LOG]
    assert len(await rows_of(tmp_path, RELAY_LOG)) == 1
