"""`make bench` in its quickest form produces its table, from relative folders; no time counts."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT
from tests.integration import building

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.building import Orchestrate
    from tests.integration.conftest import Built

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]


@pytest.mark.needs_tools("make", "mcopy", "mkfs.vfat")
def test_the_benchmark_produces_its_table(
    orchestrate: Orchestrate, full: Built, place: Path
) -> None:
    assert full.ran.status == 0
    figures = place / "figures.json"
    # Typed as a person would; tests and the programs that are measured run in other folders.
    store = building.clone(orchestrate.store, place / "store")
    places = {"--store": store, "--project": orchestrate.project, "--json": figures}
    arguments = [
        part for name, path in places.items() for part in (name, os.path.relpath(path, ROOT))
    ]
    environment = {
        k: v for k, v in os.environ.items() if k not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    }
    done = subprocess.run(
        ["make", "bench", f"ARGS=--smoke {shlex.join(arguments)}"],  # noqa: S607 - found on PATH
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    names = set(json.loads(figures.read_bytes())["seconds"])
    assert names >= {"peer: host", "nothing changed", "one command's source changed"}
    rows = [line for line in done.stdout.splitlines() if line.startswith(tuple(names))]
    assert len(rows) == len(names)
    assert "image writer against mkfs.vfat + mcopy" in done.stdout
