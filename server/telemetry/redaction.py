"""Keeps credentials out of what is written down. Pure text in, text out.

Two nets: what stands where a credential stands (``token=``, ``Authorization:``, ``bearer.``), and what looks like one
of ours (a JSON Web Token, a ticket) wherever it stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

REDACTED = "[redacted]"
SECRET_NAMES = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "sec-websocket-protocol",
        "token",
        "ticket",
        "secret",
        "password",
    }
)
DEPTH_MAX = 8


def _escapable(word: str) -> str:
    """``word`` in either case, any letter of it percent-escaped: servers decode a query's names."""
    return "".join(f"(?:{char}|%{ord(char):02x}|%{ord(char.upper()):02x})" for char in word)


# The parts of a match that stay are named by \g<keep>. Quotes and backslashes end a value: a JSON line stays JSON.
_VALUE = r"""[^\s"'\\&;,<>()\[\]{}]+"""
_QUERY = re.compile(rf"(?P<keep>(?:{_escapable('token')}|{_escapable('ticket')})(?:=|%3d)){_VALUE}", re.IGNORECASE)
_HEADER = re.compile(rf"""(?P<keep>authorization\\?["']?\s*[:=,]\s*b?\\?["']?)(?:[a-z]+\s+)?{_VALUE}""", re.IGNORECASE)
_BEARER = re.compile(rf"(?P<keep>bearer(?:\.|\s+|%20|\+)){_VALUE}", re.IGNORECASE)
# The base64url of '{"' starts almost every JSON Web Token: cut off or doubled, it is still recognized.
_TOKEN = re.compile(r"(?P<keep>)eyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)*")
# Some start with a space or a line break after the brace; three words and the last as long as a signature.
_SIGNED = re.compile(r"(?P<keep>)(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{40,}")
_TICKET = re.compile(r"(?P<keep>ticket_)[A-Za-z0-9_-]{6,}")
_USERINFO = re.compile(r"""(?P<keep>[a-z][a-z0-9+.-]{0,20}://)[^/@\s"'\\]+@""", re.IGNORECASE)
_NETS = (_SIGNED, _TOKEN, _TICKET, _QUERY, _HEADER, _BEARER, _USERINFO)


def redact(text: str) -> str:
    """``text`` without any credential that stands in it, however it got there."""
    for net in _NETS:
        text = net.sub(rf"\g<keep>{REDACTED}", text)
    return text


def redact_url(url: str) -> str:
    """``url`` without the credentials in its query, and without a user's password: for errors and log lines."""
    return redact(url)


def redact_value(name: str, value: Any, *, depth: int = 0) -> Any:
    """``value`` as it may be written down under ``name``: text redacted, and everything under a secret name."""
    if name.lower().replace("_", "-") in SECRET_NAMES:
        return REDACTED
    if depth >= DEPTH_MAX:
        return "[nested too deeply]"
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, bytes | bytearray):
        return redact(value.decode("utf-8", "backslashreplace"))
    if isinstance(value, Mapping):
        return {redact(str(key)): redact_value(str(key), inner, depth=depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return _redact_sequence(list(value), depth)
    if value is None or isinstance(value, bool | int | float):
        return value
    return redact(repr(value))


def _redact_sequence(values: list[Any], depth: int) -> list[Any]:
    # ASGI has headers as pairs: the name in front says what the value behind it is.
    match values:
        case [str() | bytes() as name, str() | bytes() as value]:
            word = name if isinstance(name, str) else name.decode("utf-8", "backslashreplace")
            return [redact(word), redact_value(word, value, depth=depth + 1)]
        case _:
            return [redact_value("", value, depth=depth + 1) for value in values]
