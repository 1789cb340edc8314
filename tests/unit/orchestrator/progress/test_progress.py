from __future__ import annotations

import io
import re
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from orchestrator import progress
from orchestrator.progress.board import Board, Count, Running, Stage, clock_face, many
from orchestrator.progress.inputs import InputEvents
from orchestrator.progress.live import LiveProgress
from orchestrator.progress.plain import PlainProgress, SilentProgress
from orchestrator.progress.tree import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STEPS = [("t1", "T1", "amd64"), ("f1", "F1", "amd64"), ("f2", "F2", "amd64")]


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def plain(*, verbose: bool = False) -> tuple[PlainProgress, io.StringIO]:
    stream = io.StringIO()
    noon = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
    return PlainProgress(stream, verbose=verbose, clock=lambda: noon), stream


def test_board_counts_steps_by_stage() -> None:
    clock = Clock()
    board = Board(clock)
    board.planned(STEPS)
    board.finished("t1", cached=True, seconds=0)
    board.started("f1")
    clock.seconds = 7
    assert board.count() == Count("step", 3, 1, 1)
    assert board.stages() == [
        Stage("T1", 1, 1, 1, 0.0, ()),
        Stage("F1", 1, 0, 0, 0.0, (Running("amd64", 7.0),)),
        Stage("F2", 1, 0, 0, 0.0, ()),
    ]
    assert [stage.state for stage in board.stages()] == ["done", "running", "waiting"]


def test_board_takes_a_step_that_nobody_planned() -> None:
    board = Board()
    board.started("inputs/fetching go 1.27.3")
    (stage,) = board.stages()
    assert (stage.name, stage.running[0].subject) == ("inputs", "fetching go 1.27.3")
    assert (stage.state, stage.total) == ("running", 0)
    assert board.count("input").total == 0


def test_board_keeps_what_happened_to_a_step_that_is_planned_afterwards() -> None:
    board = Board()
    board.finished("t1", cached=False, seconds=1)
    board.planned(STEPS)
    assert board.count() == Count("step", 3, 1, 0)


def test_plain_lines_have_the_time_and_fold_remembered_steps() -> None:
    shown, stream = plain()
    with shown:
        shown.planned(STEPS)
        shown.finished("t1", cached=True, seconds=0)
        shown.finished("f1", cached=True, seconds=0)
        shown.started("f2")
        shown.note("a note")
        shown.finished("f2", cached=False, seconds=80.25)
    assert stream.getvalue().splitlines() == [
        "2026-01-02T12:00:00Z planned     3 steps in 3 stages",
        "2026-01-02T12:00:00Z remembered  2 steps",
        "2026-01-02T12:00:00Z started     F2 (amd64)",
        "2026-01-02T12:00:00Z note        a note",
        "2026-01-02T12:00:00Z finished    F2 (amd64), 80.2 s [3 of 3 steps]",
    ]


def test_plain_says_remembered_steps_at_the_end() -> None:
    shown, stream = plain()
    with shown:
        shown.finished("t1", cached=True, seconds=0)
    assert stream.getvalue().endswith("remembered  1 step\n")


def test_verbose_plain_names_remembered_steps() -> None:
    shown, stream = plain(verbose=True)
    with shown:
        shown.planned(STEPS)
        shown.finished("t1", cached=True, seconds=0)
    assert "remembered  T1 (amd64)" in stream.getvalue()


def test_plain_does_not_stop_the_work_when_nobody_reads() -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

    with PlainProgress(Gone()) as shown:
        shown.planned(STEPS)
        shown.started("t1")


def test_plain_lines_of_many_threads_stay_whole() -> None:
    shown, stream = plain()
    names = [f"step/{number}" for number in range(200)]

    def work(part: Sequence[str]) -> None:
        for name in part:
            shown.started(name)
            shown.finished(name, cached=False, seconds=0.1)

    with shown:
        threads = [threading.Thread(target=work, args=(names[at::4],)) for at in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 400
    assert all(line.startswith("2026-01-02T12:00:00Z ") for line in lines)


def test_silence_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    with SilentProgress() as shown:
        shown.planned(STEPS)
        shown.started("t1")
        shown.finished("t1", cached=False, seconds=1)
        shown.note("nothing")
    assert capfd.readouterr() == ("", "")


def live(width: int = 80, height: int = 24) -> tuple[LiveProgress, Console, Clock]:
    clock = Clock()
    console = Console(
        file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None
    )
    return LiveProgress(console, title="orchestrate build", now=clock), console, clock


def drawn(shown: LiveProgress, console: Console) -> list[str]:
    with console.capture() as capture:
        console.print(shown.draw())
    return capture.get().rstrip("\n").split("\n")


def test_live_tree_shows_stages_running_steps_and_times() -> None:
    shown, console, clock = live()
    shown.planned(STEPS)
    shown.finished("t1", cached=True, seconds=0)
    shown.started("f1")
    clock.seconds = 125
    lines = drawn(shown, console)
    assert " ".join(lines[0].split()) == "orchestrate build 1 of 3 steps, 1 remembered 2:05"
    assert [line.split()[1] for line in lines[1:]] == ["T1", "F1", "amd64", "F2"]
    assert "1 of 1, 1 remembered" in lines[1]
    assert lines[3].rstrip().endswith("2:05")


@pytest.mark.parametrize(("width", "height"), [(80, 24), (80, 10), (40, 24), (20, 3), (200, 60)])
def test_live_tree_is_never_larger_than_the_terminal(width: int, height: int) -> None:
    shown, console, clock = live(width, height)
    shown.planned(
        [(f"{s}/{n}", f"stage {s}", f"subject {n} " + "x" * n) for s in range(30) for n in range(9)]
    )
    for stage in range(14):
        for number in range(9):
            shown.finished(f"{stage}/{number}", cached=number < 4, seconds=100.0)
    for number in range(9):
        shown.started(f"14/{number}")
        shown.started(f"15/{number}")
    clock.seconds = 5000
    lines = drawn(shown, console)
    assert len(lines) <= height - 1
    assert max(len(line) for line in lines) <= width


def test_live_tree_folds_finished_stages_into_counts() -> None:
    shown, console, _ = live(80, 8)
    shown.planned([(f"s{n}", f"stage {n}", "x") for n in range(12)])
    for number in range(9):
        shown.finished(f"s{number}", cached=number < 5, seconds=10)
    shown.started("s9")
    lines = drawn(shown, console)
    assert "9 stages done" in lines[1]
    assert "9 steps, 5 remembered" in lines[1]
    assert "40 s" in lines[1]
    assert "stage 9" in lines[2]


def test_live_tree_marks_what_did_not_end() -> None:
    shown, console, _ = live()
    with shown:
        shown.planned(STEPS)
        shown.started("t1")
    assert [line.strip()[0] for line in drawn(shown, console)[1:3]] == [
        "\N{MULTIPLICATION SIGN}"
    ] * 2


def test_live_tree_says_that_it_is_stopping() -> None:
    stop = threading.Event()
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    shown = LiveProgress(console, title="orchestrate build", stop=stop)
    assert "stopping" not in drawn(shown, console)[0]
    stop.set()
    assert "stopping" in drawn(shown, console)[0]


def test_live_tree_takes_a_note_with_brackets_as_it_is() -> None:
    shown, console, _ = live()
    with console.capture() as capture, shown:
        shown.note("left out: [bold]x[/bold]")
    assert "left out: [bold]x[/bold]" in capture.get()


@given(
    st.lists(
        st.tuples(st.integers(1, 20), st.integers(0, 20), st.integers(0, 5), st.booleans()),
        max_size=40,
    ),
    st.integers(0, 30),
    st.booleans(),
)
def test_folding_keeps_to_the_height_and_loses_nothing_in_silence(
    shapes: list[tuple[int, int, int, bool]], height: int, stopped: bool
) -> None:
    stages = [
        Stage(
            f"stage {at}",
            total,
            min(done, total),
            min(done, total) if cached else 0,
            1.0,
            tuple(Running("x", 1.0) for _ in range(min(running, total - min(done, total)))),
        )
        for at, (total, done, running, cached) in enumerate(shapes)
    ]
    rows = fold(stages, height, stopped=stopped)
    assert len(rows) <= height
    text = " ".join(row.name for row in rows)
    if height and len(rows) < sum(1 + len(stage.running) for stage in stages):
        assert "more" in text or "done" in text or "to come" in text


def test_input_events_become_steps() -> None:
    clock = Clock()
    shown, stream = plain()
    events = InputEvents(shown, clock)
    with shown:
        events.started("go 1.27.3", "fetching")
        clock.seconds = 3
        events.retrying("go 1.27.3", "a time-out", 2.2)
        events.finished("go 1.27.3")
    assert [line.partition(" ")[2] for line in stream.getvalue().splitlines()] == [
        "started     inputs (fetching go 1.27.3)",
        "note        go 1.27.3: trying again in 2 s, because: a time-out",
        "finished    inputs (fetching go 1.27.3), 3.0 s",
    ]


LABELS = ["go 1.27.3", "uname 1.37", "tools v1"]


def bring(events: InputEvents, clock: Clock) -> None:
    """One input is there, one is fetched and unpacked, one only vendored."""
    events.expected(LABELS)
    events.settled("uname 1.37")
    for doing in ("fetching", "unpacking"):
        events.started("go 1.27.3", doing)
        clock.seconds += 2
        events.finished("go 1.27.3")
    events.settled("go 1.27.3")
    events.started("tools v1", "vendoring")
    events.finished("tools v1")
    events.settled("tools v1")


def test_inputs_are_counted_among_those_that_there_will_be() -> None:
    clock = Clock()
    shown, stream = plain()
    with shown:
        bring(InputEvents(shown, clock), clock)
        shown.planned(STEPS)
        shown.started("t1")
        shown.finished("t1", cached=False, seconds=1)
    assert [line.partition(" ")[2] for line in stream.getvalue().splitlines()] == [
        "planned     3 inputs",
        "remembered  1 input",
        "started     inputs (fetching go 1.27.3)",
        "finished    inputs (fetching go 1.27.3), 2.0 s",
        "started     inputs (unpacking go 1.27.3)",
        "finished    inputs (unpacking go 1.27.3), 2.0 s",
        "finished    inputs (go 1.27.3), 4.0 s [2 of 3 inputs]",
        "started     inputs (vendoring tools v1)",
        "finished    inputs (vendoring tools v1), 0.0 s",
        "finished    inputs (tools v1), 0.0 s [3 of 3 inputs]",
        "planned     3 steps in 3 stages",
        "started     T1 (amd64)",
        "finished    T1 (amd64), 1.0 s [1 of 3 steps]",
    ]


def test_no_count_on_the_terminal_grows() -> None:
    shown, console, clock = live()
    seen: dict[str, set[int]] = {}

    def look() -> None:
        for line in drawn(shown, console):
            for name, total, what in re.findall(
                r"(orchestrate build|inputs|T1).* \d+ of (\d+)(?: (input|step)s)?", line
            ):
                seen.setdefault(f"{name} {what}", set()).add(int(total))

    class Observer:
        def __getattr__(self, name: str) -> Callable[..., None]:
            def told(*given: Any, **named: Any) -> None:  # noqa: ANN401 - passed on
                getattr(shown, name)(*given, **named)
                look()

            return told

    bring(InputEvents(cast("LiveProgress", Observer()), clock), clock)
    shown.planned(STEPS)
    shown.started("t1")
    look()
    assert seen == {
        "orchestrate build input": {3},
        "inputs ": {3},
        "orchestrate build step": {3},
        "T1 ": {1},
    }


def test_choice_of_the_form() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert isinstance(progress.choose(io.StringIO(), title="x"), PlainProgress)
    assert isinstance(progress.choose(Terminal(), title="x", quiet=True), SilentProgress)
    assert isinstance(progress.choose(Terminal(), title="x", verbose=True), PlainProgress)


def test_choice_of_the_form_by_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(progress.choose(Terminal(), title="x"), LiveProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress.choose(Terminal(), title="x"), PlainProgress)
    closed = io.StringIO()
    closed.close()
    assert isinstance(progress.choose(closed, title="x"), PlainProgress)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (60, "1:00"),
        (3723, "1:02:03"),
    ],
)
def test_times_as_people_write_them(seconds: float, text: str) -> None:
    assert clock_face(seconds) == text


def test_plurals() -> None:
    assert (many(1, "step"), many(2, "step")) == ("1 step", "2 steps")
