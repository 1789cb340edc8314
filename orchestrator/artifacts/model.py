"""`result.json` as a typed value: one frozen model for each of its objects, its writer and reader.

What a build was made from, by which program on which engine and machine, every step, every check,
and what came out. The file is sorted, indented JSON; a value has one file form, and reading that
gives an equal value. Sizes and memory are bytes, digests `blake3:` and 64 hexadecimal digits (of a
file beside the result, the digits alone).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from orchestrator import resources
from orchestrator.architecture import Architecture
from orchestrator.files.document import shaped
from orchestrator.lock.model import Blake3, Input, Text
from reproducibility import canonical, codes, compare
from reproducibility.errors import InputError
from reproducibility.manifest import LONGEST_PART, complaint

# The version of the file's form. 1 named its steps `stages`, and knew neither codes nor the
# digests of spec and lock.
FORMAT: Literal[2] = 2
_KEY = "schema"
_MOST_VALUES = 1_000_000
_LARGEST = 64
_VERSION = re.compile(r"[0-9A-Za-z.+_-]{1,40}")
_WANTED = frozenset({_KEY, "verdict", "image"})

REMEDY = "build again: `orchestrate build`, or name another folder"

Word = Literal["PASS", "SKIP", "FAIL"]
Origin = Literal["ran here", "remembered", "nothing to do"]
StepKind = Literal["action", "computation", "nothing"]


def _plain(name: str) -> str:
    """Refuse what no name in a tree may hold: artifacts are the image step's tree as well."""
    wrong = complaint(name)
    if wrong:
        raise ValueError(wrong)
    if len(name.encode()) > LONGEST_PART:
        raise ValueError(f"a name of more than {LONGEST_PART} bytes")
    return name


Hex = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# A file beside the result: a name, so that it leads nowhere else.
Name = Annotated[
    str,
    Field(pattern=r"^[^/.\x00-\x1f\x7f][^/\x00-\x1f\x7f]{0,254}$"),
    AfterValidator(_plain),
]
Size = Annotated[int, Field(ge=0)]
# At most 31 years, so that sums of them, and times so long before now, are times still.
Seconds = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Texts = Annotated[tuple[str, ...], Field(strict=False)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Artifact(_Model):
    """A file beside the result. `blake3`, `sha256`: hexadecimal digits."""

    path: Name
    size: Size
    blake3: Hex
    sha256: Hex


class Difference(_Model):
    """As `reproducibility.compare.Difference`."""

    path: str
    field: str
    first: bool | int | str | None
    second: bool | int | str | None


class Check(_Model):
    """A check. `code`: one of docs/checks.md; `name`, `reason`: words for people.

    `differences`: the first of them, as values; `differences_total`: how many there are.
    """

    code: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*\.[a-z0-9]+(-[a-z0-9]+)*$")]
    name: str
    subject: str
    verdict: Word
    reason: str
    differences: Annotated[tuple[Difference, ...], Field(strict=False)]
    differences_total: Size

    def value(self) -> compare.Check:
        """The check as a value of the comparison.

        Raises:
            KeyError: this version has no such code.
        """
        those = (
            compare.Difference(one.path, one.field, one.first, one.second)
            for one in self.differences
        )
        code = codes.find(self.code)
        return compare.Check(code, self.subject, self.reason, tuple(those), self.differences_total)


class Engine(_Model):
    """Engine: its name, what tells it from others of that name, its program's version."""

    name: str
    identity: str
    version: str


class Host(_Model):
    """The machine that the orchestrator ran on. `kernel`: its release. `python`: the version."""

    architecture: Architecture
    kernel: str
    python: str


class Provenance(_Model):
    """Provenance of a step's result: the run that made it, as it was observed then.

    `isolation`: the `id` of one of those in `isolation.enforced`; null for a computation, which
    nothing isolates. `tool`: the version of this program. `when`: the end of the work,
    `2026-01-01T00:00:00Z`. `observed`: what a program saw inside; empty where none looked. `cpus`:
    on how many CPUs the action could run; null where that was not recorded. `worker`: the machine
    of a farm that ran it; `taken_from`: the cache of a farm that the result was taken from, where
    that run ran nothing for it. Both are null, or not there, otherwise.
    """

    engine: Engine
    isolation: Blake3 | None
    tool: str
    when: str
    observed: str
    cpus: Annotated[int, Field(ge=1)] | None = None
    worker: str | None = None
    taken_from: str | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_a_farms(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what only results of farms have: others are written as they always were."""
        found: dict[str, Any] = written(self)
        return {
            name: value
            for name, value in found.items()
            if value is not None or name not in {"worker", "taken_from"}
        }


class Step(_Model):
    """A step and its result.

    `kind`: `action` (a command in an engine), `computation` (in this program), `nothing` (it turned
    out that there was nothing to do). `key`: what its result is remembered under. `action`: digest
    of the canonical document that says what was done, a blob of the store; null for `nothing`.
    `conditions`: those of an action that are not as usual. `outputs`: digest of the tree that it
    made. `seconds`: wall-clock time of the run that made it. `peak_memory`: 0 where it is not
    known. `cached`: this build did not run it. `provenance`: null where the run that made it did
    not record it, and where nothing ran.
    """

    name: Text
    stage: str
    kind: StepKind
    key: Blake3
    action: Blake3 | None
    conditions: dict[str, str | int]
    outputs: Blake3
    seconds: Seconds
    peak_memory: Size
    cached: bool
    origin: Origin
    provenance: Provenance | None


class Rule(_Model):
    """Enforcement of one rule: by what means, or why not."""

    rule: str
    state: Literal["enforced", "not enforced"]
    means: str


class Enforced(_Model):
    """One way in which runs kept the rules: `id` is the digest of the rest."""

    id: Blake3
    limits: dict[str, int]
    enforcement: Annotated[tuple[Rule, ...], Field(strict=False)]


class Isolation(_Model):
    """The rules by their names, and each way in which the runs of the steps kept them, once."""

    rules: dict[str, str]
    enforced: Annotated[tuple[Enforced, ...], Field(strict=False)]


class Patch(_Model):
    """Change that the build made in a private copy of a published file."""

    file: str
    change: str
    blake3: Hex


class Compression(_Model):
    """Library and level: another version may give other bytes."""

    archive: str
    initramfs: str


class Root(_Model):
    """The root, which image and archive hold, and its counts (`root.Counts`), by architecture."""

    tree: Blake3
    files: Size
    bytes: Size
    source_files: Size
    source_bytes: Size
    seed_files: Size
    seed_bytes: Size
    boot_files: Size
    boot_bytes: Size
    prebuilt: dict[str, Size]
    prebuilt_programs: dict[str, Texts]
    commands: dict[str, Size]
    left_out_by_build_constraints: dict[str, Texts]


class BuildResult(_Model):
    """The whole of `result.json`.

    `tool`: the version of this program. `engine`: this run's, though others may have made what was
    remembered. `spec`, `lock`: digests of what they say. `seconds`: wall-clock time of the build.
    `peak_memory`: of the orchestrator. It holds times, so it is no part of what must come out the
    same.
    """

    schema_version: Literal[2] = Field(default=FORMAT, alias="schema")
    verdict: Word
    tool: Text
    host: Host
    engine: Engine
    spec: Blake3
    lock: Blake3
    inputs: Annotated[tuple[Input, ...], Field(strict=False)]
    image: Artifact
    cpio: Artifact
    root: Root
    checks: Annotated[tuple[Check, ...], Field(strict=False)]
    steps: Annotated[tuple[Step, ...], Field(strict=False)]
    isolation: Isolation
    patches: Annotated[tuple[Patch, ...], Field(strict=False)]
    compression: Compression
    seconds: Seconds
    peak_memory: Size

    def document(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return self.model_dump(mode="json", by_alias=True)


def dumps(result: BuildResult) -> bytes:
    """The file form of a result."""
    return canonical.pretty(result.document())


def is_result(data: bytes) -> bool:
    """Return whether bytes look like the result of a build, of whatever version."""
    try:
        document = canonical.loads(data)
    except InputError:
        return False
    return isinstance(document, dict) and document.keys() >= _WANTED


def parse(data: bytes, subject: str = "result.json") -> BuildResult:
    """Read the file form of a result.

    Raises:
        InputError: it is no result, or that of another version; says which, or what is wrong where.
    """
    document = canonical.loads(data, subject=subject, most=_MOST_VALUES, remedy=REMEDY)
    if not isinstance(document, dict) or not document.keys() >= _WANTED:
        raise InputError("this is not the result of a build", subject=subject, remedy=REMEDY)
    version = document[_KEY]
    if type(version) is int and version != FORMAT and version.bit_length() < _LARGEST:
        raise InputError(
            f"this is the result of a build by {_maker(document)}, in format {version}; "
            f"version {resources.VERSION} reads format {FORMAT}",
            subject=subject,
            remedy=REMEDY,
        )
    return shaped(
        BuildResult,
        document,
        lambda words: InputError(
            f"this is not the result of a build: {words}", subject=subject, remedy=REMEDY
        ),
        most=_MOST_VALUES,
    )


def _maker(document: dict[str, Any]) -> str:
    """Return which version of this program wrote a result of another format, in words."""
    found = [document.get("tool")]
    # Format 1 says it of the steps that its own run made only.
    steps = document.get("stages")
    for step in steps if isinstance(steps, list) else ():
        made = step.get("provenance") if isinstance(step, dict) else None
        if isinstance(made, dict) and made.get("origin") == "ran here":
            found.append(made.get("tool"))
    for tool in found:
        if isinstance(tool, str) and _VERSION.fullmatch(tool):
            return f"version {tool}"
    return "another version"
