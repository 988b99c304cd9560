"""Bugs planted in the JavaScript package, each of which the comparison with Python finds."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.interop.javascript_face import PACKAGE, Command, open_node
from tests.interop.node_clients import need_node
from tests.interop.test_javascript_face import HISTORIES, KEPT_LOGS, Exchange, Step, play, read_strangers

pytestmark = pytest.mark.interop
MUTANTS: Mapping[str, tuple[str, str, str]] = {
    "an arrival counts twice": ("stock-index.mjs", "if (before) this.#book(before, -1)", ""),
    "anybody ends a hold": ("movements.mjs", "[1, 2, 3, 4].every(", "[1, 2, 3].every("),
    "a find is its finder's": ("movements.mjs", "Math.min(quantity, 0)", "quantity"),
    "what arrives is nobody's": ("movements.mjs", "shipment[7].for : shipment[4]", "shipment[7].for : null"),
    "what was decided stays open": ("conflicts.mjs", "!done.includes(tip)", "tip !== ''"),
    "rights are not looked at": ("stock.mjs", "if (have < units) throw new InsufficientRights(have, units)\n  }", "}"),
    "a deletion saw all": ("catalog.mjs", "(life.value, kept,", "(life.value, life.value.seen,"),
    "a union keeps its own order": ("merges.mjs", "].sort(byText).map(", "].reverse().map("),
    "what lost is not kept": ("conflicts.mjs", "this.forks.takeNews(all)", "[]"),
    "the first stock-take counts": ("movements.mjs", "? counts.get(mid)[5] > counts", "? counts.get(mid)[5] < counts"),
}


KEPT_HISTORY: Sequence[Step | Exchange] = [
    Step(2, Command("set_attribute", ["shirt", "tags", ["b", 3]])),
    Step(3, Command("set_attribute", ["shirt", "tags", ["a", "b"]])),
    Exchange(3, 2, []),
    Step(2, Command("resolve", ["?"], {"merge": "union"})),
]
"""Two give a product tags at once. Few histories of this kind are made by chance."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_planted_bug_in_javascript_is_found(name: str, tmp_path: Path) -> None:
    need_node()
    package = Path(shutil.copytree(PACKAGE, tmp_path / "package"))
    file, sound, mutant = MUTANTS[name]
    source = (package / file).read_text()
    assert source.count(sound) == 1, f"{file} no longer holds {sound}"
    (package / file).write_text(source.replace(sound, mutant))
    hunting = settings(
        max_examples=500,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    with open_node(package) as process:

        @hunting
        @given(HISTORIES)
        def hunt(steps: Sequence[Step | Exchange]) -> None:
            play(process, steps)

        def hunt_everywhere() -> None:
            for logs in KEPT_LOGS:
                read_strangers(process, logs)
            play(process, KEPT_HISTORY)
            hunt()

        with pytest.raises(AssertionError):
            hunt_everywhere()
