"""All open connections of one relay, and the one clock that looks after them: signs of life, and stuck sockets."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from crdt_sync.errors import MemberTooSlow
from server.rooms.dialect import Dialect
from server.telemetry.meters import Meters
from server.web.connection import Connection

REASSURE_S: Final = 1.0
"""A client of y-sweet leaves after 3 s, and this may be the time that it has waited when nobody has looked yet."""


class Connections:
    """Made by :func:`open_connections`."""

    def __init__(self, meters: Meters, *, liveness_s: float, slow_s: float) -> None:
        self._meters = meters
        self._liveness_s = liveness_s
        self._slow_s = slow_s
        self._open: dict[Connection, Dialect] = {}

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def holding(self, connection: Connection, dialect: Dialect) -> Iterator[None]:
        """Look after ``connection`` while the block runs."""
        self._open[connection] = dialect
        self._meters.connections.inc()
        self._meters.connections_opened.inc()
        try:
            yield
        finally:
            del self._open[connection]
            self._meters.connections.dec()

    async def keep(self) -> None:
        """For ever: send signs of life where a dialect needs them, drop sockets that take nothing."""
        # Looked at twice within the time, so that a quiet connection never waits longer than that.
        pause_s = min(self._liveness_s, self._slow_s) / 2
        next_sign_s = 0.0
        looked_at_s = time.monotonic()
        while True:
            await asyncio.sleep(pause_s)
            now_s = time.monotonic()
            # When this comes late, so did everybody's sender: nobody is to blame for not having been sent anything.
            is_late, looked_at_s = now_s - looked_at_s > 2 * pause_s, now_s
            signs_are_due = now_s >= next_sign_s
            if signs_are_due:
                next_sign_s = now_s + self._liveness_s / 2
            for connection, dialect in list(self._open.items()):
                if not is_late and connection.outbox.is_waiting and now_s - connection.progress_at_s > self._slow_s:
                    connection.drop(MemberTooSlow(f"nothing was read for {self._slow_s:g} s"))
                elif signs_are_due:
                    _show_life(connection, dialect)

    async def reassure(self) -> None:
        """For ever: send a sign of life to impatient clients whose answer takes its time."""
        while True:
            await asyncio.sleep(REASSURE_S)
            for connection, dialect in list(self._open.items()):
                if dialect.is_impatient and connection.owes_a_word and not connection.outbox.is_waiting:
                    assert dialect.sign_of_life is not None
                    connection.outbox.put(dialect.sign_of_life)


def _show_life(connection: Connection, dialect: Dialect) -> None:
    is_alive = connection.count()
    if not is_alive and dialect.sign_of_life is not None and not connection.outbox.is_waiting:
        connection.outbox.put(dialect.sign_of_life)


@asynccontextmanager
async def open_connections(meters: Meters, *, liveness_s: float, slow_s: float) -> AsyncIterator[Connections]:
    connections = Connections(meters, liveness_s=liveness_s, slow_s=slow_s)
    keeping = [
        asyncio.create_task(connections.keep(), name="keep connections"),
        asyncio.create_task(connections.reassure(), name="reassure connections"),
    ]
    try:
        yield connections
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.wait(keeping)
