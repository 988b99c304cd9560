"""Every numbered rule of the protocol has a test that carries its number, and no test names a rule that is gone.

In docs/reference/protocol.md a rule starts a line with ``**P12**``; a test of it has ``_P12_`` in its name.
"""

import ast
import re

from tests.meta.tree import ROOT, Source, python_sources, read

RULE = re.compile(r"^\*\*(P\d+)\*\*", re.MULTILINE)
NAMED = re.compile(r"_(P\d+)(?=_)")
SPECIFICATION = ROOT / "docs" / "reference" / "protocol.md"


def rules_of(text: str) -> list[str]:
    return RULE.findall(text)


def rules_tested_in(source: Source) -> set[str]:
    tests = (node for node in ast.walk(source.syntax()) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {rule for test in tests if test.name.startswith("test_") for rule in NAMED.findall(test.name)}


def compare(rules: list[str], tested: set[str]) -> list[str]:
    """One sentence for each rule that is numbered twice, has no test, or exists only in a test's name."""
    twice = [f"{rule} is the number of two rules" for rule in sorted({rule for rule in rules if rules.count(rule) > 1})]
    untested = [f"no test is named after {rule}" for rule in sorted(set(rules) - tested)]
    gone = [f"a test names {rule}, which is no rule" for rule in sorted(tested - set(rules))]
    return twice + untested + gone


def test_every_rule_of_the_protocol_has_a_test_that_carries_its_number() -> None:
    if SPECIFICATION.exists():
        tested = {rule for source in python_sources("tests") for rule in rules_tested_in(source)}
        assert compare(rules_of(read(SPECIFICATION).text), tested) == []


def test_a_rule_without_test_a_double_number_and_a_stale_name_are_found() -> None:
    rules = rules_of("**P1** A frame.\n**P2** A reply.\n**P2** Again.\nsee **P7** for more\n")
    tested = rules_tested_in(Source("tests/sample.py", "async def test_P1_P30_frames() -> None: ...\n"))
    assert compare(rules, tested) == [
        "P2 is the number of two rules",
        "no test is named after P2",
        "a test names P30, which is no rule",
    ]
