"""``/hocuspocus/{tenant}``: stock HocuspocusProviders, many documents on one socket, a token for each within it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from starlette.websockets import WebSocket

from crdt_sync.errors import (
    AccessError,
    DocumentRetired,
    Forbidden,
    HandshakeTimeout,
    InvalidName,
    LimitExceeded,
    OutOfTurn,
    StoreCorrupted,
    StoreTooNew,
    SyncError,
    Unauthenticated,
)
from crdt_sync.protocol import hocuspocus
from crdt_sync.protocol.hocuspocus import PING, PONG, Envelope
from crdt_sync.protocol.messages import (
    Ack,
    Admitted,
    Authenticate,
    Denied,
    Ended,
    Leave,
    Message,
    NewUpdate,
    Presence,
    PresenceRequest,
    Settled,
    Stateless,
    StateReply,
    StateRequest,
    TokenRequest,
)
from crdt_sync.values import RoomId, check_document
from server.auth.grants import Grant
from server.rooms.dialect import HOCUSPOCUS
from server.rooms.host import Host
from server.rooms.member import Member
from server.rooms.tally import Tally
from server.rooms.turn import Said
from server.web.connection import Connection
from server.web.members import next_member_id
from server.web.problems import problem_response
from server.web.relay import Relay, relay_of
from server.web.waiting import Waiting

RENEWAL_LEAD_S = 60.0
"""A fresh token is asked for so long before the old one expires, or in the last third of a shorter time."""


async def hocuspocus_endpoint(websocket: WebSocket) -> None:
    """Refuse a foreign origin before the upgrade; everything else is decided document by document, within it."""
    relay = relay_of(websocket)
    tenant = websocket.path_params["tenant"]
    try:
        relay.door.admit_unknown(websocket, tenant)
    except SyncError as error:
        await websocket.send_denial_response(problem_response(error))
        return
    connection = Connection(websocket, None, relay.limits, relay.meters)
    documents = Documents(relay, tenant, connection)
    try:
        await websocket.accept()
        # A provider sends what it has queued while it was offline when it hears the first frame, and answers this one
        # right after: whatever comes later was not in its queue.
        connection.outbox.put(PING)
        with relay.connections.holding(connection, HOCUSPOCUS):
            await connection.run(documents.listen, handshake_timeout_s=relay.handshake_timeout_s)
    finally:
        documents.leave_all()


@dataclass(slots=True, eq=False)
class Seat:
    """One provider in one room."""

    room: RoomId
    grant: Grant
    member: Member
    host: Host
    tally: Tally
    watch: asyncio.TimerHandle
    """Asks for a fresh token, and ends the stay when none has come."""


class Documents:
    """What one connection has to do with each document, by the address that a provider uses for it."""

    def __init__(self, relay: Relay, tenant: str, connection: Connection) -> None:
        self._relay = relay
        self._tenant = tenant
        self._connection = connection
        self._waiting = Waiting(relay.limits)
        self._seats: dict[str, Seat] = {}
        self._queue_is_through = False
        self._vouched_until_s = 0.0
        silence = HandshakeTimeout(f"no token that holds was shown within {relay.handshake_timeout_s:g} s")
        self._end = asyncio.get_running_loop().call_later(relay.handshake_timeout_s, connection.outbox.end, silence)

    async def listen(self, frame: bytes) -> None:
        """Take one frame. Raises :class:`SyncError` when the connection must end."""
        heard_at_s = time.monotonic()
        if frame == PING:
            self._connection.outbox.put(PONG)
        elif frame == PONG:
            self._queue_is_through = True
        else:
            envelope = hocuspocus.open_frame(frame)
            seat = self._seats.get(envelope.address)
            if envelope.is_token:
                await self._authenticate(envelope, heard_at_s)
            elif seat is None:
                self._waiting.keep(envelope, frame)
            else:
                await self._hear(envelope, seat, heard_at_s)

    async def _authenticate(self, envelope: Envelope, heard_at_s: float) -> None:
        message = hocuspocus.decode(envelope, self._relay.limits)
        if not isinstance(message, Authenticate):
            raise OutOfTurn("a provider shows its token; to ask, to grant and to deny is the relay's")
        address, seat = envelope.address, self._seats.get(envelope.address)
        try:
            room = RoomId(self._tenant, check_document(envelope.document))
            grant = self._relay.door.admit_to(room, message.token)
            if seat is not None and seat.grant.subject != grant.subject:
                raise Forbidden("a token in the place of another must have the same subject")
            self._vouch(grant)
            if seat is not None:
                self._renew(address, seat, grant)
            else:
                await self._enter(address, room, grant, heard_at_s)
        except (AccessError, InvalidName, StoreCorrupted, StoreTooNew) as error:
            # A refusal of one document leaves the others alone.
            self._put(address, Denied(error.code, str(error)))
            self._dismiss(address, error)
        except DocumentRetired as error:
            self._put(address, _farewell(error))

    async def _enter(self, address: str, room: RoomId, grant: Grant, heard_at_s: float) -> None:
        maximum = self._relay.limits.documents_per_connection_max
        if len(self._seats) >= maximum:
            raise LimitExceeded("documents_per_connection_max", maximum, maximum + 1)
        tally, may_write = Tally(), grant.may_write(room.document)
        member = Member(
            next_member_id(),
            grant.subject,
            may_write,
            HOCUSPOCUS,
            self._connection.outbox,
            address=address,
            spell=partial(spell, address, tally),
        )
        host = await self._relay.rooms.enter(room, member)
        seat = Seat(room, grant, member, host, tally, self._watched(address, grant))
        self._seats[address] = seat
        self._put(address, Admitted(may_write))
        early = self._waiting.claim(address)
        for frame in (early.state_request, early.presence):
            if frame is not None:
                await self._hear(hocuspocus.open_frame(frame), seat, heard_at_s, worth=early.worth)

    async def _hear(self, envelope: Envelope, seat: Seat, heard_at_s: float, *, worth: int = 1) -> None:
        message = hocuspocus.decode(envelope, self._relay.limits)
        update = await self._connection.decoded(message)
        match message:
            case StateRequest(state):
                seat.tally.began(state, worth=worth)
            case StateReply():
                seat.tally.heard_state()
            case NewUpdate():
                assert update is not None
                seat.tally.heard(update, from_queue=not self._queue_is_through)
            case Presence() | PresenceRequest() | Stateless():
                pass
            case Leave():
                self._leave(envelope.address)
                return
            case _:
                raise OutOfTurn(f"{type(message).__name__} is the relay's to say")
        try:
            await seat.host.submit(Said(seat.member.id, message, update, heard_at_s))
        except DocumentRetired:
            # It was told when the room ended; what was on its way meanwhile meets nobody, and was not acknowledged.
            self._leave(envelope.address)

    def _vouch(self, grant: Grant) -> None:
        """Somebody known is at the other end, so the connection may last as long as the latest of its tokens."""
        if grant.expires_at_s <= self._vouched_until_s:
            return
        self._vouched_until_s = grant.expires_at_s
        self._end.cancel()
        self._end = asyncio.get_running_loop().call_later(
            _left_s(grant), self._connection.outbox.end, Unauthenticated("the token has expired")
        )

    def _renew(self, address: str, seat: Seat, grant: Grant) -> None:
        if grant.expires_at_s != seat.grant.expires_at_s:
            # The same token again is no reason to ask again.
            seat.watch.cancel()
            seat.watch = self._watched(address, grant)
        seat.grant = grant
        may_write = grant.may_write(seat.room.document)
        if may_write != seat.member.may_write:
            seat.member.may_write = may_write
            seat.host.grant(seat.member)
        self._put(address, Admitted(may_write))

    def _watched(self, address: str, grant: Grant) -> asyncio.TimerHandle:
        left_s = _left_s(grant)
        lead_s = min(RENEWAL_LEAD_S, left_s / 3)
        return asyncio.get_running_loop().call_later(left_s - lead_s, self._ask_for_token, address)

    def _ask_for_token(self, address: str) -> None:
        seat = self._seats[address]
        self._put(address, TokenRequest())
        expired = Unauthenticated("the token has expired")
        loop = asyncio.get_running_loop()
        seat.watch = loop.call_later(_left_s(seat.grant), self._dismiss, address, expired)

    def _dismiss(self, address: str, error: SyncError) -> None:
        seat = self._seats.get(address)
        if seat is not None:
            self._leave(address)
            self._put(address, _farewell(error))
            if seat.tally.state is not None:
                request = hocuspocus.encode(address, StateRequest(seat.tally.state))
                self._waiting.put_back(address, request, seat.tally.owed)

    def _put(self, address: str, message: Message) -> None:
        self._connection.outbox.put(hocuspocus.encode(address, message))

    def _leave(self, address: str) -> None:
        seat = self._seats.pop(address, None)
        if seat is not None:
            seat.watch.cancel()
            seat.host.leave(seat.member)

    def leave_all(self) -> None:
        """Leave every room: the connection is gone."""
        self._end.cancel()
        for address in list(self._seats):
            self._leave(address)


def _left_s(grant: Grant) -> float:
    return max(0.0, grant.expires_at_s - time.time())


def _farewell(error: SyncError) -> Ended:
    return Ended(f"{error.code}: {error}")


def spell(address: str, tally: Tally, message: Message) -> Sequence[bytes]:
    """What one member is told and nobody else. To its refusal belongs that the edit will never be settled."""
    match message:
        case Ack(through):
            return [hocuspocus.encode(address, Settled(True))] * tally.settled(through)
        case Denied(DocumentRetired.code, reason):
            return (hocuspocus.encode(address, Ended(f"{DocumentRetired.code}: {reason}")),)
        case Denied():
            return hocuspocus.encode(address, Settled(False)), hocuspocus.encode(address, message)
        case _:
            return (hocuspocus.encode(address, message),)
