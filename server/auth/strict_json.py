"""JSON as signed data must be read: one meaning, or none."""

from __future__ import annotations

import json
from typing import Any


def parse_object(data: bytes) -> dict[str, Any]:
    """The JSON object in ``data``. Raises ValueError if it is none, or could be read in two ways.

    Twice the same key, NaN and Infinity are refused: readers disagree about them.
    """
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key stands twice")
    return table


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")
