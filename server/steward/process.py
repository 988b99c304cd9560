"""The steward's process as the relay sees it: start it, tell it, hear it, end it."""

from __future__ import annotations

import asyncio
from typing import Final

from server.scribes.child import Child
from server.steward.words import Instructions, Order, Report, from_line, to_line

LINE_BYTES_MAX: Final = 64 << 10
SILENCE_S: Final = 120.0
"""A steward that has said nothing for so long hangs: it speaks every few seconds, but between two steps of a duty."""
END_S: Final = 2.0
"""Its files are as safe from a kill as any peer's, so a stop of the relay does not wait for long."""


class StewardGone(Exception):
    """The steward has ended, or was ended for what it did; the message says how."""


class StewardProcess:
    """Begun by :meth:`spawn`, and always finished with :meth:`end`."""

    def __init__(self, child: Child) -> None:
        self._child = child

    @classmethod
    async def spawn(cls, instructions: Instructions, *, memory_bytes_max: int) -> StewardProcess:
        """Start a steward. Raises :class:`OSError` when the machine does not let us."""
        child = await Child.spawn("server.steward", str(memory_bytes_max), read_bytes_max=LINE_BYTES_MAX)
        child.stdin.write(to_line(instructions))
        return cls(child)

    def tell(self, order: Order) -> None:
        """Never waits; what a dead steward is told is told to the next one."""
        if not self._child.stdin.is_closing():
            self._child.stdin.write(to_line(order))

    async def hear(self) -> Report:
        """The next report. Raises :class:`StewardGone`; then it must be ended."""
        try:
            async with asyncio.timeout(SILENCE_S):
                line = await self._child.stdout.readline()
        except TimeoutError:
            raise StewardGone(f"it said nothing for {SILENCE_S:g} s") from None
        except ValueError as error:
            raise StewardGone(f"it said too much at once: {error}") from error
        if not line.endswith(b"\n"):
            await self.end()
            raise StewardGone(self._child.describe_end())
        try:
            report = from_line(line)
        except (ValueError, KeyError, TypeError) as error:
            raise StewardGone(f"it said what no steward says: {error}") from error
        if isinstance(report, Order | Instructions):
            raise StewardGone("it gave an order instead of a report")
        return report

    async def end(self) -> None:
        """Let it end by itself, or make it; return when nothing of it is left."""
        await self._child.end(patience_s=END_S)

    @property
    def last_words(self) -> str:
        """The end of what it wrote to standard error."""
        return self._child.last_words
