"""What an audit is asked for: variations as reprotest has them, a budget, what excludes what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from containers.engine import Identity
from orchestrator.audit.request import Request, near, seconds, selected, surprise
from reproducibility import digest
from reproducibility.errors import InputError
from reproducibility.variations import NAMES

REQUEST = Request(Path("s"), Path("l"), Path("o"), Path("t"), "auto")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", set(NAMES)),
        ("+all", set(NAMES)),
        ("all", set(NAMES)),
        ("-user", set(NAMES) - {"user"}),
        ("+all,-user", set(NAMES) - {"user"}),
        ("-user,-host", set(NAMES) - {"user", "host"}),
        ("-user -host", set(NAMES) - {"user", "host"}),
        ("-all", set()),
        ("-all,+host", {"host"}),
        ("-all,host,user", {"host", "user"}),
        ("-all,+host,-host", set()),
        ("-user,+user", set(NAMES)),
        (" -all , +host ,, ", {"host"}),
    ],
)
def test_variations_are_selected_one_after_the_other(text: str, names: set[str]) -> None:
    found = selected(text)
    assert set(found) == names
    assert list(found) == [name for name in NAMES if name in names]


@pytest.mark.parametrize("text", ["nothing", "-all,+hosts", "+", "--user", "+all;-user", "@host"])
def test_an_unknown_variation_is_refused_with_those_that_there_are(text: str) -> None:
    with pytest.raises(InputError) as caught:
        selected(text)
    assert caught.value.status == 2
    assert all(name in caught.value.remedy for name in NAMES)


@pytest.mark.parametrize("text", ["+all", "all", "-user", "-all,+host", "-all host", "-host,+host"])
def test_what_chooses_as_it_reads_surprises_nobody(text: str) -> None:
    assert surprise(text) == ""


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        ("host", "--vary -all,+host"),
        ("+host,+user", "--vary -all,+host,+user"),
        ("-order,host", "--vary -all,+host"),
        ("", "--vary -all,+host"),
        (" , ", "--vary -all,+host"),
    ],
)
def test_what_takes_in_what_is_in_already_is_told_of(text: str, alone: str) -> None:
    words = surprise(text)
    assert words.endswith(alone)
    assert f"chooses {len(selected(text))} variations" in words


def test_names_like_a_pattern_are_offered() -> None:
    names = ["T1/dist", "commands/amd64/std", "commands/arm64/std", "cross/arm64"]
    assert near(["comands/*"], names)[0].startswith("commands/")
    assert near(["commands/amd64"], names)[:2] == ["commands/amd64/std", "commands/arm64/std"]
    assert near(["arm64"], names) == ["cross/arm64", "commands/arm64/std"]
    assert near(["T1/dst"], names) == ["T1/dist"]
    assert near(["*"], names) == []
    assert near(["zzzz"], names) == []


@pytest.mark.parametrize(
    ("text", "found"), [("90s", 90), ("30m", 1800), ("2h", 7200), (" 1m ", 60)]
)
def test_lengths_of_time(text: str, found: int) -> None:
    assert seconds(text) == found


@pytest.mark.parametrize(
    "text", ["", "30", "m", "0s", "-1m", "1.5h", "1d", "1m30s", "9" * 99 + "s"]
)
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="length of time"):
        seconds(text)


def test_patterns_choose_steps_by_name() -> None:
    assert REQUEST.wants("F1")
    chosen = replace(REQUEST, only=("commands/*", "F?"))
    names = ("commands/a/amd64/0", "F1", "F2", "T1/dist", "commands")
    assert [name for name in names if chosen.wants(name)] == ["commands/a/amd64/0", "F1", "F2"]


@pytest.mark.parametrize(
    ("option", "changes"),
    [
        ("--only", {"only": ("F1",)}),
        ("--budget", {"budget": 1}),
        ("--bisect", {"bisect": True}),
        ("--rounds", {"rounds": 2}),
    ],
)
def test_the_whole_is_not_asked_for_in_parts(option: str, changes: dict[str, object]) -> None:
    one = replace(REQUEST, **changes)  # type: ignore[arg-type]
    one.check()
    with pytest.raises(InputError, match=option):
        replace(one, whole=True).check()
    replace(REQUEST, whole=True).check()


SANDBOX = Identity("sandbox", "here", "1")
RESULT = digest.of_bytes(b"result")


def test_another_request_has_another_key() -> None:
    usual: list[dict[str, str | int]] = [{"host": "h"}]
    keys = [
        REQUEST.key(RESULT, SANDBOX, usual),
        REQUEST.key(digest.of_bytes(b"another"), SANDBOX, usual),
        REQUEST.key(RESULT, Identity("docker", "here", "1"), usual),
        REQUEST.key(RESULT, Identity("sandbox", "another kernel", "1"), usual),
        REQUEST.key(RESULT, SANDBOX, [*usual, {}]),
        replace(REQUEST, vary=("host",)).key(RESULT, SANDBOX, usual),
        replace(REQUEST, only=("a",)).key(RESULT, SANDBOX, usual),
        replace(REQUEST, bisect=True).key(RESULT, SANDBOX, usual),
        replace(REQUEST, whole=True).key(RESULT, SANDBOX, usual),
        replace(REQUEST, root="gcc").key(RESULT, SANDBOX, usual),
        REQUEST.key(RESULT, SANDBOX, usual, ("arm64",)),
        REQUEST.key(RESULT, SANDBOX, usual, ("riscv64",)),
    ]
    assert len(set(keys)) == len(keys)
    # How long it may take, and how many at once, is no other audit.
    assert replace(REQUEST, budget=1, jobs=7).key(RESULT, SANDBOX, usual) == keys[0]
