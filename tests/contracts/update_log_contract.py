"""The contract of every store: rules L1 to L14 and L17 of crdt_sync/stores/update_log.py.

A store's test class inherits :class:`UpdateLogContract` and says how to open it. What only a file can do (survive a
process, rot) is tested beside it, in test_sqlite_*.py."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import pytest
from hypothesis import strategies as st

from crdt_sync.errors import StoreUnavailable
from crdt_sync.stores.update_log import Binding, Loaded, Record, Snapshot, Store

Step: TypeAlias = tuple[str, str, object]

RECORDS = st.builds(
    Record,
    update=st.binary(max_size=40),
    author=st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    at_ms=st.integers(0, 2**41),
)
BINDINGS = st.builds(
    Binding,
    client=st.sampled_from([1, 7, 2**53 - 1]),
    subject=st.sampled_from(["ada", "bob", "zoë \u0000 😀", ""]),
    how=st.sampled_from(["firm", "mixed", "carried"]),
)
DOCUMENTS = st.sampled_from(["inventory/2026-11", "inventory/2026-12", "metrics"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), DOCUMENTS, st.lists(RECORDS, max_size=5)),
        st.tuples(st.just("bind"), DOCUMENTS, st.lists(BINDINGS, max_size=4)),
        st.tuples(st.just("mark"), DOCUMENTS, st.tuples(st.sampled_from(["acked", "sent"]), st.integers(0, 99))),
        st.tuples(st.just("compact"), DOCUMENTS, st.floats(0, 1)),
        st.tuples(st.just("reopen"), DOCUMENTS, st.none()),
    ),
    max_size=25,
)


def record(number: int, author: str = "till-1") -> Record:
    return Record(update=b"update %d" % number, author=author, at_ms=1_700_000_000_000 + number)


def records(first: int, last: int) -> tuple[Record, ...]:
    return tuple(record(number) for number in range(first, last + 1))


def snapshot(through: int, text: str = "state") -> Snapshot:
    return Snapshot(through, f"{text} {through}".encode(), f"ledger {through}".encode())


@dataclass
class Model:
    """What a document's log should hold, in the simplest form that can be right."""

    log: list[Record] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    bindings: dict[int, Binding] = field(default_factory=dict)

    def loaded(self) -> Loaded:
        current = self.snapshots[-1] if self.snapshots else None
        tail = tuple(self.log[current.through if current else 0 :])
        return Loaded(current, tail, self.marks, bindings=self.bindings)

    def kept_records(self) -> int:
        return len(self.log) - (self.snapshots[-2].through if len(self.snapshots) > 1 else 0)

    def compact(self, fraction: float) -> Snapshot | None:
        lowest = self.snapshots[-1].through if self.snapshots else 1
        if not self.log:
            return None
        taken = snapshot(lowest + round(fraction * (len(self.log) - lowest)), f"taken {len(self.snapshots)}")
        if self.snapshots and self.snapshots[-1].through == taken.through:
            self.snapshots.pop()
        self.snapshots.append(taken)
        return taken


class UpdateLogContract:
    keeps_after_close = True

    def opened(self, folder: Path) -> AbstractAsyncContextManager[Store]:
        """Open the store in ``folder``, making it if it is not there."""
        raise NotImplementedError

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path

    async def test_L1_records_come_back_in_order_and_unchanged(self, folder: Path) -> None:
        async with self.opened(folder) as store:
            log = store.log("metrics")
            await log.append(records(1, 3))
            await log.append([Record(b"", "", 0), Record(bytes(range(256)), "zoë \u0000 😀", 2**63 - 1)])
            tail = (await log.load()).tail
        assert tail == (*records(1, 3), Record(b"", "", 0), Record(bytes(range(256)), "zoë \u0000 😀", 2**63 - 1))

    async def test_L2_numbers_are_dense_and_start_at_one(self, folder: Path) -> None:
        async with self.opened(folder) as store:
            log = store.log("metrics")
            assert [await log.append([record(number)]) for number in (1, 2, 3)] == [1, 2, 3]
            assert await log.append(records(4, 6)) == 6

    @pytest.mark.parametrize(
        "unfit", [Record(b"", author="\ud800"), Record(b"", at_ms=2**63), Record(b"", at_ms=-(2**63) - 1)]
    )
    async def test_L2_a_record_that_no_row_can_hold_is_refused_and_uses_no_number(
        self, folder: Path, unfit: Record
    ) -> None:
        async with self.opened(folder) as store:
            log = store.log("metrics")
            await log.append([record(1)])
            with pytest.raises(ValueError):
                await log.append([record(2), unfit])
            assert await log.append([record(2)]) == 2
            assert (await log.load()).tail == records(1, 2)

    async def test_L4_an_empty_append_returns_where_the_log_stands(self, folder: Path) -> None:
        async with self.opened(folder) as store:
            log = store.log("metrics")
            assert await log.append([]) == 0
            assert list(await store.documents()) == []
            await log.append(records(1, 2))
            assert await log.append([]) == 2

    async def test_L5_concurrent_appends_are_whole_and_keep_their_order(self, folder: Path) -> None:
        async with self.opened(folder) as store:
            log = store.log("metrics")
            runs = [records(10 * run + 1, 10 * run + 7) for run in range(20)]
            ends = await asyncio.gather(*(log.append(run) for run in runs))
            assert ends == [7 * (run + 1) for run in range(20)]
            assert (await log.load()).tail == tuple(one for run in runs for one in run)

    async def test_L6_load_sees_what_has_returned_through_any_log_object(self, folder: Path) -> None:
        async with self.opened(folder) as store:
            await store.log("metrics").append(records(1, 2))
            await store.log("metrics").mark("acked", 1)
            assert await store.log("metrics").load() == Loaded(None, records(1, 2), {"acked": 1})

    async def test_L7_a_snapshot_replaces_the_log_up_to_its_number(self, folder: Path) -> None:
        async with self.opened(folder) as store:
            log = store.log("metrics")
            await log.append(records(1, 9))
            await log.compact(snapshot(7))
            loaded = await log.load()
            assert (loaded.snapshot, loaded.tail, loaded.last_seq) == (snapshot(7), records(8, 9), 9)
            assert await log.append([record(10)]) == 10

    async def test_L8_the_previous_snapshot_and_its_log_stay_until_the_next(self, folder: Path) -> None:
        async with self.opened(folder) as store:
            log = store.log("metrics")
            await log.append(records(1, 9))
            kept = []
            for through in (3, 5, 9):
                await log.compact(snapshot(through))
                figures = await store.verify("metrics")
                kept.append((figures.records, figures.snapshots))
        assert kept == [(9, 1), (6, 2), (4, 2)]

    async def test_L8_the_document_can_be_read_from_the_previous_snapshot(self, folder: Path) -> None:
        async with self.opened(folder) as store:
            log = store.log("metrics")
            assert await log.load_from_previous() == Loaded()
            await log.append(records(1, 9))
            await log.compact(snapshot(3))
            assert await log.load_from_previous() == Loaded(None, records(1, 9), {})
            await log.compact(snapshot(5))
            assert await log.load_from_previous() == Loaded(snapshot(3), records(4, 9), {})

    @pytest.mark.parametrize("through", [-1, 0, 4, 10])
    async def test_L9_a_snapshot_ahead_of_the_log_or_going_backwards_is_refused(
        self, folder: Path, through: int
    ) -> None:
        async with self.opened(folder) as store:
            log = store.log("metrics")
            await log.append(records(1, 9))
            await log.compact(snapshot(5))
            with pytest.raises(ValueError, match="snapshot through"):
                await log.compact(snapshot(through))
            assert await log.load() == Loaded(snapshot(5), records(6, 9), {})

    async def test_L9_a_document_that_was_never_written_takes_no_snapshot(self, folder: Path) -> None:
        async with self.opened(folder) as store:
            with pytest.raises(ValueError, match="snapshot through 1"):
                await store.log("metrics").compact(snapshot(1))

    async def test_L9_a_second_snapshot_at_the_same_place_replaces_only_the_current_one(self, folder: Path) -> None:
        async with self.opened(folder) as store:
            log = store.log("metrics")
            await log.append(records(1, 9))
            await log.compact(snapshot(3))
            await log.compact(snapshot(6))
            await log.compact(snapshot(6, "again"))
            assert (await log.load()).snapshot == snapshot(6, "again")
            figures = await store.verify("metrics")
            assert (figures.records, figures.snapshots) == (6, 2)

    async def test_L10_marks_survive_compaction_and_the_last_value_counts(self, folder: Path) -> None:
        async with self.opened(folder) as store:
            log = store.log("metrics")
            await log.mark("acked", 1)
            await log.append(records(1, 2))
            await log.mark("acked", 2)
            await log.mark("sent", -5)
            await log.compact(snapshot(2))
            assert (await log.load()).marks == {"acked": 2, "sent": -5}
            for name, value in (("\ud800", 1), ("acked", 2**63)):
                with pytest.raises(ValueError):
                    await log.mark(name, value)

    async def test_L11_documents_do_not_see_each_other(self, folder: Path) -> None:
        async with self.opened(folder) as store:
            await store.log("b").append(records(1, 2))
            await store.log("a").append([record(7)])
            await store.log("a").mark("acked", 1)
            assert await store.log("c").load() == Loaded()
            assert await store.log("b").load() == Loaded(None, records(1, 2), {})
            assert await store.documents() == ["a", "b"]
            assert (await store.figures("b")).record_bytes == sum(len(one.update) for one in records(1, 2))
            assert (await store.figures("c")).last_seq == 0

    async def test_L13_a_cancelled_append_is_there_whole_or_not_at_all(self, folder: Path) -> None:
        async with self.opened(folder) as store:
            log = store.log("metrics")
            tasks = [asyncio.create_task(log.append(records(10 * run, 10 * run + 2))) for run in range(30)]
            await asyncio.sleep(0)
            for task in tasks[::3]:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            tail = (await log.load()).tail
        runs = {tail[start : start + 3] for start in range(0, len(tail), 3)}
        assert runs <= {records(10 * run, 10 * run + 2) for run in range(30)}
        for run, end in enumerate(ends):
            if isinstance(end, int):
                assert tail[end - 3 : end] == records(10 * run, 10 * run + 2)
        assert sum(isinstance(end, int) for end in ends) >= 20

    async def test_L14_a_closed_store_refuses_everything(self, folder: Path) -> None:
        async with self.opened(folder) as store:
            assert store.failure is None
            log = store.log("metrics")
            await log.append([record(1)])
        assert store.failure is not None
        for refused in (log.load(), log.append([record(2)]), log.append([]), log.mark("acked", 1), store.documents()):
            with pytest.raises(StoreUnavailable):
                await refused

    async def test_L17_of_one_client_id_the_last_binding_counts_and_compaction_leaves_it_alone(
        self, folder: Path
    ) -> None:
        async with self.opened(folder) as store:
            log = store.log("metrics")
            await log.append(records(1, 2), [Binding(7, "ada", "carried"), Binding(8, "bob", "firm")])
            await log.append(records(3, 9), [Binding(7, "bob", "firm")])
            await store.log("other").append([record(1)], [Binding(7, "eve", "firm")])
            await log.compact(snapshot(3))
            await log.compact(snapshot(6))
            expected = {7: Binding(7, "bob", "firm"), 8: Binding(8, "bob", "firm")}
            assert (await log.load()).bindings == (await log.load_from_previous()).bindings == expected
            assert (await store.log("other").load()).bindings == {7: Binding(7, "eve", "firm")}
            await store.retire("other", "asked for", 1, "third", records(1, 1))
            assert (await store.log("third").load()).bindings == {}

    @pytest.mark.parametrize(
        "unfit", [Binding(2**63, "ada", "firm"), Binding(-(2**63) - 1, "ada", "firm"), Binding(7, "\ud800", "firm")]
    )
    async def test_L17_a_binding_that_no_row_can_hold_or_without_a_record_is_refused(
        self, folder: Path, unfit: Binding
    ) -> None:
        async with self.opened(folder) as store:
            log = store.log("metrics")
            with pytest.raises(ValueError):
                await log.append([record(1)], [Binding(7, "ada", "firm"), unfit])
            with pytest.raises(ValueError):
                await log.append([], [Binding(7, "ada", "firm")])
            assert await log.load() == Loaded()
            assert await store.documents() == []

    async def test_stores_have_identities_of_their_own(self, folder: Path) -> None:
        identities = set()
        for name in ("one", "two"):
            (folder / name).mkdir()
            async with self.opened(folder / name) as store:
                identities.add(store.identity)
        assert len(identities) == 2
        assert {len(identity) for identity in identities} == {32}

    async def test_verify_tells_how_far_it_is(self, folder: Path) -> None:
        seen: list[tuple[int, int]] = []
        async with self.opened(folder) as store:
            await store.log("metrics").append(records(1, 2_500))
            await store.verify("metrics", progress=lambda done, in_all: seen.append((done, in_all)))
        assert seen == sorted(seen)
        assert seen[-1] == (2_500, 2_500)

    def follow(self, steps: list[Step]) -> None:
        """Any history reads like its model (L1 to L11). Each store's class gives it histories from ``STEPS``."""
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(self._follow(Path(folder), iter(steps)))

    async def _follow(self, folder: Path, steps: Iterator[Step]) -> None:
        models: dict[str, Model] = {}
        going_on = True
        while going_on:
            async with self.opened(folder) as store:
                await self._compare(store, models)
                going_on = await self._until_reopen(store, models, steps)
                await self._compare(store, models)

    async def _until_reopen(self, store: Store, models: dict[str, Model], steps: Iterator[Step]) -> bool:
        for verb, document, argument in steps:
            log, model = store.log(document), models.get(document, Model())
            match verb, argument:
                case "append", list(appended):
                    model.log += appended
                    assert await log.append(appended) == len(model.log)
                    models.update({document: model} if appended else {})
                case "bind", list(bindings):
                    model.log.append(record(len(model.log)))
                    model.bindings |= {binding.client: binding for binding in bindings}
                    assert await log.append(model.log[-1:], bindings) == len(model.log)
                    models[document] = model
                case "mark", (str(name), int(value)):
                    models[document] = model
                    model.marks[name] = value
                    await log.mark(name, value)
                case "compact", float(fraction):
                    if taken := model.compact(fraction):
                        await log.compact(taken)
                case "reopen", _:
                    if self.keeps_after_close:
                        return True
                case _:
                    raise AssertionError(verb)
        return False

    async def _compare(self, store: Store, models: dict[str, Model]) -> None:
        assert await store.documents() == sorted(models)
        for document, model in models.items():
            assert await store.log(document).load() == model.loaded()
            figures = await store.verify(document)
            assert figures == await store.figures(document)
            assert figures.records == model.kept_records()
            assert figures.snapshots == min(2, len(model.snapshots))
