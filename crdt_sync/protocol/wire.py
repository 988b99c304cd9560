"""lib0's binary primitives: variable-length integers, byte strings, text.

Integers are LEB128 (seven bits a byte, low bits first); strings and byte strings carry their length in *bytes*.
The format is that of https://github.com/dmonad/lib0 (encoding.js, decoding.js).
"""

from __future__ import annotations

from crdt_sync.errors import LimitExceeded, MalformedMessage

UINT_MAX = 2**53 - 1
"""The largest integer that a JavaScript peer holds exactly."""

_SHIFT_MAX = 49


class Reader:
    """Reads one frame from front to back; every read is checked against the bytes that are left."""

    __slots__ = ("data", "end", "pos")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.pos = 0
        self.end = len(data)

    @property
    def remaining(self) -> int:
        return self.end - self.pos

    def byte(self) -> int:
        if self.pos >= self.end:
            raise MalformedMessage("the frame ends in the middle of a value")
        value = self.data[self.pos]
        self.pos += 1
        return value

    def uint(self, maximum: int = UINT_MAX) -> int:
        """A varUint of at most ``maximum``. More than eight bytes are refused before they are added up."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > _SHIFT_MAX:
                raise MalformedMessage("an integer is longer than eight bytes")
        if value > maximum:
            raise MalformedMessage(f"integer {value} is more than {maximum}")
        return value

    def count(self, entry_bytes_min: int, maximum: int | None = None) -> int:
        """How many entries follow. Refused when the rest of the frame could not possibly hold them."""
        count = self.uint()
        if count * entry_bytes_min > self.remaining:
            raise MalformedMessage(f"{count} entries are announced, but only {self.remaining} bytes follow")
        if maximum is not None and count > maximum:
            raise LimitExceeded("entries", maximum, count)
        return count

    def blob(self) -> bytes:
        length = self.uint()
        start = self.pos
        if length > self.end - start:
            raise MalformedMessage(f"{length} bytes are announced, but only {self.remaining} follow")
        self.pos = start + length
        return self.data[start : self.pos]

    def text(self) -> str:
        try:
            return self.blob().decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedMessage(f"text is not UTF-8: {error.reason}") from None

    def finish(self) -> None:
        """Nothing may follow a message."""
        if self.pos != self.end:
            raise MalformedMessage(f"{self.remaining} bytes follow the message")


def uint(value: int) -> bytes:
    """``value`` as a varUint."""
    if value < 0x80:
        return bytes((value,))
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def blob(data: bytes) -> bytes:
    """``data`` behind its length."""
    return uint(len(data)) + data


def text(value: str) -> bytes:
    """``value`` as UTF-8 behind its length in bytes."""
    return blob(value.encode("utf-8"))
