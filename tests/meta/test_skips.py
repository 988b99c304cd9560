"""The skip rule of conftest.py: a missing component skips at home and fails in CI."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SKIPS_ITSELF = "import pytest\ndef test_needs_node():\n    pytest.skip('install Node 20')\n"
SKIPS_ITS_MODULE = "import pytest\npytest.skip('install Node 20', allow_module_level=True)\n"
FAILS_AS_EXPECTED = "import pytest\n@pytest.mark.xfail\ndef test_known():\n    raise AssertionError\n"


def run_pytest(folder: Path, source: str, *, ci: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (folder / "test_sample.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--rootdir", str(folder), str(folder)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COVERAGE_"))}
    return subprocess.run(
        command, cwd=folder, env=environment | {"CI": ci}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("source", [SKIPS_ITSELF, SKIPS_ITS_MODULE], ids=["test", "module"])
def test_a_missing_component_fails_in_ci_and_says_what_to_install(tmp_path: Path, source: str) -> None:
    outcome = run_pytest(tmp_path, source, ci="true")
    assert outcome.returncode in {1, 2}, outcome.stdout
    assert "install Node 20" in outcome.stdout


def test_a_missing_component_skips_at_home(tmp_path: Path) -> None:
    outcome = run_pytest(tmp_path, SKIPS_ITSELF, ci="")
    assert outcome.returncode == 0, outcome.stdout
    assert "1 skipped" in outcome.stdout


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    outcome = run_pytest(tmp_path, FAILS_AS_EXPECTED, ci="true")
    assert outcome.returncode == 0, outcome.stdout
    assert "1 xfailed" in outcome.stdout
