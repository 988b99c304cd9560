"""The error tree and the drawing of it in its package say the same, and every error has a code of its own."""

import re
from collections import Counter
from collections.abc import Iterator

from crdt_sync import errors
from crdt_sync.errors import SyncError

ENTRY = re.compile(r"\|- (\w+)")
COLUMNS_PER_LEVEL = 3


def descendants(root: type[SyncError]) -> Iterator[type[SyncError]]:
    for child in root.__subclasses__():
        yield child
        yield from descendants(child)


def drawn_parents(drawing: str) -> dict[str, str]:
    """Read ``|- Name`` entries, indented by level; several on one line are siblings."""
    parents: dict[str, str] = {}
    path = ["SyncError"]
    for line in drawing.splitlines():
        entries = list(ENTRY.finditer(line))
        if not entries or not re.match(r"[|\s]*\|- ", line):
            continue
        level = len(line[: entries[0].start()].removeprefix("    ")) // COLUMNS_PER_LEVEL
        del path[level + 1 :]
        for entry in entries:
            parents[entry[1]] = path[level]
        path.append(entries[-1][1])
    return parents


def shared_codes(classes: list[type[SyncError]]) -> list[str]:
    return [code for code, count in Counter(error.code for error in classes).items() if count > 1]


def our_errors() -> list[type[SyncError]]:
    return [
        SyncError,
        *(error for error in descendants(SyncError) if error.__module__.startswith(f"{errors.__name__}.")),
    ]


def test_the_drawing_shows_every_error_under_its_parent() -> None:
    real = {error.__name__: error.__bases__[0].__name__ for error in our_errors()[1:]}
    assert drawn_parents(errors.__doc__ or "") == real


def test_every_error_has_a_code_of_its_own() -> None:
    assert shared_codes(our_errors()) == []
    assert [error.__name__ for error in our_errors() if "code" not in vars(error)] == []


def test_every_error_says_in_one_sentence_what_it_means() -> None:
    assert [error.__name__ for error in our_errors() if not (error.__doc__ or "").strip()] == []


def test_the_reader_of_the_drawing_sees_levels_and_siblings() -> None:
    drawing = "    SyncError\n    |- A    one\n    |  |- B |- C\n    |  |  |- D\n    |- E    two\n"
    assert drawn_parents(drawing) == {"A": "SyncError", "B": "A", "C": "A", "D": "C", "E": "SyncError"}


def test_two_errors_with_one_code_are_found() -> None:
    class Left(SyncError):
        code = "one"

    class Right(SyncError):
        code = "one"

    assert shared_codes([SyncError, Left, Right]) == ["one"]
