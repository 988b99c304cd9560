"""``/ws/{tenant}/{document}``: stock y-websocket providers, one document a socket."""

from __future__ import annotations

from starlette.websockets import WebSocket

from crdt_sync.errors import SyncError
from crdt_sync.protocol import y_websocket
from server.rooms.dialect import Y_WEBSOCKET
from server.web.one_document import serve_one_document
from server.web.relay import relay_of


async def y_websocket_endpoint(websocket: WebSocket) -> None:
    """Refuse before the upgrade, with a reason; or let the connection into its room."""
    tenant, document = websocket.path_params["tenant"], websocket.path_params["document"]
    relay = relay_of(websocket)
    try:
        admission = relay.door.admit(websocket, tenant, document)
    except SyncError as error:
        await websocket.send_denial_response(relay.refusals.answer(websocket, error))
        return
    await serve_one_document(websocket, admission, document, Y_WEBSOCKET, y_websocket.decode)
