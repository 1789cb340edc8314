"""A build farm on this machine: `make farm` starts one, `make test-farm` tests with one.

BuildGrid (from the Python index) with PostgreSQL serves on 127.0.0.1, and two nodes run actions:
buildbox-casd and buildbox-worker of Debian in a root of their own, each as a user of its own, in
mount, process, IPC and network namespaces, so that a node reaches nothing but the server's socket.
Only root can start it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Runner = Literal["bubblewrap", "hosttools"]

FOLDER = ROOT / ".cache" / "farm"
NODES = 2
PORT = 50_051
# buildbox is in no released suite of Debian yet.
SUITE = "forky"
_PACKAGES = (*("buildbox", "bubblewrap", "dash", "coreutils", "util-linux", "bash", "base-files"),)
_HOST_PACKAGES = ("mmdebstrap", "postgresql", "bubblewrap", "util-linux")
# The last for each Python; the newer one is another's port of it.
_BUILDGRID = (
    ("buildgrid==0.9.1", "psycopg[binary]", "psycopg")
    if sys.version_info >= (3, 13)
    else ("buildgrid==0.4.4", "psycopg2-binary", "psycopg2")
)
# Users of the nodes: nobody's on this machine.
_USERS = 61_000
# Seconds.
_STARTING = 120
_ENDING = 30
_TICK = 0.1
LONGEST = 3600

_CONFIGURATION = """\
server:
  - !channel
    address: "127.0.0.1:{port}"
    insecure-mode: true
  - !channel
    address: "unix:{run}/socket/server"
    insecure-mode: true
connections:
  - !sql-connection &sql
    connection-string: "{database}"
    pool-size: 5
    pool-timeout: 30
    max-overflow: 10
storages:
  - !disk-storage &storage
    path: {run}/storage
caches:
  - !lru-action-cache &cache
    storage: *storage
    max-cached-refs: 4096
    allow-updates: true
    cache-failed-actions: false
schedulers:
  - !sql-scheduler &scheduler
    sql: *sql
    action-cache: *cache
    storage: *storage
    property-set:
      !dynamic-property-set
      match-property-keys: [OSFamily, ISA]
      wildcard-property-keys: [unixUID, unixGID]
    bot-session-keepalive-timeout: 10
    session-expiry-timer-interval: 2
    poll-interval: 0.5
    max-execution-timeout: {longest}
    assigners:
      - !priority-age-assigner
        count: 1
        interval: 0.2
        priority-assignment-percentage: 100
instances:
  - name: ''
    services:
      - !action-cache
        cache: *cache
      - !execution
        scheduler: *scheduler
      - !bots
        scheduler: *scheduler
      - !cas
        storage: *storage
      - !bytestream
        storage: *storage
thread-pool-size: 100
"""
# What a node runs, in its root. The casd fetches from the server's storage and keeps what it has.
_NODE = """\
cd /w
export PATH=/usr/bin:/usr/sbin HOME=/w TMPDIR=/w/tmp
while [ ! -S /s/server ]; do sleep .1; done
buildbox-casd --cas-retry-limit=8 --cas-remote=unix:/s/server --ac-remote=unix:/s/server \\
    --bind=unix:/w/run/casd --quota-high=5G /w/cas >/w/casd.log 2>&1 &
while [ ! -S /w/run/casd ]; do sleep .1; done
# A worker ends when its server does, and is started again, as a service manager would.
while :; do
    buildbox-worker --instance= --bots-remote=unix:/s/server --cas-remote=unix:/w/run/casd \\
        --buildbox-run=/usr/bin/buildbox-run-{runner} --platform OSFamily=linux \\
        --platform ISA={isa} --runner-arg=--staging-mode=copy-or-link --concurrent-jobs=1 \\
        --request-timeout=10 --max-wait-time=5 {name} >>/w/worker.log 2>&1
    sleep 1
done
"""


def prepare(folder: Path = FOLDER) -> None:
    """Bring what a farm consists of into a folder, where it is not there yet."""
    missing = [p for p in ("mmdebstrap", "bwrap", "setpriv", "unshare") if not shutil.which(p)]
    if missing or _postgres() is None:
        _do("apt-get", "update", "-qq")
        _do("apt-get", "install", "-qq", "-y", "--no-install-recommends", *_HOST_PACKAGES)
    folder.mkdir(parents=True, exist_ok=True)
    root = folder / "root"
    if not (root / "usr/bin/buildbox-worker").exists():
        shutil.rmtree(root, ignore_errors=True)
        _do(
            *("mmdebstrap", "--quiet", "--variant=extract", f"--include={','.join(_PACKAGES)}"),
            *('--aptopt=Acquire::Check-Valid-Until "false"', SUITE, str(root)),
            f"deb {_mirror()} {SUITE} main",
        )
        for place in ("w", "s"):
            (root / place).mkdir(exist_ok=True)
    if not (folder / "server/bin/bgd").exists():
        _do(sys.executable, "-m", "venv", "--clear", str(folder / "server"))
        _do(str(folder / "server/bin/pip"), "install", "-q", *_BUILDGRID[:2])


def _mirror() -> str:
    """The address that this machine has its packages from."""
    for path in (*Path("/etc/apt/sources.list.d").glob("*.sources"), Path("/etc/apt/sources.list")):
        text = path.read_text("utf-8") if path.exists() else ""
        found = re.search(r"^(?:URIs: *|deb +(?:\[[^]]*\] +)?)(\S+/debian)\b", text, re.MULTILINE)
        if found:
            return found[1]
    raise SystemExit("the machine's apt sources name no mirror of Debian")


def _postgres() -> Path | None:
    """The folder of PostgreSQL's programs."""
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


def _do(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


@dataclass
class RealFarm:
    """A farm that runs; a context manager. `runner`: what its nodes run actions with."""

    run: Path
    runner: Runner = "hosttools"
    parts: Path = FOLDER
    port: int = PORT
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise SystemExit("only root can start a farm here")
        for place in ("database", "storage", "socket"):
            (self.run / place).mkdir(parents=True, exist_ok=True)
        (self.run / "socket").chmod(0o755)
        shutil.chown(self.run / "database", "nobody")
        for parent in (self.run, *self.run.parents):
            if parent.stat().st_mode & 0o005 != 0o005:
                raise SystemExit(f"others, as the nodes are, cannot reach {parent}")
        try:
            self._start_database()
            self.start_server()
            for number in range(1, NODES + 1):
                self.start_node(number)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for number in range(1, NODES + 1):
            self.kill_node(number)
        self.stop_server()
        self._end("database", signal.SIGINT)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self.port}"

    def file(self, place: Path, **more: object) -> Path:
        """Write the file that `--farm` takes. `more`: further keys."""
        keys = {"address": f"grpc://{self.address}", "actions": NODES, "timeout": LONGEST, **more}
        lines = [f"{name} = {_toml(value)}" for name, value in keys.items()]
        count = len(os.sched_getaffinity(0))
        lines += ["[workers.amd64]", f"processors = {count}"]
        lines.append('properties = { OSFamily = "linux", ISA = "x86-64" }')
        place.write_text("\n".join(lines) + "\n")
        return place

    # -- what a test does to it ------------------------------------------------------------------

    def start_node(self, number: int) -> None:
        """Start a node."""
        name = f"node{number}"
        own = self.run / name
        user = str(_USERS + number)
        for place in ("cas", "run", "tmp"):
            (own / place).mkdir(parents=True, exist_ok=True)
        (own / "node.sh").write_text(_NODE.format(runner=self.runner, isa="x86-64", name=name))
        _do("chown", "-R", f"{user}:{user}", str(own))
        around = ("unshare", "--mount", "--pid", "--ipc", "--net", "--fork", "--kill-child")
        # What the node sees: its root, its own folder, and the socket of the server.
        seen = (
            *("--ro-bind", str(self.parts / "root"), "/", "--dev-bind", "/dev", "/dev"),
            *("--bind", "/proc", "/proc", "--ro-bind", "/sys", "/sys"),
            *("--perms", "1777", "--tmpfs", "/tmp"),  # noqa: S108 - inside
            *("--bind", str(own), "/w", "--bind", str(self.run / "socket"), "/s"),
        )
        user_of_its_own = (
            *("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"),
            *("--inh-caps=-all", "--bounding-set=-all"),
        )
        self._start(
            name,
            [
                *(*around, "--mount-proc", "bwrap", "--cap-add", "ALL", *seen),
                *(*user_of_its_own, "sh", "/w/node.sh"),
            ],
            {"PATH": os.environ["PATH"]},
        )

    def kill_node(self, number: int) -> None:
        """End a node, and all that it runs, at once."""
        self._end(f"node{number}", signal.SIGKILL)

    def node_of(self, words: str) -> int | None:
        """The number of the node that runs a process with such words in its command line."""
        for number in range(1, NODES + 1):
            process = self._processes.get(f"node{number}")
            if process and any(words in line for line in _descendants(process.pid)):
                return number
        return None

    def start_server(self) -> None:
        """Start the server, with what it has in database and storage."""
        (self.run / "socket/server").unlink(missing_ok=True)
        configuration = self.run / "server.yml"
        configuration.write_text(
            _CONFIGURATION.format(
                port=self.port, run=self.run, database=self._database, longest=LONGEST
            )
        )
        program = str(self.parts / "server/bin/bgd")
        with (self.run / "migration.log").open("ab") as log:
            subprocess.run(
                [program, "migrate", "apply", self._database], check=True, stdout=log, stderr=log
            )
        self._start("server", [program, "server", "start", str(configuration)], dict(os.environ))
        place = self.run / "socket/server"
        _until(lambda: place.exists() and _listens(self.port), "the server does not listen")
        # The nodes connect as users of their own.
        place.chmod(0o666)

    def stop_server(self) -> None:
        """End the server."""
        self._end("server", signal.SIGTERM)

    def restart_server(self) -> None:
        """Start the server anew: what runs is lost to it, or not, as it can."""
        self.stop_server()
        self.start_server()

    def stored(self) -> int:
        """Bytes in the server's storage."""
        return sum(p.stat().st_size for p in (self.run / "storage").rglob("*") if p.is_file())

    # -- its processes ---------------------------------------------------------------------------

    @property
    def _database(self) -> str:
        driver = f"postgresql+{_BUILDGRID[2]}"
        return f"{driver}://farm@/postgres?host={self.run}/database"

    def _start_database(self) -> None:
        programs = _postgres()
        assert programs is not None, "call `prepare` first"
        folder = self.run / "database"
        # It refuses to be root.
        nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        if not (folder / "data/PG_VERSION").exists():
            _do(
                *nobody,
                str(programs / "initdb"),
                *("-D", f"{folder}/data", "-U", "farm", "-A", "trust", "-E", "UTF8"),
                *("--locale=C.UTF-8", "--no-sync"),
            )
        self._start(
            "database",
            [
                *(*nobody, str(programs / "postgres"), "-D", f"{folder}/data"),
                *("-k", str(folder), "-c", "listen_addresses=", "-c", "fsync=off"),
            ],
            {"PATH": os.environ["PATH"]},
        )
        asking = [str(programs / "pg_isready"), "-q", "-h", str(folder), "-U", "farm"]
        _until(
            lambda: subprocess.run([*asking, "-d", "postgres"], check=False).returncode == 0,
            "the database does not answer",
        )

    def _start(self, name: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        with (self.run / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _end(self, name: str, how: signal.Signals) -> None:
        process = self._processes.pop(name, None)
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str | Path) else str(value)


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0


def _until(there: object, words: str) -> None:
    deadline = time.monotonic() + _STARTING
    while not there():  # type: ignore[operator] # a function
        if time.monotonic() > deadline:
            raise SystemExit(words)
        time.sleep(_TICK)


def _descendants(top: int) -> list[str]:
    """Command lines of a process and of all that descend from it."""
    parents: dict[int, int] = {}
    lines: dict[int, str] = {}
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            pid = int(place.name)
            parents[pid] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            lines[pid] = (
                (place / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            )
    found = {top}
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        grown = bool(more)
        found |= more
    return [lines[pid] for pid in found if pid in lines]


def main() -> int:
    """Start a farm, and run it until it is interrupted."""
    parser = argparse.ArgumentParser(prog="make farm")
    parser.add_argument("--runner", choices=["bubblewrap", "hosttools"], default="hosttools")
    parser.add_argument("--folder", type=Path, default=FOLDER / "run")
    parser.add_argument("--port", type=int, default=PORT)
    asked = parser.parse_args()
    prepare()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with RealFarm(asked.folder.absolute(), asked.runner, port=asked.port) as farm:
        place = farm.file(asked.folder.absolute() / "farm.toml")
        sys.stdout.write(
            f"a farm of {NODES} nodes listens on {farm.address}; use it with\n"
            f"    orchestrate build --engine remote --farm {place}\nCtrl-C ends it\n"
        )
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
