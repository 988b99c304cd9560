"""``/ws/{tenant}/{document}``: stock y-websocket providers, one document a socket."""

from __future__ import annotations

import time

from starlette.websockets import WebSocket

from crdt_sync.errors import DocumentRetired, SyncError
from crdt_sync.protocol import y_websocket
from crdt_sync.values import RoomId
from server.rooms.dialect import Y_WEBSOCKET
from server.rooms.member import Member
from server.rooms.room import Said
from server.web.connection import Connection
from server.web.members import next_member_id
from server.web.problems import close_reason, problem_of, problem_response
from server.web.relay import relay_of


async def y_websocket_endpoint(websocket: WebSocket) -> None:
    """Refuse before the upgrade, with a reason; or let the connection into its room."""
    relay = relay_of(websocket)
    tenant, document = websocket.path_params["tenant"], websocket.path_params["document"]
    try:
        admission = relay.door.admit(websocket, tenant, document)
    except SyncError as error:
        await websocket.send_denial_response(problem_response(error))
        return
    grant = admission.grant
    connection = Connection(websocket, grant, relay.limits, relay.meters)
    member = Member(next_member_id(), grant.subject, grant.may_write(document), Y_WEBSOCKET, connection.outbox)
    try:
        host = await relay.rooms.enter(RoomId(tenant, document), member)
    except DocumentRetired as error:
        # After the upgrade: a page reads the reason of a close frame, and nothing of a refusal over HTTP.
        await websocket.accept(admission.subprotocol)
        await websocket.close(problem_of(error).close_code, close_reason(error))
        return
    except SyncError as error:
        await websocket.send_denial_response(problem_response(error))
        return

    async def listen(frame: bytes) -> None:
        heard_at_s = time.monotonic()
        message = y_websocket.decode(frame, relay.limits)
        await host.submit(Said(member.id, message, await connection.decoded(message), heard_at_s))

    try:
        await websocket.accept(admission.subprotocol)
        with relay.connections.holding(connection, Y_WEBSOCKET):
            await connection.run(listen, handshake_timeout_s=relay.handshake_timeout_s)
    finally:
        host.leave(member)
