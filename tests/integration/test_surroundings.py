"""The program that looks around for audits, compiled and run: what it says of each variation."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from containers import architecture
from containers.action import Mount
from containers.policy import Policy
from orchestrator import resources
from orchestrator.audit import seeing
from orchestrator.audit.seeing import Looked
from orchestrator.golang import surroundings
from orchestrator.golang.toolchain import Chain, Programs
from reproducibility.compare import Verdict
from reproducibility.conditions import STANDARD
from reproducibility.manifest import Tree, file
from reproducibility.variations import VARIATIONS, varied
from tests.integration.engine_fixtures import ENGINES, GO, Builder

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from orchestrator.store import Store
    from tests.integration.engine_fixtures import Engines


@pytest.fixture(scope="module")
def compiled(engines: Engines, whole_root: tuple[Store, Tree]) -> Tree:
    """The program, compiled by the bootstrap Go; an audit has F1 for it."""
    store, root = whole_root
    source = resources.surroundings()
    tree = Tree([file(source.name, store.put_file(source), source.stat().st_size)])
    action = Builder(store, root).action(
        *("/bootstrap/bin/go", "build", "-o", "/work/surroundings", source.name),
        environment=tuple({**GO, "GO111MODULE": "off", "GOFLAGS": ""}.items()),
        directory="/source",
        mounts=(Mount("/source", tree),),
        outputs=("surroundings",),
    )
    made = engines["sandbox"].run(action, Policy(), store, threading.Event())
    assert made.exit_status == 0, store.read(made.stderr).decode()
    return made.tree


def unseen(usual: Mapping[str, Any], seen: Mapping[str, Any], names: Collection[str]) -> set[str]:
    """The variations that an audit would say had no effect."""
    pair = Looked(frozenset(names), usual, seen)
    checks = seeing.seen([pair], names, {})
    return {check.subject for check in checks if check.subject in names} - {
        check.subject for check in checks if check.verdict is Verdict.PASS
    }


@pytest.mark.needs_sandbox
@pytest.mark.parametrize("name", ENGINES)
def test_every_variation_that_an_engine_can_apply_is_seen(
    name: str,
    engines: Engines,
    whole_root: tuple[Store, Tree],
    builder: Builder,
    compiled: Tree,
) -> None:
    store, root = whole_root
    engine = engines[name]
    chain = Chain(
        host=architecture.host(),
        root=builder.root,
        release=root.under("bootstrap"),
        dist_build=None,
        programs=Programs((), ()),
        userland=Tree(),
        observer=Tree(),
        read=store.read,
    )
    place = surroundings.Place(engine, Policy(), store, threading.Event())
    can = engine.capabilities()
    able = [one.name for one in VARIATIONS if not can[one.name].refusal]
    usual = surroundings.look(chain, compiled, STANDARD, place)
    assert unseen(usual, usual, able) == set(able)
    for which in [*([one] for one in able), able]:
        seen = surroundings.look(chain, compiled, varied(engine.processors, which), place)
        assert unseen(usual, seen, which) == set()
        others = [one for one in usual if one not in which]
        changed = set(others) - unseen(usual, seen, others)
        # A program of Go uses as many threads as there are CPUs.
        assert changed <= ({"parallelism"} if which == ["cpus"] else set())
    # Those that it cannot apply are seen all the same.
    assert {one.name for one in VARIATIONS if not one.refusal} == set(usual)
