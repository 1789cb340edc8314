"""A small file that promises much is refused, and no reader takes more than 300 MiB for it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.unit import hostile_folders
from tests.unit.hostile_inputs import CASES

# What bounds a reader is this project's own code, and it takes half a minute.
pytestmark = pytest.mark.once

SMALL = 1 << 20
MOST = 300 << 20


def answers(program: str) -> dict[str, dict[str, Any]]:
    """What a program says of each of its cases."""
    done = subprocess.run(
        [sys.executable, "-m", program], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    return {found["case"]: found for found in map(json.loads, done.stdout.splitlines())}


@pytest.fixture(scope="module")
def told() -> dict[str, dict[str, Any]]:
    return answers("tests.unit.hostile_inputs")


@pytest.fixture(scope="module")
def verified() -> dict[str, dict[str, Any]]:
    return answers("tests.unit.hostile_folders")


@pytest.mark.parametrize("case", CASES)
def test_a_small_file_takes_little_memory(told: dict[str, dict[str, Any]], case: str) -> None:
    found = told[case]
    assert 0 < found["size"] < SMALL
    assert 0 < found["peak"] < MOST, found
    error = found["refused"].partition(":")[0]
    assert error in {"InputError", "ComparisonError"}, found


@pytest.mark.once
@pytest.mark.parametrize("case", hostile_folders.CASES)
def test_a_large_folder_is_refused_in_little_memory(
    verified: dict[str, dict[str, Any]], case: str
) -> None:
    found = verified[case]
    _, (code, name) = hostile_folders.CASES[case]
    assert f"{code} {name}" in found["refused"], found
    assert 0 < found["peak"] < MOST, found
