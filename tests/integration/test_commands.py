"""Every command on the stick compiles and starts; those of the other architectures too, emulated.

Commands run in the root of the shared build, in the namespaces of `orchestrate run`. How long each
took is written to `.cache/measured`; nothing here depends on it.
"""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from bench import first_runs
from orchestrator.artifacts.finished import Finished
from orchestrator.run import binfmt
from orchestrator.run import session as sessions
from orchestrator.store import Store
from tests.conftest import ROOT
from tests.integration import building
from tests.integration.building import ARCHITECTURES, HOST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.building import Orchestrate
    from tests.integration.conftest import Built

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]

_MEASURED = ROOT / ".cache" / "measured"
_SAMPLE = ("cat", "echo", "gosh", "ip", "ls")
_FOREIGN = [name for name in ARCHITECTURES if name != HOST]


@pytest.fixture(scope="module")
def root(full: Built, orchestrate: Orchestrate) -> Iterator[Path]:
    """The root of the build as a folder."""
    with closing(Store(orchestrate.store)) as store:
        yield Finished.load(full.out).root(store)


def test_every_command_compiles_and_starts(root: Path, full: Built) -> None:
    runs = first_runs.measure(root, HOST)
    document = full.ran.document["root"]
    assert len(runs) == document["commands"][HOST]
    _MEASURED.mkdir(parents=True, exist_ok=True)
    made = first_runs.document(HOST, runs)
    (_MEASURED / f"commands-{HOST}.json").write_text(json.dumps(made, indent=2) + "\n")
    (_MEASURED / f"commands-{HOST}.md").write_text(first_runs.table(HOST, runs))
    slowest = max(runs, key=lambda run: run.there)
    found = first_runs.figures(runs)
    building.remarks.append(
        f"first runs of {len(runs)} commands: median {found['median']:.3f} s, slowest "
        f"{slowest.there:.3f} s ({slowest.name}); the table is in {_MEASURED}"
    )
    assert [(run.name, run.status, run.words) for run in runs if not run.started] == []


def test_a_second_run_only_starts_the_program(root: Path) -> None:
    runs = first_runs.measure(root, HOST, _SAMPLE, again=True)
    assert [run.name for run in runs] == list(_SAMPLE)
    assert all(run.again > 0 and run.bare > 0 for run in runs)
    building.remarks.append(
        f"a further run by the stub costs {1000 * first_runs.overhead(runs):.1f} ms more than the "
        "program; by its name, which finds the program, nothing"
    )


def test_a_command_that_does_not_start_is_seen(root: Path) -> None:
    """What the test of all commands relies on."""
    (run,) = first_runs.measure(root, HOST, ["no-such-command"])
    assert not run.started


@pytest.mark.needs_tools("qemu-aarch64-static", "qemu-riscv64-static")
@pytest.mark.parametrize("architecture", _FOREIGN)
def test_foreign_commands_compile_and_start_emulated(root: Path, architecture: str) -> None:
    assert sessions.is_foreign(architecture)
    interpreter = binfmt.find(architecture)
    runs = first_runs.measure(root, architecture, _SAMPLE, interpreter=interpreter)
    assert [(run.name, run.status, run.words) for run in runs if not run.started] == []
    slowest = max(run.there for run in runs)
    building.remarks.append(
        f"first runs for {architecture}, emulated by {interpreter.by}: slowest {slowest:.1f} s"
    )
