"""``/sync/{tenant}``: our own peers, many documents on one socket."""

from __future__ import annotations

import time
from collections.abc import Iterable

from starlette.websockets import WebSocket

from crdt_sync.errors import AccessError, DocumentRetired, LimitExceeded, OutOfTurn, RateLimited, SyncError
from crdt_sync.protocol import multiplexed
from crdt_sync.protocol.messages import Authenticate, Denied, Leave, Message, StateRequest
from crdt_sync.values import RoomId
from server.auth.access import revoked_error
from server.auth.grants import Grant
from server.rooms.dialect import MULTIPLEXED
from server.rooms.host import Host
from server.rooms.member import Member
from server.rooms.turn import Said
from server.web.connection import Connection
from server.web.door import Admission
from server.web.members import next_member_id
from server.web.quotas import Pace, address_of
from server.web.refusals import client_address
from server.web.relay import Relay, relay_of
from server.web.tenures import Tenure


async def multiplexed_endpoint(websocket: WebSocket) -> None:
    """Refuse before the upgrade, with a reason; rights to each document are checked when it is asked for."""
    relay = relay_of(websocket)
    tenant = websocket.path_params["tenant"]
    try:
        admission = relay.door.admit(websocket, tenant)
        # A store that can't be opened is told before the upgrade, where a client sees a status.
        await relay.tenants.store(tenant)
    except SyncError as error:
        await websocket.send_denial_response(relay.refusals.answer(websocket, error))
        return
    try:
        with relay.quotas.staying(address_of(websocket.scope), admission.grant) as stay:
            await _serve(websocket, relay, admission, stay.pace)
    except RateLimited as error:
        await websocket.send_denial_response(relay.refusals.answer(websocket, error))


async def _serve(websocket: WebSocket, relay: Relay, admission: Admission, pace: Pace) -> None:
    connection = Connection(websocket, admission.grant, relay.limits, relay.meters, pace, relay.refusals)
    documents = Documents(relay, admission.grant, connection, websocket)
    try:
        await websocket.accept(admission.subprotocol)
        with relay.connections.holding(connection, MULTIPLEXED), relay.tenures.holding(documents.tenure):
            await connection.run(documents.listen, handshake_timeout_s=relay.handshake_timeout_s)
    finally:
        documents.leave_all()


class Documents:
    """The documents that one connection has open. A document is opened by asking for its state."""

    def __init__(self, relay: Relay, grant: Grant, connection: Connection, websocket: WebSocket) -> None:
        self._relay = relay
        self._grant = grant
        self._connection = connection
        self._websocket = websocket
        self._open: dict[str, tuple[Host, Member]] = {}
        self.tenure = Tenure(grant, None, connection.expel, documents=self.names, lose=self.lose)
        self._lost: set[str] = set()
        """Documents that were taken back while they were open, and not asked for since."""

    def names(self) -> Iterable[str]:
        """The documents that are open."""
        return self._open.keys()

    async def listen(self, frame: bytes) -> None:
        """Take one frame. Raises :class:`SyncError` when the connection must end."""
        heard_at_s = time.monotonic()
        document, message = multiplexed.decode(frame, self._relay.limits)
        if isinstance(message, Authenticate):
            self._renew(message.token)
            return
        if isinstance(message, Leave):
            self._leave(document)
            return
        found = self._open.get(document)
        if found is None:
            found = await self._enter(document, message)
            if found is None:
                return
        host, member = found
        said = Said(member.id, message, await self._connection.decoded(message), heard_at_s)
        try:
            await host.submit(said)
        except DocumentRetired as error:
            # It was told when the room ended; what was on its way meanwhile meets nobody, and was not acknowledged.
            if isinstance(message, StateRequest):
                self._deny(document, error)

    def _renew(self, token: str) -> None:
        """Go on with another token: what it does not open is lost, what it does is open to it as it says."""
        self._grant = grant = self._relay.door.admit_again(self._grant, token)
        self.tenure.renew(grant, time.time())
        for document, (host, member) in list(self._open.items()):
            try:
                self._relay.door.check_read(grant, RoomId(grant.tenant, document))
            except AccessError as error:
                self.lose(document, error)
                continue
            rights = grant.may_write(document), grant.path_rights(document)
            if rights != (member.may_write, member.rights):
                member.may_write, member.rights = rights
                host.grant(member)

    async def _enter(self, document: str, message: Message) -> tuple[Host, Member] | None:
        """Enter a room, or say why not: a refusal of one document leaves the others alone."""
        if document in self._lost and not isinstance(message, StateRequest):
            # It was told; what was on its way meanwhile meets nobody, and is not acknowledged.
            return None
        self._lost.discard(document)
        if not isinstance(message, StateRequest):
            raise OutOfTurn(f"{document} must be opened with a state request before anything else is said about it")
        maximum = self._relay.limits.documents_per_connection_max
        if len(self._open) >= maximum:
            raise LimitExceeded("documents_per_connection_max", maximum, maximum + 1)
        grant = self._grant
        member = Member(
            next_member_id(), grant.subject, grant.may_write(document), MULTIPLEXED, self._connection.outbox
        )
        member.rights = grant.path_rights(document)
        member.client_address = client_address(self._websocket)
        try:
            room_id = RoomId(grant.tenant, document)
            self._relay.door.check_read(grant, room_id)
            host = await self._relay.rooms.enter(room_id, member)
        except (AccessError, DocumentRetired) as error:
            self._deny(document, error)
            return None
        self._open[document] = host, member
        if self._relay.book.now.is_revoked(grant, document):
            # While the room was opened.
            self.lose(document, revoked_error())
            return None
        return host, member

    def lose(self, document: str, error: SyncError) -> None:
        """Leave a document because it was taken back, and say so."""
        self._leave(document)
        self._lost.add(document)
        self._deny(document, error)

    def _deny(self, document: str, error: SyncError) -> None:
        self._relay.refusals.note(self._websocket, error, document)
        self._connection.outbox.put(multiplexed.encode(document, Denied(error.code, str(error))))

    def _leave(self, document: str) -> None:
        found = self._open.pop(document, None)
        if found is not None:
            host, member = found
            host.leave(member)

    def leave_all(self) -> None:
        """Leave every room: the connection is gone."""
        for document in list(self._open):
            self._leave(document)
