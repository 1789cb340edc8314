"""A foreign toolchain that runs in an emulator, on both engines: it compiles as the host's does.

One small package, since all of a toolchain takes far longer: `make audit-full`.
"""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from containers.action import WORK, Action, Mount
from containers.policy import Policy
from orchestrator import emulator
from orchestrator.audit.native import machines
from orchestrator.golang import environment, native
from orchestrator.golang.toolchain import RELEASE_FLAGS, Chain, Programs
from orchestrator.lock import file as locks
from reproducibility.digest import Digest
from reproducibility.manifest import Tree
from tests.integration.building import HOST
from tests.integration.engine_fixtures import ENGINES

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.architecture import Architecture
    from orchestrator.store import Store
    from tests.integration.conftest import Built
    from tests.integration.engine_fixtures import Engines

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]

FOREIGN: Architecture = "amd64" if HOST == "arm64" else "arm64"
# In assembly and in Go, and imports nothing but what is compiled in a moment.
PACKAGE = "internal/cpu"


@pytest.fixture(scope="module")
def toolchains(
    full: Built, usable_lock: Path, whole_root: tuple[Store, Tree]
) -> tuple[Chain, dict[str, Tree]]:
    """The chain of the default image, and the programs of its toolchains by their steps."""
    assert full.ran.status == 0
    store, root = whole_root
    pinned = locks.load(usable_lock)
    release = pinned.find("go", HOST).tree
    assert release is not None
    chain = Chain(
        host=HOST,
        root=root,
        release=store.load_tree(release),
        dist_build=None,
        programs=Programs(pinned.toolchain.bin, pinned.toolchain.tool),
        userland=Tree(),
        observer=Tree(),
        read=store.read,
    )
    steps = json.loads((full.out / "result.json").read_bytes())["steps"]
    made = {
        step["name"]: store.load_tree(Digest.parse(step["outputs"])).under("out")
        for step in steps
        if step["name"] in {"F1", f"cross/{FOREIGN}"}
    }
    return chain, made


def archive(action: Action) -> Action:
    """The same, but what it makes is the package's archive."""
    command = (*action.command[:-2], f"{WORK}/made.a", PACKAGE)
    return replace(action, command=command, outputs=("made.a",))


@pytest.mark.parametrize("name", ENGINES[:2])
def test_a_foreign_toolchain_compiles_as_the_hosts_does(
    name: str,
    engines: Engines,
    whole_root: tuple[Store, Tree],
    toolchains: tuple[Chain, dict[str, Tree]],
) -> None:
    if emulator.find(FOREIGN) is None:
        pytest.skip(f"no static emulator of programs for {FOREIGN}")
    store, _ = whole_root
    chain, made = toolchains
    engine, policy, stop = engines[name], Policy(), threading.Event()
    by = machines([FOREIGN], store)[FOREIGN].runs
    programs = made[f"cross/{FOREIGN}"]

    looked = engine.run(native.looking(chain, programs, by), policy, store, stop)
    assert native.runs_as(store.read(looked.stdout)) == FOREIGN

    emulated = engine.run(
        archive(native.building(chain, programs, by, (PACKAGE,))), policy, store, stop
    )
    assert emulated.exit_status == 0, store.read(emulated.stderr).decode()
    crossed = engine.run(
        archive(
            chain.action(
                "cross",
                ("/go/bin/go", "build", *RELEASE_FLAGS, "-o", f"{WORK}/made.a", PACKAGE),
                environment.toolchain(FOREIGN),
                (Mount("/go", chain.goroot("F1", made["F1"])),),
                directory="/go/src",
                outputs=("made.a",),
            )
        ),
        policy,
        store,
        stop,
    )
    assert crossed.exit_status == 0, store.read(crossed.stderr).decode()
    assert len(emulated.tree) == 1
    assert emulated.tree == crossed.tree
