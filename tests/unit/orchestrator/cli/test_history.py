"""`orchestrate history`: the list of nights, one of them, where a step parted; wrong usage."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.cli.main import run
from orchestrator.cli.streams import _COLOURS
from orchestrator.history import model
from orchestrator.history.database import History
from orchestrator.history.header import FILE
from orchestrator.history.retention import Keep
from orchestrator.history.words import Word
from tests.nights import TOOL, keep, night, of, step, without_build
from tests.unit.orchestrator.history.nights import GUILTY, month

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.artifacts.model import Word as Verdict
    from orchestrator.history.model import Night

Captured = pytest.CaptureFixture[str]
ROOT = Path(__file__).resolve().parents[4]
MONTH = list(month())


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that is the default."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "nightly"


def fill(state: Path, nights: Sequence[Night] = (), rule: str = "") -> None:
    with History.open(state / FILE) as history:
        keep(history, nights)
        if rule:
            history.prune(Keep.parse(rule))


def told(capsys: Captured) -> list[str]:
    said = capsys.readouterr()
    assert said.err == ""
    return said.out.splitlines()


# -- the list --------------------------------------------------------------------------------------


def test_every_night_has_a_line_that_begins_with_its_word(state: Path, capsys: Captured) -> None:
    fill(state, MONTH, "9 nights")
    assert run(["history"]) == 0
    lines = told(capsys)
    shown = [re.split(r" {2,}", line, maxsplit=4) for line in lines[:30]]
    assert [line[:3] for line in shown] == [[one.word, str(one.number), one.date] for one in MONTH]
    assert shown[11][3:] == ["6 min 12 s", f"Not deterministic: {GUILTY}, since night 12"]
    assert lines[30:32] == ["", "30 nights, 5 of them bad; unchanged since night 25"]
    assert re.fullmatch(r"details of 9 nights are kept, in [0-9.]+ KiB", lines[32])
    # The colours are by those words.
    assert _COLOURS.keys() >= {*Word}


def test_the_list_is_short_unless_it_is_asked_for(state: Path, capsys: Captured) -> None:
    fill(state, [night(n, line="x" * 90) for n in range(1, 36)])
    assert run(["history"]) == 0
    lines = told(capsys)
    assert lines[0].split()[1] == "6"
    assert lines[29].endswith("  " + "x" * 72 + "...")
    assert lines[30:33] == [
        "and 5 before these; -v shows all",
        "",
        "35 nights, none of them bad; unchanged since night 35",
    ]
    assert run(["history", "-v"]) == 0
    lines = told(capsys)
    assert len(lines) == 35 + 3
    assert all(line.endswith("  " + "x" * 90) for line in lines[:35])


@pytest.mark.parametrize(
    ("since", "first"), [("28", 28), ("2026-01-19", 19), ("30", 30), ("0", 1), ("2025-12-31", 1)]
)
def test_since(state: Path, capsys: Captured, since: str, first: int) -> None:
    fill(state, MONTH)
    assert run(["history", "--since", since]) == 0
    numbers = [int(line.split()[1]) for line in told(capsys)[: 31 - first]]
    assert numbers == list(range(first, 31))
    assert run(["history", "--since", since, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["number"] for one in found["nights"]] == numbers


@pytest.mark.parametrize("since", ["31", "2026-02-01", "999999999999999999"])
def test_since_something_that_is_not_yet(state: Path, capsys: Captured, since: str) -> None:
    fill(state, MONTH)
    assert run(["history", "--since", since]) == 0
    assert told(capsys)[0] == "no night since then; the last one is night 30 of 2026-01-20"


def test_the_list_as_json(state: Path, capsys: Captured) -> None:
    fill(state, MONTH, "9 nights")
    began = "2026-01-21T02:00:00Z"
    with History.open(state / FILE) as history:
        for _ in range(2):
            history.begin(date="2026-01-21", began=began, tool=TOOL)
    assert run(["history", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.pop("bytes") > 0
    assert found == {
        "schema": 1,
        "nights": [one.summary().document() for one in MONTH],
        "kept": list(range(22, 31)),
        "going_on": {"number": 31, "attempts": 2, "date": "2026-01-21", "began": began},
    }
    assert run(["history"]) == 0
    assert "night 31 of 2026-01-21 was begun (2 times) and has not ended" in told(capsys)


def test_an_empty_history_says_so(state: Path, capsys: Captured) -> None:
    fill(state)
    assert run(["history"]) == 0
    assert told(capsys) == ["no night has ended yet"]
    assert run(["history", "show"]) == 2
    said = capsys.readouterr().err
    assert "error: no night has ended yet" in said
    assert "remedy: run `orchestrate nightly` to its end first" in said
    assert run(["history", "show", "1"]) == 2
    assert "there is no night 1" in capsys.readouterr().err
    assert run(["history", "bisect"]) == 0
    assert told(capsys) == ["SKIP  no night has built anything yet"]


def test_quiet_says_nothing(state: Path, capsys: Captured) -> None:
    fill(state, MONTH)
    statuses = [run(["history", *words, "-q"]) for words in ([], ["show"], ["bisect"])]
    assert statuses == [0, 0, 1]
    assert told(capsys) == []


# -- one night -------------------------------------------------------------------------------------


def test_a_bad_night_and_what_to_do(state: Path, capsys: Captured) -> None:
    fill(state, MONTH)
    assert run(["history", "show", "12"]) == 0
    lines = told(capsys)
    assert lines[0] == "night 12 of 2026-01-12, not-deterministic since night 12"
    assert f"FAIL  {GUILTY}: given the same, it made something else" in lines
    assert "      seen by an audit, first in night 12; class time" in lines
    assert "      steps    5; 4 remembered, 1 audited" in lines
    assert lines[-3] == f"FAIL  not-deterministic: Not deterministic: {GUILTY}, since night 12"
    assert lines[-2].startswith("      whose matter: ")
    assert "`orchestrate history bisect`" in lines[-1]


def test_what_changed_and_what_follows(state: Path, capsys: Captured) -> None:
    change = model.InputChange(
        what="input a", first=None, second="v2", link="https://example.org/v2"
    )
    chains = tuple(model.Consequence(step=f"s{n}", chain=("input a", f"s{n}")) for n in range(12))
    fill(state, [night(1, Word.INPUTS_CHANGED, changes=(change,), consequences=chains)])
    assert run(["history", "show"]) == 0
    lines = told(capsys)
    start = lines.index("      changed since the build before:")
    assert lines[start + 1] == "        input a: none -> v2  https://example.org/v2"
    assert lines[start + 2] == "      12 outputs changed with that:"
    assert lines[start + 12 : start + 15] == [
        "        input a -> s9", "        and 2 more; -v shows all", "",
    ]  # fmt: skip
    assert lines[-1] == f"PASS  inputs-changed: {Word.INPUTS_CHANGED.meaning}"
    assert run(["history", "show", "-v"]) == 0
    assert "        input a -> s11" in told(capsys)


def test_stages_that_failed_or_were_left_out(state: Path, capsys: Captured) -> None:
    def stage(name: model.StageName, state: model.State) -> model.Stage:
        return model.Stage(
            name=name, state=state, status=3, seconds=2.0, reason=f"the {name}",
            command=("orchestrate", name, "a b"),
        )  # fmt: skip

    stages = (stage("relock", "done"), stage("build", "failed"), stage("audit", "left out"))
    made = without_build(1, Word.BUILD_FAILED, stages=stages, notes=("a mirror was down",))
    fill(state, [made.model_copy(update={"attempts": 3})])
    assert run(["history", "show", "1"]) == 0
    lines = told(capsys)
    assert "      began    2026-01-01T02:00:00Z, took 6 min 12 s, begun 3 times" in lines
    assert "      note: a mirror was down" in lines
    start = lines.index("PASS  relock  2.0 s: the relock")
    assert lines[start + 1 : start + 4] == [
        "FAIL  build   failed: the build",
        "        orchestrate build 'a b'",
        "SKIP  audit   left out: the audit",
    ]


def test_everything_of_a_night(state: Path, capsys: Captured) -> None:
    given: list[tuple[str, Verdict]] = [
        ("x", "PASS"), ("", "SKIP"), ("y", "FAIL"), ("z", "PASS"),
    ]  # fmt: skip
    checks = tuple(
        model.Check(stage="build", code="a.b", subject=subject, verdict=verdict, reason="because")
        for subject, verdict in given
    )
    inputs = (
        model.Input(kind="python-wheel", name="go", host="amd64", version="1.26", content="c"),
    )
    fill(state, [night(1, Word.CHECK_FAILED, checks=checks, inputs=inputs)])
    assert run(["history", "show"]) == 0
    lines = told(capsys)
    assert "FAIL  build, a.b, y: because" in lines
    assert "      checks   2 PASS, 1 SKIP, 1 FAIL" in lines
    assert not any("because" in line for line in lines if not line.startswith("FAIL"))
    assert run(["history", "show", "-v"]) == 0
    lines = told(capsys)
    assert "PASS  build, a.b, x: because" in lines
    assert "SKIP  build, a.b: because" in lines
    assert "        python-wheel go for amd64 1.26" in lines
    assert f"        F1              {step('F1').outputs}  12.5 s" in lines
    assert "        orchestrate build" in lines


def test_a_night_whose_details_went(state: Path, capsys: Captured) -> None:
    fill(state, MONTH, "9 nights")
    assert run(["history", "show", "12"]) == 0
    lines = told(capsys)
    assert "      its steps, checks and inputs are kept no longer (`keep`)" in lines
    assert not any("steps  " in line for line in lines)
    assert f"FAIL  {GUILTY}: given the same, it made something else" in lines
    assert run(["history", "show", "12", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema": 1, "kept": False, "night": MONTH[11].summary().document(),
    }  # fmt: skip


def test_a_night_as_json(state: Path, capsys: Captured) -> None:
    fill(state, MONTH)
    assert run(["history", "show", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"schema": 1, "kept": True, "night": MONTH[-1].document()}
    assert model.parse(json.dumps(found["night"]).encode()) == MONTH[-1]


def test_a_night_by_its_date(state: Path, capsys: Captured) -> None:
    """The clock jumped back, so two nights are of the 18th."""
    fill(state, MONTH)
    assert run(["history", "show", "2026-01-05"]) == 0
    assert told(capsys)[0].startswith("night 5 of 2026-01-05, ")
    assert run(["history", "show", "2026-01-18"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("night 28 of 2026-01-18, ")
    assert said.err == "note: of that date there is more than one night; the others: 18\n"


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("31", "the nearest are 28, 29, 30"),
        ("0", "the nearest are 1, 2, 3"),
        ("2025-12-01", "the nearest are 1 of 2026-01-01, 2 of 2026-01-02, 3 of 2026-01-03"),
        ("2026-02-01", "24 of 2026-01-24, 25 of 2026-01-25, 26 of 2026-01-26"),
    ],
)
def test_a_night_that_is_not_there(state: Path, capsys: Captured, named: str, words: str) -> None:
    fill(state, MONTH)
    assert run(["history", "show", named]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: there is no night ")
    assert words in said
    assert run(["history", "show", named, "--json"]) == 2
    assert words in json.loads(capsys.readouterr().out)["error"]["remedy"]


# -- bisection -------------------------------------------------------------------------------------


def test_bisection_names_the_night_and_the_step(state: Path, capsys: Captured) -> None:
    fill(state, MONTH)
    guilty = MONTH[11].steps[3]
    assert run(["history", "bisect"]) == 1
    assert told(capsys) == [
        f"FAIL  {GUILTY} came out otherwise in night 12 of 2026-01-12",
        f"      given the same   {guilty.key}",
        f"      gave before      {guilty.outputs}",
        f"      and then         {of('others')}, seen by an audit of that night",
        "      seen until       night 12 of 2026-01-12; the step is given something else now",
        "      more of it       orchestrate history show 12",
    ]
    assert run(["history", "bisect", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "schema": 1,
        "night": 30,
        "partings": [
            {
                "step": GUILTY,
                "place": 3,
                "key": str(guilty.key),
                "night": 12,
                "before": str(guilty.outputs),
                "after": str(of("others")),
                "seen": "audit",
                "until": 12,
                "now": "not built any more",
            }
        ],
    }


@pytest.mark.parametrize("since", ["13", "2026-01-13"])
def test_bisection_of_the_nights_since(state: Path, capsys: Captured, since: str) -> None:
    fill(state, MONTH)
    assert run(["history", "bisect", "--since", since]) == 0
    what = "nothing that was given the same came out otherwise"
    assert told(capsys) == [f"PASS  {what}, as far as it is kept, until night 30"]


@pytest.mark.parametrize("since", ["31", "2026-02-01"])
def test_bisection_of_no_night_is_no_success(state: Path, capsys: Captured, since: str) -> None:
    fill(state, MONTH)
    assert run(["history", "bisect", "--since", since]) == 0
    assert told(capsys) == ["SKIP  no night since then; the last one is night 30 of 2026-01-20"]


def test_bisection_with_several_steps(state: Path, capsys: Captured) -> None:
    steps = [step(f"s{n}") for n in range(12)]
    others = [step(f"s{n}", outputs="else") for n in range(12)]
    fill(state, [night(1, steps=tuple(steps)), night(2, steps=tuple(others))])
    assert run(["history", "bisect"]) == 1
    lines = told(capsys)
    assert lines[0] == "FAIL  s0 came out otherwise in night 2 of 2026-01-02"
    assert lines[3].endswith(", seen by the build of that night")
    assert lines[4].endswith("night 2 of 2026-01-02; the last build still has it")
    assert lines[7] == "      11 other steps came out otherwise then or later:"
    assert lines[8] == "        s1   night 2 of 2026-01-02; the last build still has it"
    assert lines[-1] == "        and 3 more; -v shows all"
    assert run(["history", "bisect", "-v"]) == 1
    assert len(told(capsys)) == 8 + 11


# -- usage -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["show"], ["bisect"]])
def test_a_folder_without_a_history(state: Path, capsys: Captured, words: list[str]) -> None:
    assert run(["history", *words, "--state", "elsewhere"]) == 2
    said = capsys.readouterr().err
    assert "error: there is no history of nights" in said
    assert f"where: {state.parent / 'elsewhere' / FILE}" in said
    assert "--state" in said
    assert run(["history", *words]) == 2
    assert not state.exists()


def test_another_folder(state: Path, tmp_path: Path, capsys: Captured) -> None:
    fill(tmp_path / "other", MONTH[:1])
    assert run(["history", "show", "--state", "other"]) == 0
    assert told(capsys)[0].startswith("night 1 of 2026-01-01")
    assert not state.exists()


@pytest.mark.parametrize(
    "words",
    [
        ["show", "foo"],
        ["show", "2026-13-01"],
        ["show", "-1"],
        ["--since", "yesterday"],
        ["--since", "2026-1-1"],
        ["--since", "٣"],
        ["bisect", "--since", ""],
        ["show", "12", "13"],
        ["blame"],
        ["--state", "x", "show", "1"],
        ["--json", "bisect"],
    ],
)
def test_wrong_usage(state: Path, capsys: Captured, words: list[str]) -> None:
    fill(state, MONTH[:1])
    assert run(["history", *words]) == 2
    said = capsys.readouterr()
    assert "`orchestrate history --help` says what there is" in said.err + said.out


def test_options_before_a_subcommand_are_refused_in_words(state: Path, capsys: Captured) -> None:
    fill(state, MONTH[:1])
    assert run(["history", "-q", "show", "1"]) == 2
    assert "options of `show` are given after it: `history show ...`" in capsys.readouterr().err


def test_a_damaged_history_is_status_4(state: Path, capsys: Captured) -> None:
    fill(state, MONTH)
    (state / FILE).write_bytes(b"not at all")
    assert run(["history"]) == 4
    assert "error: the history is no SQLite database" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["history", "history show", "history bisect"])
def test_help(command: str, capsys: Captured) -> None:
    assert run([*command.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    for word in ("Usage: orchestrate", "--state", "--json", "--quiet", "Examples", "Exit status"):
        assert word in shown
    assert shown.count(f"orchestrate {command}") >= 3


def test_text_of_others_is_no_line_of_ours(state: Path, capsys: Captured) -> None:
    fill(state, [night(1, line="a\nPASS  b", notes=("c\nFAIL  d",))])
    for words in (["history"], ["history", "show"]):
        assert run(words) == 0
        lines = told(capsys)
        assert any(line.endswith("a\\nPASS  b") for line in lines)
        assert not {"PASS  b", "FAIL  d"} & {*lines}


# -- the document ----------------------------------------------------------------------------------

SHOWN = re.compile(r"(?ms)^```console\n\$ orchestrate (history[^\n]*)\n(.*?)^```$")


def masked(text: str) -> str:
    """A text without the size of the file, which depends on SQLite."""
    return re.sub(r"in [0-9.]+ KiB", "in N KiB", text)


def test_the_document_shows_what_is_said(state: Path, capsys: Captured) -> None:
    text = (ROOT / "docs" / "history.md").read_text("utf-8")
    shown = SHOWN.findall(text)
    assert len(shown) >= 3
    fill(state, MONTH)
    for command, output in shown:
        run(command.split())
        assert masked(capsys.readouterr().out) == masked(output)
