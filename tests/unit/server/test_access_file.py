"""The access file: torn writes at every byte, flips of every bit, and writers in several processes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crdt_sync.errors import StoreUnavailable
from crdt_sync.stores.custody import hold
from server.auth import access_file
from server.auth.access_file import ENTRY_BYTES_MAX, REWRITE_ENTRIES_MIN, AccessFile, Entry, parse_lines, seal

ENTRIES: Sequence[Entry] = [{"act": "revoke", "user": "ada"}, {"act": "key", "name": "tèa\n"}, {"n": 3}]
FILE = b"".join(map(seal, ENTRIES))


def everything(entries: Sequence[Entry]) -> Sequence[Entry]:
    return entries


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))


@given(st.lists(st.dictionaries(st.text(), JSON, max_size=4), max_size=5))
def test_what_is_sealed_is_read(entries: list[Entry]) -> None:
    lines = parse_lines(b"".join(map(seal, entries)))
    assert (list(lines.entries), lines.damage) == (entries, ())


@pytest.mark.parametrize("cut", range(len(FILE) + 1))
def test_a_file_cut_at_any_byte_holds_its_whole_lines_and_takes_the_next_one(cut: int, tmp_path: Path) -> None:
    whole = FILE[:cut].count(b"\n")
    path = tmp_path / "access.jsonl"
    for zeros in (b"", bytes(7)):
        path.write_bytes(FILE[:cut] + zeros)
        lines = AccessFile(path).read()
        assert (list(lines.entries), lines.damage) == (list(ENTRIES[:whole]), ())
        AccessFile(path).append({"next": True}, still_needed=everything)
        assert parse_lines(path.read_bytes()).entries == (*ENTRIES[:whole], {"next": True})
        assert parse_lines(path.read_bytes()).damage == ()


def test_every_flipped_bit_is_damage_and_takes_no_other_line_with_it() -> None:
    for place in range(len(FILE)):
        for bit in range(8):
            flipped = bytearray(FILE)
            flipped[place] ^= 1 << bit
            lines = parse_lines(bytes(flipped))
            assert lines.damage, f"byte {place}, bit {bit}"
            # A newline that is gone makes one line of two.
            assert len(lines.entries) >= len(ENTRIES) - 2
            assert all(entry in ENTRIES for entry in lines.entries)


@given(st.binary(max_size=200))
def test_whatever_the_bytes_are_reading_them_ends_in_an_answer(data: bytes) -> None:
    lines = parse_lines(data)
    assert lines.whole_bytes <= len(data)
    if data and not lines.entries and data.strip(b"\0"):
        assert lines.damage or b"\n" not in data


def test_a_line_that_is_written_behind_damage_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    path.write_bytes(seal({"a": 1}) + b"rubbish")
    AccessFile(path).append({"b": 2}, still_needed=everything)
    lines = AccessFile(path).read()
    assert (lines.entries, lines.damage) == (({"a": 1}, {"b": 2}), ("line 2",))


def test_an_entry_that_is_too_long_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    file = AccessFile(tmp_path / "access.jsonl")
    with pytest.raises(ValueError, match="at most"):
        file.append({"a": "x" * ENTRY_BYTES_MAX}, still_needed=everything)
    assert file.signature() is None


def test_the_signature_changes_with_every_line(tmp_path: Path) -> None:
    file, seen = AccessFile(tmp_path / "access.jsonl"), set[object]()
    seen.add(file.signature())
    for number in range(20):
        file.append({"n": number}, still_needed=everything)
        seen.add(file.signature())
    assert len(seen) == 21
    assert (tmp_path / "access.jsonl").stat().st_mode & 0o077 == 0


def test_what_is_not_needed_any_more_is_dropped_now_and_then_and_nothing_else_is(tmp_path: Path) -> None:
    file, sizes = AccessFile(tmp_path / "access.jsonl"), []

    def even(entries: Sequence[Entry]) -> Sequence[Entry]:
        return [entry for entry in entries if entry["n"] == 0]

    for number in range(3 * REWRITE_ENTRIES_MIN):
        file.append({"n": number}, still_needed=even)
        sizes.append(len(file.read().entries))
        assert file.read().entries[0] == {"n": 0}
        assert file.read().entries[-1] == {"n": number}
    assert max(sizes) == REWRITE_ENTRIES_MIN + 1
    assert not list(tmp_path.glob("*.new"))


def test_a_damaged_file_is_never_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    path.write_bytes(b"rubbish\n" + b"".join(seal({"n": number}) for number in range(2 * REWRITE_ENTRIES_MIN)))
    AccessFile(path).append({"n": -1}, still_needed=lambda _: ())
    assert path.read_bytes().startswith(b"rubbish\n")


def test_who_waits_too_long_for_the_others_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access_file, "WAIT_S", 0.0)
    path = tmp_path / "access.jsonl"
    with hold(path, create=True), pytest.raises(StoreUnavailable, match="held by another"):
        AccessFile(path).append({}, still_needed=everything)


WRITER = """
import sys
from pathlib import Path
from server.auth.access_file import AccessFile
path, name = Path(sys.argv[1]), sys.argv[2]
for number in range(60):
    AccessFile(path).append({"by": name, "n": number}, still_needed=lambda entries: [e for e in entries if e["n"] >= 0])
"""


def test_lines_of_two_processes_at_once_are_all_there_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "access.jsonl"
    # Of no use any more, so that one of the writers writes the file anew while the other adds to it.
    path.write_bytes(b"".join(seal({"n": -1}) for _ in range(REWRITE_ENTRIES_MIN + 50)))
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(path), name]) for name in "ab"]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    lines = AccessFile(path).read()
    assert lines.damage == ()
    for name in "ab":
        assert [entry["n"] for entry in lines.entries if entry.get("by") == name] == list(range(60))
