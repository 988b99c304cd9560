"""A WebSocket about one document, whatever its dialect: into the room, frame by frame, and out again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

from starlette.websockets import WebSocket

from crdt_sync.errors import DocumentRetired, RateLimited, SyncError
from crdt_sync.limits import Limits
from crdt_sync.protocol.messages import Message
from crdt_sync.values import RoomId
from server.rooms.dialect import Dialect
from server.rooms.member import Member
from server.rooms.turn import Said
from server.web.connection import Connection
from server.web.door import Admission
from server.web.members import next_member_id
from server.web.problems import close_reason, problem_of
from server.web.quotas import address_of
from server.web.refusals import client_address
from server.web.relay import relay_of
from server.web.tenures import Tenure

Decode: TypeAlias = Callable[[bytes, Limits], Message]


async def serve_one_document(
    websocket: WebSocket, admission: Admission, document: str, dialect: Dialect, decode: Decode
) -> None:
    """Serve a connection that was admitted to ``document``, until it ends."""
    relay, grant = relay_of(websocket), admission.grant
    try:
        with relay.quotas.staying(address_of(websocket.scope), grant) as stay:
            connection = Connection(websocket, grant, relay.limits, relay.meters, stay.pace, relay.refusals)
            await _serve(websocket, admission, document, dialect, decode, connection)
    except RateLimited as error:
        await websocket.send_denial_response(relay.refusals.answer(websocket, error, document))


async def _serve(
    websocket: WebSocket,
    admission: Admission,
    document: str,
    dialect: Dialect,
    decode: Decode,
    connection: Connection,
) -> None:
    relay, grant = relay_of(websocket), admission.grant
    member = Member(next_member_id(), grant.subject, grant.may_write(document), dialect, connection.outbox)
    member.rights = grant.path_rights(document)
    member.client_address = client_address(websocket)
    try:
        host = await relay.rooms.enter(RoomId(grant.tenant, document), member)
    except DocumentRetired as error:
        # After the upgrade: a page reads the reason of a close frame, and nothing of a refusal over HTTP.
        await websocket.accept(admission.subprotocol)
        await websocket.close(problem_of(error).close_code, close_reason(error))
        return
    except SyncError as error:
        await websocket.send_denial_response(relay.refusals.answer(websocket, error, document))
        return

    async def listen(frame: bytes) -> None:
        heard_at_s = time.monotonic()
        message = decode(frame, relay.limits)
        await host.submit(Said(member.id, message, await connection.decoded(message), heard_at_s))

    try:
        await websocket.accept(admission.subprotocol)
        tenure = Tenure(grant, document, connection.expel)
        with relay.connections.holding(connection, dialect), relay.tenures.holding(tenure):
            await connection.run(listen, handshake_timeout_s=relay.handshake_timeout_s)
    finally:
        host.leave(member)
