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
    RateLimited,
    StoreCorrupted,
    StoreTooNew,
    SyncError,
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
from server.auth.grants import CredentialRefused, Grant
from server.rooms.dialect import HOCUSPOCUS
from server.rooms.host import Host
from server.rooms.member import Member
from server.rooms.tally import Tally
from server.rooms.turn import Said
from server.web.connection import Connection
from server.web.members import next_member_id
from server.web.quotas import Stay, address_of
from server.web.refusals import client_address, remember_grant
from server.web.relay import Relay, relay_of
from server.web.tenures import Tenure
from server.web.waiting import Waiting


async def hocuspocus_endpoint(websocket: WebSocket) -> None:
    """Refuse a foreign origin before the upgrade; everything else is decided document by document, within it."""
    relay = relay_of(websocket)
    tenant = websocket.path_params["tenant"]
    try:
        relay.door.admit_unknown(websocket, tenant)
    except SyncError as error:
        await websocket.send_denial_response(relay.refusals.answer(websocket, error))
        return
    try:
        with relay.quotas.staying(address_of(websocket.scope), None) as stay:
            await _serve(websocket, relay, tenant, stay)
    except RateLimited as error:
        await websocket.send_denial_response(relay.refusals.answer(websocket, error))


async def _serve(websocket: WebSocket, relay: Relay, tenant: str, stay: Stay) -> None:
    connection = Connection(websocket, None, relay.limits, relay.meters, stay.pace, relay.refusals)
    documents = Documents(relay, tenant, connection, stay, websocket)
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
    member: Member
    host: Host
    tally: Tally
    tenure: Tenure
    """Asks for a fresh token, and ends the stay when none has come."""


class Documents:
    """What one connection has to do with each document, by the address that a provider uses for it."""

    def __init__(self, relay: Relay, tenant: str, connection: Connection, stay: Stay, websocket: WebSocket) -> None:
        self._relay = relay
        self._stay = stay
        self._tenant = tenant
        self._connection = connection
        self._waiting = Waiting(relay.limits)
        self._seats: dict[str, Seat] = {}
        self._queue_is_through = False
        self._websocket = websocket
        self._vouched: Tenure | None = None
        """Lasts as long as the latest of its tokens."""
        self._next: asyncio.Handle = self._awaited_token()

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
            if seat is not None and seat.tenure.grant.subject != grant.subject:
                raise Forbidden("a token in the place of another must have the same subject")
            self._vouch(grant)
            if seat is not None:
                self._renew(address, seat, grant)
            else:
                await self._enter(address, room, grant, heard_at_s)
        except (AccessError, InvalidName, StoreCorrupted, StoreTooNew) as error:
            if isinstance(error, CredentialRefused):
                self._stay.note_wrong_token()
            # A refusal of one document leaves the others alone.
            self._relay.refusals.note(self._websocket, error, envelope.document)
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
            client_address=client_address(self._websocket),
            spell=partial(spell, address, tally),
            rights=grant.path_rights(room.document),
        )
        host = await self._relay.rooms.enter(room, member)
        tenure = Tenure(
            grant, room.document, partial(self._dismiss, address), ask=partial(self._put, address, TokenRequest())
        )
        seat = self._seats[address] = Seat(room, member, host, tally, tenure)
        self._put(address, Admitted(may_write))
        self._relay.tenures.begin(tenure)
        if address not in self._seats:
            # It was taken back while the room was opened.
            return
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
        """Somebody known is at the other end, so the connection may last as long as the latest of its tokens.

        Raises :class:`RateLimited`."""
        try:
            self._stay.vouch(grant)
        except RateLimited as error:
            self._connection.outbox.end(error)
            raise
        self._connection.vouch()
        remember_grant(self._websocket, grant)
        self._next.cancel()
        if self._vouched is None:
            self._vouched = Tenure(grant, None, self._disown)
            self._relay.tenures.begin(self._vouched)
        elif grant.expires_at_s > self._vouched.grant.expires_at_s:
            self._vouched.renew(grant, time.time())

    def _disown(self, error: SyncError) -> None:
        if not isinstance(error, CredentialRefused):
            self._connection.expel(error)
            return
        # Of its tokens this one was taken back; what others hold will be known when all have been looked at.
        self._forget_vouched()
        self._next = asyncio.get_running_loop().call_soon(self._find_other_token)

    def _find_other_token(self) -> None:
        grants = [seat.tenure.grant for seat in self._seats.values()]
        if grants:
            self._vouched = Tenure(max(grants, key=lambda grant: grant.expires_at_s), None, self._disown)
            self._relay.tenures.begin(self._vouched)
        else:
            self._next = self._awaited_token()

    def _awaited_token(self) -> asyncio.Handle:
        timeout_s = self._relay.handshake_timeout_s
        silence = HandshakeTimeout(f"no token that holds was shown within {timeout_s:g} s")
        return asyncio.get_running_loop().call_later(timeout_s, self._connection.outbox.end, silence)

    def _forget_vouched(self) -> None:
        if self._vouched is not None:
            self._relay.tenures.end(self._vouched)
            self._vouched = None

    def _renew(self, address: str, seat: Seat, grant: Grant) -> None:
        seat.tenure.renew(grant, time.time())
        document, member = seat.room.document, seat.member
        may_write, rights = grant.may_write(document), grant.path_rights(document)
        if (may_write, rights) != (member.may_write, member.rights):
            member.may_write, member.rights = may_write, rights
            seat.host.grant(member)
        self._put(address, Admitted(may_write))

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
            self._relay.tenures.end(seat.tenure)
            seat.host.leave(seat.member)

    def leave_all(self) -> None:
        """Leave every room: the connection is gone."""
        self._next.cancel()
        self._forget_vouched()
        for address in list(self._seats):
            self._leave(address)


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
