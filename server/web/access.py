"""``POST /api/v1/tokens/revoke`` and ``GET /api/v1/audit``: for admins of a tenant, while the relay runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from crdt_sync.errors import Forbidden, InvalidName, MalformedMessage, SyncError
from server.auth.access_file import Entry
from server.auth.api_keys import ACT as KEY_MADE
from server.auth.grants import DocumentPattern, Grant, Role
from server.auth.revocations import KEY, Revocation
from server.storage.audit_events import KINDS, AuditEvent
from server.web.bodies import read_object
from server.web.relay import relay_of

EVENTS_MAX: Final = 1_000
EVENTS: Final = 100
"""So many events are shown where no number is asked for."""
FIELDS: Final = frozenset({"user", "document", "token", "all_before"})


async def revoke_tokens(request: Request) -> Response:
    """200 with what was put down. Takes ``{"user"?, "document"?, "token"?, "all_before"?}``, at least one of them.

    When the answer comes, nothing of it is open any more on this relay, and it is on disk."""
    relay = relay_of(request)
    try:
        grant = relay.door.identify(request).grant
        check_admin(grant)
        revocation = parse_revocation(grant.tenant, await read_object(request), now_s=time.time())
        entry = await asyncio.to_thread(relay.book.add, revocation, by=grant.subject)
        relay.tenures.look()
    except SyncError as error:
        return relay.refusals.answer(request, error)
    return JSONResponse(dict(entry), headers={"Cache-Control": "no-store"})


async def read_audit_log(request: Request) -> Response:
    """200 with ``events``, the latest ones, oldest first. Query: ``since`` (ISO 8601), ``kind``, ``limit``."""
    relay = relay_of(request)
    try:
        grant = relay.door.identify(request).grant
        check_admin(grant)
        since_ms, kinds, limit = _query(request)
        events = await relay.refusals.trail.events(grant.tenant, since_ms=since_ms, kinds=kinds, limit=limit)
    except SyncError as error:
        return relay.refusals.answer(request, error)
    return JSONResponse({"events": [asdict(event) for event in events]}, headers={"Cache-Control": "no-store"})


def check_admin(grant: Grant) -> None:
    """Raise :class:`Forbidden` unless the bearer is an admin of the whole tenant."""
    if grant.role is not Role.ADMIN or not any(pattern.text == "*" for pattern in grant.documents):
        raise Forbidden("only a token of the role admin, for every document, may do this")


def parse_revocation(tenant: str, fields: Mapping[str, Any], *, now_s: float) -> Revocation:
    """What a body or the options of the command line order. Raises :class:`MalformedMessage` or InvalidName."""
    given = {name: value for name, value in fields.items() if value is not None}
    if not given or not given.keys() <= FIELDS or not all(isinstance(value, str) for value in given.values()):
        raise MalformedMessage(f"name at least one of {', '.join(sorted(FIELDS))}, as texts")
    document = given.get("document")
    return Revocation(
        tenant,
        _cutoff_s(given.get("all_before", "now"), now_s),
        given.get("user"),
        given.get("token"),
        None if document is None else DocumentPattern.parse(document),
    )


def _cutoff_s(all_before: str, now_s: float) -> int:
    if all_before == "now":
        return int(now_s)
    cutoff_s = parse_time(all_before).timestamp()
    if cutoff_s > now_s:
        raise MalformedMessage("tokens that are still to be issued can't be revoked")
    # A token that was issued within the second that is named may have been issued before.
    return int(cutoff_s)


def parse_time(text: str) -> datetime:
    """An ISO 8601 time with its offset, such as 2026-11-20T08:00:00Z. Raises :class:`MalformedMessage`."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        time = None
    if time is None or time.tzinfo is None or not 1970 < time.year < 9_999:
        raise MalformedMessage(f"{text[:40]!r} is no time such as 2026-11-20T08:00:00Z")
    return time


def event_of(entry: Entry) -> AuditEvent:
    """What the audit log says of a line of the access file."""
    by = str(entry.get("by", "somebody"))
    if entry.get("act") == KEY_MADE:
        claims = entry.get("claims", {})
        subject, role = str(claims.get("sub", "")), claims.get("role")
        sentence = f"key {entry.get('id')}, role {role}, by {by}"
        return AuditEvent("key-made", _tenant(claims), subject, code=str(entry.get("id")), sentence=sentence)
    try:
        sentence = f"{Revocation.parse(entry)}, by {by}"
    except (KeyError, TypeError, ValueError, InvalidName):
        sentence = f"an order that can't be understood, by {by}"
    is_key = entry.get("of") == KEY
    return AuditEvent(
        "key-revoked" if is_key else "revoked",
        _tenant(entry),
        str(entry.get("user") or ""),
        str(entry.get("document") or ""),
        code=str(entry.get("token") or ""),
        sentence=sentence,
    )


def _tenant(plain: Mapping[str, Any]) -> str | None:
    tenant = plain.get("tenant")
    return tenant if isinstance(tenant, str) else None


def _query(request: Request) -> tuple[int, list[str], int]:
    query = request.query_params
    kinds, limit = query.getlist("kind"), query.get("limit", str(EVENTS))
    if not query.keys() <= {"since", "kind", "limit"} or not set(kinds) <= KINDS:
        raise MalformedMessage(f"the query may hold since, limit, and kind: {', '.join(sorted(KINDS))}")
    if not (limit.isascii() and limit.isdecimal() and len(limit) < 9 and 1 <= int(limit) <= EVENTS_MAX):
        raise MalformedMessage(f"limit must be a number from 1 to {EVENTS_MAX}")
    since_ms = int(parse_time(query["since"]).timestamp() * 1_000) if "since" in query else 0
    return since_ms, kinds, int(limit)
