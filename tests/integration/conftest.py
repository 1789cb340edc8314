"""What the integration tests share: one store, one lock that can be had, each real build once."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import ROOT, is_worker, store_folder
from tests.integration import building, file_times, order, sharing
from tests.integration.browsing import browser  # noqa: F401 - a fixture, for the tests beside
from tests.integration.building import Orchestrate, Ran
from tests.integration.copies import SharedCopy
from tests.integration.engine_fixtures import (  # noqa: F401 - fixtures, for the tests beside
    bench,
    builder,
    docker_host,
    engine_folder,
    engines,
    whole_root,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from orchestrator.lock import file as locks

_PROJECT = ("sourcery.toml", "sourcery.lock")
# How an input that is not offered any more is told of (orchestrator/inputs).
_GONE = ("the mirror no longer has ", "there is no ", "the package index has no wheel for ")

# Bytes that all of the integration tests take on the store's disk at their most: docs/testing.md.
_ROOM = 16 << 30

_renewed: list[str] = []


class LockRenewedWarning(UserWarning):
    """The repository's lock names an input that cannot be had any more."""


@dataclass(frozen=True)
class Built:
    """A build that was made once for several tests: what it said, and its output directory."""

    ran: Ran
    out: Path


@pytest.hookimpl
def pytest_configure(config: pytest.Config) -> None:
    """A lock that had to be renewed is said, and fails nothing. Refuse a disk without room.

    Raises:
        pytest.UsageError: all of these tests are to run, and would fail after half an hour.
    """
    place = next(one for one in (store_folder(), *store_folder().parents) if one.exists())
    free = shutil.disk_usage(place).free
    whole = Path(__file__).parent in (Path(one).resolve() for one in config.args)
    if whole and not is_worker(config) and free < _ROOM:
        message = (
            f"the integration tests take up to {_ROOM >> 30} GiB, and there are "
            f"{free / (1 << 30):.1f} GiB free in {place}: free some, or name another folder with "
            "SOURCERY_TEST_STORE"
        )
        raise pytest.UsageError(message)
    config.addinivalue_line(
        "filterwarnings", "default::tests.integration.conftest.LockRenewedWarning"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the files of integration tests follow each other in the order that ends soonest."""
    here = f"{Path(__file__).parent.relative_to(ROOT)}/"
    items.sort(key=lambda item: order.rank(item.nodeid) if here in item.nodeid else (-1, 0))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Give what the summary tells to the process that writes it."""
    sharing.tell(
        session.config,
        {
            "timings": building.timings,
            "remarks": building.remarks,
            "renewed": _renewed,
            "files": file_times.plain(),
        },
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Measure each test for the table of its files."""
    with file_times.measured(item):
        return (yield)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Hand out the tests by file, and those that look at the whole machine to one process."""
    from tests.integration.by_file import ByFile

    return ByFile(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Collect what a worker has to tell."""
    told = sharing.told(node)
    building.timings.extend(tuple(timing) for timing in told.get("timings", []))
    building.remarks.extend(told.get("remarks", []))
    _renewed.extend(told.get("renewed", []))
    file_times.collect(told.get("files", []))


@pytest.fixture(scope="session")
def workshop(shared_store: Path) -> Path:
    """The session's folder on the store's file system, removed at the end.

    What is built lies in a folder of its own in it: while a build replaces its output directory,
    it has a second one beside that.
    """
    return sharing.folder(shared_store.parent)


@pytest.fixture
def place(workshop: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder for one test on the store's file system, removed at its end."""
    folder = Path(tempfile.mkdtemp(prefix=f"{request.function.__name__[:40]}-", dir=workshop))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def orchestrate(shared_store: Path, workshop: Path) -> Orchestrate:
    """The command line on a copy of the repository's spec and lock; all inputs are in the store.

    Mirrors drop what was superseded. Where an input that the lock pins is not to be had any more,
    the copy is locked anew, and that is said: it shows that the repository's lock wants an update,
    which is no fault of the code.
    """
    command = Orchestrate(workshop / "default", shared_store)
    sharing.once(workshop, "default", lambda: _fetch_all(command))
    return command


def _fetch_all(command: Orchestrate) -> Ran:
    command.project.mkdir(exist_ok=True)
    for name in _PROJECT:
        shutil.copyfile(ROOT / name, command.project / name)
    # Each round renews one input, and there are no more than so many.
    for _ in command.lock.inputs:
        ran = command.start("fetch").end()
        if ran.status == 0:
            break
        name = _gone(ran, command.lock)
        assert name, f"exit status {ran.status}: {ran.document}\n{ran.stderr[-3000:]}"
        _renewed.append(f"{name}: {ran.error['summary'].splitlines()[0]}")
        warnings.warn(LockRenewedWarning(_renewed[-1]), stacklevel=1)
        command.run("lock", "--update", name)
    return command.run("fetch")


def _gone(ran: Ran, pinned: locks.Lock) -> str:
    """The name of the input that is not to be had any more; empty for any other failure."""
    summary = str(ran.error["summary"])
    if ran.error["kind"] != "InputError" or not summary.startswith(_GONE):
        return ""
    return next((found.name for found in pinned.inputs if found.label in summary), "")


@pytest.fixture(scope="session")
def usable_lock(orchestrate: Orchestrate) -> Path:
    """A lock of which every input is in the shared store: the repository's, or one renewed."""
    return orchestrate.project / "sourcery.lock"


@pytest.fixture(scope="session")
def full(orchestrate: Orchestrate, workshop: Path) -> Built:
    """The default image: three architectures, in the sandbox."""
    out = workshop / "full" / "out"
    return Built(sharing.once(workshop, "full", lambda: orchestrate.build(out)), out)


@pytest.fixture(scope="session")
def own_architecture(orchestrate: Orchestrate, full: Built, workshop: Path) -> Built:
    """The default spec and lock, built for this machine's architecture only."""
    assert full.ran.status == 0
    out = workshop / "own-architecture" / "out"
    build = partial(orchestrate.build, out, "--arch", building.HOST)
    return Built(sharing.once(workshop, "own-architecture", build), out)


@pytest.fixture(scope="session")
def small(orchestrate: Orchestrate, usable_lock: Path, full: Built, workshop: Path) -> Orchestrate:
    """A project with a small public module, for three architectures; toolchains are made already.

    Where a test is about the build and not about what is built, it saves compiling u-root.
    """
    assert full.ran.status == 0
    project = workshop / "small"
    command = Orchestrate(project, orchestrate.store)

    def lock() -> Ran:
        project.mkdir(exist_ok=True)
        (project / "sourcery.toml").write_text(building.spec_text(source=building.SMALL_SOURCE))
        shutil.copyfile(usable_lock, project / "sourcery.lock")
        return command.run("lock")

    sharing.once(workshop, "small", lock)
    return command


@pytest.fixture(scope="session")
def small_own(small: Orchestrate, workshop: Path) -> Built:
    """The small project built for this machine's architecture."""
    out = workshop / "small-own" / "out"
    build = partial(small.build, out, "--arch", building.HOST)
    return Built(sharing.once(workshop, "small-own", build), out)


@pytest.fixture(scope="module")
def shared_copy(small: Orchestrate, small_own: Built, workshop: Path) -> Iterator[SharedCopy]:
    """A copy of the store that knows the small project, for the tests of a file in turn."""
    assert small_own.ran.status == 0
    folder = Path(tempfile.mkdtemp(prefix="shared-copy-", dir=workshop))
    folder.chmod(0o755)
    yield SharedCopy.of(small.store, folder)
    shutil.rmtree(folder, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how long each run of the command line took, and what of the lock is out of date."""
    if building.timings:
        terminalreporter.section("runs of the command line")
        for what, seconds in building.timings:
            terminalreporter.write_line(f"{seconds:8.1f} s  {what}")
    file_times.collect(file_times.plain())
    if lines := list(file_times.table()):
        terminalreporter.section("files of tests")
        for line in lines:
            terminalreporter.write_line(line)
    for remark in building.remarks:
        terminalreporter.write_line(remark)
    if _renewed:
        terminalreporter.section("sourcery.lock is out of date", red=True, bold=True)
        for line in _renewed:
            terminalreporter.write_line(f"run `orchestrate lock --update` for {line}", red=True)
