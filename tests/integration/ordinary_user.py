"""Runs tests of this folder as an ordinary user, from root (`as_ordinary_user.py`)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.engine_fixtures import CHECKOUT, EPOCH

if TYPE_CHECKING:
    from tests.integration.engine_fixtures import Builder

USER = 54321
_SECONDS = 1200


def run_tests(builder: Builder, home: Path, which: str, *files: str, **variables: str) -> None:
    """Run tests as a user who owns nothing but a folder; all must pass, and none be skipped.

    `home`: the folder, which is made. `which`: as pytest's `-k`. `variables`: further environment.
    """
    home.mkdir()
    shutil.copytree(builder.store.checkout(builder.root, EPOCH), home / "builder")
    for path in (home, *home.rglob("*")):
        os.chown(path, USER, USER)
    folders = sorted({sys.prefix, sys.base_prefix, str(CHECKOUT)})
    ran = subprocess.run(
        [
            *(sys.executable, str(Path(__file__).with_name("as_ordinary_user.py")), str(USER)),
            *(*folders, "--", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(f"--basetemp={home / 'tmp'}", "-k", which, *files),
        ],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TMPDIR": str(home),
            "PYTHONDONTWRITEBYTECODE": "1",
            "SOURCERY_TEST_STORE": str(home / "store"),
            "SOURCERY_TEST_BUILDER": str(home / "builder"),
            **variables,
        },
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-4000:]
    assert " passed" in ran.stdout
    assert "skipped" not in ran.stdout
