"""JSON Web Tokens: a signed grant in, a :class:`Grant` out.

The token picks nothing but the name of a key: which algorithm a key may be used with was settled when it was loaded.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import secrets
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from crdt_sync.errors import Forbidden, InvalidName
from crdt_sync.values import check_tenant
from server.auth.grants import RELAY_SUBJECT, CredentialRefused, Grant
from server.auth.keys import KeyRing, VerifyingKey, load_or_create_secret, secret_key
from server.auth.patterns import LOCATION_PREFIX, DocumentPattern, WritePattern, parse_location
from server.auth.rights import Role
from server.auth.strict_json import parse_object

TOKEN_BYTES_MAX = 8 << 10
DOCUMENTS_MAX = 100
NAME_CHARS_MAX = 256
HEADER_MEMBERS = frozenset({"alg", "kid", "typ"})
"""A token that brings more wants something of us: another key (jwk, jku, x5u, x5c), an extension (crit, b64)."""
EVERY_DOCUMENT = ("*",)
ROOT_ISSUED: Final = "root_iat"
"""Claim of a token that was got with another one: when that was issued."""
_RESERVED: Final = f"the subject {RELAY_SUBJECT!r} is the relay's own: no other token may name it (sub)"


class _TrustedAlgorithm(jws.JWSRegistry):
    """joserfc warns at every EdDSA token, as RFC 9864 renamed it: issuers still send it, and our keys fix its curve."""

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]


class TokenVerifier:
    """Turns a token into what it allows. Holds no state: one may serve every connection."""

    def __init__(
        self,
        keys: KeyRing,
        *,
        issuer: str = "crdt-sync",
        audience: str = "crdt-sync",
        ttl_max_s: int = 86_400,
        leeway_s: float = 5.0,
        tenants: Collection[str] = (),
    ) -> None:
        """``tenants`` are those that the relay serves; empty means every tenant that a token names."""
        self._keys, self._issuer, self._audience = keys, issuer, audience
        self._ttl_max_s, self._leeway_s, self._tenants = ttl_max_s, leeway_s, frozenset(tenants)

    def verify(self, token: str, *, now_s: float) -> Grant:
        """The grant that ``token`` holds at Unix time ``now_s``.

        Raises :class:`CredentialRefused` for a token that does not hold and :class:`Forbidden` for a good one whose
        tenant is not served here. No message holds a part of the token.
        """
        claims, key = self._signed_claims(token)
        self._check_origin(claims)
        issued_at_s, expires_at_s = self._check_times(claims, now_s)
        # An issuer's clock may be ahead; ours is that of the revocations, and our own secret is used beside it.
        leeway_s = 0 if isinstance(key.key, OctKey) else math.ceil(self._leeway_s)
        grant = parse_grant(claims, max(0, issued_at_s - leeway_s), expires_at_s)
        if grant.subject == RELAY_SUBJECT and not key.is_own:
            raise CredentialRefused("claims", _RESERVED)
        self.check_served(grant)
        return grant

    def check_served(self, grant: Grant) -> None:
        """Raise :class:`Forbidden` for a tenant that is not served."""
        if self._tenants and grant.tenant not in self._tenants:
            raise Forbidden("the token's tenant is not served here")

    def _signed_claims(self, token: str) -> tuple[dict[str, Any], VerifyingKey]:
        if len(token) > TOKEN_BYTES_MAX:
            raise CredentialRefused("malformed", f"a token has at most {TOKEN_BYTES_MAX} bytes")
        header = _parse_header(token)
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or not isinstance(header.get("kid", ""), str):
            raise CredentialRefused("malformed", "the token's header does not name its algorithm and key as text")
        if header.get("typ", "JWT") not in ("JWT", "jwt"):
            raise CredentialRefused("malformed", "the token is of another type than JWT")
        key = self._keys.find(algorithm, kid)
        if key is None:
            raise CredentialRefused("untrusted", "the token is signed with a key or an algorithm that is not trusted")
        try:
            signed = jws.deserialize_compact(token, key.key, registry=_TrustedAlgorithm(algorithms=[algorithm]))
        except (JoseError, ValueError):
            # Without the cause: its message may quote what was signed.
            raise CredentialRefused("untrusted", "the token's signature does not hold") from None
        try:
            return parse_object(signed.payload or b""), key
        except ValueError:
            raise CredentialRefused("malformed", "the token's claims are no unambiguous JSON object") from None

    def _check_origin(self, claims: dict[str, Any]) -> None:
        audience = claims.get("aud")
        if claims.get("iss") != self._issuer:
            raise CredentialRefused("claims", "the token is from another issuer (iss)")
        if audience != self._audience and not (isinstance(audience, list) and self._audience in audience):
            raise CredentialRefused("claims", "the token is for another audience (aud)")

    def _check_times(self, claims: dict[str, Any], now_s: float) -> tuple[int, int]:
        """When the token was issued, or the one that it was got with; and when it ends."""
        issued_at_s, expires_at_s = _seconds(claims, "iat"), _seconds(claims, "exp")
        if not 0 < expires_at_s - issued_at_s <= self._ttl_max_s:
            raise CredentialRefused("claims", f"a token must live 1 to {self._ttl_max_s} seconds, from iat to exp")
        # No leeway here: the grant's connections end at exp, so one that began after it would end at once.
        if now_s >= expires_at_s:
            raise CredentialRefused("expired", "the token has expired")
        starts_at_s = max(issued_at_s, _seconds(claims, "nbf") if "nbf" in claims else issued_at_s)
        if now_s < starts_at_s - self._leeway_s:
            raise CredentialRefused("claims", "the token is not valid yet")
        root_issued_at_s = _seconds(claims, ROOT_ISSUED) if ROOT_ISSUED in claims else issued_at_s
        return min(issued_at_s, root_issued_at_s), expires_at_s


class TokenIssuer:
    """Signs HS256 tokens."""

    def __init__(
        self, key: VerifyingKey, *, issuer: str = "crdt-sync", audience: str = "crdt-sync", ttl_max_s: int = 86_400
    ) -> None:
        """``key`` is :func:`~server.auth.keys.secret_key` for whoever comes, or ``own_key`` for the relay itself."""
        assert isinstance(key.key, OctKey)
        self._key, self._kid, self._is_own = key.key, key.kid, key.is_own
        self._issuer, self._audience, self._ttl_max_s = issuer, audience, ttl_max_s

    def issue(
        self,
        *,
        tenant: str,
        role: str,
        documents: Iterable[str] = EVERY_DOCUMENT,
        subject: str,
        ttl_s: int,
        now_s: float,
        write: Iterable[str] | None = None,
        root: Grant | None = None,
    ) -> str:
        """A token that a :class:`TokenVerifier` with the same secret, issuer and audience takes.

        One that is got with another, its ``root``, is revoked with it. ``documents`` may hold locations, and ``write``
        takes the place of what the role may write.

        Raises :class:`InvalidName` for a tenant or pattern that is none, ValueError for a role, subject or life
        that no verifier would take.
        """
        patterns, written = list(documents), None if write is None else list(write)
        _parse_documents(patterns)
        if not 0 < len(patterns) <= DOCUMENTS_MAX:
            raise ValueError(f"a token names 1 to {DOCUMENTS_MAX} document patterns, not {len(patterns)}")
        if not 0 < ttl_s <= self._ttl_max_s:
            raise ValueError(f"a token must live 1 to {self._ttl_max_s} seconds, not {ttl_s}")
        if not _is_name(subject):
            raise ValueError(f"a subject must be 1 to {NAME_CHARS_MAX} printable characters")
        if subject == RELAY_SUBJECT and not self._is_own:
            raise ValueError(_RESERVED)
        if role not in set(Role):
            raise ValueError(f"{role!r} is no role: {', '.join(Role)}")
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": subject,
            "jti": secrets.token_hex(16),
            "iat": int(now_s),
            "exp": int(now_s) + ttl_s,
            "tenant": check_tenant(tenant),
            "docs": patterns,
            "role": str(role),
        }
        if written is not None:
            if len(written) > DOCUMENTS_MAX:
                raise ValueError(f"a token names at most {DOCUMENTS_MAX} patterns to write, not {len(written)}")
            claims["write"] = [WritePattern.parse(pattern).text for pattern in written]
        if root is not None:
            claims |= {"jti": root.token_id, ROOT_ISSUED: root.issued_at_s}
        header = {"alg": "HS256", "typ": "JWT", "kid": self._kid}
        token = jws.serialize_compact(header, json.dumps(claims, separators=(",", ":")), self._key, ["HS256"])
        if len(token) > TOKEN_BYTES_MAX:
            raise ValueError(f"the token would have more than {TOKEN_BYTES_MAX} bytes: name fewer patterns")
        return token


def issue_token(  # noqa: PLR0913  the command line's options, one by one
    secret_file: Path,
    *,
    tenant: str,
    role: str,
    documents: Iterable[str] = EVERY_DOCUMENT,
    subject: str = "command-line",
    ttl_s: int,
    now_s: float,
    write: Iterable[str] | None = None,
    issuer: str = "crdt-sync",
    audience: str = "crdt-sync",
    ttl_max_s: int = 86_400,
) -> str:
    """A token signed with the secret in ``secret_file``, which is made when it is missing.

    Raises :class:`SettingsError` for the file, :class:`InvalidName` and ValueError as :meth:`TokenIssuer.issue`.
    """
    key = secret_key(load_or_create_secret(secret_file))
    signer = TokenIssuer(key, issuer=issuer, audience=audience, ttl_max_s=ttl_max_s)
    return signer.issue(
        tenant=tenant, role=role, documents=documents, subject=subject, ttl_s=ttl_s, now_s=now_s, write=write
    )


def _parse_header(token: str) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3 or not all(parts) or not token.isascii():
        raise CredentialRefused("malformed", "a token has three parts, all of them filled")
    try:
        for part in parts:
            _check_canonical(part)
        header = parse_object(base64.urlsafe_b64decode(parts[0] + "=="))
    except ValueError:
        # Without the cause: the error of a JSON parser holds all that it read.
        raise CredentialRefused("malformed", "the token is no base64url with a JSON header") from None
    if strange := header.keys() - HEADER_MEMBERS:
        raise CredentialRefused(
            "malformed", f"the token's header has {len(strange)} members besides alg, kid and typ, and none are taken"
        )
    return header


def _check_canonical(part: str) -> None:
    """Two spellings of one signature would be two tokens with one meaning. Raises ValueError."""
    data = base64.b64decode(part + "=" * (-len(part) % 4), b"-_", validate=True)
    if base64.urlsafe_b64encode(data).rstrip(b"=") != part.encode("ascii"):
        raise binascii.Error("not canonical")


def _seconds(claims: dict[str, Any], name: str) -> int:
    value = claims.get(name)
    # A bool is an int to Python, and 1e30 is a time to many a library.
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise CredentialRefused("claims", f"the token must hold {name} as whole seconds")
    return value


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= NAME_CHARS_MAX and value.isprintable()


def parse_grant(claims: dict[str, Any], issued_at_s: int, expires_at_s: int) -> Grant:
    """What claims allow, wherever they were kept. Raises :class:`CredentialRefused` for what is none of ours."""
    for name in ("sub", "jti", "tenant", "role"):
        if not _is_name(claims.get(name)):
            raise CredentialRefused("claims", f"the token must hold {name} as printable text")
    documents = _texts(claims, "docs") if "docs" in claims else list(EVERY_DOCUMENT)
    write = _texts(claims, "write") if "write" in claims else None
    if claims["role"] not in set(Role):
        raise CredentialRefused("claims", f"the token's role must be one of {', '.join(Role)}")
    try:
        patterns, locations = _parse_documents(documents)
        return Grant(
            subject=claims["sub"],
            tenant=check_tenant(claims["tenant"]),
            documents=patterns,
            role=Role(claims["role"]),
            expires_at_s=expires_at_s,
            token_id=claims["jti"],
            issued_at_s=issued_at_s,
            write=None if write is None else tuple(map(WritePattern.parse, write)),
            locations=locations,
        )
    except InvalidName:
        # Without the cause: it quotes the claim.
        raise CredentialRefused("claims", "the token's tenant, docs or write are no valid names") from None


def _texts(claims: dict[str, Any], name: str) -> list[str]:
    texts = claims[name]
    if not isinstance(texts, list) or len(texts) > DOCUMENTS_MAX:
        raise CredentialRefused("claims", f"the token must hold {name} as a list of at most {DOCUMENTS_MAX} patterns")
    if not all(isinstance(text, str) for text in texts):
        raise CredentialRefused("claims", f"the token must hold {name} as a list of text")
    return texts


def _parse_documents(texts: Sequence[str]) -> tuple[tuple[DocumentPattern, ...], tuple[str, ...]]:
    """The documents and the locations of a claim ``docs``. Raises :class:`InvalidName`."""
    documents = [text for text in texts if not text.startswith(LOCATION_PREFIX)]
    locations = [text for text in texts if text.startswith(LOCATION_PREFIX)]
    return tuple(map(DocumentPattern.parse, documents)), tuple(map(parse_location, locations))
