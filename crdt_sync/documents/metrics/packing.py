"""Whole numbers in few bytes: LEB128, signed ones by zigzag. What sketches and chunks are made of."""

from __future__ import annotations

from collections.abc import Iterable

from crdt_sync.errors import InvalidValue

NUMBER_BYTES_MAX = 10
"""Of one packed number: 70 bits, enough for the difference of differences of any two 64-bit numbers."""

_SHIFT_MAX = 7 * (NUMBER_BYTES_MAX - 1)
_ZIGZAG = tuple(byte >> 1 if byte & 1 == 0 else -(byte + 1 >> 1) for byte in range(128))


def zigzag(number: int) -> int:
    """A signed number as one from 0: 0, -1, 1, -2 become 0, 1, 2, 3."""
    return number << 1 if number >= 0 else (-number << 1) - 1


def unzigzag(number: int) -> int:
    return number >> 1 if number & 1 == 0 else -(number + 1 >> 1)


def pack(out: bytearray, numbers: Iterable[int]) -> None:
    """Append numbers from 0."""
    for number in numbers:
        rest = number
        while rest > 0x7F:
            out.append(rest & 0x7F | 0x80)
            rest >>= 7
        out.append(rest)


def unpack(data: bytes) -> list[int]:
    """All numbers that ``data`` holds. Raises :class:`InvalidValue` for bytes that :func:`pack` never wrote."""
    if data.isascii():
        return list(data)
    numbers: list[int] = []
    number = shift = 0
    # Whole columns pass here, so there is no call for each number.
    for byte in data:
        if byte > 0x7F:
            number |= (byte & 0x7F) << shift
            shift += 7
        elif shift:
            # One number has one spelling, or equal contents would differ in their bytes.
            if not byte or shift > _SHIFT_MAX:
                raise InvalidValue(f"packed number {len(numbers)} is longer than it may be")
            numbers.append(number | byte << shift)
            number = shift = 0
        else:
            numbers.append(byte)
    if shift:
        raise InvalidValue(f"packed number {len(numbers)} does not end")
    return numbers


def unpack_signed(data: bytes) -> list[int]:
    """The same for numbers that went through :func:`zigzag`."""
    if data.isascii():
        return [_ZIGZAG[byte] for byte in data]
    return [number >> 1 if number & 1 == 0 else -(number + 1 >> 1) for number in unpack(data)]


def unpack_one(data: bytes, at: int) -> tuple[int, int]:
    """The number at ``at`` and where the next one begins. Raises :class:`InvalidValue`."""
    number = shift = 0
    for end in range(at, min(len(data), at + NUMBER_BYTES_MAX)):
        byte = data[end]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if not byte and shift:
                raise InvalidValue(f"the packed number at byte {at} is longer than it need be")
            return number, end + 1
        shift += 7
    raise InvalidValue(f"the packed number at byte {at} does not end")
