"""A month of nights for tests, in which every word comes up, for the pages that are shown of it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from orchestrator.history.model import Image
from orchestrator.history.words import Word
from tests.nights import (
    LATER_TOOL,
    STAGES,
    TOOL,
    change,
    check,
    consequence,
    machine,
    nights,
    of,
    stage,
    step,
    varying,
)

if TYPE_CHECKING:
    from orchestrator.history.model import Night, Stage, Step

# The date of its night 1; each further one is a day later.
FIRST = date(2026, 3, 1)
_SECONDS = {
    "T1/dist": 64.5, "T1/toolchain": 212.0, "F1": 498.25, "std/amd64": 371.0, "F2": 512.5,
    "cross/riscv64": 655.0, "commands/amd64/0": 143.0,
}  # fmt: skip
_OF_STAGES = {"relock": 4.5, "build": 2456.0, "audit": 1795.0, "boot": 96.0, "verify": 12.25}
_CHECKS = (
    *(check(subject=subject) for subject in ("amd64", "arm64", "riscv64")),
    check(
        code="release.absent-record",
        subject="riscv64",
        verdict="SKIP",
        reason="the public log has no record",
    ),
)
_LINES = {
    Word.NOT_DETERMINISTIC: "commands/amd64/0 made something else from the same: time (certain)",
    Word.CHECK_FAILED: "cross by F1 == cross by F2, riscv64: 3 paths differ",
    Word.BUILD_FAILED: "std/amd64 failed: undefined: unix.Fsopen",
    Word.BOOT_FAILED: "riscv64-uefi: no prompt within 300 s",
    Word.INFRASTRUCTURE: "the mirror of Debian packages did not answer",
    Word.INPUTS_CHANGED: "u-root v0.15.0 -> v0.16.0; 14 of 97 outputs changed, all follow from it",
    Word.TOOL_CHANGED: "orchestrate 1.0 -> 1.1; 2 of 97 outputs changed, all follow from it",
    Word.UNCHANGED: "97 outputs as in the night before; 31 of 97 actions audited",
}
_MONTH = {
    4: Word.INPUTS_CHANGED, 7: Word.INFRASTRUCTURE, 8: Word.INFRASTRUCTURE,
    9: Word.INFRASTRUCTURE, 12: Word.NOT_DETERMINISTIC, 13: Word.NOT_DETERMINISTIC,
    14: Word.NOT_DETERMINISTIC, 15: Word.INPUTS_CHANGED, 17: Word.CHECK_FAILED,
    20: Word.BOOT_FAILED, 21: Word.INPUTS_CHANGED, 23: Word.BUILD_FAILED, 25: Word.TOOL_CHANGED,
    30: Word.INPUTS_CHANGED,
}  # fmt: skip


def month(last: int = 31) -> list[Night]:
    """A made-up month: of each word something, and what goes with it.

    Night 26 began a second time on the day of night 25; night 28 has a clock that jumped back.
    """
    those = nights([_MONTH.get(number, Word.UNCHANGED) for number in range(1, last + 1)])
    return [_of_month(one) for one in those]


def _of_month(made: Night) -> Night:
    number = made.number
    when = FIRST + timedelta(days=number - 1)
    one = made.model_copy(
        update={
            "date": f"{when}",
            "began": f"{when}T03:00:00Z",
            "ended": f"{when}T04:12:45Z",
            "seconds": 4365.0,
            "line": _LINES[made.word],
            "checks": _CHECKS,
        }
    )
    # Something that goes up and down, and a step up in between.
    more = 1 + number * 7 % 5 / 50 + (0.15 if number > 15 else 0)
    size = 1_787_822_080 + (number > 15) * 58_720_256 + (number > 21) * 12_582_912
    more_of_it: dict[str, Any] = {
        "stages": _stages(one, more),
        "image": Image(blake3=of(f"image {size}"), size=size),
        "steps": _steps(one, more),
        "machines": tuple(
            machine(
                platform=platform,
                seconds=round(seconds * more, 1),
                commands={
                    "ls /": round(4.2 * more, 2),
                    "go version": round(0.4 * more, 2),
                    "go build ./hello": round(seconds / 4 * more, 2),
                },
            )
            for platform, seconds in (("amd64-uefi", 41.5), ("riscv64-uefi", 88.0))
        ),
        **_of_word(one),
    }
    if number == 26:
        more_of_it |= {"date": "2026-03-25", "attempts": 2}
    if number == 28:
        more_of_it |= {"date": "2026-01-02", "began": "2026-01-02T03:00:00Z",
                       "ended": "2026-01-02T04:10:00Z"}  # fmt: skip
    return one.model_copy(update=more_of_it)


def _stages(one: Night, more: float) -> tuple[Stage, ...]:
    guilty = {
        Word.INFRASTRUCTURE: "relock",
        Word.BUILD_FAILED: "build",
        Word.BOOT_FAILED: "boot",
    }.get(one.word)
    found: list[Stage] = []
    after = False
    for name in STAGES:
        made = stage(name, seconds=round(_OF_STAGES[name] * more, 1))
        if name == guilty:
            failed = {"state": "failed", "status": one.word.status, "reason": one.line}
            made = made.model_copy(update=failed)
            after = one.word is Word.BUILD_FAILED
        elif after:
            left = {"state": "left out", "status": None, "reason": "nothing was built"}
            made = made.model_copy(update=left)
        found.append(made)
    return tuple(found)


def _steps(one: Night, more: float) -> tuple[Step, ...]:
    if one.word is Word.BUILD_FAILED:
        return ()
    audited = [*_SECONDS][one.number % len(_SECONDS)]
    return tuple(
        step(
            name,
            seconds=round(seconds * more, 2),
            cached=one.word is not Word.INPUTS_CHANGED,
            audited=one.number if name == audited else max(1, one.number - 3),
            verdict="PASS",
        )
        for name, seconds in _SECONDS.items()
    )


def _of_word(one: Night) -> dict[str, Any]:
    failed = check(
        code="cross-build.differs",
        subject="riscv64",
        verdict="FAIL",
        reason="3 paths differ: pkg/tool/linux_riscv64/compile and two more",
    )
    lock = change(what="lock", first=str(of("lock")), second=str(of("lock 2")), link="")
    tool = change(what="tool version", first=TOOL.version, second=LATER_TOOL.version, link="")
    steps = [f"{name}/{n}" for name in ("amd64", "arm64", "riscv64") for n in range(3)]
    follows = tuple(
        consequence(step=f"commands/{name}", chain=("input u-root", "list", f"commands/{name}"))
        for name in steps
    )
    made: dict[Word, dict[str, Any]] = {
        Word.NOT_DETERMINISTIC: {"varying": (varying(first_night=one.since),)},
        Word.CHECK_FAILED: {"checks": (failed, *one.checks), "verdict": "FAIL"},
        Word.BUILD_FAILED: {"image": None, "verdict": None, "checks": (), "machines": ()},
        Word.BOOT_FAILED: {
            "machines": (machine(), machine(platform="riscv64-uefi", verdict="FAIL"))
        },
        Word.INFRASTRUCTURE: {
            "locked": "the night before",
            "notes": ("the lock of the night before was built, since none could be made anew",),
        },
        Word.INPUTS_CHANGED: {"changes": (change(), lock), "consequences": follows},
        Word.TOOL_CHANGED: {
            "changes": (tool,),
            "consequences": (consequence(step="image", chain=("tool version", "image")),),
            "tool": LATER_TOOL,
        },
    }
    return made.get(one.word, {})
