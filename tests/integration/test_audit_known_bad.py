"""Known-bad set: planted causes in real actions in the real sandbox, each found and named.

All of them are audited in one pass, beside an action that has no defect. A cause that no variation
of the registry changes yet is left out until there is one.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from containers.action import WORK, Mount
from containers.policy import Limits, Policy
from orchestrator.audit import causes, running
from orchestrator.audit.given import Given, given
from orchestrator.audit.history import History
from orchestrator.audit.varying import otherwise
from orchestrator.execution.scheduler import Scheduler
from orchestrator.execution.step import Step
from orchestrator.store import Store
from reproducibility import digest as digests
from reproducibility.variations import NAMES, VARIATIONS
from tests.fakes import FakeObserver

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from orchestrator.audit import model
    from reproducibility.conditions import Conditions
    from tests.integration.engine_fixtures import Builder, Engines

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]

CLEAN = "clean"
_FILES = {f"name-{number:02}": str(number) for number in range(40)}


@dataclass(frozen=True)
class Cause:
    """A defect of the probe (`probe/guilty.go`), and the variations that it depends on.

    `kind`: the class of the cause. `itself`: it differs without any. `also`: names that may be
    found in their place: what is random or a race can come out the same under a condition, and one
    thing can follow from two.
    """

    name: str
    kind: str
    variations: frozenset[str] = frozenset()
    itself: bool = False
    also: frozenset[str] = frozenset()


def _by(name: str, kind: str, *variations: str) -> Cause:
    return Cause(name, kind, frozenset(variations or (name,)))


ALL = (
    Cause("clock", "time", itself=True),
    Cause("map", "order", itself=True),
    Cause("race", "order", itself=True, also=frozenset({"parallelism", "cpus"})),
    Cause("address", "randomness", itself=True),
    _by("directory", "path"),
    _by("host", "user"),
    _by("user", "user"),
    _by("group", "user"),
    _by("readdir", "order", "order"),
    # Go takes as many threads as there are CPUs, where nobody says another number.
    Cause("parallelism", "parallelism", frozenset({"parallelism"}), also=frozenset({"cpus"})),
    _by("host and user", "user", "host", "user"),
    _by("cpus", "parallelism"),
    _by("umask", "user"),
    _by("environment", "input"),
    _by("home", "path"),
    _by("path", "path"),
    _by("locale", "locale"),
    _by("zone", "locale"),
    _by("kernel", "user"),
    _by("domain", "user"),
    _by("mtime", "time"),
    _by("stdin", "input"),
    _by("tmp", "parallelism"),
)
CAUSES = tuple(cause for cause in ALL if cause.variations <= set(NAMES))


def _told(first: Conditions, second: Conditions) -> dict[str, tuple[str, str]]:
    """What is otherwise between two conditions, by the variation's name."""
    pairs = (
        (one.name, getattr(first, one.condition), getattr(second, one.condition))
        for one in VARIATIONS
        if one.condition
    )
    return {name: (str(a), str(b)) for name, a, b in pairs if a != b}


def _steps(builder: Builder, folder: Path) -> list[Step]:
    tree = builder.tree(folder / "input", _FILES)

    def step(name: str) -> Step:
        return Step(
            name,
            "known bad",
            name,
            (),
            lambda _: builder.action(
                "guilty",
                name,
                outputs=("out",),
                mounts=(Mount("/input", tree),),
                directory=WORK,
            ),
        )

    return [step(name) for name in (CLEAN, *(cause.name for cause in CAUSES))]


@pytest.fixture(scope="module")
def unable(engines: Engines) -> Mapping[str, str]:
    """Why the sandbox cannot apply a variation."""
    able = engines["sandbox"].capabilities()
    return {name: one.refusal for name, one in able.items() if one.refusal}


@pytest.fixture(scope="module")
def audited(
    builder: Builder,
    engines: Engines,
    unable: Mapping[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, model.Step]:
    """What an audit with bisecting finds of every planted cause, in one pass."""
    folder = tmp_path_factory.mktemp("known-bad")
    steps, engine = _steps(builder, folder), engines["sandbox"]
    policy, stop = Policy(Limits(seconds=120)), threading.Event()

    def choose(built: Given, names: Collection[str], number: int) -> Conditions:
        return otherwise(built.conditions, names, engine.processors, unable=unable, number=number)

    with closing(Store(folder / "store")) as store:
        # The actions' inputs; what others remember of the same actions is not there.
        for tree in (builder.root, builder.tree(folder / "again", _FILES)):
            with builder.store.temporary() as place:
                builder.store.export(tree, place / "tree", 0)
                store.put_tree(place / "tree")
        built = Scheduler(
            engine=engine,
            store=store,
            policy=policy,
            observer=FakeObserver(),
            jobs=2,
            stop=stop,
        ).run(steps)
        bench = running.Bench(
            engine=engine,
            store=store,
            policy=policy,
            results=built.results,
            observer=FakeObserver(),
            history=History(store, digests.of_bytes(b"known bad")),
            built=lambda step: given(step, built.results[step.name], engine.processors),
            choose=choose,
            names=tuple(name for name in NAMES if name not in unable),
            told=_told,
            bisect=True,
        )
        return running.run(bench, running.Work(deque(steps)), 2, stop)


def test_there_are_enough_causes() -> None:
    assert len(CAUSES) >= 10
    assert len({cause.name for cause in ALL}) == len(ALL)


def test_all_guilty_actions_are_found_in_one_pass_and_no_other(
    audited: dict[str, model.Step], unable: Mapping[str, str]
) -> None:
    found = {name for name, step in audited.items() if step.guilty}
    expected = {
        cause.name for cause in CAUSES if cause.itself or not cause.variations & set(unable)
    }
    assert found == expected
    assert audited[CLEAN].verdict == "PASS"


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.name)
def test_the_cause_is_named(
    audited: dict[str, model.Step], unable: Mapping[str, str], cause: Cause
) -> None:
    found = audited[cause.name]
    if cause.variations & set(unable):
        assert not found.guilty
        return
    assert found.bisected is not None
    (one,) = found.rounds
    assert one.explanation is not None
    assert one.explanation.lines[0].startswith("cause: ")
    where = one.explanation.document["where"]
    assert where["path"] == "out"
    assert where["offset"] is not None
    named = found.bisected.variations
    # Who finds a race by the number of threads calls it so.
    assert found.bisected.cause in {cause.kind, *(causes.CLASSES[name] for name in cause.also)}
    assert one.check.code == "conditions.differs"
    if found.bisected.itself:
        assert cause.itself
    else:
        assert set(named) == cause.variations or (cause.also and set(named) <= cause.also)
