"""Hostile actions: what each attempt comes to on each engine, by its own words and from outside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from containers.action import Mount
from containers.policy import RULES, Limits, Policy
from containers.sandbox import SandboxEngine
from reproducibility.manifest import merge
from tests.integration.engine_fixtures import CHECKOUT, ENGINES, EPOCH, GO, Bench, Builder
from tests.integration.hostile.assault import PROGRAM, Assault
from tests.integration.hostile.attempts import DOCUMENT, PARTS, attempts, document
from tests.integration.hostile.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from containers.engine import Engine
    from tests.integration.engine_fixtures import Engines
    from tests.integration.hostile.assault import Came
    from tests.integration.hostile.attempts import Attempt

_USER = 54321
# With a limit on processors, since without one there is nothing to enforce.
_POLICY = Policy(Limits(cpus=1))
_BOUNDED = ("memory", "bounded-work", "processes")


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
    _check(assault.engine, batch, came)
    assert assault.machine.harm() == []
    assert assault.input_is_whole()


def test_what_takes_an_action_each(
    assault: Assault, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    alone = [attempt for attempt in attempts() if attempt.alone]
    if "docker-api" in request.node.name:
        # Only how files travel differs from the engine that binds them.
        alone = [attempt for attempt in alone if attempt.name.startswith("out-")]
    came = assault.alone(attempt.name for attempt in alone)
    _check(assault.engine, alone, came)
    assert assault.machine.harm() == []
    assert assault.input_is_whole()
    # Nothing but what the engine was asked for came out of any of them.
    names = {path.name for into in tmp_path.glob("*/stdout") for path in into.parent.iterdir()}
    assert names == {"stdout", "stderr", "outputs"}


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


def _check(engine: Engine, tried: Iterable[Attempt], came: dict[str, Came]) -> None:
    """Fail on an attempt that went through and must not, and where the engine says otherwise."""
    states = {entry.rule: entry.state for entry in engine.enforcement(_POLICY)}
    found = []
    for attempt in tried:
        expected = attempt.expected(engine.name, root=os.geteuid() == 0)
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


def test_the_table_holds_every_attempt_of_the_program(hostile_builder: Builder) -> None:
    source = "".join(path.read_text() for path in sorted(PROGRAM.glob("*.go")))
    written = {attempt.name for attempt in attempts()}
    assert len(written) == len(attempts())
    assert len(written) >= 120
    assert {attempt.rule for attempt in attempts()} == {rule.name for rule in RULES}
    assert all(f'"{name}":' in source for name in PARTS)
    assert any(entry.path == "bin/hostile" for entry in hostile_builder.root.files())


def test_the_document_is_what_the_table_gives() -> None:
    assert DOCUMENT.read_text("utf-8") == document(), (
        "write it anew: python -m tests.integration.hostile.attempts"
    )


@pytest.mark.needs_sandbox
def test_an_ordinary_user_in_the_sandbox(hostile_builder: Builder, engine_folder: Path) -> None:
    if os.geteuid() == 0:  # Else all the tests above have been run by an ordinary user.
        _as_ordinary_user("sandbox and takes", hostile_builder, engine_folder / "hostile-sandbox")


@pytest.mark.needs_docker
def test_an_ordinary_user_with_a_container_engine(
    hostile_builder: Builder, engine_folder: Path, docker_host: str
) -> None:
    if os.geteuid() == 0:
        socket = Path(docker_host.removeprefix("unix://"))
        os.chown(socket, _USER, _USER)
        try:
            _as_ordinary_user(
                "docker-bind and takes",
                hostile_builder,
                engine_folder / "hostile-docker",
                SOURCERY_TEST_DOCKER_HOST=docker_host,
            )
        finally:
            os.chown(socket, 0, 0)


def _as_ordinary_user(tests: str, builder: Builder, home: Path, **variables: str) -> None:
    """Run tests of this file as a user who owns nothing but a folder."""
    home.mkdir()
    shutil.copytree(builder.store.checkout(builder.root, EPOCH), home / "builder")
    for path in (home, *home.rglob("*")):
        os.chown(path, _USER, _USER)
    folders = sorted({sys.prefix, sys.base_prefix, str(CHECKOUT)})
    ran = subprocess.run(
        [
            *(sys.executable, str(Path(__file__).with_name("as_ordinary_user.py")), str(_USER)),
            *(*folders, "--", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *(f"--basetemp={home / 'tmp'}", "-k", tests, "tests/integration/test_hostile.py"),
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
        timeout=600,
    )
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-4000:]
    assert " passed" in ran.stdout
    assert "skipped" not in ran.stdout
