"""y-sweet's own paths: ``/doc/...`` for a page's backend, ``/d/...`` for the page.

The tenant is the token's, so no path names it. Every document exists: what nobody has written yet is empty.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from crdt_sync.errors import InvalidName, MalformedMessage, SyncError
from crdt_sync.protocol import y_sweet
from crdt_sync.values import RoomId
from server.auth.client_tokens import ClientRequest
from server.auth.rights import Role
from server.rooms.dialect import Y_SWEET
from server.web.bodies import read_body, read_object
from server.web.one_document import serve_one_document
from server.web.relay import Relay, relay_of
from server.web.visits import visit

BETWEEN: Final = "/ws/"
NO_STORE: Final[Mapping[str, str]] = {"Cache-Control": "no-store"}
AUTHORIZATIONS: Final = ("full", "read-only")


async def y_sweet_endpoint(websocket: WebSocket) -> None:
    """``/d/{id}/ws/{id}``. Refuse before the upgrade, with a reason; or let the connection into its room."""
    relay, document = relay_of(websocket), ""
    try:
        document = y_sweet.document_of(_doc_id(websocket.path_params["path"]))
        admission = relay.door.admit(websocket, None, document)
    except SyncError as error:
        await websocket.send_denial_response(relay.refusals.answer(websocket, error, document))
        return
    await serve_one_document(websocket, admission, document, Y_SWEET, y_sweet.decode)


async def new_document(request: Request) -> Response:
    """``POST /doc/new``: 200 with ``docId``, the one asked for or a fresh one. Nothing is written."""
    relay = relay_of(request)
    try:
        grant = relay.door.admit(request, None).grant
        fields = await read_object(request)
        _check_fields(fields, {"docId": str})
        doc_id = fields.get("docId") or secrets.token_hex(16)
        grant.check_write(RoomId(grant.tenant, y_sweet.document_of(doc_id)))
    except SyncError as error:
        return relay.refusals.answer(request, error)
    return JSONResponse({"docId": doc_id}, headers=NO_STORE)


async def check_store(request: Request) -> Response:
    """``POST /check_store``: 200 with ``ok``, and ``error`` where the tenant's store can't be used now."""
    relay = relay_of(request)
    try:
        grant = relay.door.admit(request, None).grant
    except SyncError as error:
        return relay.refusals.answer(request, error)
    try:
        await relay.tenants.store(grant.tenant)
        relay.tenants.check_free_space()
    except SyncError as error:
        return JSONResponse({"ok": False, "error": str(error)}, headers=NO_STORE)
    return JSONResponse({"ok": True}, headers=NO_STORE)


async def authorize_client(request: Request) -> Response:
    """``POST /doc/{id}/auth``: 200 with the client token of one page, for one document and a short time."""
    relay, doc_id = relay_of(request), request.path_params["doc_id"]
    try:
        document = y_sweet.document_of(doc_id)
        grant = relay.door.admit(request, None, document).grant
        wanted = _client_request(document, await read_object(request))
        issued = relay.client_tokens.issue(grant, wanted, time.time())
        # A page that can't come in would come back for ever; its backend is told so here.
        async with visit(relay, grant, document):
            pass
    except SyncError as error:
        return relay.refusals.answer(request, error)
    base_url = f"{_own_url(relay, request)}/d/{doc_id}"
    body = {
        "url": f"ws{base_url.removeprefix('http')}/ws",
        "baseUrl": base_url,
        "docId": doc_id,
        "token": issued.token,
        "authorization": "full" if issued.may_write else "read-only",
    }
    return JSONResponse(body, headers=NO_STORE)


async def read_as_update(request: Request) -> Response:
    """``GET /d/{id}/as-update``: all that is on disk, as one Yjs v1 update."""
    relay = relay_of(request)
    try:
        document = y_sweet.document_of(request.path_params["doc_id"])
        grant = relay.door.admit(request, None, document).grant
        async with visit(relay, grant, document) as visitor:
            parts = await visitor.read()
        update = parts[0] if len(parts) == 1 else await relay.scribes.diff(None, parts, {})
    except SyncError as error:
        return relay.refusals.answer(request, error)
    return Response(update, media_type="application/octet-stream", headers=NO_STORE)


async def write_update(request: Request) -> Response:
    """``POST /d/{id}/update``: 200 when the Yjs v1 update of the body is on disk."""
    relay = relay_of(request)
    try:
        document = y_sweet.document_of(request.path_params["doc_id"])
        grant = relay.door.admit(request, None, document).grant
        grant.check_write(RoomId(grant.tenant, document))
        update = await read_body(request, "frame_bytes_max", relay.limits.frame_bytes_max)
        async with visit(relay, grant, document) as visitor:
            await visitor.write(update)
    except SyncError as error:
        return relay.refusals.answer(request, error)
    return Response(headers=NO_STORE)


def _doc_id(path: str) -> str:
    """The id that stands twice in the path of a page's socket; it may hold slashes itself."""
    doc_id = path[: (len(path) - len(BETWEEN)) // 2]
    if path != f"{doc_id}{BETWEEN}{doc_id}":
        raise InvalidName("path", f"/d/{path}", "the id of a document, '/ws/', and the same id")
    return doc_id


def _own_url(relay: Relay, request: Request) -> str:
    return relay.public_url or str(request.base_url).rstrip("/")


def _client_request(document: str, fields: Mapping[str, Any]) -> ClientRequest:
    known = {"authorization": str, "userId": str, "validForSeconds": int, "role": str, "write": list}
    _check_fields(fields, known)
    authorization, role = fields.get("authorization"), fields.get("role")
    if authorization is not None and authorization not in AUTHORIZATIONS:
        raise MalformedMessage(f"authorization must be one of {', '.join(AUTHORIZATIONS)}")
    if role is not None and role not in set(Role):
        raise MalformedMessage(f"role must be one of {', '.join(Role)}")
    wanted = None if role is None else Role(role)
    if authorization == "read-only":
        wanted = Role.VIEWER
    write = fields.get("write")
    if write is not None and not all(isinstance(pattern, str) for pattern in write):
        raise MalformedMessage("write must be a list of texts")
    patterns = None if write is None else tuple(write)
    must_write = authorization == "full"
    return ClientRequest(
        document, wanted, fields.get("userId"), fields.get("validForSeconds"), patterns, must_write=must_write
    )


def _check_fields(fields: Mapping[str, Any], known: Mapping[str, type]) -> None:
    """What is missing or null is left to the relay; nothing else is guessed at."""
    for name, value in fields.items():
        # A bool is an int to Python.
        if name not in known or (value is not None and type(value) is not known[name]):
            raise MalformedMessage(f"the body may hold {', '.join(known)}, as texts, whole numbers and a list")
