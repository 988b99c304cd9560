"""Tokens as good issuers and as attackers make them. Assembled by hand: a library would refuse to forge."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

NOW_S = 1_800_000_000.0
SECRET = bytes(range(32))
CLAIMS: dict[str, Any] = {
    "iss": "crdt-sync",
    "aud": "crdt-sync",
    "sub": "till-1",
    "jti": "token-1",
    "iat": int(NOW_S) - 10,
    "exp": int(NOW_S) + 600,
    "tenant": "acme",
    "docs": ["inventory/*"],
    "role": "operator",
}


def segment(data: bytes | object) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def hs256(message: str, secret: bytes = SECRET) -> bytes:
    return hmac.new(secret, message.encode(), hashlib.sha256).digest()


def signed(claims: bytes | object, *, header: bytes | object | None = None, secret: bytes = SECRET) -> str:
    """A token with any header and payload whatever, signed with HS256."""
    head = segment(header if header is not None else {"alg": "HS256", "typ": "JWT"})
    message = f"{head}.{segment(claims)}"
    return f"{message}.{segment(hs256(message, secret))}"


def with_claims(**changes: object) -> str:
    """A well-signed token whose claims differ; a change to None drops the claim."""
    return signed({name: value for name, value in {**CLAIMS, **changes}.items() if value is not None})
