"""Assembles the result of a build (`model.BuildResult`); writes `result.json` and the steps' logs.

A step's result says which run made it where that run wrote it down; nothing of the present run is
put in its place. What others check the files by is `orchestrator/evidence/`.
"""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from containers.policy import RULES
from orchestrator import resources
from orchestrator.artifacts import model, output_directory
from orchestrator.boot import initramfs
from orchestrator.execution import logs
from orchestrator.image.cpio import writer as cpio
from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.compare import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from containers.engine import Identity
    from orchestrator.artifacts.image import Image
    from orchestrator.artifacts.root import Root
    from orchestrator.execution.step import Provenance, Result, Results, Step
    from orchestrator.golang.toolchain import Chain
    from orchestrator.lock.file import Lock
    from orchestrator.store import Store
    from reproducibility.compare import Check
    from reproducibility.digest import Digest

_WORDS: dict[Verdict, model.Word] = {
    Verdict.PASS: "PASS",
    Verdict.SKIP: "SKIP",
    Verdict.FAIL: "FAIL",
}


def build_result(  # noqa: PLR0913 - the parts of a result
    *,
    verdict: Verdict,
    image: Image,
    checks: Sequence[Check],
    steps: Sequence[Step],
    results: Results,
    spec: Digest,
    pinned: Lock,
    chain: Chain,
    assembled: Root,
    engine: Identity,
    seconds: float,
    peak_memory: int,
) -> model.BuildResult:
    """The content of `result.json`. `spec`: the digest of what the spec says."""
    stages = {step.name: step.stage for step in steps}
    return model.BuildResult(
        verdict=_WORDS[verdict],
        tool=resources.VERSION,
        host=model.Host(
            architecture=chain.host, kernel=os.uname().release, python=platform.python_version()
        ),
        engine=_engine(engine),
        spec=spec,
        lock=pinned.digest,
        inputs=pinned.inputs,
        image=model.Artifact.model_validate(image.image.document()),
        cpio=model.Artifact.model_validate(image.cpio.document()),
        root=_root(image.tree, assembled),
        checks=tuple(model.Check.model_validate(check.document()) for check in checks),
        steps=tuple(step(name, stages[name], result) for name, result in results.items()),
        isolation=isolation(result.provenance for result in results.values()),
        patches=tuple(model.Patch.model_validate(patch) for patch in chain.patches()),
        compression=model.Compression(archive=cpio.COMPRESSION, initramfs=initramfs.COMPRESSION),
        seconds=round(seconds, 3),
        peak_memory=peak_memory,
    )


def step(name: str, stage: str, result: Result) -> model.Step:
    """A step, and where its result comes from, by what was written down when it was made."""
    idle = result.kind == "nothing"
    origin: model.Origin = "remembered" if result.cached else "ran here"
    return model.Step(
        name=name,
        stage=stage,
        kind=result.kind,
        key=result.key,
        action=result.action,
        conditions=dict(result.conditions),
        outputs=result.tree.digest,
        seconds=round(result.seconds, 3),
        peak_memory=result.peak_memory,
        cached=result.cached,
        origin="nothing to do" if idle else origin,
        provenance=_provenance(result.provenance),
    )


def isolation(provenances: Iterable[Provenance | None]) -> model.Isolation:
    """The rules, and each way in which the runs that made the results kept them, once."""
    kept = [_enforced(made.isolation) for made in provenances if made and _isolated(made)]
    found = {str(one.id): one for one in kept if one}
    return model.Isolation(
        rules={rule.name: rule.meaning for rule in RULES},
        enforced=tuple(found[name] for name in sorted(found)),
    )


def write(folder: Path, made: model.BuildResult, results: Results, store: Store) -> None:
    """Write `result.json` and `logs/` into the new output directory."""
    beside = folder / "logs"
    beside.mkdir()
    logs.write(results, store, beside)
    (folder / output_directory.RESULT).write_bytes(model.dumps(made))


def _root(tree: Digest, assembled: Root) -> model.Root:
    counts = assembled.counts
    return model.Root(
        tree=tree,
        files=sum(1 for _ in assembled.tree.files()),
        bytes=assembled.tree.size,
        source_files=counts.source_files,
        source_bytes=counts.source_bytes,
        seed_files=counts.seed_files,
        seed_bytes=counts.seed_bytes,
        boot_files=counts.boot_files,
        boot_bytes=counts.boot_bytes,
        prebuilt=dict(counts.prebuilt),
        prebuilt_programs={name: tuple(paths) for name, paths in counts.programs.items()},
        commands=dict(counts.commands),
        left_out_by_build_constraints={
            name: tuple(paths) for name, paths in counts.constrained.items()
        },
    )


def _engine(identity: Identity) -> model.Engine:
    return model.Engine.model_validate(identity.document())


def _provenance(made: Provenance | None) -> model.Provenance | None:
    """Return where a result comes from; None where that was not recorded, or not as a whole."""
    if made is None:
        return None
    kept = _enforced(made.isolation)
    if kept is None:
        return None
    return model.Provenance(
        engine=_engine(made.engine),
        isolation=kept.id if _isolated(made) else None,
        tool=made.tool,
        when=made.when,
        observed=made.observed.strip(),
        cpus=made.cpus,
        worker=made.worker or None,
        taken_from=made.taken_from or None,
    )


def _isolated(made: Provenance) -> bool:
    """Tell whether the work ran in isolation: for what this program computes, there is no rule."""
    return any(made.isolation.values())


def _enforced(told: Mapping[str, Any]) -> model.Enforced | None:
    """Return how a run was isolated; None where what was written down has another shape."""
    try:
        own = digests.of_bytes(canonical.dumps(dict(told)))
        return model.Enforced.model_validate({**told, "id": own})
    except (TypeError, ValueError, ValidationError):
        return None
