"""Keys of map entries: parts that are percent-encoded as JavaScript does it, between slashes."""

from __future__ import annotations

import re
from unicodedata import normalize
from urllib.parse import quote, unquote

from crdt_sync.errors import InvalidName
from crdt_sync.values import ClientId

KEY_BYTES_MAX = 200
"""Keys outlive their values in a CRDT, in every replica for good, so they stay short."""

LIFE = "$life"
_PLAIN = re.compile(r"[A-Za-z0-9_.!~*'()-]+")
_MID = re.compile(r"[0-9a-z]{1,11}\.[0-9a-z]{1,11}")
_BASE36 = re.compile(r"0|[1-9a-z][0-9a-z]{0,10}")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def nfc(text: str) -> str:
    """One spelling for one text: composed and decomposed accents must not make two products."""
    return text if text.isascii() else normalize("NFC", text)


def check_name(what: str, text: object) -> str:
    """Return a product, location, metric or the like in its one spelling.

    Raises :class:`InvalidName` when it is no text, empty, or not encodable (a lone surrogate)."""
    if not isinstance(text, str):
        raise InvalidName(what, repr(text), "a text")
    if not text:
        raise InvalidName(what, text, "a text that is not empty")
    check_encodable(what, text)
    return nfc(text)


def check_encodable(what: str, text: str) -> None:
    """Raise :class:`InvalidName` for lone surrogates: JavaScript may hold them, UTF-8 can't."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        shown = text.encode(errors="backslashreplace").decode()
        raise InvalidName(what, shown, "text without lone surrogates") from error


def comp(text: str) -> str:
    """One part of a key: ``encodeURIComponent(text.normalize('NFC'))``. The text must be encodable."""
    return text if _PLAIN.fullmatch(text) else quote(nfc(text), safe="!~*'()")


def uncomp(part: str) -> str | None:
    """The text behind one part of a key; None when :func:`comp` would never have written this part."""
    if _PLAIN.fullmatch(part):
        return part
    try:
        text = unquote(part, errors="strict")
    except UnicodeDecodeError:
        return None
    return text if text and comp(text) == part else None


def join(*parts: str) -> str:
    """Encoded parts to one key. Raises :class:`InvalidName` beyond 200 bytes."""
    key = "/".join(parts)
    if len(key) > KEY_BYTES_MAX:
        raise InvalidName("key", key, f"at most {KEY_BYTES_MAX} bytes once encoded, got {len(key)}")
    return key


def split(key: str, parts: int) -> tuple[str, ...] | None:
    """The texts of a key with that many parts, or None when it is not such a key."""
    texts = tuple(map(uncomp, key.split("/")))
    whole = tuple(text for text in texts if text is not None)
    return whole if len(whole) == len(texts) == parts else None


def product_key(sku: str, field: str) -> str:
    """``{sku}/{field}``; the field may be ``$life``."""
    return join(comp(sku), _field(field))


def location_key(location: str, field: str) -> str:
    """``@{location}/{field}``. No product's key can begin so: ``@`` is always encoded there."""
    return join("@" + comp(location), _field(field))


def movement_id(client_id: ClientId, sequence: int) -> str:
    """``{client id}.{sequence}``, both in base 36: unique because nobody else writes under this client id."""
    return f"{to_base36(client_id)}.{to_base36(sequence)}"


def parse_movement_id(mid: str) -> tuple[ClientId, int] | None:
    """Client id and sequence, or None when it is no movement id."""
    if not is_movement_id(mid):
        return None
    client, _, sequence = mid.partition(".")
    return int(client, 36), int(sequence, 36)


def is_movement_id(mid: str) -> bool:
    return _MID.fullmatch(mid) is not None


def to_base36(number: int) -> str:
    """What ``number.toString(36)`` gives in JavaScript, for whole numbers from 0."""
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
        if number == 0:
            return digits


def parse_base36(text: str) -> int | None:
    """The number that :func:`to_base36` spells so, or None."""
    if not _BASE36.fullmatch(text):
        return None
    return int(text, 36)


def _field(field: str) -> str:
    return field if field == LIFE else comp(field)
