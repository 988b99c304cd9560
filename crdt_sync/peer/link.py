"""Drives one WebSocket to the relay: frames in, into sessions and logs, answers out."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

from crdt_sync.errors import DocumentRetired, SyncError
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
        on_end: Callable[[DocumentRetired], Awaitable[Sequence[Edit]]],
    ) -> None:
        """``on_news`` is called when what the relay held of a document has arrived, and whenever more comes; with the
        updates that are new. ``on_end`` when a document has ended, and what the relay held of its successor, if it
        has one, has arrived; it drops the document, and
        returns the edits of the successor that are to be announced."""
        self._socket = socket
        self._shelf = shelf
        self._limits = limits
        self._on_news = on_news
        self._on_end = on_end
        self._ended: dict[str, DocumentRetired] = {}
        self._sessions: dict[str, PeerSession] = {}
        self._changed = asyncio.Event()
        self._frames: asyncio.Queue[bytes | str] = asyncio.Queue(QUEUE_FRAMES_MAX)
        self._edits: deque[tuple[str, Edit]] = deque()
        self._edited = asyncio.Event()
        self._aborted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def join(self, name: str) -> None:
        """Begin to talk about a document, or the one that it goes on in. Joining twice is joining once; there is
        nothing to say about a document that is gone."""
        if self._shelf.has_ended(name):
            return
        document = await self._shelf.open(name)
        if document.name in self._sessions:
            return
        session = self._sessions[document.name] = PeerSession(document.replica, document.mark)
        await self._say(document.name, session.open())

    def announce(self, name: str, edit: Edit) -> None:
        """Tell the relay of a local edit that is in the log. Never waits: an edit needs no network."""
        self._edits.append((name, edit))
        self._edited.set()

    @property
    def is_settled(self) -> bool:
        """Both sides have everything of every joined document, on disk; refused documents don't count."""
        if self._edits or any(self._heir(ended) != "refused" for ended in self._ended.values()):
            return False
        return all(
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
                if name in self._shelf.ended or name in self._ended:
                    # It was carried over, or is reported as lost.
                    self._edits.popleft()
                    continue
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
        await self._end_documents()
        self._changed.set()

    async def _hear(self, name: str, messages: Sequence[Message]) -> None:
        session, document = self._sessions.get(name), self._shelf.get(name)
        if session is None or document is None or document.name != name:
            return
        was_synced = session.synced
        fresh: list[bytes] = []
        replies: list[Message] = []
        async with document.lock:
            self._shelf.on_load(name)
            for message in messages:
                received = session.receive(message)
                fresh += received.fresh
                replies += received.replies
            if fresh and (edit := await document.keep(fresh, time.time_ns() // 1_000_000)) is not None:
                self.announce(name, edit)
        await self._say(name, replies)
        if session.denied is not None and session.denied.code == DocumentRetired.code:
            await self._note_end(DocumentRetired.read(name, session.denied.reason))
            return
        await document.note_durable(session.durable_mark)
        if session.synced and (fresh or not was_synced):
            await self._on_news(document, fresh)

    async def _note_end(self, ended: DocumentRetired) -> None:
        """Ask for the successor first: what is carried over must be compared with what is there."""
        successor = None if ended.successor is None else self._shelf.current(ended.successor)
        self._ended[ended.document] = DocumentRetired(ended.document, ended.why, successor)
        if successor is not None:
            await self.join(successor)

    async def _end_documents(self) -> None:
        for name, ended in list(self._ended.items()):
            heir = self._heir(ended)
            if isinstance(heir, DocumentRetired):
                edits = await self._on_end(heir)
                del self._ended[name], self._sessions[name]
                for edit in edits:
                    self.announce(self._shelf.current(name), edit)

    def _heir(self, ended: DocumentRetired) -> DocumentRetired | Literal["awaited", "refused"]:
        """How a document is to be ended, once that is known; its successor may have ended, too."""
        successor = ended.successor
        while successor is not None and (further := self._ended.get(successor)) is not None:
            successor = further.successor
        if successor is None or successor in self._shelf.ended:
            return DocumentRetired(ended.document, ended.why)
        session = self._sessions.get(successor)
        if session is None or session.denied is not None:
            return "refused"
        return DocumentRetired(ended.document, ended.why, successor) if session.synced else "awaited"

    async def _say(self, name: str, messages: Sequence[Message]) -> None:
        for message in messages:
            await self._socket.send(multiplexed.encode(name, message))
