"""How long what is open stays open: as long as its grant holds, by the wall clock and by the access file.

One task looks after all of it, twice a second. The file is looked at by its size and time and not through inotify,
which exists on one system only, sees nothing of what another machine or container writes to a shared folder, and has
to be set up anew whenever the file is replaced; asking costs microseconds.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from crdt_sync.errors import SyncError, Unauthenticated
from server.auth.access import Access, AccessBook, revoked_error
from server.auth.grants import Grant

LOOK_S: Final = 0.5
RENEWAL_LEAD_S: Final = 60.0
"""A fresh token is asked for so long before the old one expires, or in the last third of a shorter time."""

OnLost = Callable[[SyncError], None]


class Tenure:
    """Something open for as long as ``grant`` holds. Whoever opened it begins and ends it with its :class:`Tenures`.

    ``end`` is called once, with why, when the time is over or all was taken back."""

    __slots__ = ("_ask", "_documents", "_end", "_lose", "document", "due_at_s", "grant")

    def __init__(
        self,
        grant: Grant,
        document: str | None,
        end: OnLost,
        *,
        ask: Callable[[], None] | None = None,
        documents: Callable[[], Iterable[str]] | None = None,
        lose: Callable[[str, SyncError], None] | None = None,
    ) -> None:
        """With ``ask``, a fresh token is asked for before the end. What is about several ``documents``, and stays when
        one of them is taken back, is told which by ``lose``."""
        self.document = document
        self._end, self._ask = end, ask
        self._documents, self._lose = documents, lose
        self.grant = grant
        self.due_at_s = 0.0
        """When to look at it again, in Unix seconds."""
        self.renew(grant, time.time())

    def renew(self, grant: Grant, now_s: float) -> None:
        """Go on with another grant."""
        is_same = self.due_at_s and grant.expires_at_s == self.grant.expires_at_s
        self.grant = grant
        # The same token again is no reason to ask again.
        if not is_same:
            lead_s = min(RENEWAL_LEAD_S, (grant.expires_at_s - now_s) / 3) if self._ask is not None else 0.0
            self.due_at_s = grant.expires_at_s - max(0.0, lead_s)

    def come_due(self, now_s: float) -> None:
        """Ask for a fresh token, or end."""
        if self.grant.has_expired(now_s):
            self.finish(Unauthenticated("the token has expired"))
        else:
            self.due_at_s = self.grant.expires_at_s
            if self._ask is not None:
                self._ask()

    def recheck(self, access: Access) -> None:
        """End, or lose documents, if that was taken back."""
        if access.is_revoked(self.grant, self.document):
            self.finish(revoked_error())
        elif self._documents is not None and self._lose is not None:
            for document in list(self._documents()):
                if access.is_revoked(self.grant, document):
                    self._lose(document, revoked_error())

    def finish(self, error: SyncError) -> None:
        """End now."""
        if self.due_at_s < math.inf:
            self.due_at_s = math.inf
            self._end(error)


class Tenures:
    """All tenures of one relay. Made by :func:`open_tenures`."""

    def __init__(self, book: AccessBook, *, wall_s: Callable[[], float] = time.time) -> None:
        self._book, self._wall_s = book, wall_s
        self._open: set[Tenure] = set()
        self._checked = book.now

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, tenure: Tenure) -> Tenure:
        """Look after ``tenure`` until :meth:`end`."""
        self._open.add(tenure)
        # It may have been taken back since it was let in: what is awaited in between takes its time.
        if self._book.now.is_revoked(tenure.grant, tenure.document):
            tenure.finish(revoked_error())
        return tenure

    def end(self, tenure: Tenure) -> None:
        """It is open no more, for whatever reason."""
        self._open.discard(tenure)

    @contextmanager
    def holding(self, tenure: Tenure) -> Iterator[Tenure]:
        """Look after ``tenure`` while the block runs."""
        try:
            yield self.begin(tenure)
        finally:
            self.end(tenure)

    def look(self) -> None:
        """End what is over by now, and what the access file has taken back since the last look."""
        now_s = self._wall_s()
        for tenure in [tenure for tenure in self._open if tenure.due_at_s <= now_s]:
            tenure.come_due(now_s)
        self._book.look()
        if self._book.now is not self._checked:
            self._checked = self._book.now
            for tenure in list(self._open):
                tenure.recheck(self._checked)

    async def keep_looking(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look()


@asynccontextmanager
async def open_tenures(book: AccessBook) -> AsyncIterator[Tenures]:
    """The tenures of a relay, looked after while the block runs."""
    tenures = Tenures(book)
    looking = asyncio.create_task(tenures.keep_looking(), name="look after grants")
    try:
        yield tenures
    finally:
        looking.cancel()
        await asyncio.wait([looking])
