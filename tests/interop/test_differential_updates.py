"""Random histories by real Yjs, and real recordings, through the gate, the log, joining and cutting."""

import base64
import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.replica import replay
from crdt_sync.updates.decode import decode_update
from crdt_sync.updates.encode import join
from crdt_sync.updates.gate import judge
from crdt_sync.updates.ledger import Ledger
from crdt_sync.updates.pieces import Piece
from crdt_sync.updates.split import cut
from tests.laws.histories import admit, judged

NODE_FOLDER = Path(__file__).parent / "node"
DATA = Path(os.environ.get("CRDT_SYNC_DATA", Path(__file__).parents[3] / "shared" / "data"))
TRACE = DATA / "traces" / "friendsforever.yupdates.jsonl.gz"
VECTORS = DATA / "yjs_compat_vectors.json"
HISTORIES = int(os.environ.get("CRDT_SYNC_HISTORIES", "500"))
OPERATIONS = 30
BATCHES = 5

History = dict[str, Any]


def node(*arguments: str, stdin: str = "") -> list[Any]:
    """Run histories.mjs and return the JSON of each line that it printed."""
    program = shutil.which("node")
    if program is None or not (NODE_FOLDER / "node_modules" / "yjs").is_dir():
        pytest.skip("install Node 20 or later and run `npm ci` in tests/interop/node")
    command = [program, "histories.mjs", *arguments]
    outcome = subprocess.run(
        command, cwd=NODE_FOLDER, input=stdin, capture_output=True, text=True, timeout=300, check=False
    )
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    return [json.loads(line) for line in outcome.stdout.splitlines()]


@pytest.fixture(scope="module", params=range(BATCHES))
def histories(request: pytest.FixtureRequest) -> list[History]:
    count = HISTORIES // BATCHES
    return node("write", str(1 + request.param * count), str(count), str(OPERATIONS))


def raws(encoded: Iterable[str]) -> list[bytes]:
    return [base64.b64decode(update) for update in encoded]


def gated(history: History) -> tuple[list[Piece], Ledger]:
    """The log of a history, made as a relay makes it."""
    ledger, log = Ledger(remembers=True), []
    for raw in raws(history["updates"]):
        deletes = decode_update(raw).deletes
        repeats_deletes = ledger.new_deletes(deletes) != deletes
        verdict = judged(raw, ledger)
        assert not verdict.gap
        if not repeats_deletes:
            assert verdict.fresh is not None
            assert verdict.fresh.raw == raw
        if verdict.fresh is not None:
            ledger.admit(verdict.fresh)
            log.append(verdict.fresh)
    return log, ledger


def parts_of(update: bytes) -> list[bytes]:
    decoded = decode_update(update)
    verdict = judge(decoded, Ledger(), DEFAULT_LIMITS)
    assert verdict.fresh is not None
    return list(cut(decoded, verdict.runs, verdict.fresh.deletes, structs_max=5, bytes_max=400))


@pytest.mark.interop
def test_every_update_of_yjs_is_accepted_in_order_with_its_bytes_unchanged(histories: list[History]) -> None:
    for history in histories:
        _, ledger = gated(history)
        whole = Ledger()
        assert admit(raws(history["states"])[0], whole)
        assert ledger.clocks == whole.clocks


@pytest.mark.interop
def test_what_yjs_and_yrs_encode_anew_is_known_and_no_alarm(histories: list[History]) -> None:
    for history in histories:
        log, ledger = gated(history)
        again = [*history["merged"], *history["diffs"], *history["states"]]
        ours = replay([piece.raw for piece in log]).snapshot()
        for raw in [*raws(again), ours]:
            verdict = judged(raw, ledger)
            assert not verdict.gap
            assert verdict.fresh is None or not verdict.fresh.spans


@pytest.mark.interop
def test_log_joined_and_cut_forms_have_the_content_of_the_original_in_node_and_in_python(
    histories: list[History],
) -> None:
    forms: list[Sequence[bytes]] = []
    for history in histories:
        log, _ = gated(history)
        joined = join(log)
        forms += [[piece.raw for piece in log], joined, [part for update in joined for part in parts_of(update)]]
    lines = "".join(json.dumps([base64.b64encode(raw).decode() for raw in form]) + "\n" for form in forms)
    for index, content in enumerate(node("read", stdin=lines)):
        original = histories[index // 3]
        assert content == original["content"] | {"pending": False}, f"seed {original['seed']}, form {index % 3}"
    for index, form in enumerate(forms):
        original = histories[index // 3]
        assert differences(replay(form).view(), original["content"]) == [], f"seed {original['seed']}"


def differences(view: dict[str, Any], content: dict[str, Any]) -> list[Any]:
    """Where a view of ours differs from what Yjs shows. An empty root does not say of which type it is."""
    roots = [(view.get(name), content[name]) for name in ("m", "", "l", "t", "x")]
    return [(ours, theirs) for ours, theirs in roots if (ours or theirs) and ours != theirs]


if TRACE.exists():

    def test_a_recorded_session_of_two_writers_is_accepted_keystroke_by_keystroke() -> None:
        with gzip.open(TRACE, "rt") as lines:
            updates = raws(json.loads(line)["u"] for line in lines)
        with gzip.open(TRACE.with_name("friendsforever.json.gz"), "rt") as trace:
            end = json.load(trace)["endContent"]
        ledger, log = Ledger(remembers=True), []
        for raw in updates:
            deletes = decode_update(raw).deletes
            # Where both writers deleted the same letter, the second said nothing new.
            repeats_deletes = ledger.new_deletes(deletes) != deletes
            fresh = admit(raw, ledger)
            assert repeats_deletes or (fresh is not None and fresh.raw == raw)
            log += [fresh] if fresh else []
        assert len(updates) == 26_078
        for form in ([piece.raw for piece in log], join(log)):
            assert replay(form).view() == {"text": end}


if VECTORS.exists():

    @pytest.mark.parametrize("vector", json.loads(VECTORS.read_text())["vectors"], ids=lambda vector: vector["test"])
    def test_documents_of_yjs_13_2_are_accepted_and_read(vector: dict[str, Any]) -> None:
        raw = base64.b64decode(vector["update_v1_base64"])
        piece = admit(raw, Ledger())
        assert piece is not None
        assert piece.raw == raw
        expected = vector["expected"]
        if vector["root"] == "text":
            expected = "".join(part["insert"] for part in expected if isinstance(part["insert"], str))
        assert replay([raw]).view() == {vector["root"]: expected}
