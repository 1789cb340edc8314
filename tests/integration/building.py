"""Runs the real command line and holds what it leaves against what every run must leave.

A run is a process of its own (`python -m orchestrator`), with `--json`, so that a test sees what a
person's script sees. After every build, whatever came of it, the output directory is whole, as it
was, or not there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from containers.host import durable
from orchestrator import architecture
from orchestrator.evidence.writers import WRITERS
from orchestrator.lock import file as locks
from orchestrator.store import Store
from reproducibility import codes, digest
from reproducibility.digest import Digest
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from reproducibility.compare import CheckKind

HOST = architecture.host()
ARCHITECTURES: tuple[str, ...] = architecture.ARCHITECTURES
U_ROOT = "github.com/u-root/u-root"

# Only to end a run that hangs; a build on a slow machine takes a fraction of it.
_PATIENCE = 3600
_PIECE = 1 << 16
# How long processes may take to be gone after their orchestrator was killed.
_GRACE = 60
_HIDDEN = ".sourcery-new-"

# (what, seconds) of every run, for the summary at the end.
timings: list[tuple[str, float]] = []
# What a test found out that no assertion shows; in the summary too.
remarks: list[str] = []


@dataclass(frozen=True)
class Ran:
    """A run that has ended: its exit status, the document on standard output, standard error."""

    status: int
    document: dict[str, Any]
    stderr: str

    @property
    def started(self) -> list[str]:
        """What was begun, as `stage (subject)`, in that order; nothing that was remembered."""
        return re.findall(r"^\S+Z started +(.*)$", self.stderr, re.MULTILINE)

    @property
    def error(self) -> dict[str, Any]:
        """The error that it told of."""
        found: dict[str, Any] = self.document["error"]
        return found

    @property
    def image(self) -> str:
        """BLAKE3 of the image."""
        return str(self.document["image"]["blake3"])

    def checks(self) -> dict[tuple[CheckKind, str], str]:
        """The verdict of each check by kind and subject."""
        return {
            (codes.find(check["code"]).kind, check["subject"]): check["verdict"]
            for check in self.document["checks"]
        }

    def actions(self) -> list[dict[str, Any]]:
        """The steps that an engine runs, and those that had nothing to do."""
        return [step for step in self.document["steps"] if step["kind"] != "computation"]

    def executed(self) -> list[str]:
        """Names of the actions that were not remembered."""
        return [step["name"] for step in self.actions() if not step["cached"]]


class Running:
    """A run that goes on."""

    def __init__(self, what: str, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._what = what
        self._since = time.monotonic()
        self._told: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        self._news = threading.Condition()
        self._readers = [
            threading.Thread(target=self._read, args=(name,), daemon=True) for name in self._told
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str) -> None:
        stream = getattr(self.process, name)
        while piece := os.read(stream.fileno(), _PIECE):
            with self._news:
                self._told[name] += piece
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def _said(self, name: str) -> str:
        return self._told[name].decode(errors="replace")

    def wait_for(self, pattern: str) -> None:
        """Wait until a line of standard error matches; the run must not have ended before."""
        deadline = time.monotonic() + _PATIENCE
        with self._news:
            while re.search(pattern, self._said("stderr"), re.MULTILINE) is None:
                ended = not any(reader.is_alive() for reader in self._readers)
                assert not ended, f"ended without {pattern!r}:\n{self._said('stderr')[-3000:]}"
                assert time.monotonic() < deadline, f"no {pattern!r} for so long"
                self._news.wait(1)

    def end(self) -> Ran:
        """Wait for the end."""
        try:
            status = self.process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        for reader in self._readers:
            # A process that outlives the run and holds its streams would be a finding of its own.
            reader.join(_GRACE)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None and not any(reader.is_alive() for reader in self._readers):
                stream.close()
        timings.append((self._what, time.monotonic() - self._since))
        stdout = self._said("stdout")
        try:
            document = json.loads(stdout) if stdout else {}
        except ValueError:
            raise AssertionError(f"standard output is no JSON: {stdout[-2000:]}") from None
        return Ran(status, document, self._said("stderr"))


@dataclass(frozen=True)
class Orchestrate:
    """The command line on one project and one store.

    `project`: the folder with `sourcery.toml` and `sourcery.lock`; commands start there.
    `environment`: all of it. `prefix`: what runs the program, such as another user. `options`: for
    `subprocess.Popen`.
    """

    project: Path
    store: Path
    environment: Mapping[str, str] = field(
        default_factory=lambda: {**os.environ, "PYTHONPATH": str(ROOT)}
    )
    prefix: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lock(self) -> locks.Lock:
        """The project's lock."""
        return locks.load(self.project / "sourcery.lock")

    def start(self, command: str, *arguments: str | Path) -> Running:
        """Begin a run."""
        told = [command, *map(str, arguments), "--json", "--store", str(self.store)]
        process = subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "orchestrator", *told],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.project,
            env=dict(self.environment),
            **self.options,
        )
        shown = " ".join([command, *(str(part) for part in arguments if "/" not in str(part))])
        return Running(f"{shown} ({self.project.name})", process)

    def run(self, command: str, *arguments: str | Path, status: int = 0) -> Ran:
        """A whole run, which must end with the exit status."""
        ran = self.start(command, *arguments).end()
        assert ran.status == status, (
            f"exit status {ran.status}, expected {status}\n{json.dumps(ran.document)[:3000]}\n"
            f"{ran.stderr[-3000:]}"
        )
        return ran

    def build(
        self, out: Path, *arguments: str | Path, status: int = 0, engine: str = "sandbox"
    ) -> Ran:
        """A whole build; the output directory is whole afterwards, or what it was before."""
        before = snapshot(out)
        options = ("--engine", engine, "--out", out, *arguments)
        ran = self.run("build", *options, status=status)
        if status in {0, 1}:
            check_whole(out, ran.document)
        else:
            assert snapshot(out) == before
        check_nothing_beside(out)
        return ran


# -- projects ------------------------------------------------------------------------------------


def spec_text(  # noqa: PLR0913 - what differs between the tests' specs
    *,
    architectures: Iterable[str] = ARCHITECTURES,
    source: str = "",
    files: str = "",
    go: str = "1.27.3",
    bootstrap: str = "1.26.6",
    label: str = "SOURCERY",
) -> str:
    """A spec: the default one without boot files, but for what is given.

    `source`, `files`: whole tables.
    """
    names = ", ".join(f'"{name}"' for name in architectures)
    return (
        f'[image]\nlabel = "{label}"\nepoch = 2026-01-01T00:00:00Z\narchitectures = [{names}]\n\n'
        f'[go]\nversion = "{go}"\nbootstrap = "{bootstrap}"\n\n{source or U_ROOT_SOURCE}\n{files}'
    )


# A public module with one command and one dependency.
SMALL = "rsc.io/2fa"
SMALL_SOURCE = f"""\
[[source]]
module = "{SMALL}"
version = "v1.2.0"
commands = ["."]
"""
# The default spec's own table.
_DEFAULT = (ROOT / "sourcery.toml").read_text("utf-8")
U_ROOT_SOURCE = _DEFAULT[_DEFAULT.index("[[source]]") : _DEFAULT.index("[seed]")]


# -- output directories --------------------------------------------------------------------------


def check_whole(out: Path, document: Mapping[str, Any]) -> None:
    """An output directory holds everything that a build leaves, and what its result says."""
    names = {path.name for path in out.iterdir()}
    expected = {"sourcery.img", "sourcery.cpio.zst", "result.json", "logs", *WRITERS}
    assert expected <= names, expected - names
    assert json.loads((out / "result.json").read_bytes()) == document
    for name in ("image", "cpio"):
        said = document[name]
        path = out / said["path"]
        assert path.stat().st_size == said["size"]
        assert digest.of_file(path).hex == said["blake3"]
    logs = {path.name for path in (out / "logs").iterdir()}
    run = [step["name"] for step in document["steps"] if step["kind"] != "computation"]
    assert logs >= {f"{name.replace('/', '-')}.log" for name in run}


def check_nothing_beside(out: Path) -> None:
    """What a run made beside its output directory has taken its place, or is gone."""
    if out.parent.is_dir():
        assert [p.name for p in out.parent.iterdir() if p.name.startswith(_HIDDEN)] == []


def snapshot(out: Path) -> dict[str, tuple[int, int, int, int]]:
    """Every file and folder of an output directory, with what changes when it is written to."""
    if not out.exists():
        return {}
    paths = [out, *out.rglob("*")]
    return {
        str(path.relative_to(out)): (found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode)
        for path in paths
        for found in [path.lstat()]
    }


# -- what a store may hold, and what of a run may be left ------------------------------------------


def clone(store: Path, into: Path) -> Path:
    """A store of its own with the same blobs and results (hard links; writes replace files).

    Others may be writing to the store: results come first, since what they name is there already.
    """
    for part in ("results", "blobs"):
        for path, _ in durable.files(store / part):
            _link(path, into / path.relative_to(store))
    shutil.copyfile(store / "version", into / "version")
    return into


def hand_over(ran: Ran, step: str, source: Path, into: Path, engine: str = "sandbox") -> None:
    """Copy what the sandbox made in a step of a build from its store into another one.

    `engine`: whose result it is there.
    """
    (key,) = (found["key"] for found in ran.document["steps"] if found["name"] == step)
    with closing(Store(source)) as theirs, closing(Store(into)) as ours:
        record = theirs.recall("action-sandbox", Digest.parse(key))
        assert record is not None
        tree = theirs.load_tree(Digest.parse(record["outputs"]))
        for entry in tree.files():
            ours.put_bytes(theirs.read(entry.content))
        for name in ("action", "stdout", "stderr"):
            ours.put_bytes(theirs.read(Digest.parse(record[name])))
        ours.save_tree(tree)
        ours.remember(f"action-{engine}", Digest.parse(key), record)


def _link(path: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    # A file that is just being written has another name in a moment.
    with suppress(FileNotFoundError):
        copy.hardlink_to(path)


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own with little room, in memory; only root mounts it."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    subprocess.run(mount, check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)  # noqa: S607 - found on PATH


def flip(blob: Path) -> None:
    """Change one bit of a blob, of this store only: other stores may share the file."""
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    fresh = blob.with_name(f".{blob.name}")
    fresh.write_bytes(data)
    fresh.chmod(0o444)
    fresh.replace(blob)


def blob(store: Path, name: str) -> Path:
    """The file of a blob."""
    return store / "blobs" / name[:2] / name[2:4] / name


def descendants(pid: int) -> dict[int, str]:
    """Every process below one: process id -> when it started, by which it is known again."""
    parents: dict[int, tuple[int, str]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            found = _status(int(folder.name))
            if found is not None:
                parents[int(folder.name)] = found
    below: dict[int, str] = {}
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        for child, (above, since) in parents.items():
            if above == parent and child not in below:
                below[child] = since
                waiting.append(child)
    return below


def wait_for_descendant(pid: int, program: str) -> dict[int, str]:
    """Wait until a process below one runs a program of that name; gives all that there are then."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        found = descendants(pid)
        if any(_program(child) == program for child in found):
            return found
        assert _status(pid) is not None, f"ended without having run {program}"
        time.sleep(0.02)
    raise AssertionError(f"{program} did not run")


def wait_for_children(pid: int) -> dict[int, str]:
    """Wait until a process has started another one; gives those that it has then."""
    deadline = time.monotonic() + _PATIENCE
    while not (had := descendants(pid)):
        assert _status(pid) is not None, "ended without having started anything"
        assert time.monotonic() < deadline, "nothing was started"
        time.sleep(0.02)
    return had


def _program(pid: int) -> str:
    return _command(pid).split(" ")[0].rpartition("/")[2]


def _status(pid: int) -> tuple[int, str] | None:
    """Parent and start time of a live process (proc_pid_stat(5)); None of one that is gone."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, parent, since = words[0], int(words[1]), words[19]
    return None if state in "ZX" else (parent, since)


def check_gone(processes: Mapping[int, str]) -> None:
    """Processes end by themselves, now or soon."""
    deadline = time.monotonic() + _GRACE
    left = dict(processes)
    while left and time.monotonic() < deadline:
        left = {
            pid: since
            for pid, since in left.items()
            if (found := _status(pid)) is not None and found[1] == since
        }
        time.sleep(0.05)
    assert not left, {pid: _command(pid) for pid in left}


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text("utf-8", "replace").replace("\0", " ")
    except OSError:
        return "(gone)"


def check_no_trace(name: str) -> None:
    """No process mentions a folder by its name, none has something of it mounted: now or soon.

    What was started in the moment of a kill is in no list of what there was, and ends by itself.
    """
    deadline = time.monotonic() + _GRACE
    while (found := _traces(name)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not found, "\n".join(found)


def _traces(name: str) -> list[str]:
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        for part in ("cmdline", "mountinfo"):
            try:
                text = (folder / part).read_text("utf-8", "replace")
            except OSError:
                continue
            if name in text:
                found.append(f"{folder.name} {part}: {_command(int(folder.name))}")
    return found


def check_clean(store: Path) -> None:
    """Nothing of an ended run is left in a store's scratch folder."""
    assert sorted(path.name for path in (store / "scratch").iterdir()) == []


def kill(running: Running, had: dict[int, str] | None = None) -> dict[int, str]:
    """Kill an orchestrator with SIGKILL, and nothing else; gives the processes it had.

    `had`: those that were seen just now; looked for where they are not given.
    """
    had = descendants(running.process.pid) if had is None else had
    running.process.send_signal(signal.SIGKILL)
    assert running.end().status == -signal.SIGKILL
    return had
