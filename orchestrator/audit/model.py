"""`audit.json` as a typed value: one frozen model for each of its objects, its writer and reader.

What was audited, under which conditions, how much of it, and what came of it. The file is sorted,
indented JSON; a value has one file form, and reading that gives an equal value. docs/audit.md
explains every field.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator import resources
from orchestrator.artifacts.model import Check, Engine, Hex, Host, Seconds, Size, Texts, Word
from orchestrator.audit.matrix import Cell
from orchestrator.files.document import shaped
from orchestrator.lock.model import Blake3, Text
from reproducibility import canonical
from reproducibility.errors import InputError

# The version of the file's form.
FORMAT: Literal[1] = 1
# Values that one may hold; `bounds` sees to it that it does.
MOST_VALUES = 1_000_000
_KEY = "schema"
_WANTED = frozenset({_KEY, "verdict", "audited"})

REMEDY = "audit again: `orchestrate audit`"

Conditions = dict[str, str | int]
State = Literal[
    "seen", "input", "not asked", "not recorded", "not run", "unable", "no effect", "one processor"
]  # fmt: skip
Why = Literal["not chosen", "budget"]
Cause = Literal[
    "time", "order", "path", "user", "locale", "randomness", "allocation", "parallelism", "code",
    "input", "unknown",
]  # fmt: skip
Sure = Literal["certain", "likely", "possible"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Build(_Model):
    """The build that was audited.

    `result`: digest of its `result.json`. `image`, `archive`: BLAKE3 that it names, hexadecimal
    digits. `tool`: the version of the program that made it. `engine`: that of its run.
    """

    result: Blake3
    spec: Blake3
    lock: Blake3
    image: Hex
    archive: Hex
    tool: Text
    engine: Engine


class Asked(_Model):
    """Request as it was asked.

    `budget`: seconds, or null. `only`: patterns of step names. `native`: architectures whose
    toolchains were asked to build themselves. `root`: the other root that was asked for.
    """

    vary: Texts
    rounds: Annotated[int, Field(ge=1)]
    only: Texts
    budget: Size | None
    whole: bool
    bisect: bool
    native: Texts = ()
    root: str = ""


class LeftOut(_Model):
    """A step that was not audited, or not in all rounds; why; and when it was audited before."""

    step: str
    why: Why
    last: str | None


class Coverage(_Model):
    """Coverage: how much of the build was audited.

    `actions`, `computations`: how many the build has; `audited`, `computed`: how many of them were
    audited; `went_on`: how many of those by an earlier run of the same audit that was interrupted.
    `nothing_to_do`: steps of the build that had nothing to do, and so cannot be repeated.
    """

    actions: Size
    audited: Size
    went_on: Size
    computations: Size
    computed: Size
    nothing_to_do: Size
    left_out: Annotated[tuple[LeftOut, ...], Field(strict=False)]


class Variation(_Model):
    """One variation over the whole audit.

    `state`: whether a program inside saw it. `actions`: how many were run with it. `guilty`: steps
    that differ because of it, as bisecting found.
    """

    name: Text
    meaning: str
    state: State
    reason: str
    actions: Size
    guilty: Texts


class Explanation(_Model):
    """Why two trees differ: `lines` for people, `document` for programs."""

    lines: Texts
    document: dict[str, Any]


class Round(_Model):
    """One run of an action.

    `conditions`: all that are not as usual. `outputs`: digest of the tree that it made; null where
    it failed. `seconds`: wall-clock time. `explanation`: null where both are the same, and where
    there was no room for it, which the check's reason then says.
    """

    conditions: Conditions
    outputs: Blake3 | None
    seconds: Seconds
    check: Check
    explanation: Explanation | None


class Bisected(_Model):
    """The smallest set of variations that makes an action differ.

    `itself`: it differs under the build's own conditions too; `variations` is then empty. `runs`:
    how many it took to find out. `cause`, `sure`: the class of the cause, by the variations where
    those tell it, else by the bytes that differ; words as in docs/compare.md.
    """

    itself: bool
    variations: Texts
    runs: Size
    cause: Cause
    sure: Sure


class Step(_Model):
    """One action that was audited.

    `key`: what its result is remembered under. `outputs`: digest of the tree that the build made.
    `built_under`: the build's conditions that are not as usual. `when`: the end of its audit.
    `went_on`: an earlier run of this audit did it, which was interrupted. `bisected`: null where it
    was not asked for, the action is not guilty, or the budget was used up before.
    """

    name: Text
    stage: str
    key: Blake3
    outputs: Blake3
    built_under: Conditions
    verdict: Word
    rounds: Annotated[tuple[Round, ...], Field(strict=False)]
    bisected: Bisected | None
    when: str
    went_on: bool

    @property
    def guilty(self) -> bool:
        """Tell whether it gave something else in some round."""
        return self.verdict == "FAIL"


class Computation(_Model):
    """Computation of the orchestrator itself, done again in another process.

    `expected`, `found`: digests, that of the build first; null where there is none.
    """

    name: Text
    expected: Blake3
    found: Blake3 | None
    check: Check
    explanation: Explanation | None


class AuditResult(_Model):
    """The whole of `audit.json`.

    `verdict`: the worst of the checks. `tool`, `host`, `engine`: the audit's. `audited`: the build.
    `missing`: steps whose results were not at hand, and were built before the audit.
    `surroundings`: in what the other process differed from this one. `matrix`: every cell of the
    build, those that earlier audits filled among them. `seconds`: wall clock.
    """

    schema_version: Literal[1] = Field(default=FORMAT, alias="schema")
    verdict: Word
    tool: Text
    host: Host
    engine: Engine
    audited: Build
    asked: Asked
    coverage: Coverage
    variations: Annotated[tuple[Variation, ...], Field(strict=False)]
    steps: Annotated[tuple[Step, ...], Field(strict=False)]
    computations: Annotated[tuple[Computation, ...], Field(strict=False)]
    surroundings: Texts
    missing: Texts
    checks: Annotated[tuple[Check, ...], Field(strict=False)]
    matrix: Annotated[tuple[Cell, ...], Field(strict=False)] = ()
    seconds: Seconds

    def document(self) -> dict[str, Any]:
        """The audit as a JSON object."""
        return self.model_dump(mode="json", by_alias=True)


def dumps(result: AuditResult) -> bytes:
    """The file form of an audit."""
    return canonical.pretty(result.document())


def parse(data: bytes, subject: str = "audit.json") -> AuditResult:
    """Read the file form of an audit.

    Raises:
        InputError: it is no audit, or that of another version; says what is wrong where.
    """
    document = canonical.loads(data, subject=subject, most=MOST_VALUES, remedy=REMEDY)
    if not isinstance(document, dict) or not document.keys() >= _WANTED:
        raise InputError("this is not the result of an audit", subject=subject, remedy=REMEDY)
    if document[_KEY] != FORMAT:
        raise InputError(
            f"this is an audit in another format than {FORMAT}, "
            f"which version {resources.VERSION} reads",
            subject=subject,
            remedy=REMEDY,
        )
    return shaped(
        AuditResult,
        document,
        lambda words: InputError(
            f"this is not the result of an audit: {words}", subject=subject, remedy=REMEDY
        ),
        most=MOST_VALUES,
    )


def step_of(document: object) -> Step | None:
    """Read one step back, as `model_dump` gives it; None for anything else."""
    try:
        return shaped(Step, document, InputError, most=MOST_VALUES)
    except InputError:
        return None
