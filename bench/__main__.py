"""`make bench`: all figures of the design's speed table that exist, from one run.

    python -m bench [--rounds N] [--quick | --smoke] [--json FILE]

Each round runs the peer and this build one after the other on the same inputs; the order changes
from round to round. Figures are ratios (this build / peer) with median and spread, so that a noisy
machine disturbs both sides. A quick run measures the peer for two architectures and
counts the second one twice. A smoke run does a little of each in a minute, on a store that knows
the default image already, to see that measuring works; its figures say nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from bench import first_runs, image, seed_procedure
from containers.host import process
from orchestrator import architecture, inputs
from orchestrator.architecture import ARCHITECTURES
from orchestrator.artifacts.finished import Finished
from orchestrator.files import places
from orchestrator.lock import file as lock
from orchestrator.spec import model as spec
from orchestrator.store import BLOB_TIME, Store, remove_folder
from reproducibility.digest import Digest
from reproducibility.errors import SourceryError

_PEER_ALL = "peer: all"
_PEER_ESTIMATED = "peer: all (host + 2 x the further one)"
_STORE = Path(".cache/bench-store")
CHANGED = "cmds/core/ls"
_SAMPLE = ("cat", "echo", "ls", "pwd", "uname")
_TINY = "example.org/tiny"
_TINY_SOURCE = f"""[[source]]
module = "{_TINY}"
path = "module"
commands = ["hi"]
"""


@dataclass
class Figures:
    """Seconds by what was measured, one number a round."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """Note a measurement, and say it: a round takes long."""
        sys.stderr.write(f"{name}: {value:.3f}\n")
        self.seconds.setdefault(name, []).append(value)


@dataclass(frozen=True)
class Bench:
    """Where things lie: spec and lock, a store with all inputs, and a scratch folder.

    All of them from the root on: programs run in other folders. `smoke`: see the top of this file.
    """

    project: Path
    store: Path
    scratch: Path
    smoke: bool = False

    @property
    def host(self) -> tuple[str, ...]:
        """What restricts a build to this machine's own architecture, in a smoke run."""
        return ("--arch", architecture.host()) if self.smoke else ()

    def orchestrate(self, *arguments: str) -> tuple[float, dict[str, object]]:
        """Run the command line; seconds and its JSON.

        Raises:
            CalledProcessError: it failed.
        """
        command = [sys.executable, "-m", "orchestrator", *arguments, "--json"]
        started = time.monotonic()
        done = subprocess.run(
            command, cwd=self.project, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        return time.monotonic() - started, json.loads(done.stdout)

    def fresh_store(self, name: str) -> Path:
        """A store with the inputs, nothing checked out, and nothing that was built.

        In a smoke run it knows what was built.
        """
        place = self.scratch / name
        place.mkdir()
        for part in ("results", "blobs", "version"):
            _clone(self.store / part, place / part)
        if self.smoke:
            return place
        for results in (place / "results").iterdir():
            if results.name.startswith(("action-", "computed-")):
                shutil.rmtree(results)
        return place

    def without(self, built: Path, architecture: str) -> Path:
        """A copy of a store in which nothing is remembered that is for one architecture only."""
        place = self.scratch / f"{built.name}-without-{architecture}"
        _clone(built, place)
        for result in (place / "results").glob("action-*/*/*.json"):
            name = json.loads(result.read_bytes())["name"]
            if architecture in name.split("/"):
                result.unlink()
        return place


def _clone(store: Path, place: Path) -> None:
    """A copy of a store that shares its blobs, which nothing writes to."""
    cp = process.find("cp", reason="to copy a store", remedy="install coreutils")
    process.run((cp, "-al", str(store), str(place)), environment={})


def one_round(bench: Bench, figures: Figures, number: int, *, quick: bool) -> None:
    """Measure everything once."""
    folder = bench.scratch / f"round-{number}"
    folder.mkdir()
    peer_first = number % 2 == 0
    for peer in (peer_first, not peer_first):
        if peer:
            hosts = (
                ARCHITECTURES[:1] if bench.smoke else ARCHITECTURES[:2] if quick else ARCHITECTURES
            )
            _peer(bench, figures, folder, hosts)
        else:
            _ours(bench, figures, folder, number)
    remove_folder(folder)


def _peer(bench: Bench, figures: Figures, folder: Path, architectures: tuple[str, ...]) -> None:
    goroots = [bench.scratch / "source", bench.scratch / "bootstrap"]
    taken = seed_procedure.run(goroots[0], goroots[1], folder, architectures, whole=not bench.smoke)
    figures.add("peer: host", taken[0])
    for seconds in taken[1:]:
        figures.add("peer: a further architecture", seconds)
    if len(taken) == len(ARCHITECTURES):
        figures.add(_PEER_ALL, sum(taken))
    elif len(taken) > 1:
        figures.add(_PEER_ESTIMATED, taken[0] + 2 * taken[1])


def _ours(bench: Bench, figures: Figures, folder: Path, number: int) -> None:
    store = bench.fresh_store(f"store-{number}")
    out = folder / "out"
    common = ("--engine", "sandbox", "--offline", "--out", str(out), *bench.host)
    seconds, document = bench.orchestrate("build", *common, "--store", str(store))
    figures.add("cold build, 3 architectures", seconds)
    figures.add(
        "peak memory of the orchestrator, MiB", int(str(document["peak_memory"])) / (1 << 20)
    )
    seconds, _ = bench.orchestrate("build", *common, "--store", str(store))
    figures.add("nothing changed", seconds)
    if not bench.smoke:
        _further(bench, figures, folder, store)
    _first_runs(bench, figures, out, store)
    _export_root(bench, document, store)
    _changed(bench, figures, folder, store)
    remove_folder(store)


def _further(bench: Bench, figures: Figures, folder: Path, store: Path) -> None:
    """One architecture more than what is built already."""
    fewer = bench.without(store, ARCHITECTURES[1])
    options = ("--engine", "sandbox", "--offline", "--out", str(folder / "more"))
    seconds, _ = bench.orchestrate("build", *options, "--store", str(fewer))
    figures.add("a further architecture", seconds)
    remove_folder(fewer)


def _first_runs(bench: Bench, figures: Figures, out: Path, place: Path) -> None:
    """Every command's first run in the root, on this machine's own architecture."""
    host = architecture.host()
    with closing(Store(place)) as store:
        root = Finished.load(out).root(store)
        every = first_runs.measure(root, host, _SAMPLE if bench.smoke else ())
        for name, seconds in first_runs.figures(every).items():
            figures.add(f"first run of a command, {name}", seconds)
        sample = first_runs.measure(root, host, _SAMPLE, again=True)
        figures.add("second run, over the bare binary", first_runs.overhead(sample))


def _export_root(bench: Bench, document: dict[str, object], place: Path) -> None:
    """The root as a folder, for the comparison of the image writers; a part in a smoke run."""
    if not (bench.scratch / "tree").exists():
        root = document["root"]
        store = Store(place)
        try:
            tree = store.load_tree(Digest.parse(str(root["tree"])))  # type: ignore[index]
            if bench.smoke:
                tree = tree.under("go/src/cmd")
            store.export(tree, bench.scratch / "tree", BLOB_TIME)
        finally:
            store.close()


def _changed(bench: Bench, figures: Figures, folder: Path, store: Path) -> None:
    """One command's source changed: the module is a local folder with its dependencies."""
    project = folder / "project"
    project.mkdir()
    shutil.copytree(bench.scratch / "module", project / "module", copy_function=shutil.copyfile)
    text = (bench.project / "sourcery.toml").read_text()
    if bench.smoke:
        text = re.sub(r"\[\[source\]\].*", _TINY_SOURCE, text, flags=re.DOTALL)
    version = next((line for line in text.splitlines() if line.startswith('version = "v')), "")
    text = text.replace(version, 'path = "module"') if version else text
    # The folder's own go.mod says what is replaced.
    text = re.sub(r"replace = \[.*?^\]", "", text, flags=re.DOTALL | re.MULTILINE)
    (project / "sourcery.toml").write_text(text)
    files = ("--spec", str(project / "sourcery.toml"), "--lock", str(project / "sourcery.lock"))
    shutil.copyfile(bench.project / "sourcery.lock", project / "sourcery.lock")
    bench.orchestrate("lock", *files, "--store", str(store))
    out = ("--out", str(project / "out"), "--store", str(store))
    common = (*files, "--engine", "sandbox", *out, *bench.host)
    bench.orchestrate("build", *common)
    changed = next((project / "module" / ("hi" if bench.smoke else CHANGED)).glob("*.go"))
    changed.write_text(changed.read_text() + "\n// A change.\nvar _ = 1\n")
    name = "tiny" if bench.smoke else "u-root"
    locking, _ = bench.orchestrate("lock", "--update", name, *files, "--store", str(store))
    building, _ = bench.orchestrate("build", *common)
    figures.add("one command's source changed: lock", locking)
    figures.add("one command's source changed: build", building)
    figures.add("one command's source changed", locking + building)


def table(figures: Figures, writer: dict[str, object]) -> str:
    """The figures for people."""
    lines = [f"{'what':<46} {'median':>9} {'least':>9} {'most':>9}"]
    for name, values in figures.seconds.items():
        lines.append(
            f"{name:<46} {statistics.median(values):>9.3f} {min(values):>9.3f} {max(values):>9.3f}"
        )
    pairs = (
        ("cold build, 3 architectures", _PEER_ALL),
        ("cold build, 3 architectures", _PEER_ESTIMATED),
        ("a further architecture", "peer: a further architecture"),
    )
    for ours, peer in pairs:
        if ours in figures.seconds and peer in figures.seconds:
            ratio = statistics.median(figures.seconds[ours]) / statistics.median(
                figures.seconds[peer]
            )
            lines.append(f"ratio: {ours} / {peer}: {ratio:.2f}")
    lines.append(f"image writer against mkfs.vfat + mcopy: {json.dumps(writer)}")
    return "\n".join(lines)


def main() -> int:
    """Measure, print the table, and write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1, help="how often to measure everything")
    parser.add_argument("--quick", action="store_true", help="the peer for two architectures only")
    parser.add_argument("--smoke", action="store_true", help="a little of each; see above")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--store", type=Path, default=_STORE, help="a store for the inputs")
    parser.add_argument(
        "--project", type=Path, default=Path(), help="where sourcery.toml and sourcery.lock lie"
    )
    chosen = parser.parse_args()
    figures = Figures()
    try:
        place = places.store(chosen.store)
        project = places.absolute(chosen.project, "--project")
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".bench-") as scratch:
            bench = Bench(project, place, Path(scratch), chosen.smoke)
            _prepare(bench)
            for number in range(chosen.rounds):
                one_round(bench, figures, number, quick=chosen.quick)
            rounds = 1 if chosen.smoke else 3
            writer = image.compare(bench.scratch / "tree", bench.scratch, rounds=rounds)
    except SourceryError as error:
        sys.stderr.write(f"{error.diagnostics()}\n")
        return error.status
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"{error}\n")
        return 4
    sys.stdout.write(table(figures, writer) + "\n")
    if chosen.json:
        document = {"seconds": figures.seconds, "image_writer": writer}
        chosen.json.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n")
    return 0


def _prepare(bench: Bench) -> None:
    """The inputs as folders: source and bootstrap for the peer, the module, the image's tree."""
    _, _ = bench.orchestrate("fetch", "--store", str(bench.store))
    store = Store(bench.store)
    try:
        _lay_out(bench, store)
    finally:
        store.close()


def _lay_out(bench: Bench, store: Store) -> None:
    wanted = spec.load(bench.project / "sourcery.toml")
    pinned = lock.load(bench.project / "sourcery.lock")
    have = inputs.ensure(pinned, store, folder=wanted.folder, offline=True)
    source = have.release.where(lambda entry: not entry.path.startswith(("bin/", "pkg/tool/")))
    module = have.sources[wanted.sources[0].name]
    parts = {"source": source, "bootstrap": have.bootstrap, "module": module}
    if bench.smoke:
        _tiny(bench.scratch / "module")
        del parts["module"]
    for name, tree in parts.items():
        store.export(tree, bench.scratch / name, BLOB_TIME)


def _tiny(folder: Path) -> None:
    """A module with one command."""
    (folder / "hi").mkdir(parents=True)
    (folder / "go.mod").write_text(f"module {_TINY}\n\ngo 1.24\n")
    (folder / "hi" / "main.go").write_text('package main\n\nfunc main() { println("hi") }\n')


if __name__ == "__main__":
    sys.exit(main())
