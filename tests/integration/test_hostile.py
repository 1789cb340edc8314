"""Hostile actions: what each attempt comes to on each engine, by its own words and from outside."""

from __future__ import annotations

import os
import resource
import signal
import socket
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from containers.action import Mount
from containers.policy import RULES, Limits, Policy
from containers.sandbox.engine import SandboxEngine
from reproducibility.manifest import merge
from tests.integration.engine_fixtures import ENGINES, GO, Bench, Builder
from tests.integration.hostile.assault import PROGRAM, Assault
from tests.integration.hostile.attempts import DECLARED, DOCUMENT, PARTS, attempts, document
from tests.integration.hostile.machine import Machine
from tests.integration.ordinary_user import USER, run_tests

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.integration.engine_fixtures import Engines
    from tests.integration.hostile.assault import Came
    from tests.integration.hostile.attempts import Attempt

_THIS = "tests/integration/test_hostile.py"
# With a limit on processors, since without one there is nothing to enforce.
_POLICY = Policy(Limits(cpus=1))
# What some machines allow their users, and what no action may have of it.
_GENEROUS = {resource.RLIMIT_NICE: 40, resource.RLIMIT_RTPRIO: 99}


@pytest.fixture(scope="session")
def hostile_builder(
    request: pytest.FixtureRequest, builder: Builder, engine_folder: Path
) -> Builder:
    """The small tree to run on, with the hostile program, which the bootstrap Go compiles."""
    if any(entry.path == "bin/hostile" for entry in builder.root.files()):
        return builder
    store, root = request.getfixturevalue("whole_root")
    whole = Builder(store, root)
    action = whole.action(
        *("/bootstrap/bin/go", "build", "-trimpath", "-ldflags=-s -w", "-o", "/work/hostile", "."),
        environment=tuple(GO.items()),
        directory="/program",
        mounts=(Mount("/program", store.put_tree(PROGRAM)),),
        outputs=("hostile",),
    )
    with SandboxEngine(engine_folder / "scratch") as engine:
        outcome = Bench(engine, whole, engine_folder).run(action)
    assert outcome.exit_status == 0, outcome.stderr.read_text()
    made = store.put_tree(outcome.outputs).renamed(lambda _: "bin/hostile")
    return Builder(store, merge([("root", builder.root), ("hostile", made)]))


@pytest.fixture(autouse=True)
def generous() -> Iterator[None]:
    """Allow this process and its children more than most machines do, where that is possible."""
    before = {kind: resource.getrlimit(kind) for kind in _GENEROUS}
    for kind, value in _GENEROUS.items():
        with suppress(ValueError):
            resource.setrlimit(kind, (value, value))
    yield
    for kind, limits in before.items():
        resource.setrlimit(kind, limits)


@pytest.fixture
def machine(engine_folder: Path) -> Iterator[Machine]:
    """What attempts reach for, where everybody may look."""
    folder = Path(tempfile.mkdtemp(dir=engine_folder))
    folder.chmod(0o755)
    with Machine(folder) as opened:
        yield opened


@pytest.fixture(params=ENGINES)
def assault(
    request: pytest.FixtureRequest,
    engines: Engines,
    hostile_builder: Builder,
    machine: Machine,
    tmp_path: Path,
) -> Assault:
    """Attempts on each engine in turn."""
    return Assault(engines[request.param], hostile_builder, machine, tmp_path)


def test_what_takes_no_action_of_its_own(assault: Assault) -> None:
    batch = [attempt for attempt in attempts() if not attempt.alone]
    late = [attempt for attempt in batch if attempt.name.startswith("left-")]
    early = [attempt for attempt in batch if attempt not in late]
    assault.machine.tell_of_devices()
    came = assault.batch(attempt.name for attempt in early)
    came |= assault.batch(attempt.name for attempt in late)
    _check(assault, batch, came)
    assert assault.machine.harm() == []
    assert assault.store_is_whole()


def test_what_takes_an_action_each(
    assault: Assault, request: pytest.FixtureRequest, tmp_path: Path, engine_folder: Path
) -> None:
    alone = [attempt for attempt in attempts() if attempt.alone]
    if "docker-api" in request.node.name:
        # Only how files travel differs from the engine that binds them.
        alone = [attempt for attempt in alone if attempt.name.startswith("out-")]
    came = assault.alone(attempt.name for attempt in alone)
    _check(assault, alone, came)
    assert assault.machine.harm() == []
    assert assault.store_is_whole()
    # Nothing but what the engine was asked for came out of any of them.
    names = {path.name for into in tmp_path.glob("*/stdout") for path in into.parent.iterdir()}
    assert names == {"stdout", "stderr", "outputs"}
    # However deep or closed its folders were, no work directory is left.
    assert [path for path in engine_folder.glob("scratch/sandbox-*/*") if path.is_dir()] == []


@pytest.mark.needs_sandbox
def test_the_attempts_on_limits_go_through_where_limits_are_higher(
    engines: Engines, hostile_builder: Builder, machine: Machine, tmp_path: Path
) -> None:
    assault = Assault(engines["sandbox"], hostile_builder, machine, tmp_path)
    limited = [a.name for a in attempts() if a.alone and a.as_root["sandbox"] == "limited"]
    came = assault.without_limits(n for n in limited if n.startswith(("memory-", "disk-")))
    # What the machine itself bounds for every user: fs.pipe-user-pages-soft, kernel.msgmni.
    bounded = {"memory-pipes", "memory-messages"}
    failed = {name: one.detail for name, one in came.items() if not one.possible}
    assert failed.keys() <= bounded, failed


def _check(assault: Assault, tried: Iterable[Attempt], came: dict[str, Came]) -> None:
    """Fail on an attempt that went through and must not, and where the engine says otherwise."""
    engine = assault.engine
    states = {entry.rule: entry.state for entry in engine.enforcement(_POLICY)}
    found = []
    for attempt in tried:
        expected = attempt.expected(engine.name, root=assault.root)
        told = f"{attempt.name} ({attempt.rule}): {came[attempt.name].detail}"
        if expected == "not enforced" and states[attempt.rule] == "enforced":
            found.append(f"the rule is enforced, and the table says that it is not: {told}")
        if not came[attempt.name].possible or expected in {"contained", "visible"}:
            continue
        if expected == "refused":
            found.append(f"not refused: {told}")
        elif states[attempt.rule] == "enforced":
            found.append(f"passed a rule that is reported enforced: {told}")
    assert not found, "\n".join(found)


def test_harm_is_seen_from_outside(machine: Machine) -> None:
    assert machine.harm() == []
    order: dict[str, Any] = dict(machine.order())
    for address in (("127.0.0.1", order["Port"]), "\0" + str(order["Abstract"]), order["Socket"]):
        family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
        with closing(socket.socket(family)) as connection:
            connection.connect(address)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as connection:
        connection.sendto(b"x", ("127.0.0.1", order["Port"]))
    Path(str(order["Secret"])).write_text("changed")
    os.kill(int(str(order["Process"])), signal.SIGKILL)
    wanted = {
        *(f"{name} was reached" for name in ("TCP", "UDP", "abstract socket", "socket")),
        *("the process has ended", "the file was changed"),
    }
    for _ in range(600):
        if wanted <= set(machine.harm()):
            return
        time.sleep(0.1)
    assert wanted == set(machine.harm())


@pytest.mark.needs_sandbox
def test_the_table_holds_every_attempt_of_the_program(
    engines: Engines, hostile_builder: Builder, machine: Machine, tmp_path: Path
) -> None:
    written = [attempt.name for attempt in attempts()]
    assert len(set(written)) == len(written)
    assert {attempt.rule for attempt in attempts()} == {rule.name for rule in RULES}
    names = Assault(engines["sandbox"], hostile_builder, machine, tmp_path).names()
    assert set(written) == names - PARTS | DECLARED


def test_the_document_is_what_the_table_gives() -> None:
    assert DOCUMENT.read_text("utf-8") == document(), (
        "write it anew: python -m tests.integration.hostile.attempts"
    )


@pytest.mark.needs_sandbox
def test_an_ordinary_user_in_the_sandbox(hostile_builder: Builder, engine_folder: Path) -> None:
    if os.geteuid() == 0:  # Else all the tests above have been run by an ordinary user.
        run_tests(hostile_builder, engine_folder / "hostile-sandbox", "sandbox and takes", _THIS)


@pytest.mark.needs_docker
def test_an_ordinary_user_with_a_container_engine(
    hostile_builder: Builder, engine_folder: Path, docker_host: str
) -> None:
    if os.geteuid() != 0:
        return  # Then the tests above have been run by an ordinary user.
    place = Path(docker_host.removeprefix("unix://"))
    if not place.is_relative_to(engine_folder):
        pytest.skip("the container engine is the machine's: its socket is not ours to give away")
    os.chown(place, USER, USER)
    try:
        run_tests(
            hostile_builder,
            engine_folder / "hostile-docker",
            "docker-bind and takes",
            _THIS,
            SOURCERY_TEST_DOCKER_HOST=docker_host,
        )
    finally:
        os.chown(place, 0, 0)
