"""The steward's process as the relay sees it: start it, tell it, hear it, end it."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Final

from server.scribes.confinement import describe_end, worker_environment
from server.steward.words import Instructions, Order, Report, from_line, to_line

STDERR_BYTES_MAX: Final = 4096
LINE_BYTES_MAX: Final = 64 << 10
SILENCE_S: Final = 120.0
"""A steward that has said nothing for so long hangs: it speaks every few seconds, but between two steps of a duty."""
END_S: Final = 2.0
"""Its files are as safe from a kill as any peer's, so a stop of the relay does not wait for long."""


class StewardGone(Exception):
    """The steward has ended, or was ended for what it did; the message says how."""


class StewardProcess:
    """Begun by :meth:`spawn`, and always finished with :meth:`end`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._stderr = b""
        self._listening = asyncio.create_task(self._listen(process.stderr), name="the steward's last words")

    @classmethod
    async def spawn(cls, instructions: Instructions, *, memory_bytes_max: int) -> StewardProcess:
        """Start a steward. Raises :class:`OSError` when the machine does not let us."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            # Not the working directory: it may be one that others write to.
            "-P",
            "-m",
            "server.steward",
            str(os.getpid()),
            str(memory_bytes_max),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_BYTES_MAX,
            env=worker_environment(),
        )
        started = cls(process)
        started._stdin.write(to_line(instructions))
        return started

    def tell(self, order: Order) -> None:
        """Never waits; what a dead steward is told is told to the next one."""
        if not self._stdin.is_closing():
            self._stdin.write(to_line(order))

    async def hear(self) -> Report:
        """The next report. Raises :class:`StewardGone`; then it must be ended."""
        try:
            async with asyncio.timeout(SILENCE_S):
                line = await self._stdout.readline()
        except TimeoutError:
            raise StewardGone(f"it said nothing for {SILENCE_S:g} s") from None
        except ValueError as error:
            raise StewardGone(f"it said too much at once: {error}") from error
        if not line.endswith(b"\n"):
            await self.end()
            assert self._process.returncode is not None
            raise StewardGone(describe_end(self._process.returncode, self._stderr))
        try:
            report = from_line(line)
        except (ValueError, KeyError, TypeError) as error:
            raise StewardGone(f"it said what no steward says: {error}") from error
        if isinstance(report, Order | Instructions):
            raise StewardGone("it gave an order instead of a report")
        return report

    async def end(self) -> None:
        """Let it end by itself, or make it; return when nothing of it is left."""
        self._stdin.close()
        try:
            async with asyncio.timeout(END_S):
                await self._drained()
        except TimeoutError:
            self._kill()
            await self._drained()

    @property
    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        return self._stderr.decode(errors="replace").strip()

    def _kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()

    async def _drained(self) -> None:
        while await self._stdout.read(LINE_BYTES_MAX):
            pass
        await asyncio.wait([self._listening])
        await self._process.wait()

    async def _listen(self, stderr: asyncio.StreamReader) -> None:
        # Always read, or a talkative steward would wait for ever; kept only to the bound, the end being what matters.
        while text := await stderr.read(STDERR_BYTES_MAX):
            self._stderr = (self._stderr + text)[-STDERR_BYTES_MAX:]
