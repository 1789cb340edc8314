"""Compares two finished builds by their results: other inputs first, then steps that vary.

A step's key is a digest of everything that it was given. So a step with another key follows from
what differs before it: the inputs, or an earlier step. One with the same key and another output is
not deterministic, whatever else differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.diagnosis.model import Cause, Judgement, Sureness, shown

if TYPE_CHECKING:
    from orchestrator.artifacts.model import BuildResult, Step
    from orchestrator.diagnosis.model import Collector
    from orchestrator.lock.model import Input
    from reproducibility.digest import Digest

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Change:
    """Change between two builds' inputs. `first`, `second`: None where a side has none."""

    what: str
    first: str | None
    second: str | None

    def document(self) -> dict[str, str | None]:
        """The change as a JSON object."""
        return {"what": self.what, "first": self.first, "second": self.second}

    def line(self) -> str:
        """The change for people."""
        return f"{self.what}: {shown(self.first)} | {shown(self.second)}"


@dataclass(frozen=True, slots=True)
class Varying:
    """A step that was given the same and made something else."""

    name: str
    key: str
    first: Digest
    second: Digest


@dataclass(frozen=True)
class Comparison:
    """Comparison of two results.

    `inputs`: other tool, spec, lock, inputs. `around`: engine and machine, which must not matter.
    `first_following`, `following`: the first steps, and all, whose key differs; those of them whose
    output is another are `changed`. `alone`: steps of one side. `same`: how many are the same.
    """

    inputs: tuple[Change, ...]
    around: tuple[Change, ...]
    following: tuple[str, ...]
    changed: tuple[str, ...]
    varying: tuple[Varying, ...]
    alone: tuple[str, ...]
    same: int

    def document(self) -> dict[str, Any]:
        """The comparison as a JSON object."""
        return {
            "inputs": [one.document() for one in self.inputs],
            "around": [one.document() for one in self.around],
            "follow": list(self.following),
            "changed": list(self.changed),
            "not_deterministic": [
                {"step": one.name, "key": one.key, "first": str(one.first),
                 "second": str(one.second)}
                for one in self.varying
            ],
            "only_on_one_side": list(self.alone),
            "same_steps": self.same,
        }  # fmt: skip

    def lines(self) -> list[str]:
        """The comparison for people, inputs first."""
        found = []
        if self.inputs:
            found.append("other inputs:")
            found += [f"  {one.line()}" for one in self.inputs]
        if self.following:
            cause = "the inputs" if self.inputs else "earlier steps"
            found.append(
                f"{len(self.following)} steps were given something else, which follows from {cause}"
                f"; {len(self.changed)} of them made something else: {_some(self.changed)}"
            )
        if self.alone:
            found.append(f"steps of one side only: {_some(self.alone)}")
        if self.varying:
            found.append(
                "not deterministic, since they were given the same and made something else:"
            )
            found += [f"  {one.name}: {one.first} | {one.second}" for one in self.varying[:_SHOWN]]
            if len(self.varying) > _SHOWN:
                found.append(f"  and {len(self.varying) - _SHOWN} more")
        elif not self.inputs:
            found.append(f"the same inputs; {self.same} steps have the same outputs")
        if self.around and (self.varying or not self.inputs):
            found.append("made under other conditions:")
            found += [f"  {one.line()}" for one in self.around]
        return found

    def collect(self, to: Collector) -> None:
        """Add the inputs as a cause, where they differ."""
        if self.inputs:
            names = ", ".join(one.what for one in self.inputs[:_SHOWN])
            judged = Judgement(Cause.INPUT, Sureness.CERTAIN, f"made from something else: {names}")
            first = self.inputs[0]
            to.say("", first.what, judged, (first.first, first.second))

    @property
    def known(self) -> dict[str, tuple[str, str]]:
        """The conditions that differ, as the explanation takes them."""
        return {
            one.what: (one.first, one.second)
            for one in self.around
            if one.first is not None and one.second is not None
        }


def compare(first: BuildResult, second: BuildResult) -> Comparison:
    """Compare two results: inputs, conditions, steps."""
    others = {step.name: step for step in second.steps}
    names = {step.name for step in first.steps}
    both = [(step, others[step.name]) for step in first.steps if step.name in others]
    following = [(one, other) for one, other in both if _key(one) != _key(other)]
    varying = [
        Varying(one.name, str(one.key), one.outputs, other.outputs)
        for one, other in both
        if _key(one) == _key(other) and one.outputs != other.outputs
    ]
    alone = [step.name for step in first.steps if step.name not in others]
    alone += [step.name for step in second.steps if step.name not in names]
    return Comparison(
        tuple(_inputs(first, second)),
        tuple(_around(first, second)),
        tuple(one.name for one, _ in following),
        tuple(one.name for one, other in following if one.outputs != other.outputs),
        tuple(varying),
        tuple(alone),
        sum(one.outputs == other.outputs for one, other in both),
    )


def _key(step: Step) -> tuple[Digest, Digest | None]:
    return step.key, step.action


def _inputs(first: BuildResult, second: BuildResult) -> list[Change]:
    pairs = (
        ("tool version", first.tool, second.tool),
        ("spec", str(first.spec), str(second.spec)),
        ("lock", str(first.lock), str(second.lock)),
        ("compression", str(first.compression.archive), str(second.compression.archive)),
        ("compression of the initramfs", first.compression.initramfs,
         second.compression.initramfs),
    )  # fmt: skip
    found = [Change(what, one, other) for what, one, other in pairs if one != other]
    sides = [{_identity(one): one for one in side.inputs} for side in (first, second)]
    for identity in dict.fromkeys([*sides[0], *sides[1]]):
        one, other = (side.get(identity) for side in sides)
        if one != other:
            name, host = identity[1:]
            what = f"input {name}" + (f" for {host}" if host else "")
            found.append(Change(what, _told(one, other), _told(other, one)))
    return found


def _identity(one: Input) -> tuple[str, str, str]:
    return one.kind, one.name, str(one.host or "")


def _told(one: Input | None, other: Input | None) -> str | None:
    """An input's version, and its digests where the version says nothing."""
    if one is None:
        return None
    version = getattr(one, "version", "")
    content = getattr(one, "blake3", None) or getattr(one, "tree", None)
    if other is not None and version and version != getattr(other, "version", ""):
        return str(version)
    return f"{version} {content}".strip()


def _around(first: BuildResult, second: BuildResult) -> list[Change]:
    pairs = (
        ("engine", f"{first.engine.name} {first.engine.version}",
         f"{second.engine.name} {second.engine.version}"),
        ("architecture of the machine", str(first.host.architecture),
         str(second.host.architecture)),
        ("kernel", first.host.kernel, second.host.kernel),
        ("Python", first.host.python, second.host.python),
    )  # fmt: skip
    return [Change(what, one, other) for what, one, other in pairs if one != other]


def _some(names: tuple[str, ...]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
