"""Isolation that travels: the launcher on a worker that isolates nothing, or that cannot isolate.

The same attempts as on the engines of this machine, from inside actions that an ordinary user's
process starts by nothing but `Wrapped.arguments`: all contained. Where a worker refuses what
isolation takes, the action is not run, and what is said names the setting that would help.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from containers.action import Mount
from containers.policy import RULES, Limits, Policy
from orchestrator import farm, resources
from orchestrator.architecture import host
from orchestrator.inputs import Clients, worker_tools
from orchestrator.inputs.shelf import Shelf
from orchestrator.lock import file as locks
from orchestrator.store import Store
from reproducibility.errors import ActionError
from tests.integration import attempts_again
from tests.integration.bare_worker import NAME, USER, BareWorker
from tests.integration.engine_fixtures import EPOCH, Bench, architecture
from tests.integration.hostile.assault import Assault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reproducibility.manifest import Tree
    from tests.integration.bare_worker import Launched
    from tests.integration.engine_fixtures import Builder
    from tests.integration.hostile.machine import Machine

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.long]

globals().update(attempts_again.again())


@pytest.fixture(scope="module")
def tools(request: pytest.FixtureRequest, shared_store: Path) -> Tree:
    """What isolates on a worker: the launcher, and what the suite has of bubblewrap today.

    `SOURCERY_TEST_WORKER_TOOLS` names a folder that holds it already.
    """
    ready = os.environ.get("SOURCERY_TEST_WORKER_TOOLS")
    if ready:
        return Store(shared_store).put_tree(Path(ready))
    store, root = request.getfixturevalue("whole_root")
    place: Path = request.getfixturevalue("usable_lock")
    lock, clients = locks.load(place), Clients()
    # The default lock pins nothing for workers.
    shelf = Shelf(clients, store, place.parent, lock.find)
    pinned = worker_tools.resolve("trixie", host(), shelf, store)
    lock = lock.model_copy(update={"workers": {host(): pinned}})
    make = farm.Tools(lock, place.parent, store, lambda: root.under("bootstrap"), clients)
    return make(host(), store, threading.Event())


@pytest.fixture
def worker(engine_folder: Path, tools: Tree) -> Iterator[Callable[..., BareWorker]]:
    """Makes workers, each with a folder of its own, in which nothing is to be left."""
    made: list[BareWorker] = []

    def make(**how: object) -> BareWorker:
        folder = Path(tempfile.mkdtemp(dir=engine_folder))
        folder.chmod(0o755)
        one = BareWorker(folder, tools, **how)  # type: ignore[arg-type]
        made.append(one.__enter__())
        return one

    yield make
    for one in made:
        one.__exit__()


@pytest.fixture(params=["user", "root"])
def bench(
    request: pytest.FixtureRequest,
    worker: Callable[..., BareWorker],
    builder: Builder,
    tmp_path: Path,
) -> Bench:
    """A worker that runs actions as an ordinary user, and one that does so as root."""
    if request.param == "root" and os.geteuid() != 0:
        pytest.skip("this process is not root")
    user = USER if request.param == "user" else None
    return Bench(worker(user=user), builder, tmp_path)


@pytest.fixture
def assault(
    worker: Callable[..., BareWorker], hostile_builder: Builder, machine: Machine, tmp_path: Path
) -> Assault:
    """The hostile attempts, on a worker that runs actions as an ordinary user."""
    return Assault(worker(), hostile_builder, machine, tmp_path, root=False)


def run(worker: BareWorker, builder: Builder, into: Path, *command: str, **how: object) -> Launched:
    """Run an action of the probe's, and remove what it left on the worker."""
    limits = how.pop("limits", Limits(seconds=120))
    action = builder.action(*(command or ("look",)), **how)
    launched = worker.launch(action, Policy(limits), builder.store, into)  # type: ignore[arg-type]
    shutil.rmtree(launched.folder)
    return launched


def test_each_rule_was_observed_on_that_worker(bench: Bench) -> None:
    bench.probe("look")
    entries = bench.engine.enforcement(Policy())
    assert [entry.rule for entry in entries] == sorted(rule.name for rule in RULES)
    assert all(entry.means.startswith(f"observed on worker {NAME}: ") for entry in entries)
    assert {entry.rule for entry in entries if entry.state == "not enforced"} == {"memory"}


@pytest.mark.parametrize("command", ["links", "special"])
def test_what_no_tree_can_hold_is_named_and_not_taken(bench: Bench, command: str) -> None:
    words = ("/work/out", "pipe") if command == "special" else ()
    with pytest.raises(ActionError, match=r"out/.*: neither a file nor a directory"):
        bench.run(bench.builder.action(command, *words, outputs=("out",)))


def test_a_worker_without_the_memory_runs_on_its_disk_and_says_so(
    worker: Callable[..., BareWorker], builder: Builder, tmp_path: Path
) -> None:
    tree = builder.tree(tmp_path / "tree", {"file": "content"})
    ran = run(
        *(worker(), builder, tmp_path, "modes", "/input"),
        limits=Limits(memory=1 << 45),
        mounts=(Mount("/input", tree), Mount("/work/copy", tree, "private")),
        outputs=("copy",),
    )
    assert ran.status == 0, ran.stderr
    assert ran.document["worker"]["room"] == "disk"  # type: ignore[index]
    lacking = {entry.rule for entry in ran.report.enforcement if entry.state == "not enforced"}
    assert {"bounded-work", "memory"} <= lacking <= {"bounded-work", "memory", "no-machine-paths"}
    assert str(EPOCH) in (tmp_path / "stdout").read_text()


def test_the_work_directory_is_bounded_as_a_whole_on_a_disk_too(
    worker: Callable[..., BareWorker], builder: Builder, tmp_path: Path
) -> None:
    limits = Limits(memory=1 << 45, work=32 << 20, seconds=120)
    ran = run(worker(), builder, tmp_path, "scatter", "/work", "3000", limits=limits)
    assert ran.report.ended_by == "work"


# -- workers that cannot isolate -----------------------------------------------------------------

_BWRAP = ("bwrap", "--dev-bind", "/", "/")
_COVERED = ("--proc", "/proc", "--ro-bind", "/dev/null", "/proc/version")


@pytest.mark.needs_tools("unshare")
@pytest.mark.parametrize(
    ("around", "words", "remedy"),
    [
        (("unshare", "--user", "--map-root-user"), "user 0", "unixUID"),
        (
            (*_BWRAP, "--unshare-user", "--disable-userns", "--"),
            "no user namespace",
            "user namespaces on the worker",
        ),
        (
            (*_BWRAP, "--unshare-pid", *_COVERED, "--"),
            "mount proc",
            "systempaths=unconfined",
        ),
    ],
    ids=["user-0", "user-namespaces", "proc"],
)
def test_where_nothing_can_be_isolated_the_action_is_not_run(  # noqa: PLR0913 - fixtures
    worker: Callable[..., BareWorker],
    builder: Builder,
    tmp_path: Path,
    around: tuple[str, ...],
    words: str,
    remedy: str,
) -> None:
    ran = run(worker(around=around), builder, tmp_path)
    assert ran.status == 120
    assert words in ran.report.refusal
    assert remedy in ran.report.remedy
    assert (tmp_path / "stdout").read_bytes() == b""
    assert "launcher: " in ran.stderr


def _more(folder: Path) -> None:
    (folder / "root" / "bin" / "planted").write_text("from another action")


def _longer(folder: Path) -> None:
    with (folder / "root" / "bin" / "probe").open("ab") as stream:
        stream.write(b"x")


def _less(folder: Path) -> None:
    (folder / "root" / "bin" / "probe").unlink()


def _other(folder: Path) -> None:
    """Change one byte in place, as a worker does whose inputs are links to its cache."""
    with (folder / "root" / "bin" / "probe").open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        last = stream.read(1)[0]
        stream.seek(-1, os.SEEK_END)
        stream.write(bytes([last ^ 1]))


def _renamed(folder: Path) -> None:
    probe = folder / "root" / "bin" / "probe"
    probe.rename(probe.with_name("other"))


@pytest.mark.parametrize("spoil", [_more, _longer, _less, _other, _renamed])
def test_inputs_that_are_not_as_they_were_sent_are_refused(
    worker: Callable[..., BareWorker],
    builder: Builder,
    tmp_path: Path,
    spoil: Callable[[Path], None],
) -> None:
    ran = run(worker(spoil=spoil), builder, tmp_path)
    assert ran.status == 120
    assert "did not lay out the inputs" in ran.report.refusal


@pytest.mark.parametrize("name", ["bwrap", "lib/ld-linux-x86-64.so.2"])
@pytest.mark.parametrize("missing", [True, False])
@pytest.mark.skipif(architecture() != "amd64", reason="the loader's name")
def test_where_what_isolates_is_not_as_it_was_sent_the_action_is_not_run(
    worker: Callable[..., BareWorker], builder: Builder, tmp_path: Path, name: str, missing: bool
) -> None:
    def spoil(folder: Path) -> None:
        place = folder / "tools" / name
        if missing:
            place.unlink()
        else:
            content = place.read_bytes()
            place.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    ran = run(worker(spoil=spoil), builder, tmp_path)
    assert ran.status == 120
    assert "did not lay out the inputs as they were sent: tools has" in ran.report.refusal


def test_a_rule_that_does_not_hold_is_seen_from_inside(
    worker: Callable[..., BareWorker], builder: Builder, tmp_path: Path
) -> None:
    """The request is what says how; one that leaves the network is what a mistake would be."""

    def spoil(folder: Path) -> None:
        request = folder / "tools" / "request"
        request.write_text(request.read_text().replace('"--unshare-net",', ""))

    ran = run(worker(spoil=spoil), builder, tmp_path)
    assert ran.status == 120
    assert "no-network" in ran.report.refusal
    assert (tmp_path / "stdout").read_bytes() == b""


@pytest.mark.parametrize(
    ("there", "instead", "rule"),
    [
        ('"--remount-ro","/","--chdir"', '"--chdir"', "read-only-root"),
        ('"--hostname","builder"', '"--hostname","other"', "fixed-identity"),
        ('"--ro-bind",{"below":"","place":2}', '"--bind",{"below":"","place":2}', "read-only-in"),
        ('"--unshare-ipc",', "", "own-namespaces"),
        ('"--setenv","TZ","UTC"', '"--setenv","TZ","CET"', "fixed-identity"),
        ('"tmp":4294967296', '"tmp":4294967297', ""),
    ],
)
def test_each_mistake_in_the_isolation_is_seen_from_inside(  # noqa: PLR0913 - fixtures
    worker: Callable[..., BareWorker],
    builder: Builder,
    tmp_path: Path,
    there: str,
    instead: str,
    rule: str,
) -> None:
    def spoil(folder: Path) -> None:
        request = folder / "tools" / "request"
        text = request.read_text()
        assert there in text
        request.write_text(text.replace(there, instead))

    tree = builder.tree(tmp_path / "tree", {"file": "content"})
    ran = run(worker(spoil=spoil), builder, tmp_path, mounts=(Mount("/input", tree),))
    assert (ran.status, ran.report.refusal == "") == ((120, False) if rule else (0, True))
    assert rule in ran.report.refusal


# -- the end -------------------------------------------------------------------------------------


def _running(token: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if token.encode() in line and b"probe" in line:
            found.append(process.name)
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_farm_that_ends_the_launcher_ends_all_that_it_started(
    worker: Callable[..., BareWorker], builder: Builder, tmp_path: Path, number: signal.Signals
) -> None:
    token = f"token-{os.urandom(8).hex()}"
    action = builder.action("sleep", "1000", token)
    folder, process = worker().begin(action, Policy(), builder.store, tmp_path)
    _wait_until(lambda: bool(_running(token)))
    process.send_signal(number)
    process.wait(120)
    _wait_until(lambda: not _running(token))
    shutil.rmtree(folder)


def _wait_until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# -- the launcher's own tests --------------------------------------------------------------------


def test_the_launcher_is_checked_by_go_itself(
    request: pytest.FixtureRequest, workshop: Path
) -> None:
    store, root = request.getfixturevalue("whole_root")
    goroot = store.checkout(root.under("bootstrap"), EPOCH)
    scratch = workshop / "launcher"
    scratch.mkdir()
    environment = {
        "GOCACHE": str(scratch / "cache"),
        "GOENV": "off",
        "GOFLAGS": "-mod=readonly",
        "GOPATH": str(scratch / "path"),
        "GOPROXY": "off",
        "GOROOT": str(goroot),
        "GOTELEMETRY": "off",
        "GOTOOLCHAIN": "local",
        "CGO_ENABLED": "0",
        "HOME": str(scratch),
        "PATH": "/usr/bin:/bin",
        "TMPDIR": str(scratch),
    }
    for command in (
        ("gofmt", "-l", "."),
        ("go", "vet", "./..."),
        ("go", "test", "./..."),
    ):
        done = subprocess.run(
            [goroot / "bin" / command[0], *command[1:]],
            cwd=resources.launcher(),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        if command[0] == "gofmt":
            assert done.stdout == ""
