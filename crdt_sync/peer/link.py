"""Drives one WebSocket to the relay: frames in, into sessions and logs, answers out."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from crdt_sync.errors import SyncError
from crdt_sync.limits import Limits
from crdt_sync.peer.local_document import Edit, LocalDocument
from crdt_sync.peer.shelf import Shelf
from crdt_sync.protocol import multiplexed
from crdt_sync.protocol.messages import Denied, Message
from crdt_sync.session import PeerSession

QUEUE_FRAMES_MAX = 1_024


class Socket(Protocol):
    """What a link needs of a WebSocket; that of the websockets library fits."""

    async def recv(self) -> str | bytes: ...
    async def send(self, message: bytes) -> None: ...


class Link:
    """The conversation on one connection, about all documents that were joined. Ends with the connection."""

    def __init__(
        self,
        socket: Socket,
        shelf: Shelf,
        limits: Limits,
        on_news: Callable[[LocalDocument, Sequence[bytes]], Awaitable[None]],
    ) -> None:
        """``on_news`` is called when what the relay held of a document has arrived, and whenever more comes; with the
        updates that are new."""
        self._socket = socket
        self._shelf = shelf
        self._limits = limits
        self._on_news = on_news
        self._sessions: dict[str, PeerSession] = {}
        self._changed = asyncio.Event()
        self._frames: asyncio.Queue[bytes | str] = asyncio.Queue(QUEUE_FRAMES_MAX)
        self._edits: deque[tuple[str, Edit]] = deque()
        self._edited = asyncio.Event()
        self._aborted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def join(self, name: str) -> None:
        """Begin to talk about a document. Joining twice is joining once."""
        document = await self._shelf.open(name)
        if name in self._sessions:
            return
        session = self._sessions[name] = PeerSession(document.replica, document.mark)
        await self._say(name, session.open())

    def announce(self, name: str, edit: Edit) -> None:
        """Tell the relay of a local edit that is in the log. Never waits: an edit needs no network."""
        self._edits.append((name, edit))
        self._edited.set()

    @property
    def is_settled(self) -> bool:
        """Both sides have everything of every joined document, on disk; refused documents don't count."""
        return not self._edits and all(
            (session.synced and session.all_durable) or session.denied is not None
            for session in self._sessions.values()
        )

    def refusals(self) -> Sequence[tuple[str, Denied]]:
        """What the relay refused, by document."""
        return [(name, session.denied) for name, session in self._sessions.items() if session.denied is not None]

    async def settled(self) -> None:
        """Wait until :attr:`is_settled`."""
        while not self.is_settled:
            self._changed.clear()
            await self._changed.wait()

    async def run(self) -> None:
        """Take in frames until the connection ends, with the socket's error or a :class:`SyncError`."""
        tasks = [asyncio.create_task(work) for work in (self._receive(), self._process(), self._speak())]
        try:
            done, _ = await asyncio.wait([*tasks, self._aborted], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for ended in done:
            ended.result()

    def abort(self, error: SyncError) -> None:
        """End the conversation for a reason of our own: the documents that it is about have been dropped."""
        if not self._aborted.done():
            self._aborted.set_exception(error)

    async def _receive(self) -> None:
        while True:
            await self._frames.put(await self._socket.recv())

    async def _process(self) -> None:
        while True:
            batch = [await self._frames.get()]
            while not self._frames.empty():
                batch.append(self._frames.get_nowait())
            await self._take(batch)

    async def _speak(self) -> None:
        """Announce local edits, in their order."""
        while True:
            self._edited.clear()
            while self._edits:
                name, edit = self._edits[0]
                await self.join(name)
                await self._say(name, self._sessions[name].local(edit.update, edit.mark))
                self._edits.popleft()
            self._changed.set()
            await self._edited.wait()

    async def _take(self, batch: Sequence[bytes | str]) -> None:
        """Take in what has gathered, document by document, so that each log is written once."""
        heard: dict[str, list[Message]] = {}
        for frame in batch:
            data = frame if isinstance(frame, bytes) else frame.encode()
            name, message = multiplexed.decode(data, self._limits)
            heard.setdefault(name, []).append(message)
        for name, messages in heard.items():
            await self._hear(name, messages)
        self._changed.set()

    async def _hear(self, name: str, messages: Sequence[Message]) -> None:
        session, document = self._sessions.get(name), self._shelf.get(name)
        if session is None or document is None:
            return
        was_synced = session.synced
        fresh: list[bytes] = []
        replies: list[Message] = []
        async with document.lock:
            for message in messages:
                received = session.receive(message)
                fresh += received.fresh
                replies += received.replies
            if fresh and (edit := await document.keep(fresh, time.time_ns() // 1_000_000)) is not None:
                self.announce(name, edit)
        await self._say(name, replies)
        await document.note_durable(session.durable_mark)
        if session.synced and (fresh or not was_synced):
            await self._on_news(document, fresh)

    async def _say(self, name: str, messages: Sequence[Message]) -> None:
        for message in messages:
            await self._socket.send(multiplexed.encode(name, message))
