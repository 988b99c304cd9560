"""One worker process as its supervisor sees it: ask it, kill it, learn how it ended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from server.scribes.child import Child
from server.scribes.frames import DONE, HEAD, LAST, LENGTH_BYTES, READY, REFUSED, head, lengths

CHUNK_BYTES: Final = 1 << 20
"""What is handed to a pipe, or taken from it, in one go: a document of any size leaves the loop room to breathe."""
ANSWER_PARTS_MAX: Final = 2
END_S: Final = 5.0


class Answer(NamedTuple):
    """What a worker replied. After the ``last`` one it ends."""

    kind: int
    parts: Sequence[bytes]
    last: bool


class WorkerGone(Exception):
    """The worker ended in the middle of a conversation; how, :meth:`Worker.describe_end` says once it is finished."""


class WorkerConfused(Exception):
    """The worker answered what no worker answers."""


class Worker:
    """Begun by :meth:`spawn`, and always finished with :meth:`end`. One task at a time."""

    def __init__(self, child: Child, answer_bytes_max: int) -> None:
        self._child = child
        self._answer_bytes_max = answer_bytes_max

    @classmethod
    async def spawn(cls, *, memory_bytes_max: int, cpu_s: float) -> Worker:
        """Start a process. Raises :class:`OSError` when the machine does not let us."""
        child = await Child.spawn(
            "server.scribes.worker", str(memory_bytes_max), str(cpu_s), read_bytes_max=CHUNK_BYTES
        )
        # An answer comes out of the worker's memory, so it can't be larger.
        return cls(child, memory_bytes_max)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def has_ended(self) -> bool:
        return self._child.has_ended

    async def ready(self) -> None:
        """Wait until it has loaded its code. Raises as :meth:`ask` does."""
        if (await self._read()).kind != READY:
            raise WorkerConfused("it answered before it was asked")

    async def ask(self, task: int, parts: Sequence[bytes]) -> Answer:
        """Have one task done. Raises :class:`WorkerGone` or :class:`WorkerConfused`.

        Cancelled, it leaves a worker that must be killed."""
        try:
            for chunk in _chunks(head(task, parts), parts):
                self._child.stdin.write(chunk)
                await self._child.stdin.drain()
        except ConnectionError as error:
            raise WorkerGone("it stopped reading") from error
        answer = await self._read()
        if answer.kind not in (DONE, REFUSED):
            raise WorkerConfused(f"its answer is of kind {answer.kind}")
        return answer

    async def _read(self) -> Answer:
        kind, count = HEAD.unpack(await self._exactly(HEAD.size))
        if count > ANSWER_PARTS_MAX:
            raise WorkerConfused(f"its answer has {count} parts")
        sizes = lengths(await self._exactly(count * LENGTH_BYTES))
        if sum(sizes) > self._answer_bytes_max:
            raise WorkerConfused(f"its answer has {sum(sizes)} bytes")
        return Answer(kind & ~LAST, [await self._exactly(size) for size in sizes], bool(kind & LAST))

    async def _exactly(self, count: int) -> bytes:
        chunks = []
        while count:
            chunk = await self._child.stdout.read(min(count, CHUNK_BYTES))
            if not chunk:
                raise WorkerGone("it ended")
            chunks.append(chunk)
            count -= len(chunk)
        return b"".join(chunks)

    def kill(self) -> None:
        """End it now, whatever it does."""
        self._child.kill()

    async def end(self) -> None:
        """Let it end by itself, or make it; return when nothing of it is left."""
        await self._child.end(patience_s=END_S)

    @property
    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        return self._child.last_words

    def describe_end(self) -> str:
        """How an ended worker ended, for people."""
        return self._child.describe_end()


def _chunks(first: bytes, parts: Sequence[bytes]) -> Iterator[bytes]:
    """All of it in pieces of about ``CHUNK_BYTES``: many small parts together, a large one in slices."""
    batch, size = [first], len(first)
    for part in parts:
        if size + len(part) > CHUNK_BYTES:
            yield b"".join(batch)
            batch, size = [], 0
            for start in range(0, len(part), CHUNK_BYTES):
                yield part[start : start + CHUNK_BYTES]
            continue
        batch.append(part)
        size += len(part)
    yield b"".join(batch)
