"""A request over HTTP as a short stay in a room: what it learns is on disk, and what it brings is kept as anybody's."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from crdt_sync.errors import Forbidden, OutOfTurn
from crdt_sync.limits import Limits
from crdt_sync.protocol import multiplexed
from crdt_sync.protocol.messages import Ack, Denied, Message, NewUpdate, StateReply, StateRequest
from crdt_sync.updates.decode import DecodedUpdate, decode_update
from crdt_sync.values import RoomId
from server.auth.grants import Grant
from server.rooms.dialect import MULTIPLEXED
from server.rooms.host import Host
from server.rooms.member import Member
from server.rooms.outbox import Basket
from server.rooms.turn import Said
from server.web.members import next_member_id
from server.web.relay import Relay

# Of our dialects the one with a word for everything; but when the document ends, so does this.
VISIT: Final = dataclasses.replace(MULTIPLEXED, name="visit", carries_many=False)


class Visit:
    """Made by :func:`visit`. One question a visit."""

    def __init__(self, host: Host, member: Member, basket: Basket, limits: Limits) -> None:
        self._host = host
        self._member = member
        self._basket = basket
        self._limits = limits

    async def read(self) -> list[bytes]:
        """All that is on disk, as updates, to be applied in their order."""
        await self._say(StateRequest({}))
        parts = []
        async for message in self._heard():
            if isinstance(message, NewUpdate | StateReply):
                parts.append(message.update)
            if isinstance(message, StateReply):
                break
        return parts

    async def write(self, update: bytes) -> None:
        """Return once ``update`` is on disk. Raises :class:`ProtocolError` or :class:`Forbidden` when it is refused."""
        # Beside the event loop: nobody waits for a request as people wait for each other's edits.
        decoded = await asyncio.to_thread(decode_update, update, self._limits)
        await self._say(NewUpdate(update), decoded)
        async for message in self._heard():
            match message:
                case Ack():
                    return
                case Denied(_, reason):
                    raise Forbidden(reason)
                case StateRequest():
                    raise OutOfTurn("the update builds on something that the document does not hold")
                case _:
                    continue

    async def _say(self, message: Message, update: DecodedUpdate | None = None) -> None:
        await self._host.submit(Said(self._member.id, message, update, time.monotonic()))

    async def _heard(self) -> AsyncIterator[Message]:
        while frames := await self._basket.take():
            for frame in frames:
                yield multiplexed.decode(frame, self._limits)[1]
        ended = self._basket.outbox.ended
        assert ended is not None
        raise ended


@asynccontextmanager
async def visit(relay: Relay, grant: Grant, document: str) -> AsyncIterator[Visit]:
    """A stay in the room of ``document``. Raises :class:`DocumentRetired`, StoreError or :class:`RoomClosing`."""
    basket = Basket(relay.limits)
    member = Member(next_member_id(), grant.subject, grant.may_write(document), VISIT, basket.outbox)
    member.rights = grant.path_rights(document)
    host = await relay.rooms.enter(RoomId(grant.tenant, document), member)
    try:
        yield Visit(host, member, basket, relay.limits)
    finally:
        host.leave(member)
