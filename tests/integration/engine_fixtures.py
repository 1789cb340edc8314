"""What the tests of the engines share: a builder tree, a probe program, engines of each kind.

The probe (`probe/main.go`) is compiled by the bootstrap Go in the sandbox itself, once a session.
Where the machine has a `dockerd` and this process is root, the container engine is one of our own,
on a socket and in folders of its own, which is stopped and cleaned up by its process id.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from containers.action import Action, Mount
from containers.docker.engine import DockerEngine, connect
from containers.policy import Limits, Policy, Share
from containers.sandbox.engine import SandboxEngine
from orchestrator import inputs
from orchestrator.lock import file as lock
from orchestrator.store import Store
from reproducibility.conditions import STANDARD, Conditions
from reproducibility.manifest import Tree, merge
from tests.integration.private_docker import PrivateDocker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from containers.local import Ended, LocalEngine

PROBE = Path(__file__).with_name("probe")
CHECKOUT = Path(__file__).resolve().parent.parent.parent
EPOCH = 1_600_000_000
GO = {
    "GOROOT": "/bootstrap",
    "GOTOOLCHAIN": "local",
    "GOFLAGS": "-mod=mod",
    "GOPROXY": "off",
    "CGO_ENABLED": "0",
    "GOCACHE": "/tmp/cache",  # noqa: S108 - a path inside
}
ENGINES = [
    pytest.param("sandbox", marks=pytest.mark.needs_sandbox),
    pytest.param("docker-bind", marks=pytest.mark.needs_docker),
    pytest.param("docker-api", marks=pytest.mark.needs_docker),
]


def architecture() -> str:
    """This machine's architecture, by Go's name."""
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())


@dataclass(frozen=True)
class Builder:
    """A tree to run on, and the store that holds it and the inputs of tests."""

    store: Store
    root: Tree

    def action(self, *command: str, **changes: Any) -> Action:  # noqa: ANN401 - any field
        """An action that runs the probe, or another absolute path, with fields changed."""
        program = command if command and command[0].startswith("/") else ("/bin/probe", *command)
        conditions: Conditions = changes.get("conditions", STANDARD)
        action = Action(
            name=" ".join(command[:2]),
            command=tuple(program),
            environment=(("TZ", "UTC"),),
            directory=conditions.work,
            root=self.root,
            mounts=(),
            outputs=(),
            epoch=EPOCH,
            architecture=architecture(),
        )
        return replace(action, **changes)

    def tree(self, folder: Path, files: dict[str, str]) -> Tree:
        """An input tree of small files (a name that ends in `/` is an empty folder)."""
        for name, text in files.items():
            path = folder / name
            if name.endswith("/"):
                path.mkdir(parents=True)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        return self.store.put_tree(folder)


@dataclass
class Bench:
    """Runs actions on one engine and gives what they said."""

    engine: LocalEngine
    builder: Builder
    folder: Path
    limits: Limits = field(default_factory=lambda: Limits(seconds=120))

    def run(
        self,
        action: Action,
        *,
        limits: Limits | None = None,
        share: Share | None = None,
        stop: threading.Event | None = None,
    ) -> Ended:
        """Run an action in a new folder."""
        into = Path(tempfile.mkdtemp(dir=self.folder))
        policy = Policy(limits or self.limits, share)
        return self.engine.execute(
            action, policy, self.builder.store, into, stop or threading.Event()
        )

    def probe(
        self,
        *command: str,
        limits: Limits | None = None,
        **changes: Any,  # noqa: ANN401 - any field
    ) -> Any:  # noqa: ANN401 - JSON
        """Run the probe and give what it said."""
        outcome = self.run(self.builder.action(*command, **changes), limits=limits)
        said = outcome.stdout.read_text()
        assert outcome.exit_status == 0, (said, outcome.stderr.read_text())
        return json.loads(said)

    def input(self, files: dict[str, str]) -> Tree:
        """An input tree of small files."""
        return self.builder.tree(Path(tempfile.mkdtemp(dir=self.folder)), files)


@pytest.fixture(scope="session")
def engine_folder() -> Iterator[Path]:
    """A folder that everybody may look into (pytest's own is for one user only)."""
    with tempfile.TemporaryDirectory(prefix="sourcery-engines-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="session")
def whole_root(request: pytest.FixtureRequest, shared_store: Path) -> tuple[Store, Tree]:
    """The real builder tree, from the locked inputs, and the store that holds it.

    `SOURCERY_TEST_GOROOT` (and busybox on PATH) may stand in for it on a person's machine.
    """
    store = Store(shared_store)
    instead = os.environ.get("SOURCERY_TEST_GOROOT")
    if instead:
        with store.temporary() as folder:
            (folder / "bin").mkdir()
            busybox = shutil.which("busybox") or pytest.skip("busybox is not installed")
            shutil.copy(busybox, folder / "bin" / "uname")
            uname = store.put_tree(folder)
        return store, merge([("go", store.put_tree(Path(instead)).at("bootstrap")), ("u", uname)])
    pinned: Path = request.getfixturevalue("usable_lock")
    have = inputs.ensure(lock.load(pinned), store, folder=pinned.parent, offline=True)
    return store, merge([("go", have.bootstrap.at("bootstrap")), ("uname", have.uname)])


@pytest.fixture(scope="session")
def builder(request: pytest.FixtureRequest, shared_store: Path, engine_folder: Path) -> Builder:
    """A small tree to run on: the probe, and gofmt, which the docker engine lets wait.

    `SOURCERY_TEST_BUILDER` names a folder that holds it already.
    """
    ready = os.environ.get("SOURCERY_TEST_BUILDER")
    if ready:
        store = Store(shared_store)
        return Builder(store, store.put_tree(Path(ready)))
    root: Tree
    store, root = request.getfixturevalue("whole_root")
    whole = Builder(store, root)
    with SandboxEngine(engine_folder / "scratch") as engine:
        bench = Bench(engine, whole, engine_folder)
        outcome = bench.run(compile_probe(whole))
    assert outcome.exit_status == 0, outcome.stderr.read_text()
    made = store.put_tree(outcome.outputs)
    wanted = {"bootstrap/bin/gofmt"}
    small = root.where(lambda entry: entry.path in wanted or entry.path.startswith("bin/"))
    return Builder(store, merge([("root", small), ("probe", made.renamed(lambda _: "bin/probe"))]))


def compile_probe(builder: Builder) -> Action:
    """The action that compiles the probe with the bootstrap Go."""
    source = builder.store.put_tree(PROBE)
    return builder.action(
        *("/bootstrap/bin/go", "build", "-trimpath", "-ldflags=-s -w", "-o", "/work/probe", "."),
        environment=tuple(GO.items()),
        directory="/probe",
        mounts=(Mount("/probe", source),),
        outputs=("probe",),
    )


class Engines:
    """Engines by name, each opened when first asked for and closed in the opposite order."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._open: dict[str, LocalEngine] = {}

    def __getitem__(self, name: str) -> LocalEngine:
        """The engine of a parameter of `ENGINES`."""
        if name not in self._open:
            engine = self._new(name)
            self._stack.enter_context(engine)
            self._open[name] = engine
        return self._open[name]

    def _new(self, name: str) -> SandboxEngine | DockerEngine:
        scratch = self._folder / "scratch"
        if name == "sandbox":
            return SandboxEngine(scratch)
        patch = self._stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("DOCKER_HOST", self.docker_host)
        return connect(scratch, "bind" if name == "docker-bind" else "api")

    @cached_property
    def docker_host(self) -> str:
        """Address of a container engine: one of our own where that can be had."""
        dockerd = shutil.which("dockerd")
        told = os.environ.get("SOURCERY_TEST_DOCKER_HOST")
        if told is None and dockerd is not None and os.geteuid() == 0:
            private = PrivateDocker(dockerd, self._folder / "docker")
            return self._stack.enter_context(private).host
        found = told or os.environ.get("DOCKER_HOST")
        return found or pytest.skip("no dockerd that this user may start, and no DOCKER_HOST")


@pytest.fixture(scope="session")
def engines(engine_folder: Path) -> Iterator[Engines]:
    """The engines that tests have asked for so far, kept open to the end of the session."""
    with ExitStack() as stack:
        yield Engines(engine_folder, stack)


@pytest.fixture(scope="session")
def docker_host(engines: Engines) -> str:
    """Address of a container engine: one of our own where that can be had."""
    return engines.docker_host


@pytest.fixture(params=ENGINES)
def bench(
    request: pytest.FixtureRequest, engines: Engines, builder: Builder, tmp_path: Path
) -> Bench:
    """Each engine in turn: the sandbox, and docker with both ways for files to travel."""
    return Bench(engines[request.param], builder, tmp_path)
