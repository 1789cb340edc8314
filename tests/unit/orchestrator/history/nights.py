"""Nights for tests: one of each kind, a whole month of them, and any that hypothesis thinks of."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from orchestrator.history.model import (
    Check,
    Consequence,
    Image,
    Input,
    InputChange,
    Machine,
    Night,
    Stage,
    StageName,
    Step,
    Tool,
    Varying,
)
from orchestrator.history.words import Word
from reproducibility import digest as digests

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.history.database import Begun, History
    from reproducibility.digest import Digest

STAGES: tuple[StageName, ...] = ("relock", "build", "audit", "boot", "verify")


def of(text: object) -> Digest:
    """The digest of a text: something that is known by it."""
    return digests.of_bytes(str(text).encode())


TOOL = Tool(version="1.0", digest=of("the program"))
LATER_TOOL = Tool(version="1.1", digest=of("the program, later"))


def step(name: str, key: object = "", outputs: object = "", **changes: Any) -> Step:  # noqa: ANN401 - fields
    """A step; what its key and its outputs are is known by a text, by default its name."""
    fields: dict[str, Any] = {
        "name": name,
        "kind": "action",
        "key": of(f"the key of {key or name}"),
        "outputs": of(f"the outputs of {outputs or name}"),
        "seconds": 12.5,
        "cached": True,
        "audited": None,
        "verdict": None,
        "others": (),
    }
    return Step(**(fields | changes))


STEPS = (
    step("T1/toolchain"),
    step("F1"),
    step("F2"),
    step("programs/amd64"),
    step("image", kind="computation"),
)


def night(number: int, word: Word = Word.UNCHANGED, **changes: Any) -> Night:  # noqa: ANN401 - fields
    """A night that built something and found nothing wrong, unless changes say otherwise."""
    date = str(dt.date(2026, 1, 1) + dt.timedelta(days=number - 1))
    fields: dict[str, Any] = {
        "number": number,
        "date": date,
        "began": f"{date}T02:00:00Z",
        "ended": f"{date}T02:06:12Z",
        "seconds": 372.25,
        "attempts": 1,
        "word": word,
        "line": word.meaning,
        "since": number,
        "previous": number - 1 or None,
        "tool": TOOL,
        "spec": of("spec"),
        "lock": of("lock"),
        "locked": "anew",
        "image": Image(blake3=of("image"), size=1_534_066_688),
        "verdict": "PASS",
        "stages": tuple(
            Stage(
                name=name, state="done", status=0, seconds=72.5, reason="",
                command=("orchestrate", name),
            )
            for name in STAGES
        ),
        "changes": (),
        "consequences": (),
        "varying": (),
        "steps": STEPS,
        "checks": (
            Check(stage="build", code="fixed-point.same", subject="amd64", verdict="PASS",
                  reason="14 files are the same"),
        ),
        "inputs": (
            Input(kind="go-module", name="go", host="", version="1.27.3", content=str(of("go"))),
        ),
        "machines": (
            Machine(platform="pc-bios", verdict="PASS", seconds=21.5,
                    commands={"ls -l /": 0.25, "date": 0.5}),
        ),
        "notes": (),
    }  # fmt: skip
    return Night(**(fields | changes))


def without_build(number: int, word: Word, **changes: Any) -> Night:  # noqa: ANN401 - fields
    """A night that came to no image."""
    nothing: dict[str, Any] = {
        **dict.fromkeys(("spec", "lock", "locked", "image", "verdict")),
        **dict.fromkeys(("stages", "steps", "checks", "inputs", "machines"), ()),
    }
    return night(number, word, **(nothing | changes))


def begin(history: History, made: Night) -> Begun:
    """Begin a night as often as it says that it was."""
    for _ in range(made.attempts - 1):
        history.begin(date=made.date, began=made.began, tool=made.tool)
    return history.begin(date=made.date, began=made.began, tool=made.tool)


def keep(history: History, nights: Sequence[Night]) -> None:
    """Begin and end nights; their numbers are those that the history gives."""
    for made in nights:
        assert begin(history, made).number == made.number
        history.end(made)


# -- a month ---------------------------------------------------------------------------------------

GUILTY = "programs/amd64"


def month() -> Iterator[Night]:
    """Thirty nights: inputs change on the 5th and 15th, a step is not deterministic between.

    It is seen on the 12th. A mirror is down on the 8th, a machine does not boot on the 20th, the
    tool is another one on the 24th and computes another image, and the clock jumps back by ten days
    on the 27th.
    """
    since, word, built = 1, None, None
    for number in range(1, 31):
        made = _changed(number)
        since = since if made.word is word else number
        word = made.word
        date = made.date if number < 27 else f"2026-01-{number - 10}"
        yield made.model_copy(update={"since": since, "previous": built, "date": date})
        built = number if made.image is not None else built


def _changed(number: int) -> Night:  # noqa: PLR0911 - a kind of night each
    tool = TOOL if number < 24 else LATER_TOOL
    steps = _steps(number)
    common: dict[str, Any] = {"tool": tool, "steps": steps}
    if number == 1:
        return night(number, Word.INPUTS_CHANGED, line="The first build", **common)
    if number in {5, 15}:
        change = InputChange(what="input tools", first="v1.1", second=f"v1.{number}", link="")
        result = Consequence(step=GUILTY, chain=("input tools", GUILTY))
        word = Word.INPUTS_CHANGED
        line = "Other inputs: input tools; 1 outputs changed with it"
        return night(number, word, line=line, changes=(change,), consequences=(result,), **common)
    if number == 8:
        failed = Stage(
            name="build", state="failed", status=4, seconds=31.0, reason="the mirror is down",
            command=("orchestrate", "build"),
        )  # fmt: skip
        line = "Build: the mirror is down, since night 8"
        return without_build(number, Word.INFRASTRUCTURE, line=line, stages=(failed,))
    if 12 <= number < 15:
        other = next(one for one in steps if one.name == GUILTY)
        varying = Varying(
            step=GUILTY, key=other.key, first=other.outputs, second=of("others"), seen="audit",
            first_night=12, cause="time", lines=("the smallest cause: time zone (4 runs)",),
        )  # fmt: skip
        word = Word.NOT_DETERMINISTIC
        line = f"Not deterministic: {GUILTY}, since night 12"
        return night(number, word, line=line, varying=(varying,), **common)
    if number == 20:
        check = Check(
            stage="boot", code="booted.no-prompt", subject="pc-bios", verdict="FAIL",
            reason="no prompt after 60 s",
        )  # fmt: skip
        line = "Boot: no prompt after 60 s, since night 20"
        machine = Machine(platform="pc-bios", verdict="FAIL", seconds=60.0, commands={})
        common |= {"checks": (check,), "machines": (machine,)}
        return night(number, Word.BOOT_FAILED, line=line, **common)
    if number == 24:
        change = InputChange(what="orchestrate", first="1.0", second="1.1", link="")
        return night(number, Word.TOOL_CHANGED, changes=(change,), **common)
    return night(number, **common)


def _steps(number: int) -> tuple[Step, ...]:
    epoch = sum(number >= first for first in (5, 15))
    audited: dict[str, Any] = {"audited": number, "verdict": "PASS"}
    if number == 12:
        audited |= {"verdict": "FAIL", "others": (of("others"),)}
    elif number in {13, 14}:
        audited = {"audited": 12, "verdict": "FAIL"}
    outputs = "the image" if number < 24 else "the image of another program"
    changed = (
        step(GUILTY, f"programs {epoch}", f"programs {epoch}", cached=False, **audited),
        step("image", f"the image {epoch}", f"{outputs} {epoch}", kind="computation"),
    )
    return (*STEPS[:3], *changed)


# -- any night -------------------------------------------------------------------------------------

_DIGESTS = st.binary(max_size=1).map(digests.of_bytes)
_TEXT = st.text(max_size=12)
_SOME = st.text(min_size=1, max_size=12)
_VERDICTS = st.sampled_from(["PASS", "SKIP", "FAIL"])
_SECONDS = st.floats(0, 1e9)
_NUMBERS = st.integers(1, 1 << 40)
_DATES = st.dates(dt.date(1970, 1, 1), dt.date(2099, 12, 31)).map(str)
_TIMES = st.builds(lambda date, hour: f"{date}T{hour:02}:59:00Z", _DATES, st.integers(0, 23))
_STAGE_NAMES = st.sampled_from(STAGES)


def _several(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(strategy, max_size=3).map(tuple)


_TEXTS = _several(_TEXT)
TOOLS = st.builds(Tool, version=_SOME, digest=_DIGESTS)
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "stages": st.builds(
        Stage, name=_STAGE_NAMES, state=st.sampled_from(["done", "failed", "left out"]),
        status=st.none() | st.integers(-255, 255), seconds=_SECONDS, reason=_TEXT, command=_TEXTS,
    ),
    "changes": st.builds(
        InputChange, what=_SOME, first=st.none() | _TEXT, second=st.none() | _TEXT, link=_TEXT
    ),
    "consequences": st.builds(Consequence, step=_SOME, chain=_TEXTS),
    "varying": st.builds(
        Varying, step=_SOME, key=_DIGESTS, first=st.none() | _DIGESTS, second=st.none() | _DIGESTS,
        seen=st.sampled_from(["build", "audit"]), first_night=_NUMBERS, cause=_TEXT, lines=_TEXTS,
    ),
    "steps": st.builds(
        Step, name=_SOME, kind=st.sampled_from(["action", "computation", "nothing"]), key=_DIGESTS,
        outputs=_DIGESTS, seconds=_SECONDS, cached=st.booleans(), audited=st.none() | _NUMBERS,
        verdict=st.none() | _VERDICTS, others=_several(_DIGESTS),
    ),
    "checks": st.builds(
        Check, stage=_STAGE_NAMES, code=_SOME, subject=_TEXT, verdict=_VERDICTS, reason=_TEXT
    ),
    "inputs": st.builds(
        Input, kind=_SOME, name=_SOME, host=_TEXT, version=_TEXT, content=_TEXT
    ),
    "machines": st.builds(
        Machine, platform=_SOME, verdict=_VERDICTS, seconds=_SECONDS,
        commands=st.dictionaries(_TEXT, _SECONDS, max_size=3),
    ),
}  # fmt: skip


def nights(number: int = 1) -> st.SearchStrategy[Night]:
    """Any night of a number."""
    return st.builds(
        Night,
        number=st.just(number),
        date=_DATES,
        began=_TIMES,
        ended=_TIMES,
        seconds=_SECONDS,
        attempts=st.just(1),
        word=st.sampled_from(Word),
        line=_SOME,
        since=_NUMBERS,
        previous=st.none() | _NUMBERS,
        tool=TOOLS,
        spec=st.none() | _DIGESTS,
        lock=st.none() | _DIGESTS,
        locked=st.none() | st.sampled_from(["anew", "the night before", "the project's lock"]),
        image=st.none() | st.builds(Image, blake3=_DIGESTS, size=st.integers(0, 1 << 50)),
        verdict=st.none() | _VERDICTS,
        notes=_TEXTS,
        **{name: _several(part) for name, part in PARTS.items()},
    )
