"""Tables and plot of the scenes: the documents hold what the program makes of the kept graph."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from bench.scale import __main__ as program
from bench.scale import plot, report
from bench.scale.farm import Farm, simulate
from bench.scale.graph import Graph
from bench.scale.scenes import HERE, USERS, audit, believed, image, proportion, replayed, unbelieved
from tests.unit.bench.test_scale_graph import GRAPH

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def kept() -> Graph:
    """The graph of the default build that is kept."""
    return Graph.loads(program.GRAPH.read_text("utf-8"))


@pytest.fixture(scope="module")
def found(kept: Graph) -> Sequence[report.Scene]:
    """Its scenes."""
    return report.scenes(kept, Farm())


def test_the_documents_hold_what_the_program_makes(
    kept: Graph, found: Sequence[report.Scene]
) -> None:
    made = report.document(kept, Farm(), found)
    remedy = "run `make scale ARGS=--docs`"
    assert report.shown(program.DOCS.read_text("utf-8")) == made, remedy
    assert program.PLOT.read_bytes() == plot.drawn(found), remedy


def test_the_simulation_agrees_with_the_build_that_it_is_of(kept: Graph) -> None:
    # Two at once on two cores, as a build does it; between actions it puts inputs and outputs away.
    two = simulate(replayed(kept), (), replace(HERE, workers=2)).seconds
    assert 0.9 < two / kept.told["seconds"] <= 1


def test_more_workers_bring_no_more_than_there_are(found: Sequence[report.Scene]) -> None:
    for scene in found:
        for at, many in enumerate(report.WORKERS):
            assert scene.runs[at].seconds >= scene.longest
            # A worker more keeps inputs of its own, so two can be a little more than twice as fast.
            assert scene.speed_up(at) <= 1.02 * many
            assert scene.bare[at].fetched >= scene.runs[at].fetched


def test_an_audit_needs_no_order_and_nothing_at_the_client() -> None:
    (job,) = audit(GRAPH, Farm())
    assert (job.name, job.needs, job.local) == ("a", (), False)


def test_users_share_actions_only_where_the_cache_is_believed() -> None:
    shared, each = believed(GRAPH, Farm()), unbelieved(GRAPH, Farm())
    assert [len(jobs) for jobs in (shared, each)] == [1 + USERS, 2 * USERS]
    assert {job.needs for job in shared if job.local} == {("a",)}
    assert each[-1].needs == (f"a ({USERS - 1})",)
    assert {job.client for job in each} == set(range(USERS))


def test_work_is_measured_or_follows_from_the_time_that_it_took() -> None:
    (timed, computed), farm = GRAPH.tasks, Farm(second_core=1.5)
    on_one = replace(timed, name="c", seconds=3.0, cpu=0.0, cpus=1)
    on_two = replace(on_one, name="d", cpus=2)
    graph = replace(GRAPH, tasks=(timed, computed, on_one, on_two))
    # It took 2.25 CPU seconds where its time on two cores would have been worth 4.5.
    graph = replace(graph, tasks=(replace(timed, seconds=3.0), *graph.tasks[1:]))
    assert proportion(graph, farm) == 0.5
    assert [job.work for job in image(graph, farm)] == [2.25, computed.seconds, 1.5, 2.25]
    nothing = replace(graph, tasks=(on_one,))
    assert [job.work for job in image(nothing, farm)] == [3]
    assert farm.seconds(3) == 2
    assert Farm(cores=1).seconds(3) == 3


def test_where_it_stops_is_said() -> None:
    farm = Farm(latency=0, begun=0, each_file=0, laid_out=0)
    scenes = {scene.name: scene for scene in report.scenes(GRAPH, farm)}
    assert scenes["one image"].stops == 0
    assert "stops at 1 workers" in report.limit(scenes["one image"])
    text = report.document(GRAPH, farm, scenes.values())
    assert "### One image" in text
    assert "a → b." in text
    row = next(line for line in text.splitlines() if line.startswith("| 4 |"))
    assert row.split(" | ")[3] == "25.0%"


def test_tables_take_their_place() -> None:
    text = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    new = report.placed(text, "| new |\n")
    assert report.shown(new) == "| new |\n"
    assert new.startswith("before\n")
    assert report.shown("no place") == ""


def test_the_plot_has_a_line_for_each_scene_that_stays_within(
    found: Sequence[report.Scene],
) -> None:
    picture = ET.fromstring(plot.drawn(found))  # noqa: S314 - our own
    lines = [line.attrib for line in picture.iter(f"{SVG}polyline")]
    assert len(lines) == 3 * len(found), "two panels and what explains them"
    assert len({(one["class"], one["stroke-dasharray"]) for one in lines}) == len(found)
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    for line in lines:
        for point in line["points"].split():
            across, down = map(float, point.split(","))
            assert 0 <= across <= width
            assert 0 <= down <= height
    style = picture.find(f"{SVG}style")
    assert style is not None
    assert "prefers-color-scheme:dark" in (style.text or "")


def test_the_program_prints_or_puts_into_the_documents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = tmp_path / "graph.json"
    graph.write_text(GRAPH.dumps())
    document, picture = tmp_path / "page.md", tmp_path / "page.svg"
    document.write_text(f"{report.BEGIN}\n{report.END}\n")
    monkeypatch.setattr(program, "DOCS", document)
    monkeypatch.setattr(program, "PLOT", picture)
    common = ["scale", "--graph", str(graph), "--latency", "0.25"]
    monkeypatch.setattr("sys.argv", common)
    assert program.main() == 0
    printed = capsys.readouterr().out
    assert "| seconds of an exchange | 0.25 |" in printed
    monkeypatch.setattr("sys.argv", [*common, "--docs"])
    assert program.main() == 0
    assert report.shown(document.read_text()) == printed
    assert picture.read_bytes().startswith(b"<?xml")
    monkeypatch.setattr("sys.argv", [*common, "--out", str(tmp_path), "--store", str(tmp_path)])
    assert program.main() == 2
    assert "no result of a build" in capsys.readouterr().err
