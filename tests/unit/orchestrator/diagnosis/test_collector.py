"""What is kept of many findings: the first one, and those that say most; all are counted."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.diagnosis import files
from orchestrator.diagnosis.model import UNKNOWN, Cause, Collector, Judgement, Limits, Sureness
from orchestrator.diagnosis.source import Memory, Pair

CLEAR = Judgement(Cause.TIME, Sureness.CERTAIN, "a clock")
GUESS = Judgement(Cause.TIME, Sureness.POSSIBLE, "perhaps a clock")
SIDES = ("one", "other")


def say(to: Collector, path: str, judged: Judgement = UNKNOWN, kind: str = "") -> None:
    to.say(path, "there", judged, SIDES, kind=kind)


def paths(to: Collector) -> list[str]:
    return [one.path for one in to.diagnosis().findings]


def test_a_cause_behind_many_unknown_findings_takes_the_place_of_one() -> None:
    to = Collector(Limits(findings=3))
    for number in range(5):
        say(to, f"u{number}")
    say(to, "guess", GUESS)
    say(to, "clear", CLEAR)
    told = to.diagnosis()
    assert paths(to) == ["u0", "guess", "clear"]
    assert (told.total, told.main and told.main.path) == (7, "clear")
    say(to, "more", CLEAR)
    say(to, "last", CLEAR)
    # The first difference stays, and of those that say as much, those that lie first.
    assert paths(to) == ["u0", "clear", "more"]


def test_a_cause_is_not_lost_behind_others_of_its_kind() -> None:
    to = Collector(Limits(each=2))
    for _ in range(4):
        say(to, "f", kind="k")
    say(to, "other", kind="k")
    say(to, "f", CLEAR, kind="k")
    told = to.diagnosis()
    assert [(one.path, one.cause.value) for one in told.findings] == [
        ("f", "unknown"), ("other", "unknown"), ("f", "time"),
    ]  # fmt: skip
    assert told.total == 6


def test_what_was_said_is_seen_where_nothing_more_is_kept() -> None:
    to = Collector(Limits(findings=2))
    for number in range(3):
        say(to, f"u{number}")
    mark = to.mark()
    assert not to.since(mark)
    say(to, "more")
    assert [one.path for one in to.since(mark)] == ["more"]
    inner = to.mark()
    assert not to.since(inner)
    to.drop(mark)
    assert (to.total, to.since(mark), paths(to)) == (3, [], ["u0", "u1"])


def test_findings_of_a_kind_that_are_not_kept_are_dropped_with_the_others() -> None:
    to = Collector(Limits(each=1))
    mark = to.mark()
    for _ in range(3):
        say(to, "f", kind="k")
    to.drop(mark)
    assert (to.total, to.findings) == (0, [])


def test_only_findings_after_a_place_are_revised_though_others_give_way() -> None:
    to = Collector(Limits(findings=3))
    for number in range(3):
        say(to, f"u{number}")
    mark = to.mark()
    say(to, "guess", GUESS)
    say(to, "clear", CLEAR)
    to.revise(mark, lambda one: replace(one, where="elsewhere"))
    assert [(one.path, one.where) for one in to.findings] == [
        ("u0", "there"), ("guess", "elsewhere"), ("clear", "elsewhere"),
    ]  # fmt: skip
    to.follow(mark)
    assert [one.follows for one in to.findings] == [False, True, True]
    # What follows says less than what is unknown.
    say(to, "u9")
    assert paths(to) == ["u0", "clear", "u9"]


def test_a_file_is_explained_once_where_no_room_is_left() -> None:
    """Nothing kept of a file did look like nothing said: it was looked at as a text, too."""
    totals = []
    for findings in (2, 200):
        to = Collector(Limits(findings=findings))
        say(to, "u")
        say(to, "v")
        for number in range(3):
            first, second = (
                f"foo {number}\n".encode() * 3,
                f"bar {number}\n".encode() * 3,
            )
            files.explain(Pair(f"f{number}", Memory(first), Memory(second)), to)
        totals.append(to.total)
    assert totals[0] == totals[1]
