"""The month that docs/history.md tells of, and any night that hypothesis thinks of."""

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
    Step,
    Tool,
    Varying,
)
from orchestrator.history.words import Word
from reproducibility import digest as digests
from tests.nights import (
    LATER_TOOL,
    STAGES,
    STEPS,
    TOOL,
    change,
    check,
    consequence,
    machine,
    night,
    of,
    stage,
    step,
    varying,
    without_build,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        changed = change(what="input tools", first="v1.1", second=f"v1.{number}", link="")
        result = consequence(step=GUILTY, chain=("input tools", GUILTY))
        word = Word.INPUTS_CHANGED
        line = "Other inputs: input tools; 1 outputs changed with it"
        return night(number, word, line=line, changes=(changed,), consequences=(result,), **common)
    if number == 8:
        failed = stage(state="failed", status=4, seconds=31.0, reason="the mirror is down")
        line = "Build: the mirror is down, since night 8"
        return without_build(number, Word.INFRASTRUCTURE, line=line, stages=(failed,))
    if 12 <= number < 15:
        other = next(one for one in steps if one.name == GUILTY)
        varies = varying(
            step=GUILTY, key=other.key, first=other.outputs, second=of("others"),
            first_night=12, lines=("the smallest cause: time zone (4 runs)",),
        )  # fmt: skip
        word = Word.NOT_DETERMINISTIC
        line = f"Not deterministic: {GUILTY}, since night 12"
        return night(number, word, line=line, varying=(varies,), **common)
    if number == 20:
        failing = check(
            stage="boot", code="booted.no-prompt", subject="pc-bios", verdict="FAIL",
            reason="no prompt after 60 s",
        )  # fmt: skip
        line = "Boot: no prompt after 60 s, since night 20"
        down = machine(verdict="FAIL", seconds=60.0, commands={})
        common |= {"checks": (failing,), "machines": (down,)}
        return night(number, Word.BOOT_FAILED, line=line, **common)
    if number == 24:
        changed = change(what="orchestrate", first="1.0", second="1.1", link="")
        return night(number, Word.TOOL_CHANGED, changes=(changed,), **common)
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
