"""``POST /api/v1/documents/retire``: end a document of the token's tenant, while the relay runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from crdt_sync.errors import Forbidden, MalformedMessage, SyncError
from crdt_sync.values import RoomId
from server.auth.grants import Grant, Role
from server.storage.audit_events import AuditEvent
from server.storage.retiring import Order
from server.web.bodies import read_object
from server.web.relay import relay_of


async def retire_document(request: Request) -> Response:
    """200 with the note that stays. Takes ``{"document", "why", "successor"?}`` from an admin of the tenant.

    Its members are told and go; when the answer comes, no byte of the document is in the relay's files."""
    relay = relay_of(request)
    try:
        grant = relay.door.identify(request).grant
        order = _order(await read_object(request))
        room_id = RoomId(grant.tenant, order.document)
        _check_admin(grant, room_id)
        note = await relay.rooms.retire(room_id, order)
    except SyncError as error:
        return relay.refusals.answer(request, error)
    sentence = f"{note.why}; it goes on in {note.successor}" if note.successor else note.why
    relay.refusals.trail.note(AuditEvent("retired", grant.tenant, grant.subject, note.document, sentence=sentence))
    return JSONResponse({"document": note.document, "why": note.why, "at_ms": note.at_ms, "successor": note.successor})


def _check_admin(grant: Grant, room_id: RoomId) -> None:
    grant.check_write(room_id)
    if grant.path_rights(room_id.document) is not None:
        raise Forbidden(f"this token allows to write some of {room_id}, and retiring ends all of it")
    if grant.role is not Role.ADMIN:
        raise Forbidden("only a token of the role admin may retire documents")


def _order(fields: Mapping[str, Any]) -> Order:
    document, why, successor = fields.get("document"), fields.get("why"), fields.get("successor")
    is_known = fields.keys() <= {"document", "why", "successor"}
    if is_known and isinstance(document, str) and isinstance(why, str) and isinstance(successor, str | None):
        return Order.parse(document, why, successor)
    raise MalformedMessage("the body must be an object of the texts document, why and, if there is one, successor")
