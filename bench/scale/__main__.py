"""`make scale`: how a build scales on a farm, from the times of one build.

    python -m bench.scale [--out OUT --store STORE [--measure]] [--graph FILE] [--docs]

With `--out`, the graph of that build is made from its result and its store, and written to FILE;
without, FILE is read. `--measure` runs each of its actions once more, alone, for its CPU seconds.
`--docs` puts tables and plot into docs/. What is assumed of the farm can be said otherwise.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from bench.scale import plot, report
from bench.scale.farm import Farm
from bench.scale.graph import Graph
from bench.scale.recorded import recorded
from orchestrator.cli.options import store_folder
from reproducibility.errors import SourceryError

ROOT = Path(__file__).resolve().parents[2]
GRAPH = ROOT / "bench" / "scale" / "default.json"
DOCS = ROOT / "docs" / "farm-scale.md"
PLOT = ROOT / "docs" / "farm-scale.svg"
_NUMBERS = [field.name for field in fields(Farm) if isinstance(field.default, float)]


def main() -> int:
    """Print the tables, or put them in their place."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--out", type=Path, help="the output directory of a build")
    parser.add_argument("--store", type=Path, help="the store that it was made with")
    parser.add_argument("--measure", action="store_true", help="run each of its actions once more")
    parser.add_argument("--graph", type=Path, default=GRAPH, help="the graph's file")
    parser.add_argument("--docs", action="store_true", help="put tables and plot into docs/")
    for name in _NUMBERS:
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=float, default=getattr(Farm, name))
    chosen = parser.parse_args()
    farm = Farm(**{name: getattr(chosen, name) for name in _NUMBERS})
    try:
        if chosen.out:
            graph = recorded(
                chosen.out.absolute(), store_folder(chosen.store), measure=chosen.measure
            )
            chosen.graph.write_text(graph.dumps(), "utf-8")
    except SourceryError as error:
        sys.stderr.write(f"{error.diagnostics()}\n")
        return error.status
    graph = Graph.loads(chosen.graph.read_text("utf-8"))
    scenes = report.scenes(graph, farm)
    made = report.document(graph, farm, scenes)
    if chosen.docs:
        DOCS.write_text(report.placed(DOCS.read_text("utf-8"), made), "utf-8")
        PLOT.write_bytes(plot.drawn(scenes))
    else:
        print(made, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
