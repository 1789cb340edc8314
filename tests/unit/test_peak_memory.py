"""A small file that promises much is refused, and no reader takes more than 300 MiB for it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.unit.hostile_inputs import CASES

# What bounds a reader is this project's own code, and it takes half a minute.
pytestmark = pytest.mark.once

SMALL = 1 << 20
MOST = 300 << 20


@pytest.fixture(scope="module")
def told() -> dict[str, dict[str, Any]]:
    """What the program says of each case."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.hostile_inputs"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return {found["case"]: found for found in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("case", CASES)
def test_a_small_file_takes_little_memory(told: dict[str, dict[str, Any]], case: str) -> None:
    found = told[case]
    assert 0 < found["size"] < SMALL
    assert 0 < found["peak"] < MOST, found
    error = found["refused"].partition(":")[0]
    assert error in {"InputError", "ComparisonError"}, found
