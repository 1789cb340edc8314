"""The sandbox keeps all its promises for an ordinary user too: the same tests, run as one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.engine_fixtures import CHECKOUT, EPOCH

if TYPE_CHECKING:
    from tests.integration.engine_fixtures import Builder

_USER = 54321
_TESTS = ("policy", "limits", "results", "ending", "variations")


@pytest.mark.needs_sandbox
def test_the_sandbox_works_for_an_ordinary_user(builder: Builder, engine_folder: Path) -> None:
    if os.geteuid() != 0:
        return  # Then every other test of the sandbox has been run by an ordinary user.
    home = engine_folder / "home"
    home.mkdir()
    shutil.copytree(builder.store.checkout(builder.root, EPOCH), home / "builder")
    for path in (home, *home.rglob("*")):
        os.chown(path, _USER, _USER)
    folders = {sys.prefix, sys.base_prefix, str(CHECKOUT)}
    ran = subprocess.run(
        [
            *(sys.executable, str(Path(__file__).with_name("as_ordinary_user.py")), str(_USER)),
            *(
                *sorted(folders),
                "--",
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
            ),
            *(f"--basetemp={home / 'tmp'}", "-k", "sandbox and not docker"),
            *(f"tests/integration/test_engines_{name}.py" for name in _TESTS),
        ],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TMPDIR": str(home),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SOURCERY_TEST_STORE": str(home / "store"),
            "SOURCERY_TEST_BUILDER": str(home / "builder"),
        },
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-4000:]
    assert " passed" in ran.stdout
    assert "skipped" not in ran.stdout
