"""A confined process of ours behind its pipes: start it, end it, learn how it ended. Nothing of it is ever left."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import Final

from server.scribes.confinement import describe_end, worker_environment

STDERR_BYTES_MAX: Final = 4096


class Child:
    """Begun by :meth:`spawn`, and always finished with :meth:`end`."""

    def __init__(self, process: asyncio.subprocess.Process, read_bytes_max: int) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self.stdin, self.stdout = process.stdin, process.stdout
        self._read_bytes_max = read_bytes_max
        self._stderr = b""
        self._listening = asyncio.create_task(self._listen(process.stderr), name="a child's last words")

    @classmethod
    async def spawn(cls, module: str, *arguments: str, read_bytes_max: int) -> Child:
        """Run a module of ours, which is told our process id and ``arguments``. ``read_bytes_max`` is how much of its
        output is taken in one go. Raises :class:`OSError` when the machine does not let us."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            # Not the working directory: it may be one that others write to.
            "-P",
            "-m",
            module,
            str(os.getpid()),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=read_bytes_max,
            # A group of its own, so that what it begets can be ended with it.
            start_new_session=True,
            env=worker_environment(),
        )
        return cls(process, read_bytes_max)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.returncode is not None or self.stdout.at_eof()

    @property
    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        return self._stderr.decode(errors="replace").strip()

    def describe_end(self) -> str:
        """How an ended child ended, for people."""
        assert self._process.returncode is not None
        return describe_end(self._process.returncode, self._stderr)

    def kill(self) -> None:
        """End it now, whatever it does, and all that it has begun."""
        # Its number stands for the group as long as it, or anything that holds our pipes, is there.
        if self._process.returncode is None or not self.stdout.at_eof():
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    async def end(self, *, patience_s: float) -> None:
        """Let it end by itself, or make it; return when nothing of it is left."""
        self.stdin.close()
        try:
            async with asyncio.timeout(patience_s):
                await self._drained()
        except TimeoutError:
            self.kill()
            await self._drained()

    async def _drained(self) -> None:
        while await self.stdout.read(self._read_bytes_max):
            pass
        # Not awaited itself: out of patience, we would cancel it, and then wait for what is cancelled.
        await asyncio.wait([self._listening])
        await self._process.wait()

    async def _listen(self, stderr: asyncio.StreamReader) -> None:
        # Always read, or a talkative child would wait for ever; kept only to the bound, the end being what matters.
        while text := await stderr.read(STDERR_BYTES_MAX):
            self._stderr = (self._stderr + text)[-STDERR_BYTES_MAX:]
