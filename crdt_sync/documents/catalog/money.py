"""Money: a whole number of minor units, and the currency that they are of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import total_ordering
from typing import Final

from crdt_sync.documents.roots import Value
from crdt_sync.documents.schema import INT_MAX, whole
from crdt_sync.errors import CurrencyMismatch, InvalidField

_CODE: Final = re.compile(r"[A-Z]{3}", re.ASCII)
_DECIMALS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND"), 0),
    **dict.fromkeys(("VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}
"""ISO 4217: how many decimals a currency has, where it is not 2."""


@total_ordering
@dataclass(frozen=True, slots=True)
class Money:
    """An amount such as ``Money(255, "GBP")``, which is £2.55. Stored as ``[255, "GBP"]``.

    Adds up, and compares by size, within one currency only: else :class:`CurrencyMismatch`. Raises
    :class:`InvalidField` for minor units that are no int within ±(2**53 - 1), and for what has not the form of an ISO
    4217 code; whether there is such a currency is not checked."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        if type(self.minor) is not int or abs(self.minor) > INT_MAX:
            raise InvalidField("minor", self.minor, "a whole number of minor units within ±(2**53 - 1)")
        if type(self.currency) is not str or not _CODE.fullmatch(self.currency):
            raise InvalidField("currency", self.currency, "an ISO 4217 code such as 'GBP'")

    @classmethod
    def read(cls, field: str, stored: Value) -> Money:
        """What :meth:`stored` gave. Raises :class:`InvalidField` for anything else: a number alone has no currency."""
        match stored:
            case [minor, str(currency)] if (units := whole(minor)) is not None and _CODE.fullmatch(currency):
                return cls(units, currency)
        raise InvalidField(field, stored, "money: a list of whole minor units and a currency, like [255, 'GBP']")

    def stored(self) -> list[Value]:
        """As an attribute holds it."""
        return [self.minor, self.currency]

    @property
    def decimals(self) -> int:
        """How many decimals the currency has: 2 for GBP, 0 for JPY. A currency that is not known here has 2."""
        return _DECIMALS.get(self.currency, 2)

    def __str__(self) -> str:
        digits = str(abs(self.minor)).rjust(self.decimals + 1, "0")
        at = len(digits) - self.decimals
        amount = f"{digits[:at]}.{digits[at:]}" if self.decimals else digits
        return f"{'-' if self.minor < 0 else ''}{amount} {self.currency}"

    def __add__(self, other: Money) -> Money:
        return Money(self.minor + self._minor_of(other), self.currency) if _is_money(other) else NotImplemented

    def __sub__(self, other: Money) -> Money:
        return Money(self.minor - self._minor_of(other), self.currency) if _is_money(other) else NotImplemented

    def __mul__(self, times: int) -> Money:
        # Not by a float or a share: who divides money must say who gets the odd penny.
        return Money(self.minor * times, self.currency) if type(times) is int else NotImplemented

    __rmul__ = __mul__

    def __neg__(self) -> Money:
        return Money(-self.minor, self.currency)

    def __lt__(self, other: Money) -> bool:
        return self.minor < self._minor_of(other) if _is_money(other) else NotImplemented

    def _minor_of(self, other: Money) -> int:
        if other.currency != self.currency:
            raise CurrencyMismatch(self.currency, other.currency)
        return other.minor


def _is_money(value: object) -> bool:
    return isinstance(value, Money)
