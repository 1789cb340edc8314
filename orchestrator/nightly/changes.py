"""What changed between two nights' builds, and which steps' outputs follow from which change. Pure.

A step's action names, by digest, all that it was given. So the way from an output that changed back
to what changed first is found by digests alone: an input's, or that of an earlier step's output.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestrator.diagnosis import builds
from orchestrator.history.model import Consequence, InputChange
from orchestrator.history.model import Input as RecordedInput
from orchestrator.lock.model import GoModule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orchestrator.artifacts.model import BuildResult, Step
    from orchestrator.history.model import Night, Tool
    from orchestrator.lock.model import Input

TOOL: Final = "orchestrate"
_SPEC: Final = "spec"
_DIGEST = re.compile(r"blake3:[0-9a-f]{64}")
# Where a module's releases can be compared by its address alone.
_COMPARED = re.compile(r"github\.com/[A-Za-z0-9._-]+/[A-Za-z0-9._-]+")
_VERSION = re.compile(r"v[0-9]+\.[0-9]+\.[0-9]+")


@dataclass(frozen=True)
class Changes:
    """Changes since the last build.

    `inputs`: other inputs, spec, tool. `consequences`: steps whose output changed because of them.
    `varying`: steps that were given the same and made something else, with both outputs, the
    earlier one first. `tool`: whether it is another version, or another build of it.
    """

    inputs: tuple[InputChange, ...]
    consequences: tuple[Consequence, ...]
    varying: tuple[builds.Varying, ...]
    tool: bool

    @property
    def others(self) -> tuple[InputChange, ...]:
        """What changed beside the tool."""
        return tuple(one for one in self.inputs if one.what != TOOL)


def between(
    first: BuildResult,
    second: BuildResult,
    tools: tuple[Tool, Tool],
    actions: Mapping[str, object],
) -> Changes:
    """Compare two builds; `tools`: the program of each, `actions`: of the second, by digest.

    What the orchestrator computes itself may come out otherwise by another tool: that is no fault.
    """
    found = builds.compare(first, second)
    other_tool = tools[0] != tools[1]
    named = any(one.what.startswith("input ") for one in found.inputs)
    # Every input that changes changes the lock's digest: it is named where nothing else is.
    told = {"tool version", "lock"} if named else {"tool version"}
    inputs = [
        InputChange(what=one.what, first=one.first, second=one.second, link=_link(one, second))
        for one in found.inputs
        if one.what not in told
    ]
    if other_tool:
        inputs.append(
            InputChange(what=TOOL, first=_told(tools[0]), second=_told(tools[1]), link="")
        )
    kinds = {step.name: step.kind for step in second.steps}
    computed = {one.name for one in found.varying if kinds[one.name] == "computation"}
    excused = computed if other_tool else set()
    changed = [name for name in found.changed if name not in found.alone] + sorted(excused)
    graph = _Graph(first, second, actions)
    return Changes(
        tuple(inputs),
        tuple(graph.consequences(changed, [one.what for one in inputs])),
        tuple(one for one in found.varying if one.name not in excused),
        other_tool,
    )


def since(before: Night, second: BuildResult, tool: Tool) -> Changes:
    """Compare a build with what the history has of an earlier one, whose result is lost.

    What changed is known, but not on which way each output follows from it. `tool`: of the second.
    """
    other_tool = before.tool != tool
    inputs = [*_of_record(before, second)]
    if other_tool:
        inputs.append(InputChange(what=TOOL, first=_told(before.tool), second=_told(tool), link=""))
    earlier = {step.name: step for step in before.steps}
    pairs = [(earlier[step.name], step) for step in second.steps if step.name in earlier]
    others = [(one, other) for one, other in pairs if one.outputs != other.outputs]
    varying = [
        builds.Varying(other.name, str(other.key), one.outputs, other.outputs)
        for one, other in others
        if one.key == other.key and not (other_tool and other.kind == "computation")
    ]
    named = {one.name for one in varying}
    cause = _unnamed([one.what for one in inputs])
    consequences = [
        Consequence(step=other.name, chain=(cause, other.name))
        for _, other in others
        if other.name not in named
    ]
    return Changes(tuple(inputs), tuple(consequences), tuple(varying), other_tool)


def _of_record(before: Night, second: BuildResult) -> Iterator[InputChange]:
    """Yield the inputs that are others than those of a record, and spec and lock as `between`."""
    inputs = [
        {(one.kind, one.name, one.host): (one.version, one.content) for one in those}
        for those in (before.inputs, list(recorded(second)))
    ]
    changed = [
        (identity, inputs[0].get(identity), inputs[1].get(identity))
        for identity in dict.fromkeys([*inputs[0], *inputs[1]])
        if inputs[0].get(identity) != inputs[1].get(identity)
    ]
    for what, one, other in (
        ("spec", before.spec, second.spec),
        ("lock", before.lock, second.lock),
    ):
        if one != other and not (what == "lock" and changed):
            yield InputChange(
                what=what, first=None if one is None else str(one), second=str(other), link=""
            )
    for (_, name, host), first, now in changed:
        what = f"input {name}" + (f" for {host}" if host else "")
        sides = [None if side is None else " ".join(filter(None, side)) for side in (first, now)]
        yield InputChange(what=what, first=sides[0], second=sides[1], link="")


def recorded(result: BuildResult) -> Iterator[RecordedInput]:
    """Yield the inputs of a build as a night's record has them."""
    for one in result.inputs:
        content = getattr(one, "blake3", None) or getattr(one, "tree", "")
        yield RecordedInput(
            kind=one.kind,
            name=one.name,
            host=str(one.host or ""),
            version=one.version,
            content=str(content),
        )


def _told(tool: Tool) -> str:
    return f"{tool.version} ({str(tool.digest)[:19]})"


def _link(change: builds.Change, result: BuildResult) -> str:
    """Return where the change between two versions of a module can be read; empty if unknown."""
    one = next((one for one in result.inputs if change.what == f"input {one.name}"), None)
    if not isinstance(one, GoModule) or not change.first or not change.second:
        return ""
    versions = [_VERSION.fullmatch(version) for version in (change.first, change.second)]
    if _COMPARED.fullmatch(one.module) and all(versions):
        return f"https://{one.module}/compare/{change.first}...{change.second}"
    return ""


class _Graph:
    """Which of the changed things each step was given."""

    def __init__(
        self, first: BuildResult, second: BuildResult, actions: Mapping[str, object]
    ) -> None:
        before = {(one.kind, one.name, one.host): one for one in first.inputs}
        self._steps = {step.name: step for step in second.steps}
        # Digest -> what has it: an input that changed, or a step.
        self._made = {str(step.outputs): step.name for step in second.steps}
        self._given: dict[str, str] = {}
        for one in second.inputs:
            if before.get((one.kind, one.name, one.host)) != one:
                what = f"input {one.name}" + (f" for {one.host}" if one.host else "")
                self._given.update(dict.fromkeys(_contents(one), what))
        self._actions = actions

    def consequences(self, changed: Sequence[str], causes: Sequence[str]) -> Iterator[Consequence]:
        """Yield each changed step with the way to what changed first, the shortest one."""
        among = set(changed)
        for name in changed:
            yield Consequence(step=name, chain=self._chain(name, among, causes))

    def _chain(self, name: str, among: set[str], causes: Sequence[str]) -> tuple[str, ...]:
        after: dict[str, str | None] = {name: None}
        waiting = deque([name])
        last = name
        while waiting:
            last = waiting.popleft()
            earlier, own = self._parents(self._steps[last])
            if own:
                return (own, *_path(after, last))
            for parent in earlier:
                if parent in among and parent not in after:
                    after[parent] = last
                    waiting.append(parent)
        # What was given is made of several inputs, or it is the spec's own words that changed.
        return (_unnamed(causes), *_path(after, last))

    def _parents(self, step: Step) -> tuple[list[str], str]:
        """The steps whose outputs a step was given, and an input that changed, else empty."""
        named = _digests(self._actions.get(str(step.action)))
        own = next((self._given[one] for one in named if one in self._given), "")
        return [self._made[one] for one in named if one in self._made], own


def _path(after: Mapping[str, str | None], name: str) -> Iterator[str]:
    at: str | None = name
    while at is not None:
        yield at
        at = after[at]


def _unnamed(causes: Sequence[str]) -> str:
    """Return what to call a cause that no digest leads to: the only one there is, or all."""
    if len(causes) == 1:
        return causes[0]
    return _SPEC if _SPEC in causes else "the inputs"


def _contents(one: Input) -> Iterator[str]:
    """Yield the digests under which a step may have been given an input."""
    for name in ("tree", "blake3", "vendored"):
        found = getattr(one, name, None)
        if found is not None:
            yield str(found)


def _digests(document: object) -> list[str]:
    """Every digest in a document, in order, each once."""
    found: dict[str, None] = {}
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend([*value.values()][::-1])
        elif isinstance(value, list):
            waiting.extend(value[::-1])
        elif isinstance(value, str) and _DIGEST.fullmatch(value):
            found[value] = None
    return list(found)
