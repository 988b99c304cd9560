"""API keys: tokens of our own making that hold for months, for programs that have no one to ask for fresh ones.

A key is ``csk_ID_SECRET``. Its secret is 32 random bytes, so a plain SHA-256 of it tells nothing about it: what makes
passwords need a slow hash is that people think of them.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from server.auth.grants import RELAY_SUBJECT, CredentialRefused, Grant
from server.auth.tokens import parse_grant

ACT: Final = "key"
KEY_PREFIX: Final = "csk_"
NEVER_S: Final = 253_402_300_799
"""The end of the year 9999: when a key ends that has no end."""
_KEY = re.compile(r"csk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_NOBODYS: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is kept of a key; who reads it can't use it."""

    id: str
    digest: bytes = field(repr=False)
    grant: Grant
    claims: Mapping[str, Any]

    def to_entry(self) -> Mapping[str, Any]:
        """As a line of the access file."""
        return {
            "act": ACT,
            "id": self.id,
            "sha256": self.digest.hex(),
            "claims": dict(self.claims),
            "issued_at_s": self.grant.issued_at_s,
            "expires_at_s": self.grant.expires_at_s,
        }

    @classmethod
    def parse(cls, entry: Mapping[str, Any]) -> ApiKey:
        """Raises KeyError, TypeError, ValueError or :class:`CredentialRefused` for what is none."""
        claims = {**entry["claims"], "jti": entry["id"]}
        grant = parse_grant(claims, int(entry["issued_at_s"]), int(entry["expires_at_s"]))
        digest = bytes.fromhex(entry["sha256"])
        if len(digest) != 32 or grant.subject == RELAY_SUBJECT:
            raise ValueError("a key has a SHA-256, and is not the relay's own")
        return cls(entry["id"], digest, grant, entry["claims"])


def make_api_key(claims: Mapping[str, Any], *, ttl_s: int | None, now_s: float) -> tuple[ApiKey, str]:
    """A new key with the ``claims`` of a token, and the text to show it with, which nobody can make again.

    Raises :class:`CredentialRefused` for claims that no token may have, ValueError for a life of less than a second."""
    if ttl_s is not None and ttl_s < 1:
        raise ValueError("a key must live at least one second")
    key_id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    entry = {
        "id": key_id,
        "sha256": _digest(secret).hex(),
        "claims": claims,
        "issued_at_s": int(now_s),
        "expires_at_s": NEVER_S if ttl_s is None else int(now_s) + ttl_s,
    }
    return ApiKey.parse(entry), f"{KEY_PREFIX}{key_id}_{secret}"


def redeem_api_key(keys: Mapping[str, ApiKey], shown: str, *, now_s: float) -> Grant:
    """The grant of the key that is shown. Raises :class:`CredentialRefused`."""
    found = _KEY.fullmatch(shown)
    if found is None:
        raise CredentialRefused("malformed", "an API key is 'csk_', its id, '_' and its secret")
    key = keys.get(found[1])
    # Compared in the same time whether the key is known, and wherever the two differ.
    if not hmac.compare_digest(_digest(found[2]), _NOBODYS if key is None else key.digest) or key is None:
        raise CredentialRefused("untrusted", "there is no such API key")
    if key.grant.has_expired(now_s):
        raise CredentialRefused("expired", "the API key has expired")
    return key.grant


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
