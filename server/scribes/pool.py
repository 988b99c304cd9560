"""The relay's side of the scribes: who gets a worker, and what becomes of one that dies."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from crdt_sync.errors import ReplicaBroken, ScribeDied, SnapshotMismatch, SyncError
from crdt_sync.protocol import state_vector
from crdt_sync.values import StateVector
from server.scribes.frames import CHECK, COMPACT, DIFF, EXAMINE, PROVE, REACH, REFUSED, VIEW
from server.scribes.process import Answer, Worker, WorkerConfused, WorkerGone
from server.scribes.turnstile import Rests, Turnstile

START_S: Final = 60.0
"""To load the code; not part of a task's time, because a loaded machine says nothing about a document."""
LOG_INTERVAL_S: Final = 10.0
LAST_WORDS_CHARS_MAX: Final = 500

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Compacted:
    """A document in its shortest form, proven to say what its log says."""

    state: bytes
    """One Yjs update: the whole document."""
    ledger: bytes
    """``Ledger.encode()`` of the same."""


@asynccontextmanager
async def open_scribes(
    *, count: int, memory_bytes_max: int, timeout_s: float, on_death: Callable[[str], None]
) -> AsyncIterator[Scribes]:
    """Up to ``count`` workers, begun when they are needed; on exit none is left, and what was asked ends in ScribeDied.

    ``timeout_s`` is for one task, waiting for a worker not included. ``on_death`` hears, in one sentence, of every
    worker that died of its task.
    """
    pool = _Pool(count, memory_bytes_max, timeout_s, on_death)
    try:
        yield Scribes(pool)
    finally:
        await pool.close()


class Scribes:
    """Loads documents in processes that may die of it. A task is a snapshot, if there is one, and the log after it.

    Every method raises :class:`ScribeDied` when the worker crashed, hung or ran out of memory, and
    :class:`ReplicaBroken` when the log does not give a document. Cancelling a task ends its worker.
    """

    def __init__(self, pool: _Pool, tenant: str = "") -> None:
        self._pool = pool
        self._tenant = tenant

    @property
    def timeout_s(self) -> float:
        """How long one task may take."""
        return self._pool.timeout_s

    def on_behalf_of(self, tenant: str) -> Scribes:
        """The same workers, for tasks of one tenant: tenants take turns, and one whose tasks end workers waits."""
        return Scribes(self._pool, tenant)

    async def compact(self, snapshot: bytes | None, updates: Sequence[bytes]) -> Compacted:
        """The whole document as one update. Raises :class:`SnapshotMismatch` when that is not what the log says."""
        state, ledger = await self._run(COMPACT, _log(snapshot, updates), answers=2)
        return Compacted(state, ledger)

    async def diff(self, snapshot: bytes | None, updates: Sequence[bytes], state: StateVector) -> bytes:
        """What a holder of ``state`` lacks, as one update; it repeats all deletes."""
        (update,) = await self._run(DIFF, [state_vector.encode(state), *_log(snapshot, updates)], answers=1)
        return update

    async def view(self, snapshot: bytes | None, updates: Sequence[bytes]) -> dict[str, Any]:
        """The document as JSON has it, root by root."""
        (text,) = await self._run(VIEW, _log(snapshot, updates), answers=1)
        try:
            view: dict[str, Any] = await asyncio.to_thread(json.loads, text)
        except (ValueError, RecursionError) as error:
            raise ScribeDied(f"the scribe's view of the document can't be read: {error}") from error
        return view

    async def check(self, state: bytes, snapshot: bytes | None, updates: Sequence[bytes]) -> None:
        """Prove that ``state`` says what a snapshot and the log after it say. Raises :class:`SnapshotMismatch`."""
        await self._run(CHECK, [state, *_log(snapshot, updates)], answers=0)

    async def examine(
        self,
        snapshot: bytes | None,
        updates: Sequence[bytes],
        *,
        reads: bool,
        proves: bool = True,
        share: float = 1.0,
    ) -> None:
        """Do with a document what compaction does, only to see whether that ends the worker.

        With ``reads`` its content is looked at, too; without ``proves`` nothing is compared, in half the time. The
        worker may have ``share`` of what one has. A tenant's rest does not matter here."""
        parts = [bytes([reads, proves]), *_log(snapshot, updates)]
        await self._pool.run(EXAMINE, parts, answers=0, tenant=self._tenant, share=share, rests=False)

    async def reach(self, update: bytes, snapshot: bytes | None, updates: Sequence[bytes]) -> bytes:
        """What the deletes of ``update`` come to in a document: an update that deletes all that is inside, too."""
        parts = [update, *_log(snapshot, updates)]
        (reached,) = await self._pool.run(REACH, parts, answers=1, tenant=self._tenant, rests=False)
        return reached

    async def prove(self, document: str, snapshot: tuple[bytes, bytes] | None, updates: Sequence[bytes]) -> None:
        """Send every update through the gate, and read all that is in a document of ours. ``snapshot`` is a state and
        its ledger, which must be of it. Raises :class:`SnapshotMismatch`."""
        state, ledger = (None, b"") if snapshot is None else snapshot
        await self._run(PROVE, [document.encode(), ledger, *_log(state, updates)], answers=0)

    async def _run(self, task: int, parts: Sequence[bytes], *, answers: int) -> Sequence[bytes]:
        return await self._pool.run(task, parts, answers=answers, tenant=self._tenant)


def _log(snapshot: bytes | None, updates: Sequence[bytes]) -> Sequence[bytes]:
    return updates if snapshot is None else [snapshot, *updates]


class _Pool:
    def __init__(self, count: int, memory_bytes_max: int, timeout_s: float, on_death: Callable[[str], None]) -> None:
        self._memory_bytes_max = memory_bytes_max
        self.timeout_s = timeout_s
        self._on_death = on_death
        self._turnstile = Turnstile(count)
        self._rests = Rests(time.monotonic)
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._is_closing = False
        self._logged_s = float("-inf")
        self._unlogged = 0

    async def run(
        self,
        task: int,
        parts: Sequence[bytes],
        *,
        answers: int,
        tenant: str = "",
        share: float = 1.0,
        rests: bool = True,
    ) -> Sequence[bytes]:
        """Have a task done as soon as a worker is free and it is the tenant's turn, after its rest if it has one.

        With a ``share`` of less than 1 the worker has that much of memory and time, and is used for nothing else."""
        if rests and not self._is_closing:
            await asyncio.sleep(self._rests.left_s(tenant))
        async with self._turnstile.turn(tenant):
            answer = await self._ask(task, parts, tenant, share)
        self._rests.went_well(tenant)
        if answer.kind == REFUSED:
            raise _refusal(answer.parts)
        if len(answer.parts) != answers:
            raise ScribeDied(f"the scribe answered with {len(answer.parts)} parts instead of {answers}")
        return answer.parts

    async def _ask(self, task: int, parts: Sequence[bytes], tenant: str, share: float) -> Answer:
        worker = await self._take(share)
        self._busy.add(worker)
        answer: Answer | None = None
        try:
            async with asyncio.timeout(self.timeout_s * share):
                answer = await worker.ask(task, parts)
        except TimeoutError:
            self._rests.died(tenant)
            raise await self._buried(worker, f"it was still busy after {self.timeout_s * share:g} s") from None
        except WorkerConfused as error:
            self._rests.died(tenant)
            raise await self._buried(worker, str(error)) from error
        except WorkerGone as error:
            self._rests.died(tenant)
            raise await self._buried(worker, None) from error
        finally:
            self._busy.discard(worker)
            await self._put_back(worker, answer if share == 1.0 else None)
        return answer

    async def _take(self, share: float) -> Worker:
        self._refuse_when_closing()
        while self._idle and share == 1.0:
            worker = self._idle.pop()
            if not worker.has_ended:
                return worker
            await self._finish(worker)
        try:
            worker = await Worker.spawn(
                memory_bytes_max=int(self._memory_bytes_max * share), cpu_s=self.timeout_s * share
            )
        except OSError as error:
            raise ScribeDied(f"a scribe could not be started: {error}") from error
        self._busy.add(worker)
        is_ready = False
        try:
            self._refuse_when_closing()
            async with asyncio.timeout(START_S):
                await worker.ready()
            is_ready = True
        except TimeoutError:
            raise await self._buried(worker, f"it was not ready after {START_S:g} s", at_work=False) from None
        except WorkerConfused as error:
            raise await self._buried(worker, str(error), at_work=False) from error
        except WorkerGone as error:
            raise await self._buried(worker, None, at_work=False) from error
        finally:
            self._busy.discard(worker)
            if not is_ready:
                await self._put_back(worker, None)
        return worker

    def _refuse_when_closing(self) -> None:
        if self._is_closing:
            raise ScribeDied("the scribes are closing")

    async def _put_back(self, worker: Worker, answer: Answer | None) -> None:
        """For the next task, unless it ended, will end, or was left in the middle of one."""
        if answer is not None and not answer.last and not self._is_closing:
            self._idle.append(worker)
            return
        if answer is None:
            worker.kill()
        await self._finish(worker)

    async def _finish(self, worker: Worker) -> None:
        """Wait until nothing of ``worker`` is left. When our task is cancelled meanwhile, that goes on without it."""
        ending = asyncio.create_task(worker.end())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        await asyncio.shield(ending)

    async def _buried(self, worker: Worker, how: str | None, *, at_work: bool = True) -> ScribeDied:
        """End a worker that failed its task, tell of it, and return what its task fails with.

        ``how`` is why we end it; None when it ended by itself."""
        if how is not None:
            worker.kill()
        await self._finish(worker)
        if self._is_closing:
            return ScribeDied("the scribes were closed before the task was done")
        died = ScribeDied(f"the scribe died of its task: {how or worker.describe_end()}", at_work=at_work)
        self._log_death(died, worker.last_words)
        self._on_death(str(died))
        return died

    def _log_death(self, died: ScribeDied, last_words: str) -> None:
        # One hostile document, asked for in a loop, must not fill the disk.
        now_s = asyncio.get_running_loop().time()
        if now_s - self._logged_s < LOG_INTERVAL_S:
            self._unlogged += 1
            return
        logger.warning(
            "%s; its last words: %r; %d more since the last such line",
            died,
            last_words[-LAST_WORDS_CHARS_MAX:],
            self._unlogged,
        )
        self._logged_s, self._unlogged = now_s, 0

    async def close(self) -> None:
        """End every worker; whoever still waits for an answer gets ScribeDied."""
        self._is_closing = True
        for worker in self._busy:
            worker.kill()
        while self._idle:
            await self._finish(self._idle.pop())
        # Only then nobody is asking or starting a worker any more.
        await self._turnstile.emptied()
        await asyncio.gather(*self._ending)


def _refusal(parts: Sequence[bytes]) -> SyncError:
    code, message = (part.decode() for part in parts)
    for kind in (SnapshotMismatch, ReplicaBroken):
        if kind.code == code:
            return kind(message)
    return ScribeDied(f"the scribe refused with an unknown code {code!r}: {message}")
