"""The relay's side of the scribes: who gets a worker, and what becomes of one that dies."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from crdt_sync.errors import ReplicaBroken, ScribeDied, SnapshotMismatch, SyncError
from crdt_sync.protocol import state_vector
from crdt_sync.values import StateVector
from server.scribes.frames import CHECK, COMPACT, DIFF, REFUSED, VIEW
from server.scribes.process import Answer, Worker, WorkerConfused, WorkerGone

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

    def __init__(self, pool: _Pool) -> None:
        self._pool = pool

    async def compact(self, snapshot: bytes | None, updates: Sequence[bytes]) -> Compacted:
        """The whole document as one update. Raises :class:`SnapshotMismatch` when that is not what the log says."""
        state, ledger = await self._pool.run(COMPACT, _log(snapshot, updates), answers=2)
        return Compacted(state, ledger)

    async def diff(self, snapshot: bytes | None, updates: Sequence[bytes], state: StateVector) -> bytes:
        """What a holder of ``state`` lacks, as one update; it repeats all deletes."""
        (update,) = await self._pool.run(DIFF, [state_vector.encode(state), *_log(snapshot, updates)], answers=1)
        return update

    async def view(self, snapshot: bytes | None, updates: Sequence[bytes]) -> dict[str, Any]:
        """The document as JSON has it, root by root."""
        (text,) = await self._pool.run(VIEW, _log(snapshot, updates), answers=1)
        try:
            view: dict[str, Any] = await asyncio.to_thread(json.loads, text)
        except (ValueError, RecursionError) as error:
            raise ScribeDied(f"the scribe's view of the document can't be read: {error}") from error
        return view

    async def check(self, state: bytes, snapshot: bytes | None, updates: Sequence[bytes]) -> None:
        """Prove that ``state`` says what a snapshot and the log after it say. Raises :class:`SnapshotMismatch`."""
        await self._pool.run(CHECK, [state, *_log(snapshot, updates)], answers=0)


def _log(snapshot: bytes | None, updates: Sequence[bytes]) -> Sequence[bytes]:
    return updates if snapshot is None else [snapshot, *updates]


class _Pool:
    def __init__(self, count: int, memory_bytes_max: int, timeout_s: float, on_death: Callable[[str], None]) -> None:
        self._count = count
        self._memory_bytes_max = memory_bytes_max
        self._timeout_s = timeout_s
        self._on_death = on_death
        self._slots = asyncio.Semaphore(count)
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._ending: set[asyncio.Task[None]] = set()
        self._is_closing = False
        self._logged_s = float("-inf")
        self._unlogged = 0

    async def run(self, task: int, parts: Sequence[bytes], *, answers: int) -> Sequence[bytes]:
        """Have a task done as soon as a worker is free, in the order of asking."""
        async with self._slots:
            worker = await self._take()
            self._busy.add(worker)
            answer: Answer | None = None
            try:
                async with asyncio.timeout(self._timeout_s):
                    answer = await worker.ask(task, parts)
            except TimeoutError:
                raise await self._buried(worker, f"it was still busy after {self._timeout_s:g} s") from None
            except WorkerConfused as error:
                raise await self._buried(worker, str(error)) from error
            except WorkerGone as error:
                raise await self._buried(worker, None) from error
            finally:
                self._busy.discard(worker)
                await self._put_back(worker, answer)
        if answer.kind == REFUSED:
            raise _refusal(answer.parts)
        if len(answer.parts) != answers:
            raise ScribeDied(f"the scribe answered with {len(answer.parts)} parts instead of {answers}")
        return answer.parts

    async def _take(self) -> Worker:
        self._refuse_when_closing()
        while self._idle:
            worker = self._idle.pop()
            if not worker.has_ended:
                return worker
            await self._finish(worker)
        try:
            worker = await Worker.spawn(memory_bytes_max=self._memory_bytes_max, cpu_s=self._timeout_s)
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
            raise await self._buried(worker, f"it was not ready after {START_S:g} s") from None
        except WorkerConfused as error:
            raise await self._buried(worker, str(error)) from error
        except WorkerGone as error:
            raise await self._buried(worker, None) from error
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

    async def _buried(self, worker: Worker, how: str | None) -> ScribeDied:
        """End a worker that failed its task, tell of it, and return what its task fails with.

        ``how`` is why we end it; None when it ended by itself."""
        if how is not None:
            worker.kill()
        await self._finish(worker)
        if self._is_closing:
            return ScribeDied("the scribes were closed before the task was done")
        died = ScribeDied(f"the scribe died of its task: {how or worker.describe_end()}")
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
        # All slots are free only when nobody is asking or starting a worker any more.
        for _ in range(self._count):
            await self._slots.acquire()
        for _ in range(self._count):
            self._slots.release()
        await asyncio.gather(*self._ending)


def _refusal(parts: Sequence[bytes]) -> SyncError:
    code, message = (part.decode() for part in parts)
    for kind in (SnapshotMismatch, ReplicaBroken):
        if kind.code == code:
            return kind(message)
    return ScribeDied(f"the scribe refused with an unknown code {code!r}: {message}")
