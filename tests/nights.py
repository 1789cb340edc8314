"""Nights for tests: their parts, nights of each kind, and a month in which each word comes up."""

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
from reproducibility import digest as digests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.history.database import Begun, History
    from reproducibility.digest import Digest

STAGES: tuple[StageName, ...] = get_args(StageName)


def of(text: object) -> Digest:
    """The digest of a text: something that is known by it."""
    return digests.of_bytes(str(text).encode())


TOOL = Tool(version="1.0", digest=of("the program"))
LATER_TOOL = Tool(version="1.1", digest=of("the program, later"))


# -- parts of a night ------------------------------------------------------------------------------


def stage(name: StageName = "build", **changes: Any) -> Stage:  # noqa: ANN401 - fields
    """A stage that was done."""
    fields: dict[str, Any] = {
        "name": name,
        "state": "done",
        "status": 0,
        "seconds": 72.5,
        "reason": "",
        "command": ("orchestrate", name),
    }
    return Stage(**(fields | changes))


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


def check(**changes: Any) -> Check:  # noqa: ANN401 - fields
    """A check that passed."""
    fields: dict[str, Any] = {
        "stage": "build",
        "code": "fixed-point.same",
        "subject": "amd64",
        "verdict": "PASS",
        "reason": "14 files are the same",
    }
    return Check(**(fields | changes))


def input_(**changes: Any) -> Input:  # noqa: ANN401 - fields
    """An input."""
    fields: dict[str, Any] = {
        "kind": "go-module",
        "name": "go",
        "host": "",
        "version": "1.27.3",
        "content": str(of("go")),
    }
    return Input(**(fields | changes))


def change(**changes: Any) -> InputChange:  # noqa: ANN401 - fields
    """An input's new version."""
    fields: dict[str, Any] = {
        "what": "input u-root",
        "first": "v0.15.0",
        "second": "v0.16.0",
        "link": "https://example.org/u-root/compare/v0.15.0...v0.16.0",
    }
    return InputChange(**(fields | changes))


def consequence(**changes: Any) -> Consequence:  # noqa: ANN401 - fields
    """A step whose output changed."""
    fields: dict[str, Any] = {
        "step": "commands/amd64/0",
        "chain": ("input u-root", "commands/amd64/list", "commands/amd64/0"),
    }
    return Consequence(**(fields | changes))


def varying(**changes: Any) -> Varying:  # noqa: ANN401 - fields
    """A step that an audit saw to vary."""
    fields: dict[str, Any] = {
        "step": "commands/amd64/0",
        "key": of("the key of commands/amd64/0"),
        "first": of("the outputs of commands/amd64/0"),
        "second": of("other outputs of commands/amd64/0"),
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
    return Varying(**(fields | changes))


def machine(**changes: Any) -> Machine:  # noqa: ANN401 - fields
    """A machine that booted."""
    fields: dict[str, Any] = {
        "platform": "pc-bios",
        "verdict": "PASS",
        "seconds": 21.5,
        "commands": {"ls -l /": 0.25, "date": 0.5},
    }
    return Machine(**(fields | changes))


# -- nights ----------------------------------------------------------------------------------------

STEPS = (
    step("T1/toolchain"),
    step("F1"),
    step("F2"),
    step("programs/amd64"),
    step("image", kind="computation"),
)


def night(number: int = 1, word: Word = Word.UNCHANGED, **changes: Any) -> Night:  # noqa: ANN401 - fields
    """A night that built something and found nothing wrong, unless changes say otherwise.

    The first one is of 2026-01-01, each further one of the day after.
    """
    when = str(date(2026, 1, 1) + timedelta(days=number - 1))
    fields: dict[str, Any] = {
        "number": number,
        "date": when,
        "began": f"{when}T02:00:00Z",
        "ended": f"{when}T02:06:12Z",
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
        "stages": tuple(stage(name) for name in STAGES),
        "changes": (),
        "consequences": (),
        "varying": (),
        "steps": STEPS,
        "checks": (check(),),
        "inputs": (input_(),),
        "machines": (machine(),),
        "notes": (),
    }
    return Night(**(fields | changes))


def without_build(number: int, word: Word, **changes: Any) -> Night:  # noqa: ANN401 - fields
    """A night that came to no image."""
    nothing: dict[str, Any] = {
        **dict.fromkeys(("spec", "lock", "locked", "image", "verdict")),
        **dict.fromkeys(("stages", "steps", "checks", "inputs", "machines"), ()),
    }
    return night(number, word, **(nothing | changes))


def nights(words: Sequence[Word], **changes: Any) -> list[Night]:  # noqa: ANN401 - fields
    """Nights of these words, one a day, each with the night that its row began with.

    `changes`: fields of all of them.
    """
    found: list[Night] = []
    for number, word in enumerate(words, 1):
        same = bool(found) and found[-1].word is word
        since = found[-1].since if same else number
        found.append(night(number, word, since=since, **changes))
    return found


def begin(history: History, made: Night) -> Begun:
    """Begin a night as often as it says that it was."""
    for _ in range(made.attempts - 1):
        history.begin(date=made.date, began=made.began, tool=made.tool)
    return history.begin(date=made.date, began=made.began, tool=made.tool)


def keep(history: History, those: Sequence[Night]) -> None:
    """Begin and end nights; their numbers are those that the history gives."""
    for made in those:
        assert begin(history, made).number == made.number
        history.end(made)


def hostile(words: str, number: int = 1) -> Night:
    """A night in which every foreign text is `words`."""
    text = words or "x"
    return night(
        number,
        word=Word.NOT_DETERMINISTIC,
        line=text,
        tool=Tool(version=text, digest=of("tool")),
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
