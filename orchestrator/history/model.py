"""A night as a typed value: `night.json`, its writer and reader.

What was done in which order, what came of it, what changed since the night before and what follows
from that. The file is sorted, indented JSON; a value has one file form, and reading that gives an
equal value. Times are `2026-01-01T00:00:00Z`, durations seconds, sizes bytes, digests `blake3:` and
64 hexadecimal digits.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.artifacts.model import Seconds, Size, StepKind, Texts
from orchestrator.artifacts.model import Word as Verdict
from orchestrator.files.document import shaped
from orchestrator.history.words import Word
from orchestrator.lock.model import Blake3, Text
from reproducibility import canonical
from reproducibility.errors import InputError

FORMAT: Literal[1] = 1
_KEY = "schema"
_WANTED = frozenset({_KEY, "number", "word"})
_MOST_VALUES = 1_000_000
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
REMEDY = "it was changed or damaged since it was written; the other nights are not affected"

Number = Annotated[int, Field(ge=1)]
Date = Annotated[str, Field(pattern=f"^{_DAY}$")]
Time = Annotated[str, Field(pattern=f"^{_DAY}T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}Z$")]
StageName = Literal["relock", "build", "audit", "boot", "verify"]
State = Literal["done", "failed", "left out"]
LockedFrom = Literal["anew", "the night before", "the project's lock"]
Seen = Literal["build", "audit"]

# Fields of a night that say what it consisted of: most of its bytes, kept as long as `keep` says.
DETAILS = ("consequences", "steps", "checks", "inputs")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Stage(_Model):
    """A stage of the night, in the order of `StageName`.

    `status`: exit status of its command; None where it was left out. `reason`: why it was left
    out, or what failed, in words. `command`: what a person types to do the same.
    """

    name: StageName
    state: State
    status: int | None
    seconds: Seconds
    reason: str
    command: Texts


class InputChange(_Model):
    """Change of an input, spec, lock or tool since the night before.

    `what`: as `diagnosis.builds.Change.what`. `first`, `second`: version, or digest where the
    version says nothing; None where a side has none. `link`: where what changed between both can
    be read; empty where that is not known.
    """

    what: Text
    first: str | None
    second: str | None
    link: str


class Consequence(_Model):
    """Step whose output changed, because something that it was given had.

    `chain`: from what changed first (an input, the spec, the tool) over steps to this one.
    """

    step: Text
    chain: Texts


class Varying(_Model):
    """Step that was given the same (`key`) and made something else.

    `seen`: by an audit, or between builds of different nights. `first_night`: the number of the
    night in which it was seen first. `cause`: class of the cause (docs/compare.md), `unknown`
    where none is known. `lines`: the explanation, for people.
    """

    step: Text
    key: Blake3
    first: Blake3 | None
    second: Blake3 | None
    seen: Seen
    first_night: Number
    cause: str
    lines: Texts


class Step(_Model):
    """Step of the night's build.

    `kind`: as in `result.json`. `seconds`: of the run that made the output. `cached`: remembered.
    `audited`: the number of the night in which its key was audited last, None where it never was;
    `verdict`: what came of that. `others`: outputs other than `outputs` that audits of this night
    saw.
    """

    name: Text
    kind: StepKind
    key: Blake3
    outputs: Blake3
    seconds: Seconds
    cached: bool
    audited: Number | None
    verdict: Verdict | None
    others: Annotated[tuple[Blake3, ...], Field(strict=False)]


class Check(_Model):
    """Check of the build, the audit, a machine or the evidence, as in docs/checks.md."""

    stage: StageName
    code: Text
    subject: str
    verdict: Verdict
    reason: str


class Input(_Model):
    """Input of the build. `content`: digest of what it is."""

    kind: Text
    name: Text
    host: str
    version: str
    content: str


class Machine(_Model):
    """Machine that booted. `commands`: seconds that a command's first run took, by its text."""

    platform: Text
    verdict: Verdict
    seconds: Seconds
    commands: dict[str, Seconds]


class Image(_Model):
    """The image. `blake3`: of its bytes."""

    blake3: Blake3
    size: Size


class Tool(_Model):
    """The program: its version, and the digest of its own files."""

    version: Text
    digest: Blake3


class Night(_Model):
    """One night, the whole of `night.json`.

    `number`: counts nights from 1, whatever the clock says. `date`: of the beginning, in the
    machine's zone. `attempts`: how often it was begun: more than 1 where it was killed and went
    on. `line`: the night in one line. `since`: the number of the first night of the present row of
    nights with this word. `previous`: the last night before that built something, None where there
    was none. `locked`: where this night's lock came from; None where it ended before it had one.
    `notes`: what somebody should know besides, such as a mirror that was down.
    """

    schema_version: Literal[1] = Field(default=FORMAT, alias="schema")
    number: Number
    date: Date
    began: Time
    ended: Time
    seconds: Seconds
    attempts: Annotated[int, Field(ge=1)]
    word: Word
    line: Text
    since: Number
    previous: Number | None
    tool: Tool
    spec: Blake3 | None
    lock: Blake3 | None
    locked: LockedFrom | None
    image: Image | None
    verdict: Verdict | None
    stages: Annotated[tuple[Stage, ...], Field(strict=False)]
    changes: Annotated[tuple[InputChange, ...], Field(strict=False)]
    consequences: Annotated[tuple[Consequence, ...], Field(strict=False)]
    varying: Annotated[tuple[Varying, ...], Field(strict=False)]
    steps: Annotated[tuple[Step, ...], Field(strict=False)]
    checks: Annotated[tuple[Check, ...], Field(strict=False)]
    inputs: Annotated[tuple[Input, ...], Field(strict=False)]
    machines: Annotated[tuple[Machine, ...], Field(strict=False)]
    notes: Texts

    def document(self) -> dict[str, Any]:
        """The night as a JSON object."""
        return self.model_dump(mode="json", by_alias=True)

    def summary(self) -> Night:
        """The night without its details: what the history keeps of each night for ever."""
        return self.model_copy(update=dict.fromkeys(DETAILS, ()))


def dumps(night: Night) -> bytes:
    """The file form of a night."""
    return canonical.pretty(night.document())


def parse(data: bytes, subject: str = "night.json") -> Night:
    """Read the file form of a night.

    Raises:
        InputError: it is no night, or that of another version; says what is wrong where.
    """
    document = canonical.loads(data, subject=subject, most=_MOST_VALUES)
    if not isinstance(document, dict) or not document.keys() >= _WANTED:
        raise InputError("this is not the record of a night", subject=subject, remedy=REMEDY)
    if document[_KEY] != FORMAT:
        raise InputError(
            f"this is the record of a night in another format than {FORMAT}",
            subject=subject,
            remedy="read it with the version that wrote it",
        )
    # A word is written as its text, and models are strict.
    if isinstance(document["word"], str) and document["word"] in tuple(Word):
        document = {**document, "word": Word(document["word"])}
    return shaped(
        Night,
        document,
        lambda words: InputError(
            f"this is not the record of a night: {words}", subject=subject, remedy=REMEDY
        ),
        most=_MOST_VALUES,
    )
