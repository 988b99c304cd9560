"""The compiled shim, or a sentence why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.scratch import scratch_folder
from tests.faults.shim import build, why_missing


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if (why := why_missing()) is not None:
        pytest.skip(why)
    return build(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder in memory, if the machine has one: thousands of stores are made there, and fsync costs nothing."""
    with scratch_folder() as folder:
        yield folder
