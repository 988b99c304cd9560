from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from hypothesis import given

from crdt_sync.stores.memory import open_memory_store
from crdt_sync.stores.update_log import Store
from tests.contracts.retiring_contract import RetiringContract
from tests.contracts.update_log_contract import STEPS, Step, UpdateLogContract


class TestMemoryStore(UpdateLogContract, RetiringContract):
    keeps_after_close = False

    def opened(self, folder: Path) -> AbstractAsyncContextManager[Store]:
        return open_memory_store()

    @given(steps=STEPS)
    def test_L1_to_L11_any_history_reads_like_its_model(self, steps: list[Step]) -> None:
        self.follow(steps)
