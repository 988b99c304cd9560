"""I14: once a person's data was erased, and whoever had it has synced, no byte of it is anywhere.

The peers, their files, the relay, its log, snapshots and write-ahead logs are real; the histories are Hypothesis's."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crdt_sync.errors import DocumentRetired
from crdt_sync.peer import OfflinePeer
from crdt_sync.peer.endings import Endings
from crdt_sync.peer.local_document import Edit
from crdt_sync.stores import erasing
from tests.integration.raw_member import Author, open_raw
from tests.integration.relay_process import ROOT, RelayProcess
from tests.integration.retiring import places_of, retire

SUBJECT, PII = "customer-1042", "pii/customer-1042"
PEERS: Final = ("till-1", "till-2", "office")
NUMBERS: Final = itertools.count()

STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["write", "write", "sync", "sync", "restart", "sell"]), st.sampled_from(PEERS)),
        st.tuples(st.just("page"), st.just("")),
    ),
    max_size=9,
)
HISTORIES = st.tuples(STEPS, STEPS)
"""What happens before the erasure, and after it."""


@dataclass
class World:
    """One tenant: three peers with files of their own, and plain pages, at one relay."""

    relay: RelayProcess
    folder: Path
    tenant: str
    secret: str
    author: Author = field(default_factory=Author)
    peers: dict[str, OfflinePeer] = field(default_factory=dict)
    stacks: dict[str, AsyncExitStack] = field(default_factory=dict)
    is_erased: bool = False
    writes: int = 0

    async def open(self, name: str) -> None:
        path = self.folder / name
        path.mkdir(exist_ok=True)
        token = self.relay.token(self.tenant)
        stack = self.stacks[name] = AsyncExitStack()
        opening = OfflinePeer.open(path / "peer.db", tenant=self.tenant, name=name, relay=self.relay.ws, token=token)
        self.peers[name] = await stack.enter_async_context(opening)

    async def follow(self, steps: Sequence[tuple[str, str]]) -> None:
        for step, name in steps:
            await getattr(self, step)(name)
            if self.is_erased:
                self.check_relay()

    async def write(self, name: str) -> None:
        self.writes += 1
        try:
            async with self.peers[name].personal(SUBJECT) as person:
                person.set(f"field {self.writes % 3}", f"{self.secret} {self.writes}" * (1 + self.writes % 5 * 40))
        except DocumentRetired:
            assert self.is_erased

    async def sell(self, name: str) -> None:
        """Others' work goes on in the same files, so that rows move between pages."""
        async with self.peers[name].edit(period="2026-11") as docs:
            docs.inventory.add_product(f"tea of {name}", note="x" * 700)

    async def sync(self, name: str) -> None:
        await self.peers[name].sync()

    async def restart(self, name: str) -> None:
        await self.stacks.pop(name).aclose()
        await self.open(name)

    async def page(self, _: str) -> None:
        """A plain page comes, writes, and goes; it keeps what it had."""
        async with open_raw(self.relay, PII, tenant=self.tenant) as page:
            if self.is_erased:
                assert (await page.closed())[0] == 4410
                return
            await page.join()
            self.writes += 1
            await page.save(self.author.put("name", f"{self.secret} of a page {self.writes}"))

    async def erase(self) -> None:
        assert (await retire(self.relay, self.tenant, PII))[0] == 200
        self.is_erased = True
        self.check_relay()

    def check_relay(self) -> None:
        assert places_of(self.secret, self.relay.data) == []

    async def close(self) -> None:
        while self.stacks:
            await self.stacks.popitem()[1].aclose()


async def run(relay: RelayProcess, history: tuple[Sequence[tuple[str, str]], Sequence[tuple[str, str]]]) -> None:
    before, after = history
    number = next(NUMBERS)
    with TemporaryDirectory() as folder:
        world = World(relay, Path(folder), f"tenant-{number}", f"mrs-miller-no-{number}-")
        try:
            for name in PEERS:
                await world.open(name)
            await world.follow(before)
            await world.erase()
            await world.follow(after)
            for name in PEERS:
                await world.sync(name)
                assert places_of(world.secret, world.folder / name) == []
                assert world.peers[name].status().unsynced == 0
            world.check_relay()
        finally:
            await world.close()
        assert places_of(world.secret, world.folder) == []


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    with started(tmp_path_factory.mktemp("relay")) as process:
        yield process


def started(folder: Path, wrapper: Sequence[str] = ()) -> RelayProcess:
    # Snapshots are part of it: a log is compacted after a few records.
    return RelayProcess(folder, wrapper=wrapper, free_space_bytes_min=0, steward="off", compact_log_records_max=6)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(history=HISTORIES)
def test_I14_no_byte_of_erased_data_is_anywhere_once_everybody_has_synced(
    relay: RelayProcess, history: tuple[list[tuple[str, str]], list[tuple[str, str]]]
) -> None:
    asyncio.run(run(relay, history))


RICH: Final = (
    [
        *[("write", name) for name in ("till-1", "till-1", "office")],
        *[("sync", "till-1"), ("page", ""), ("sell", "till-1"), ("restart", "till-1"), ("write", "till-1")],
        *[("sync", "office"), ("sync", "till-2"), ("write", "till-2")],
    ],
    [("write", "till-2"), ("sync", "office"), ("page", ""), ("restart", "till-2")],
)
"""A history in which every mutant has something to get wrong."""


def test_I14_holds_for_the_history_that_kills_the_mutants(relay: RelayProcess) -> None:
    asyncio.run(run(relay, RICH))


async def keeps_its_copy(_: Endings, ended: DocumentRetired) -> Sequence[Edit]:
    """Is told of the end, and does nothing."""
    assert ended.document == PII
    return ()


def test_I14_kills_a_peer_that_keeps_its_copy(relay: RelayProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Endings, "end", keeps_its_copy)
    with pytest.raises(AssertionError):
        asyncio.run(run(relay, RICH))


def test_I14_kills_a_peer_whose_file_is_not_written_anew(relay: RelayProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "erase", lambda connection, source: None)
    with pytest.raises(AssertionError):
        asyncio.run(run(relay, RICH))


FORGETFUL: Final = """
import sys
sys.path.insert(0, {root!r})
import crdt_sync.stores.erasing as erasing
erasing.erase = lambda connection, source: None
"""
REOPENING: Final = """
import sys
sys.path.insert(0, {root!r})
from crdt_sync.stores.sqlite import SqliteStore
from crdt_sync.stores.update_log import Retirement
retire = SqliteStore.retire
async def elsewhere(self, document, why, at_ms, successor=None, contents=()):
    await retire(self, document + ".gone", why, at_ms, successor, contents)
    return Retirement(document, why, at_ms, successor)
SqliteStore.retire = elsewhere
"""


@pytest.mark.parametrize("bug", [FORGETFUL, REOPENING], ids=["forgets to overwrite", "lets everybody in again"])
def test_I14_kills_a_relay_that(bug: str, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    planted.mkdir()
    (planted / "sitecustomize.py").write_text(bug.format(root=str(ROOT)))
    with started(tmp_path / "relay", ["env", f"PYTHONPATH={planted}"]) as mutant, pytest.raises(AssertionError):
        asyncio.run(run(mutant, RICH))
