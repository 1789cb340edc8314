"""Nights for tests: a valid one of which a test changes what it is about, a month, hostile ones."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, get_args

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
from reproducibility import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reproducibility.digest import Digest

# The date of night 1; each further one is a day later.
FIRST = date(2026, 3, 1)
STEPS = ("T1/dist", "T1/toolchain", "F1", "std/amd64", "F2", "cross/riscv64", "commands/amd64/0")
_SECONDS = (64.5, 212.0, 498.25, 371.0, 512.5, 655.0, 143.0)
_COMMANDS = {
    "relock": ("orchestrate", "lock"),
    "build": ("orchestrate", "build", "-o", "nightly"),
    "audit": ("orchestrate", "audit", "nightly", "--budget", "30m"),
    "boot": ("orchestrate", "boot", "nightly", "--platform", "amd64-uefi"),
    "verify": ("orchestrate", "verify", "nightly"),
}


def blake3(words: str) -> Digest:
    """The digest of some words."""
    return digest.of_bytes(words.encode())


def stage(name: StageName = "build", **changes: Any) -> Stage:  # noqa: ANN401 - JSON
    """A stage that was done."""
    made = {
        "name": name,
        "state": "done",
        "status": 0,
        "seconds": {"relock": 4.5, "build": 2456.0, "audit": 1795.0, "boot": 96.0, "verify": 12.25}[
            name
        ],
        "reason": "",
        "command": _COMMANDS[name],
    }
    return Stage.model_validate({**made, **changes})


def step(name: str = "T1/dist", **changes: Any) -> Step:  # noqa: ANN401 - JSON
    """A step that was remembered, and was audited in the first night."""
    made = {
        "name": name,
        "kind": "action",
        "key": blake3(f"key of {name}"),
        "outputs": blake3(f"outputs of {name}"),
        "seconds": _SECONDS[STEPS.index(name)] if name in STEPS else 10.0,
        "cached": True,
        "audited": 1,
        "verdict": "PASS",
        "others": (),
    }
    return Step.model_validate({**made, **changes})


def check(**changes: Any) -> Check:  # noqa: ANN401 - JSON
    """A check that passed."""
    made = {
        "stage": "build",
        "code": "fixed-point.same",
        "subject": "amd64",
        "verdict": "PASS",
        "reason": "18,240 files are the same",
    }
    return Check.model_validate({**made, **changes})


def input_(**changes: Any) -> Input:  # noqa: ANN401 - JSON
    """An input."""
    made = {
        "kind": "python-wheel",
        "name": "go",
        "host": "amd64",
        "version": "1.26.6",
        "content": str(blake3("go")),
    }
    return Input.model_validate({**made, **changes})


def change(**changes: Any) -> InputChange:  # noqa: ANN401 - JSON
    """An input's new version."""
    made = {
        "what": "input u-root",
        "first": "v0.15.0",
        "second": "v0.16.0",
        "link": "https://example.org/u-root/compare/v0.15.0...v0.16.0",
    }
    return InputChange.model_validate({**made, **changes})


def consequence(**changes: Any) -> Consequence:  # noqa: ANN401 - JSON
    """A step whose output changed."""
    made = {
        "step": "commands/amd64/0",
        "chain": ("input u-root", "commands/amd64/list", "commands/amd64/0"),
    }
    return Consequence.model_validate({**made, **changes})


def varying(**changes: Any) -> Varying:  # noqa: ANN401 - JSON
    """A step that an audit saw to vary."""
    made = {
        "step": "commands/amd64/0",
        "key": blake3("key of commands/amd64/0"),
        "first": blake3("outputs of commands/amd64/0"),
        "second": blake3("other outputs of commands/amd64/0"),
        "seen": "audit",
        "first_night": 1,
        "cause": "time",
        "lines": (
            "bin/ls: section .rodata, 19 of 81,920 bytes differ",
            "  first  2026-03-12T03:04:11",
            "  second 2026-03-12T03:41:52",
            "class of the cause: time (certain)",
        ),
    }
    return Varying.model_validate({**made, **changes})


def machine(**changes: Any) -> Machine:  # noqa: ANN401 - JSON
    """A machine that booted."""
    made = {
        "platform": "amd64-uefi",
        "verdict": "PASS",
        "seconds": 41.5,
        "commands": {"ls /": 4.2, "go version": 0.4, "go build ./hello": 11.9},
    }
    return Machine.model_validate({**made, **changes})


def night(number: int = 1, **changes: Any) -> Night:  # noqa: ANN401 - JSON
    """A night in which nothing changed. `changes`: fields of it."""
    when = FIRST + timedelta(days=number - 1)
    word = changes.get("word", Word.UNCHANGED)
    made = {
        "number": number,
        "date": f"{when}",
        "began": f"{when}T03:00:00Z",
        "ended": f"{when}T04:12:45Z",
        "seconds": 4365.0,
        "attempts": 1,
        "word": word,
        "line": _LINES[word],
        "since": number,
        "previous": number - 1 or None,
        "tool": Tool(version="0.1.0", digest=blake3("tool")),
        "spec": blake3("spec"),
        "lock": blake3("lock"),
        "locked": "anew",
        "image": Image(blake3=blake3("image"), size=1_787_822_080),
        "verdict": "PASS",
        "stages": tuple(stage(name) for name in get_args(StageName)),
        "changes": (),
        "consequences": (),
        "varying": (),
        "steps": tuple(step(name) for name in STEPS),
        "checks": (
            *(check(subject=subject) for subject in ("amd64", "arm64", "riscv64")),
            check(
                code="release.absent-record",
                subject="riscv64",
                verdict="SKIP",
                reason="the public log has no record",
            ),
        ),
        "inputs": (input_(), input_(kind="go-module", name="u-root", version="v0.15.0", host="")),
        "machines": (machine(), machine(platform="riscv64-uefi", seconds=88.0)),
        "notes": (),
    }
    return Night.model_validate({**made, **changes})


def nights(words: Sequence[Word], **changes: Any) -> list[Night]:  # noqa: ANN401 - JSON
    """Nights of these words, one a day, each with the night that its row began with.

    `changes`: fields of all of them.
    """
    found: list[Night] = []
    for number, word in enumerate(words, 1):
        same = bool(found) and found[-1].word is word
        since = found[-1].since if same else number
        found.append(night(number, word=word, since=since, **changes))
    return found


_LINES = {
    Word.NOT_DETERMINISTIC: "commands/amd64/0 made something else from the same: time (certain)",
    Word.CHECK_FAILED: "cross by F1 == cross by F2, riscv64: 3 paths differ",
    Word.BUILD_FAILED: "std/amd64 failed: undefined: unix.Fsopen",
    Word.BOOT_FAILED: "riscv64-uefi: no prompt within 300 s",
    Word.INFRASTRUCTURE: "the mirror of Debian packages did not answer",
    Word.INPUTS_CHANGED: "u-root v0.15.0 -> v0.16.0; 14 of 97 outputs changed, all follow from it",
    Word.TOOL_CHANGED: "orchestrate 0.1.0 -> 0.2.0; 2 of 97 outputs changed, all follow from it",
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


def _of_month(one: Night) -> Night:
    number = one.number
    # Something that goes up and down, and a step up in between.
    more = 1 + number * 7 % 5 / 50 + (0.15 if number > 15 else 0)
    size = 1_787_822_080 + (number > 15) * 58_720_256 + (number > 21) * 12_582_912
    made: dict[str, Any] = {
        "stages": _stages(one, more),
        "image": Image(blake3=blake3(f"image {size}"), size=size),
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
        made |= {"date": "2026-03-25", "attempts": 2}
    if number == 28:
        made |= {"date": "2026-01-02", "began": "2026-01-02T03:00:00Z",
                 "ended": "2026-01-02T04:10:00Z"}  # fmt: skip
    return one.model_copy(update=made)


def _stages(one: Night, more: float) -> tuple[Stage, ...]:
    guilty = {
        Word.INFRASTRUCTURE: "relock",
        Word.BUILD_FAILED: "build",
        Word.BOOT_FAILED: "boot",
    }.get(one.word)
    found: list[Stage] = []
    after = False
    for name in get_args(StageName):
        made = stage(name)
        made = made.model_copy(update={"seconds": round(made.seconds * more, 1)})
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
    audited = STEPS[one.number % len(STEPS)]
    return tuple(
        step(
            name,
            seconds=round(seconds * more, 2),
            cached=one.word is not Word.INPUTS_CHANGED,
            audited=one.number if name == audited else max(1, one.number - 3),
        )
        for name, seconds in zip(STEPS, _SECONDS, strict=True)
    )


def _of_word(one: Night) -> dict[str, Any]:
    failed = check(
        code="cross-build.differs",
        subject="riscv64",
        verdict="FAIL",
        reason="3 paths differ: pkg/tool/linux_riscv64/compile and two more",
    )
    lock = change(what="lock", first=str(blake3("lock")), second=str(blake3("lock 2")), link="")
    tool = change(what="tool version", first="0.1.0", second="0.2.0", link="")
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
            "tool": Tool(version="0.2.0", digest=blake3("tool 2")),
        },
    }
    return made.get(one.word, {})


def hostile(words: str, number: int = 1) -> Night:
    """A night in which every foreign text is `words`."""
    text = words or "x"
    return night(
        number,
        word=Word.NOT_DETERMINISTIC,
        line=text,
        tool=Tool(version=text, digest=blake3("tool")),
        stages=(stage(state="failed", status=1, reason=words, command=(words, words)),),
        changes=(change(what=text, first=words, second=words, link=words),),
        consequences=(consequence(step=text, chain=(words, words)),
                      consequence(step=text, chain=())),
        varying=(varying(step=text, cause=words, lines=(words,)),),
        steps=(step(text),),
        checks=(check(code=text, subject=words, reason=words, verdict="FAIL"),),
        inputs=(input_(kind=text, name=text, host=words, version=words, content=words),),
        machines=(machine(platform=text, commands={words: 1.5}),),
        notes=(words,),
    )  # fmt: skip
