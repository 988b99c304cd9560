"""The keys that tokens are signed and verified with, and the files they live in.

A key is bound to its algorithms here, once; a token can only pick among the pairs, never make a new one.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import secrets
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from joserfc.errors import JoseError
from joserfc.jwk import Key, OctKey, OKPKey, RSAKey
from joserfc.util import base64_to_int

from server.auth.strict_json import parse_object
from server.settings import SettingsError

SECRET_BYTES = 32
SECRET_BYTES_MIN = 32
SECRET_FILE_BYTES_MAX = 4096
JWKS_FILE_BYTES_MAX = 256 << 10
RSA_BITS_MIN, RSA_BITS_MAX = 2048, 8192
SECRET_KEY_ID = "secret"  # noqa: S105  the name of a key, not the key
OWN_KEY_ID = "relay"
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A key, the name it goes by, and the only algorithms it verifies."""

    kid: str | None
    algorithms: frozenset[str]
    key: Key = field(repr=False)
    is_own: bool = False
    """Known to this start of the relay and to nobody else."""


class KeyRing:
    """Every key that the relay trusts. The two kinds of sources may be mixed."""

    def __init__(self, keys: Iterable[VerifyingKey]) -> None:
        self._keys = tuple(keys)

    def find(self, algorithm: str, kid: str | None) -> VerifyingKey | None:
        """The key of this name for this algorithm. Without a name: the only one for the algorithm, if there is one.

        The relay's own key is found by its name only, so it makes nobody else's token ambiguous."""
        able = [key for key in self._keys if algorithm in key.algorithms]
        able = [key for key in able if (not key.is_own if kid is None else key.kid == kid)]
        return able[0] if len(able) == 1 else None


def secret_key(secret: bytes) -> VerifyingKey:
    """The HS256 key of a shared secret. Raises ValueError for fewer than 32 bytes."""
    return _hs256_key(SECRET_KEY_ID, secret, is_own=False)


def own_key(secret: bytes) -> VerifyingKey:
    """The HS256 key of a secret that only this start of the relay knows. Raises ValueError for fewer than 32 bytes."""
    return _hs256_key(OWN_KEY_ID, secret, is_own=True)


def _hs256_key(kid: str, secret: bytes, *, is_own: bool) -> VerifyingKey:
    if len(secret) < SECRET_BYTES_MIN:
        raise ValueError(f"a secret must have at least {SECRET_BYTES_MIN} bytes, this one has {len(secret)}")
    return VerifyingKey(kid, frozenset({"HS256"}), OctKey.import_key(secret), is_own)


def load_or_create_secret(path: Path) -> bytes:
    """The HS256 secret in ``path``; a missing file is made with a random one, readable by its owner only.

    Any number of processes may do this at once: all get the same secret. Raises :class:`SettingsError`.
    """
    try:
        if not path.exists():
            _create_secret(path)
        return load_secret(path)
    except OSError as error:
        raise SettingsError("secret_file", f"secret_file {path} can't be made: {error.strerror}") from error


def load_secret(path: Path) -> bytes:
    """The HS256 secret in ``path``: base64 of at least 32 bytes. Raises :class:`SettingsError` without it."""
    text = _read_bounded("secret_file", path, SECRET_FILE_BYTES_MAX)
    if path.stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise SettingsError(
            "secret_file", f"secret_file {path} is open to other users of this machine: chmod 600 it, or make a new one"
        )
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except binascii.Error as error:
        raise SettingsError("secret_file", f"secret_file {path} holds no base64") from error
    if len(secret) < SECRET_BYTES_MIN:
        raise SettingsError(
            "secret_file", f"secret_file {path} holds {len(secret)} bytes, a secret needs {SECRET_BYTES_MIN}"
        )
    return secret


def load_jwks(path: Path) -> tuple[VerifyingKey, ...]:
    """The Ed25519 and RSA keys of a JSON Web Key Set. Raises :class:`SettingsError`.

    Keys for other purposes are passed over, as RFC 7517 wants; private and shared keys are refused, because whoever
    can read this file could then sign.
    """
    try:
        entries = parse_object(_read_bounded("jwks_file", path, JWKS_FILE_BYTES_MAX)).get("keys")
    except ValueError as error:
        if isinstance(error, SettingsError):
            raise
        raise SettingsError("jwks_file", f"jwks_file {path} is no JSON Web Key Set: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise SettingsError("jwks_file", f"jwks_file {path} is no JSON Web Key Set: it has no list of keys")
    keys: list[VerifyingKey] = []
    for number, entry in enumerate(entries, 1):
        try:
            key = _public_key(entry)
        except ValueError as error:
            raise SettingsError("jwks_file", f"jwks_file {path}, key {number}: {error}") from error
        if key is not None:
            keys.append(key)
    names = [key.kid for key in keys if key.kid is not None]
    if len(set(names)) != len(names):
        raise SettingsError("jwks_file", f"jwks_file {path} names two keys alike (kid)")
    if not keys:
        raise SettingsError("jwks_file", f"jwks_file {path} holds no Ed25519 or RSA key that verifies signatures")
    return tuple(keys)


def _create_secret(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with open(handle, "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(SECRET_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        # A link appears whole or not at all and never replaces a file: of two that start at once, one wins,
        # and nobody reads half a secret.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _read_bounded(setting: str, path: Path, bytes_max: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        raise SettingsError(setting, f"{setting} {path} can't be read: {error.strerror}") from error
    if len(data) > bytes_max:
        raise SettingsError(setting, f"{setting} {path} is larger than {bytes_max} bytes")
    return data


def _public_key(entry: dict[str, Any]) -> VerifyingKey | None:
    """The key of one JWKS entry, or None when it is for something else. Raises ValueError."""
    kind, kid = entry.get("kty"), entry.get("kid")
    if kind == "oct" or PRIVATE_MEMBERS & entry.keys():
        raise ValueError("holds a private or shared key, but only public keys belong here")
    if kid is not None and not (isinstance(kid, str) and kid):
        raise ValueError("kid must be text")
    if not isinstance(entry.get("alg", ""), str) or not isinstance(entry.get("key_ops", []), list):
        raise ValueError("alg must be text and key_ops a list")
    if entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ["verify"]):
        return None
    if kind == "OKP" and entry.get("crv") == "Ed25519":
        able = frozenset({"EdDSA", "Ed25519"})
    elif kind == "RSA":
        able = frozenset({"RS256"})
    else:
        return None
    if "alg" in entry:
        able &= {entry["alg"]}
    if not able:
        return None
    # Only the members that make the key: joserfc would otherwise weigh the rest a second time.
    material = cast("Any", {name: entry[name] for name in ("kty", "crv", "x", "n", "e") if name in entry})
    try:
        if kind == "RSA":
            _check_rsa_size(material["n"])
        key: Key = OKPKey.import_key(material) if kind == "OKP" else RSAKey.import_key(material)
        # The bytes are turned into a key only on first use; a broken key must not wait for that.
        if key.public_key is None:
            raise ValueError("it has no public part")
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise ValueError(f"is no {kind} key: {error}") from error
    return VerifyingKey(kid, able, key)


def _check_rsa_size(modulus: str) -> None:
    bits = base64_to_int(modulus).bit_length()
    if not RSA_BITS_MIN <= bits <= RSA_BITS_MAX:
        raise ValueError(f"it must have {RSA_BITS_MIN} to {RSA_BITS_MAX} bits, not {bits}")
