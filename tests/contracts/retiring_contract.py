"""Rules L15 and L16 of every store: documents that end. Inherited beside :class:`UpdateLogContract`."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from crdt_sync.errors import DocumentRetired, StoreUnavailable
from crdt_sync.stores.update_log import Loaded, Retirement, Store
from tests.contracts.update_log_contract import record, records, snapshot

PII = "pii/customer-1042"


class RetiringContract:
    keeps_after_close = True

    def opened(self, folder: Path) -> AbstractAsyncContextManager[Store]:
        """Open the store in ``folder``, making it if it is not there."""
        raise NotImplementedError

    async def test_L15_a_retired_document_refuses_everything_and_leaves_its_note(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            log = store.log(PII)
            await log.append(records(1, 5))
            await log.compact(snapshot(3))
            await log.mark("acked", 4)
            await store.log("metrics").append(records(1, 2))
            note = await store.retire(PII, "asked for by its subject", 99)
            assert note == Retirement(PII, "asked for by its subject", 99)
            for refused in (
                log.load(),
                log.load_from_previous(),
                log.append([record(1)]),
                log.append([]),
                log.compact(snapshot(3)),
                log.mark("acked", 1),
                store.figures(PII),
                store.verify(PII),
            ):
                with pytest.raises(DocumentRetired, match="ended for good; asked for by its subject"):
                    await refused
            assert await store.documents() == ["metrics"]
            assert await store.retirements() == [note]
            assert (await store.log("metrics").load()).tail == records(1, 2)
        if self.keeps_after_close:
            async with self.opened(tmp_path) as store:
                assert await store.retirements() == [note]
                assert await store.documents() == ["metrics"]
                with pytest.raises(DocumentRetired):
                    await store.log(PII).load()

    async def test_L15_a_successor_gets_its_contents_in_the_same_commit(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await store.log("catalog").append(records(1, 5))
            await store.log("catalog.2").append(records(1, 1))
            await store.retire("catalog", "a new epoch", 7, "catalog.2", records(2, 3))
            assert await store.log("catalog.2").load() == Loaded(None, records(1, 3), {})
            with pytest.raises(DocumentRetired, match=r"succeeded by catalog\.2; a new epoch") as refused:
                await store.log("catalog").load()
            assert refused.value.successor == "catalog.2"
            assert await store.documents() == ["catalog.2"]

    async def test_L15_a_successor_that_nobody_knows_yet_may_begin_with_its_contents(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await store.retire("catalog", "a new epoch", 7, "catalog.2", records(1, 3))
            await store.log("later").append(records(1, 1))
            assert (await store.log("catalog.2").load()).tail == records(1, 3)
            assert (await store.log("later").load()).tail == records(1, 1)

    async def test_L15_a_document_that_was_never_written_can_be_retired(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await store.retire(PII, "asked for", 1)
            with pytest.raises(DocumentRetired):
                await store.log(PII).append([record(1)])
            assert await store.log("other").append([record(1)]) == 1

    async def test_L15_retiring_again_changes_nothing_and_to_another_successor_is_refused(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            await store.log("catalog").append(records(1, 2))
            first = await store.retire("catalog", "a new epoch", 7, "catalog.2", records(1, 3))
            assert await store.retire("catalog", "once more", 8, "catalog.2", records(1, 3)) == first
            assert (await store.log("catalog.2").load()).tail == records(1, 3)
            with pytest.raises(DocumentRetired):
                await store.retire("catalog", "erased", 9)
            with pytest.raises(DocumentRetired) as refused:
                await store.retire("catalog.9", "back", 9, "catalog")
            assert refused.value.document == "catalog"
            assert await store.retirements() == [first]

    @pytest.mark.parametrize(
        ("why", "successor", "is_filled"), [("\ud800", None, False), ("x", None, True), ("x", PII, False)]
    )
    async def test_L15_a_note_that_makes_no_sense_is_refused(
        self, tmp_path: Path, why: str, successor: str | None, is_filled: bool
    ) -> None:
        async with self.opened(tmp_path) as store:
            await store.log(PII).append(records(1, 2))
            with pytest.raises(ValueError):
                await store.retire(PII, why, 1, successor, records(1, 1) if is_filled else ())
            assert (await store.log(PII).load()).tail == records(1, 2)

    async def test_L15_what_is_written_meanwhile_is_kept_before_the_end_or_refused(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            log = store.log(PII)
            await log.append([record(1)])
            writing = [asyncio.create_task(log.append([record(number)])) for number in range(20)]
            others = [asyncio.create_task(store.log("metrics").append([record(number)])) for number in range(20)]
            ending = asyncio.create_task(store.retire(PII, "asked for", 1))
            late = [asyncio.create_task(log.append([record(number)])) for number in range(20)]
            await ending
            outcomes = await asyncio.gather(*writing, *late, return_exceptions=True)
            assert all(isinstance(outcome, int | DocumentRetired | StoreUnavailable) for outcome in outcomes)
            assert any(isinstance(outcome, DocumentRetired | StoreUnavailable) for outcome in outcomes)
            assert len(await asyncio.gather(*others)) == (await store.log("metrics").load()).last_seq == 20
            with pytest.raises(DocumentRetired):
                await log.load()

    async def test_L15_who_is_cancelled_while_retiring_leaves_it_whole_or_gone(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as store:
            log = store.log(PII)
            await log.append(records(1, 3))
            ending = asyncio.create_task(store.retire(PII, "asked for", 1))
            await asyncio.sleep(0)
            ending.cancel()
            await asyncio.wait([ending])
            late = [asyncio.create_task(log.append([record(4)])) for _ in range(9)]
            await asyncio.gather(*late, return_exceptions=True)
            await store.retire(PII, "asked for", 1)
            with pytest.raises(DocumentRetired):
                await log.load()
