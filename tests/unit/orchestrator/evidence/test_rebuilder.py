"""The backend script for rebuilderd, by the contract of its worker."""

from __future__ import annotations

import os
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = ROOT / "orchestrator" / "evidence" / "rebuilder-sourcery.sh"
# What is asked of `orchestrate`, by a program that says so.
PROGRAM = """\
#!/bin/sh
if [ "$1" = version ]; then exit 0; fi
echo "$@" > "$SAID"
ls > "$SAID.files"
while [ "$1" != --out ]; do shift; done
mkdir -p "$2/logs"
echo image > "$2/sourcery.img"
exit $STATUS
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "orchestrate"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    (tmp_path / "built").mkdir()
    (tmp_path / "tmp").mkdir()
    for name in ("sourcery.toml", "sourcery.lock"):
        (tmp_path / name).write_text(name)
    with tarfile.open(tmp_path / "input.tar.gz", "w:gz") as archive:
        for name in ("sourcery.toml", "sourcery.lock"):
            archive.add(tmp_path / name, name)
    return tmp_path


def rebuild(place: Path, *arguments: str, status: int = 0, **environment: str) -> int:
    return subprocess.run(
        [str(SCRIPT), *arguments],
        cwd=place,
        env={
            "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "SAID": str(place / "said"),
            "STATUS": str(status),
            "TMPDIR": str(place / "tmp"),
            "REBUILDERD_OUTDIR": str(place / "built"),
            **environment,
        },
        check=False,
    ).returncode


@pytest.mark.parametrize("status", [0, 1])
def test_what_was_built_is_handed_over(place: Path, status: int) -> None:
    assert rebuild(place, "input.tar.gz", status=status, ORCHESTRATE_OPTIONS="--store s") == 0
    assert (place / "built" / "sourcery.img").read_text() == "image\n"
    assert (place / "said").read_text().endswith("--store s\n")
    assert (place / "said.files").read_text().split() == ["sourcery.lock", "sourcery.toml"]
    assert list((place / "tmp").iterdir()) == []


@pytest.mark.parametrize("status", [2, 3, 4])
def test_a_failed_build_fails_the_worker(place: Path, status: int) -> None:
    assert rebuild(place, "input.tar.gz", status=status) == status
    assert list((place / "built").iterdir()) == []
    assert list((place / "tmp").iterdir()) == []


def test_wrong_usage_is_refused(place: Path) -> None:
    assert rebuild(place) == 2
    assert rebuild(place, "input.tar.gz", REBUILDERD_OUTDIR="") == 2
    assert rebuild(place, "none.tar") != 0
