"""A build somewhere else: other user, folder, settings and store, no network, killed twice.

It runs from a wheel, so that what is installed is held against what is checked out; its inputs come
in a bundle. Its image must be the one that the checkout made of the same spec and lock: those of
the small project, and in `make test-engines` the default ones.

So that no stage is built more often than it need be, the small project's store is given the three
toolchains and the standard library of the checkout's build. In `make test-engines` they are made
here too.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from containers.host.durable import remove_folder
from orchestrator.golang.handles import F1, F2
from tests.conftest import ROOT
from tests.integration import building
from tests.integration.building import HOST, Orchestrate, check_gone, check_no_trace
from tests.integration.test_build import checked
from tests.integration.test_build_docker import GIVEN, WHOLE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.building import Ran
    from tests.integration.conftest import Built

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]

# Nobody has this id; `nobody` itself is what actions see themselves as.
_USER = 54321
# What is not made here. The other engine, on this machine too, does compile the standard library.
_GIVEN = () if WHOLE else (*GIVEN, f"std/{HOST}")
# The steps in which it is killed, by what they are called.
_KILLED_IN = (
    ("T1 (compiler, linker, go)", "F1") if WHOLE else ("T1 (cmd/dist)", "T1 (cmd/preprofile")
)
# Seconds after a step's start, at the latest.
_LATEST = 8.0


@dataclass(frozen=True)
class Elsewhere:
    """The other place: the command line there, and a folder for outputs."""

    command: Orchestrate
    folder: Path


@pytest.fixture
def here(request: pytest.FixtureRequest) -> tuple[Orchestrate, Built]:
    """The project in the checkout, and what was built of it for this machine's architecture."""
    names = ("orchestrate", "own_architecture") if WHOLE else ("small", "small_own")
    command, built = map(request.getfixturevalue, names)
    return command, built


@pytest.fixture
def elsewhere(here: tuple[Orchestrate, Built]) -> Iterator[Elsewhere]:
    orchestrate = here[0]
    folder = Path(tempfile.mkdtemp(prefix="sourcery-elsewhere-", dir="/var/tmp"))
    try:
        folder.chmod(0o755)
        code = folder / "installed"
        with zipfile.ZipFile(_wheel(folder)) as wheel:
            wheel.extractall(code)
        bundle = folder / "inputs.tar.zst"
        orchestrate.run("fetch", "--bundle", bundle)
        home = folder / "home of another"
        project = home / "a project"
        project.mkdir(parents=True)
        for name in ("sourcery.toml", "sourcery.lock"):
            shutil.copyfile(orchestrate.project / name, project / name)
        environment = {
            "GOAMD64": "v3",
            "GOARM64": "v8.1",
            "GOEXPERIMENT": "nosuchexperiment",
            "GOFLAGS": "-race -ldflags=-s",
            "GOTOOLCHAIN": "go1.2.3",
            "HOME": str(home),
            "LANG": "tr_TR.UTF-8",
            "LC_ALL": "tr_TR.UTF-8",
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(code),
            "SOURCE_DATE_EPOCH": "1",
            "TZ": "Asia/Kathmandu",
            "USER": "somebody",
        }
        prefix = _another_user(folder, home)
        store = home / "store"
        if not WHOLE:
            for step in _GIVEN:
                building.hand_over(here[1].ran, step, orchestrate.store, store)
            _give_away(home)
        command = Orchestrate(project, store, environment, prefix, {"umask": 0o077})
        yield Elsewhere(command, home)
    finally:
        remove_folder(folder)


def _wheel(folder: Path) -> Path:
    """The project as a wheel, built without a network."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "wheel")],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (found,) = (folder / "wheel").glob("*.whl")
    return found


def _give_away(home: Path) -> None:
    """Make everything in a folder the other user's, where this one may."""
    if os.geteuid() == 0:
        for path in (home, *home.rglob("*")):
            os.chown(path, _USER, _USER, follow_symlinks=False)


def _another_user(folder: Path, home: Path) -> tuple[str, ...]:
    """What makes a command run as another user; nothing where this one may not become another.

    The program and its libraries may lie where only their owner looks (below /root, in CI): then,
    in a mount namespace of its own, the closed folder is covered by one that holds only those.
    """
    if os.geteuid() != 0:
        return ()
    _give_away(home)
    become = (
        "setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--clear-groups", "--",
    )  # fmt: skip
    needed = sorted({Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve()})
    closed = {top for path in needed for top in [_closed(path)] if top is not None}
    if not closed:
        return become
    script = ["set -e", "old=$(umask)", "umask 022"]
    for number, path in enumerate(needed):
        keep = folder / f"keep-{number}"
        keep.mkdir()
        script.append(f"mount --bind '{path}' '{keep}'")
    script += [f"mount -t tmpfs -o mode=755 tmpfs '{top}'" for top in sorted(closed)]
    for number, path in enumerate(needed):
        if _closed(path) is not None:
            script.append(f"mkdir -p '{path}'; mount --bind '{folder}/keep-{number}' '{path}'")
        script.append(f"umount '{folder}/keep-{number}'")
    script += ['umask "$old"', 'exec "$@"']
    return ("unshare", "--mount", "sh", "-c", "\n".join(script), "sh", *become)


def _closed(path: Path) -> Path | None:
    """The outermost folder on the way to a path that others may not pass."""
    for folder in reversed([path, *path.parents]):
        if not folder.stat().st_mode & 0o001:
            return folder
    return None


@pytest.mark.needs_tools("setpriv", "unshare")
def test_another_user_in_another_place(
    elsewhere: Elsewhere, here: tuple[Orchestrate, Built]
) -> None:
    expected = here[1].ran
    out = elsewhere.folder / "results" / "out"
    options = (
        *("build", "--engine", "sandbox", "--arch", HOST, "--out", out, "--offline"),
        *("--bundle", elsewhere.folder.parent / "inputs.tar.zst"),
    )
    command = elsewhere.command
    seed = time.time_ns()
    building.remarks.append(f"killed at moments drawn with the seed {seed}")
    moments = random.Random(seed)  # noqa: S311 - not a secret
    for stage in _KILLED_IN:
        running = command.start(*options)
        running.wait_for(rf"started +{_escaped(stage)}")
        # Its inputs are laid out first, by the orchestrator itself.
        building.wait_for_children(running.process.pid)
        time.sleep(moments.uniform(0.2, _LATEST))
        # A step may have come to its end meanwhile, and the next one not have begun.
        had = building.kill(running, building.wait_for_children(running.process.pid))
        check_gone(had)
        check_no_trace(str(elsewhere.folder.parent.name))
        assert not out.exists()
    ran = command.build(out, "--arch", HOST, "--offline")
    assert ran.image == expected.image
    assert ran.document["cpio"]["blake3"] == expected.document["cpio"]["blake3"]
    assert checked(ran) == checked(expected)
    # What was finished before the kills was not done again.
    executed = set(ran.executed())
    assert {"T1/dist", "T1/toolchain"}.difference(_GIVEN).isdisjoint(executed)
    assert executed
    assert executed.isdisjoint(_GIVEN)
    assert _made(ran) == _made(expected)
    assert {"T1/dist", *(() if _GIVEN else (F1, F2))} <= _made(ran).keys()
    for name in ("SOURCE_DATE_EPOCH", "GOFLAGS", "GOAMD64"):
        assert name in ran.stderr
    if os.geteuid() == 0:
        assert {path.lstat().st_uid for path in (out, *out.rglob("*"))} == {_USER}
    building.check_clean(command.store)


def _made(ran: Ran) -> dict[str, str]:
    """The outputs of each step but those that are given, which would equal themselves."""
    found = {step["name"]: step["outputs"] for step in ran.actions()}
    assert found.keys() >= {*_GIVEN}
    return {name: outputs for name, outputs in found.items() if name not in _GIVEN}


def _escaped(text: str) -> str:
    return "".join(f"\\{letter}" if letter in "()" else letter for letter in text)
