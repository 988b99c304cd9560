"""JSON that JavaScript reads and yrs does not. A document that holds it can be loaded by pages, and by nobody else.

yrs parses the JSON of embeds and formats with serde_json. What of it a page may write in good faith (half of a
surrogate pair, which an edit can leave behind; a whole number from 2**63 up to 2**64) is refused with the rest: nothing
that is written beside it could be read again outside of a browser.
"""

from __future__ import annotations

import re
from math import isinf
from typing import Final

_SUSPECT: Final = re.compile(r"\\u[dD]|[0-9][eE]|[0-9]{19}")
"""Nothing below can be found without one of these. Nearly every text is done with that."""
_ESCAPE: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    r"|\\.",
    re.DOTALL,
)
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NUMBER: Final = re.compile(r"-?[0-9]+(?P<real>(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
_NEAR_THE_LARGEST: Final = 1.797e308
_DIGITS_OF_2_64: Final = 20


def unreadable(text: str) -> str | None:
    """What in ``text``, which must be JSON, yrs can't read; None when it reads it all."""
    if _SUSPECT.search(text) is None:
        return None
    for escape in _ESCAPE.finditer(text):
        if escape["half"]:
            return f"half of a surrogate pair at character {escape.start()}"
    for number in _NUMBER.finditer(_STRING.sub('""', text)):
        if not _is_readable(number[0], is_whole=not number["real"]):
            return f"a number that it can't hold, {number[0][:_DIGITS_OF_2_64]}"
    return None


def _is_readable(number: str, *, is_whole: bool) -> bool:
    size = abs(float(number))
    if isinf(size):
        return False
    if size > _NEAR_THE_LARGEST:
        # serde_json rounds on its way; what it makes of the spelling that everybody uses was tried.
        return number.lstrip("-").lower() == repr(size)
    # Beyond 2**64 it takes a whole number for a double, below 2**63 for an integer.
    return not (is_whole and len(number) <= _DIGITS_OF_2_64 and 2**63 <= int(number) < 2**64)
