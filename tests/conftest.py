"""What all tests share: who may be skipped and who may not, and the one store they build in.

A test says with a marker what it needs (`pyproject.toml` lists the markers). Where that is not
there it is skipped, on a person's machine; in CI (`CI` is set) a skipped test fails the run, since
nothing checked is not success.

The unit tests run on every Python that the package claims. What comes of a test marked `once` does
not depend on which: it is about the text of this repository, about other programs, or goes through
many places of a file, or many cases, with code that other tests run on each Python. So the further
Pythons leave those out (`-m "not once"`), and try fewer examples of each property
(`--hypothesis-profile=few`); what one Python finds is mended for all.
"""

from __future__ import annotations

import ctypes
import functools
import gc
import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from containers.architecture import LINUX, host

if TYPE_CHECKING:
    from collections.abc import Generator

ROOT = Path(__file__).resolve().parent.parent

# Node ids (`tests/unit/test_x.py::test_y`) that CI may skip. Each needs a reason beside it.
MAY_BE_SKIPPED_IN_CI: frozenset[str] = frozenset()

_WORKSHOP = "SOURCERY_TEST_WORKSHOP"

# Where Debian puts programs that an ordinary user's PATH does not name.
_ADMINISTRATORS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


# No test depends on how fast the machine is, and in CI none on luck.
hypothesis.settings.register_profile("local", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.register_profile(
    "few", deadline=None, derandomize=bool(os.environ.get("CI")), max_examples=20
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "local")
_USUAL = 100


def examples(number: int) -> int:
    """How many examples of a costly property are tried: `number`, fewer where all have fewer."""
    return -(-number * min(hypothesis.settings().max_examples, _USUAL) // _USUAL)


@pytest.fixture(scope="session")
def shared_store() -> Path:
    """The folder of the store that all integration tests share, so that each action runs once.

    `SOURCERY_TEST_STORE` names another one. It is kept between runs; what a test makes of it must
    not depend on what is there already.
    """
    folder = store_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def store_folder() -> Path:
    """Where the shared store lies, whether it is there already or not."""
    return Path(os.environ.get("SOURCERY_TEST_STORE") or ROOT / ".cache" / "test-store")


def workshop_name() -> str:
    """Name of the session's folder beside the store: the same in all its processes."""
    return f"itest-{os.environ[_WORKSHOP]}"


def is_worker(config: pytest.Config) -> bool:
    """Whether this process was started by another one that leads the session (pytest-xdist)."""
    return hasattr(config, "workerinput")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove the session's folder, once all its processes have ended."""
    if not is_worker(session.config):
        shutil.rmtree(store_folder().resolve().parent / workshop_name(), ignore_errors=True)


def _hear_signals() -> None:
    """A shell has what it starts in the background ignore Ctrl-C, and so do all children of that.

    Tests are about what happens at a terminal, wherever they run themselves.
    """
    for number, usual in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGQUIT, signal.SIG_DFL),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)
    # GNU make has its children ignore two that only the system call can set; a dockerd that tests
    # start would hand that on to every container.
    library = ctypes.CDLL(None)
    for internal in (32, 33):
        library.syscall(LINUX[host()].rt_sigaction, internal, bytes(32), None, 8)


def pytest_configure(config: pytest.Config) -> None:
    """Find programs where administrators have them, and keep the promise of a run without network.

    Raises:
        pytest.UsageError: `SOURCERY_NO_NETWORK` is set and there is a network.
    """
    _hear_signals()
    if not is_worker(config):
        os.environ[_WORKSHOP] = secrets.token_hex(4)
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    os.environ["PATH"] = os.pathsep.join([*path, *(p for p in _ADMINISTRATORS if p not in path)])
    if os.environ.get("SOURCERY_NO_NETWORK"):
        interfaces = network_interfaces()
        if interfaces != {"lo"}:
            message = f"SOURCERY_NO_NETWORK is set, and there are the interfaces {interfaces}"
            raise pytest.UsageError(message)
    config.addinivalue_line("filterwarnings", "ignore:pkg_resources is deprecated:UserWarning")


def network_interfaces() -> set[str]:
    """Names of the network interfaces that this process sees (proc_pid_net(5))."""
    lines = Path("/proc/self/net/dev").read_text("ascii").splitlines()
    return {line.partition(":")[0].strip() for line in lines if ":" in line}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose marked needs are not met here."""
    reason = next(filter(None, (_lacking(mark) for mark in item.iter_markers())), None)
    if reason:
        pytest.skip(reason)


def _lacking(mark: pytest.Mark) -> str:
    """What a marker asks for and this machine lacks; empty where all is there."""
    if mark.name == "needs_tools":
        missing = [program for program in mark.args if shutil.which(program) is None]
        return f"not installed: {', '.join(missing)}" if missing else ""
    if mark.name == "needs_sandbox":
        return _without_sandbox()
    if mark.name == "needs_docker" and shutil.which("dockerd") is None:
        return "" if os.environ.get("DOCKER_HOST") else "no DOCKER_HOST, and no dockerd to start"
    if mark.name == "needs_network" and network_interfaces() <= {"lo"}:
        return "there is no network interface"
    return ""


@functools.cache
def _without_sandbox() -> str:
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed"
    trial = subprocess.run(
        ["bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"],  # noqa: S607 - found on PATH
        capture_output=True,
        check=False,
        timeout=60,
    )
    return "" if trial.returncode == 0 else f"bubblewrap does not work: {trial.stderr.decode()}"


def pytest_collection_finish() -> None:
    """Keep what lasts for the whole run out of what the collection of garbage goes through."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, a test that was skipped (or expected to fail, and did) has failed."""
    report = yield
    if report.skipped and refused_in_ci(item.nodeid):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {_reason(report)}"
        # Else the terminal would count it as an expected failure.
        vars(report).pop("wasxfail", None)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """In CI, a module that skips itself has failed."""
    report = yield
    if report.skipped and refused_in_ci(collector.nodeid):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI does not accept: {_reason(report)}"
    return report


def refused_in_ci(node: str) -> bool:
    """Whether a test must not be skipped: CI is set, and the test is not in the list."""
    return bool(os.environ.get("CI")) and node not in MAY_BE_SKIPPED_IN_CI


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    told = getattr(report, "wasxfail", None) or report.longrepr
    return str(told[2]) if isinstance(told, tuple) else str(told)
