"""The sandbox keeps all its promises for an ordinary user too: the same tests, run as one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.integration.ordinary_user import run_tests

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.engine_fixtures import Builder

_TESTS = ("policy", "limits", "results", "ending", "variations")


@pytest.mark.needs_sandbox
def test_the_sandbox_works_for_an_ordinary_user(builder: Builder, engine_folder: Path) -> None:
    if os.geteuid() != 0:
        return  # Then every other test of the sandbox has been run by an ordinary user.
    home = engine_folder / "home"
    tests = [f"tests/integration/test_engines_{name}.py" for name in _TESTS]
    run_tests(builder, home, "sandbox and not docker", *tests)
