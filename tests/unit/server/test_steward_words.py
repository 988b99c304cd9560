"""What the relay and its steward say arrives as it was said, and nothing else is taken for it."""

from __future__ import annotations

import base64
import dataclasses

import pytest

from crdt_sync.limits import DEFAULT_LIMITS, Limits
from server.steward.words import Alive, Attend, Dismiss, Failed, Instructions, Rounded, from_line, to_line

INSTRUCTIONS = Instructions(
    relay="ws://127.0.0.1:1",
    folder="data/steward",
    secret=base64.b64encode(bytes(32)).decode(),
    issuer="crdt-sync",
    audience="crdt-sync",
    token_ttl_s=60,
    interval_s=0.5,
    limits=dataclasses.asdict(DEFAULT_LIMITS),
)


@pytest.mark.parametrize(
    "word",
    [
        INSTRUCTIONS,
        Attend("acme", "metrics/2026-11"),
        Dismiss("acme"),
        Alive(),
        Rounded("acme"),
        Failed("acme", "settle-conflicts", "schema-too-new", "two\nlines, \u00e9"),
    ],
)
def test_every_word_is_one_line_and_comes_back_equal(word: Attend | Dismiss | Alive | Rounded | Failed) -> None:
    line = to_line(word)
    assert line.index(b"\n") == len(line) - 1
    assert from_line(line) == word


def test_the_limits_of_the_relay_are_those_of_its_steward() -> None:
    said = from_line(to_line(INSTRUCTIONS))
    assert isinstance(said, Instructions)
    assert Limits(**said.limits) == DEFAULT_LIMITS


def test_the_secret_is_not_shown() -> None:
    assert INSTRUCTIONS.secret not in repr(INSTRUCTIONS)


@pytest.mark.parametrize(
    "line", [b"", b"x", b"[]", b"1", b"{}", b'{"word":"Sing"}', b'{"word":"Alive","loud":1}', b'{"word":"Dismiss"}']
)
def test_what_is_no_word_is_an_error(line: bytes) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        from_line(line)
