"""Tables and words of the scenes, as Markdown; the same graph gives the same text."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from bench.scale.farm import Farm, Run, critical, simulate
from bench.scale.scenes import HERE, SCENES, proportion, replayed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.scale.graph import Graph

WORKERS = (1, 2, 4, 16, 64, 256, 1000)
BEGIN = "<!-- scale: made by `make scale` -->"
END = "<!-- end of scale -->"
_PLACE = re.compile(re.escape(BEGIN) + r"\n(.*?)" + re.escape(END), re.DOTALL)
# What more workers must save for it to be called scaling.
_WORTH = 1.05
_COLUMNS = (
    "workers", "seconds", "speed-up", "efficiency", "running, queueing, else", "GB to workers",
    "seconds, nothing kept", "GB to workers, nothing kept",
)  # fmt: skip
_UNITS = {
    "cores": "cores of a worker",
    "second_core": "times as fast on two cores",
    "client_rate": "bytes a second of a client's link",
    "worker_rate": "bytes a second of a worker's link",
    "storage_rate": "bytes a second that the farm's storage gives in all",
    "latency": "seconds of an exchange",
    "each_file": "seconds to send a file, besides its bytes",
    "laid_out": "seconds to put a file into an action's input tree",
    "begun": "seconds until an action's program runs",
}


@dataclass(frozen=True)
class Scene:
    """A scene on more and more workers. `bare`: the same where workers keep nothing."""

    name: str
    longest: float
    chain: tuple[str, ...]
    runs: tuple[Run, ...]
    bare: tuple[Run, ...]

    def speed_up(self, at: int) -> float:
        """How many times as fast as one worker."""
        return self.runs[0].seconds / self.runs[at].seconds

    @property
    def stops(self) -> int:
        """Where more workers save less than a twentieth of the time, as a place in `WORKERS`."""
        least = min(run.seconds for run in self.runs)
        return next(at for at, run in enumerate(self.runs) if run.seconds <= _WORTH * least)


def scenes(graph: Graph, farm: Farm) -> list[Scene]:
    """All scenes on all numbers of workers."""
    found = []
    for name, make in SCENES.items():
        jobs = make(graph, farm)
        longest, chain = critical(jobs, farm)
        runs = [
            [
                simulate(jobs, graph.parcels, replace(farm, workers=many, caches=caches))
                for many in WORKERS
            ]
            for caches in (True, False)
        ]
        found.append(Scene(name, longest, tuple(chain), tuple(runs[0]), tuple(runs[1])))
    return found


def table(scene: Scene) -> list[str]:
    """A scene as a table."""
    lines = _head(*_COLUMNS)
    for at, many in enumerate(WORKERS):
        run, bare = scene.runs[at], scene.bare[at]
        faster = scene.speed_up(at)
        spent = ", ".join(f"{seconds:,.0f}" for seconds in run.spent())
        cells = (f"{many:,}", f"{run.seconds:,.0f}", f"{faster:.2f}", f"{faster / many:.1%}", spent)
        also = (_gigabytes(run.fetched), f"{bare.seconds:,.0f}", _gigabytes(bare.fetched))
        lines.append(_row((*cells, *also)))
    return lines


def limit(scene: Scene) -> str:
    """Where a scene stops scaling, and on what the time goes there, in words."""
    at = scene.stops
    run = scene.runs[at]
    shares = [f"{100 * seconds / run.seconds:.0f} %" for seconds in run.spent()]
    words = (
        f"It stops at {WORKERS[at]:,} workers with {run.seconds:,.0f} s: along the chain that ends "
        f"last, programs run {shares[0]} of that, {shares[1]} is waiting for a worker, and "
        f"{shares[2]} is data on its way and actions that begin."
    )
    worst = max(scene.runs[at:], key=lambda run: run.seconds)
    if worst.seconds > _WORTH * run.seconds:
        many = WORKERS[scene.runs.index(worst)]
        words += (
            f" With {many:,} it takes longer, {worst.seconds:,.0f} s: "
            f"{_gigabytes(worst.fetched)} GB go to workers that have nothing yet."
        )
    return words


def document(graph: Graph, farm: Farm, found: Iterable[Scene]) -> str:
    """Everything, as Markdown."""
    lines = [_measured(graph, farm), "", *_head("assumed of the farm", "")]
    lines += [
        _row((_UNITS[field.name], f"{getattr(farm, field.name):,g}"))
        for field in fields(Farm)
        if field.name in _UNITS
    ]
    for scene in found:
        chain = " → ".join(name.removesuffix(" (0)") for name in scene.chain)
        lines += ["", f"### {scene.name[0].upper()}{scene.name[1:]}", ""]
        run = scene.runs[0]
        moved = [_gigabytes(size) for size in (run.sent, run.stored, run.taken)]
        lines.append(
            f"The longest chain of work is {scene.longest:,.0f} s: {chain}. {limit(scene)} "
            f"However many workers there are, clients send {moved[0]} GB, workers store {moved[1]} "
            f"GB, and clients take {moved[2]} GB."
        )
        lines += ["", *table(scene)]
    return "\n".join(lines) + "\n"


def _measured(graph: Graph, farm: Farm) -> str:
    told = graph.told
    jobs = replayed(graph)
    alone, beside = (simulate(jobs, (), replace(HERE, workers=many)).seconds for many in (1, 2))
    timed = sum(task.cpu > 0 for task in graph.tasks)
    return (
        f"Of a build of {told['date']}: {len(graph.tasks)} steps, of which one run made "
        f"{len(told['steps'])} in {told['seconds']:,.0f} s. Simulated with these times, in the "
        f"plan's order, they take {alone:,.0f} s one at a time and {beside:,.0f} s two at a time. "
        f"CPU seconds were measured of {timed} actions, {proportion(graph, farm):.2f} of what "
        "follows from their times, for the machine did other work too; those of others are taken "
        "to be that share as well."
    )


def shown(text: str) -> str:
    """What was made in a document; empty where it has no place for it."""
    match = _PLACE.search(text)
    return match[1] if match else ""


def placed(text: str, made: str) -> str:
    """A document with that in its place."""
    return _PLACE.sub(lambda _: f"{BEGIN}\n{made}{END}", text)


def _head(first: str, *names: str) -> list[str]:
    return [_row((first, *names)), _row(("---", *("---:" for _ in names)))]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f}"
