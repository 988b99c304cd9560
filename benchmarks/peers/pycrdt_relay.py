"""pycrdt-websocket under uvicorn, run by the Python of its own environment: ``pycrdt_relay.py PORT [FILE]``.

With a file every update is written to its SQLite store, as a task of its own, after it was sent on. Without the
package's own exception handler the whole server ends when it sends to a client that has just gone, and with its own
cleaning of rooms it ends when the last two members of a room leave at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any

import uvicorn
from pycrdt.store import SQLiteYStore, YDocNotFound
from pycrdt.websocket import ASGIServer, WebsocketServer, YRoom, exception_logger


class KeepingServer(WebsocketServer):  # type: ignore[misc]
    """Opens each room over a store, as the package's documentation shows it."""

    def __init__(self, store: type[SQLiteYStore]) -> None:
        super().__init__(exception_handler=exception_logger, auto_clean_rooms=False)
        self._store = store

    async def get_room(self, name: str) -> YRoom:
        if name not in self.rooms:
            # A store that was closed can't be opened again: one to read with, another for the room.
            room = YRoom(ready=False, ystore=self._store(name), exception_handler=exception_logger)
            async with self._store(name) as kept:
                with contextlib.suppress(YDocNotFound):
                    await kept.apply_updates(room.ydoc)
            room.ready = True
            self.rooms[name] = room
        room = self.rooms[name]
        await self.start_room(room)
        return room


def server_over(file: str | None) -> WebsocketServer:
    if file is None:
        return WebsocketServer(exception_handler=exception_logger, auto_clean_rooms=False)

    class Store(SQLiteYStore):  # type: ignore[misc]
        db_path = file

    return KeepingServer(Store)


async def main(port: int, file: str | None) -> None:
    server = server_over(file)
    options: dict[str, Any] = {"ws_per_message_deflate": False, "log_level": "error", "backlog": 4096}
    async with server:
        await uvicorn.Server(uvicorn.Config(ASGIServer(server), host="127.0.0.1", port=port, **options)).serve()


asyncio.run(main(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None))
