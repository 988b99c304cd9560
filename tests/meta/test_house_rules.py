"""The house rules hold in every file, and each rule is shown to bite on a small sample that breaks it."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.meta import rules
from tests.meta.tree import PRODUCT, PYTHON, ROOT, Source, python_sources, text_sources

Rule = Callable[[Source], Iterator[str]]

EVERYWHERE: tuple[Rule, ...] = (rules.long_file, rules.long_functions, rules.swallowed_errors, rules.empty_names)
IN_PRODUCT: tuple[Rule, ...] = (rules.mutable_module_state,)
IN_TESTS: tuple[Rule, ...] = (rules.sleeping_tests, rules.mocks)

BREACHES = (
    (rules.long_file, "pass\n" * 400),
    (rules.long_functions, "def long() -> None:\n" + "    pass\n" * 59),
    (rules.long_functions, "async def long() -> None:\n" + "    pass\n" * 59),
    (rules.swallowed_errors, "try:\n    act()\nexcept:\n    pass\n"),
    (rules.swallowed_errors, "try:\n    act()\nexcept Exception as error:\n    note(error)\n"),
    (rules.swallowed_errors, "try:\n    act()\nexcept (ValueError, builtins.BaseException):\n    pass\n"),
    (rules.empty_names, "class RoomManager: ...\n"),
    (rules.empty_names, "class StoreBase: ...\n"),
    (rules.mutable_module_state, "cache = {}\n"),
    (rules.mutable_module_state, "LEVELS = {'info': 1}\n"),
    (rules.mutable_module_state, "seen: set[int] = set()\n"),
    (rules.mutable_module_state, "rooms = collections.defaultdict(list)\n"),
    (rules.mutable_module_state, "names: Mapping[str, int] = {}\n"),
    (rules.sleeping_tests, "import time\ntime.sleep(1)\n"),
    (rules.sleeping_tests, "from time import sleep\n"),
    (rules.mocks, "from unittest.mock import patch\n"),
    (rules.mocks, "import unittest.mock\n"),
)

KEPT = (
    (rules.long_file, "pass\n" * 399),
    (rules.long_functions, "def fits() -> None:\n" + "    pass\n" * 58),
    (rules.swallowed_errors, "try:\n    act()\nexcept BaseException:\n    undo()\n    raise\n"),
    (rules.swallowed_errors, "try:\n    act()\nexcept ValueError:\n    pass\n"),
    (rules.empty_names, "class Room: ...\n"),
    (rules.mutable_module_state, "KINDS = ('gauge', 'counter')\nNAMES = frozenset({'a'})\n"),
    (rules.mutable_module_state, "LEVELS: Mapping[str, int] = {'info': 1}\nSEEN: Final[Sequence[int]] = [1]\n"),
    (rules.mutable_module_state, "TABLE = MappingProxyType({'a': 1})\n__all__ = ['TABLE']\n"),
    (rules.mutable_module_state, "def fresh() -> list[int]:\n    found: list[int] = []\n    return found\n"),
    (rules.sleeping_tests, "await asyncio.sleep(0)\n"),
    (rules.mocks, "import pytest\n"),
)


def breaches(applied: tuple[Rule, ...], sources: list[Source]) -> str:
    return "\n".join(breach for source in sources for rule in applied for breach in rule(source))


def test_every_python_file_keeps_the_house_rules() -> None:
    assert breaches(EVERYWHERE, python_sources(*PYTHON)) == ""


def test_library_and_relay_hold_no_state_at_module_level() -> None:
    assert breaches(IN_PRODUCT, python_sources(*PRODUCT)) == ""


def test_tests_wait_instead_of_sleeping_and_use_the_real_thing() -> None:
    assert breaches(IN_TESTS, python_sources("tests")) == ""


def test_no_file_knows_where_it_lies_on_this_machine() -> None:
    rule = partial(rules.machine_paths, checkout=str(ROOT))
    assert breaches((rule,), text_sources()) == ""


@pytest.mark.parametrize(("rule", "text"), BREACHES)
def test_a_rule_bites(rule: Rule, text: str) -> None:
    assert len(list(rule(Source("server/sample.py", text)))) == 1


@pytest.mark.parametrize(("rule", "text"), KEPT)
def test_a_rule_lets_good_code_pass(rule: Rule, text: str) -> None:
    assert list(rule(Source("server/sample.py", text))) == []


def test_only_the_listed_places_may_catch_everything() -> None:
    text = "try:\n    act()\nexcept BaseException:\n    quarantine()\n"
    assert list(rules.swallowed_errors(Source("server/scribes/worker.py", text))) == []
    assert list(rules.swallowed_errors(Source("server/web/worker.py", text))) != []


@pytest.mark.parametrize("path", ["server/utils.py", "crdt_sync/common/wire.py"])
def test_a_file_named_for_nothing_is_found(path: str) -> None:
    assert len(list(rules.empty_names(Source(path, "")))) == 1


@pytest.mark.parametrize("folder", ["home", "Users"])
def test_a_path_of_one_machine_is_found(folder: str) -> None:
    sample = Source("docs/sample.md", f"run it in /{folder}/ada/crdt-sync\nor in /somewhere/else/sync\n")
    assert len(list(rules.machine_paths(sample, checkout="/somewhere/else"))) == 2
    assert list(rules.machine_paths(sample, checkout="/else")) == [f"{sample.path}:1 holds a path of one machine"]


def test_the_rules_look_at_files_that_exist() -> None:
    assert {"crdt_sync/values.py", "tests/meta/rules.py"} <= {source.path for source in python_sources(*PYTHON)}
    assert {"pyproject.toml", "Makefile", ".ci/run"} <= {source.path for source in text_sources()}
