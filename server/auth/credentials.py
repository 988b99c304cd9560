"""Where a request carries its credential. Four places, because no client can fill all of them.

Programs send ``Authorization: Bearer TOKEN``. Browsers can't set headers on a WebSocket: they offer the subprotocols
``crdt-sync`` and ``bearer.TOKEN``, or put ``ticket=TICKET`` or, as stock y-websocket does, ``token=TOKEN`` into the
query.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NoReturn
from urllib.parse import parse_qsl

from server.auth.grants import CredentialRefused
from server.auth.tokens import TOKEN_BYTES_MAX

SUBPROTOCOL = "crdt-sync"
BEARER_PREFIX = "bearer."
QUERY_BYTES_MAX = 3 * TOKEN_BYTES_MAX + 4096
"""A token with every byte escaped, and some room for what else the query says."""
QUERY_FIELDS_MAX = 64


@dataclass(frozen=True, slots=True)
class Credential:
    """What a request showed, still to be verified or redeemed."""

    kind: Literal["token", "ticket"]
    secret: str = field(repr=False)
    """Never to be logged, so not even this object's repr shows it."""
    subprotocol: str | None
    """The subprotocol to accept the WebSocket with. Never the one that holds the token."""


def read_credential(headers: Iterable[tuple[bytes, bytes]], query_string: bytes) -> Credential:
    """The one credential of a request, from ASGI's ``scope["headers"]`` and ``scope["query_string"]``.

    The same token in two places counts once. Raises :class:`CredentialRefused` when there is none, when there are two
    different ones, or when a place is filled with something else.
    """
    fields = [(name.lower(), value) for name, value in headers]
    offered = _offered_subprotocols([value for name, value in fields if name == b"sec-websocket-protocol"])
    found = {
        *_from_authorization([value for name, value in fields if name == b"authorization"]),
        *_from_subprotocols(offered),
        *_from_query(query_string),
    }
    if not found:
        raise CredentialRefused("missing", "no token: send one in the Authorization header, a subprotocol or the query")
    if len(found) > 1:
        _refuse("the request shows two different credentials")
    kind, secret = found.pop()
    return Credential(kind, secret, SUBPROTOCOL if SUBPROTOCOL in offered else None)


_Found = set[tuple[Literal["token", "ticket"], str]]


def _from_authorization(values: list[bytes]) -> _Found:
    if not values:
        return set()
    if len(values) > 1:
        _refuse("the request has two Authorization headers")
    scheme, _, token = _text(values[0]).strip(" \t").partition(" ")
    token = token.strip(" ")
    if scheme.lower() != "bearer" or not _is_word(token):
        _refuse("the Authorization header must be 'Bearer' and a token")
    return {("token", token)}


def _offered_subprotocols(values: list[bytes]) -> list[str]:
    return [offer for value in values for part in _text(value).split(",") if (offer := part.strip(" \t"))]


def _from_subprotocols(offered: list[str]) -> _Found:
    tokens = {offer.removeprefix(BEARER_PREFIX) for offer in offered if offer.startswith(BEARER_PREFIX)}
    if not all(map(_is_word, tokens)):
        _refuse(f"the subprotocol '{BEARER_PREFIX}' must be followed by a token")
    if tokens and SUBPROTOCOL not in offered:
        # A browser drops a connection whose server picks none of its offers, and the one with the token would
        # stand in every log between here and there.
        _refuse(f"a token in a subprotocol needs the subprotocol {SUBPROTOCOL} beside it")
    return {("token", token) for token in tokens}


def _from_query(query_string: bytes) -> _Found:
    if len(query_string) > QUERY_BYTES_MAX:
        _refuse(f"the query is longer than {QUERY_BYTES_MAX} bytes")
    try:
        pairs = parse_qsl(_text(query_string), keep_blank_values=True, errors="strict", max_num_fields=QUERY_FIELDS_MAX)
    except ValueError:
        # Without the cause: a decoding error holds the bytes that it could not decode.
        _refuse("the query can't be read")
    found: _Found = set()
    for name, value in pairs:
        if name in ("token", "ticket"):
            if not _is_word(value):
                _refuse(f"the query's {name} is empty or holds other characters than a {name} has")
            found.add(("token" if name == "token" else "ticket", value))
    return found


def _text(value: bytes) -> str:
    try:
        return value.decode("ascii")
    except UnicodeDecodeError:
        _refuse("the request holds bytes outside ASCII where a credential may stand")


def _is_word(text: str) -> bool:
    return (
        bool(text)
        and len(text) <= TOKEN_BYTES_MAX
        and all(char.isalnum() or char in "-_." for char in text)
        and (text.isascii())
    )


def _refuse(sentence: str) -> NoReturn:
    raise CredentialRefused("malformed", sentence) from None
