"""`result.json` and the other files beside the image that say what was built and compared.

Schema 1 of `result.json`: `schema`, `verdict`, `image` and `cpio` (`path`, `size`, `blake3`,
`sha256`), `checks` (`name`, `subject`, `verdict`, `reason`),
`stages` (`name`, `key`, `seconds`, `cached`, `peak_memory`, `provenance`), `patches` (`file`,
`change`, `blake3`: what the build changed in a private copy of a published file), `inputs`, `root`,
`isolation`, `engine` (this run's), `compression` (the library and level of archive and initramfs:
another version may give other bytes), `seconds`, `peak_memory`. Sizes are bytes. It holds times, so
it is not part of what must come out the same.

A stage's `provenance` says where its result comes from: `origin` (`ran here`, `remembered`,
`nothing to do`), and of the run that made it `engine` (`name`, `identity`, `version`), `isolation`
(the `id` of one of those in `isolation.enforced`), `tool` (the version of this program), `when`,
and `observed`, what a program saw inside, where one looked. `not recorded` stands where that run
did not write it down, as those of older versions did not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from containers.policy import Policy
from orchestrator.artifacts import output_directory
from orchestrator.boot import initramfs
from orchestrator.execution import logs
from orchestrator.execution.step import NOT_RECORDED
from orchestrator.image.cpio import writer as cpio
from reproducibility import canonical
from reproducibility import digest as digests

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from orchestrator.artifacts.image import Image
    from orchestrator.artifacts.root import Root
    from orchestrator.execution.step import Provenance, Result, Results, Run
    from orchestrator.golang.toolchain import Chain
    from orchestrator.lock.file import Lock
    from orchestrator.store import Store
    from reproducibility.compare import Check, Verdict

SCHEMA = 1


def document(  # noqa: PLR0913 - the parts of a result
    *,
    verdict: Verdict,
    image: Image,
    checks: Sequence[Check],
    run: Run,
    pinned: Lock,
    chain: Chain,
    assembled: Root,
    engine: str,
    seconds: float,
    peak_memory: int,
) -> dict[str, Any]:
    """The content of `result.json`."""
    counts = assembled.counts
    files = sum(1 for _ in assembled.tree.files())
    return {
        "schema": SCHEMA,
        "verdict": verdict.name,
        "image": image.image.document(),
        "cpio": image.cpio.document(),
        "checks": [check.document() for check in checks],
        "stages": [
            {
                "name": name,
                "key": str(result.key),
                "seconds": round(result.seconds, 3),
                "cached": result.cached,
                "peak_memory": result.peak_memory,
                "provenance": _provenance(result),
            }
            for name, result in run.results.items()
        ],
        "patches": chain.patches(),
        "compression": {"archive": cpio.COMPRESSION, "initramfs": initramfs.COMPRESSION},
        "inputs": pinned.model_dump(mode="json")["inputs"],
        "root": {
            "tree": str(image.tree),
            "files": files,
            "bytes": assembled.tree.size,
            "source_files": counts.source_files,
            "source_bytes": counts.source_bytes,
            "seed_files": counts.seed_files,
            "seed_bytes": counts.seed_bytes,
            "boot_files": counts.boot_files,
            "boot_bytes": counts.boot_bytes,
            "prebuilt": dict(counts.prebuilt),
            "prebuilt_programs": {name: list(paths) for name, paths in counts.programs.items()},
            "commands": dict(counts.commands),
            "left_out_by_build_constraints": {
                name: list(paths) for name, paths in counts.constrained.items()
            },
        },
        "engine": engine,
        "isolation": _isolation(result.provenance for result in run.results.values()),
        "seconds": round(seconds, 3),
        "peak_memory": peak_memory,
    }


def _provenance(result: Result) -> dict[str, Any]:
    """Where a stage's result comes from, by what was written down when it was made."""
    if result.kind == "nothing":
        return {"origin": "nothing to do"}
    origin = "remembered" if result.cached else "ran here"
    made = result.provenance
    if made is None:
        unknown = dict.fromkeys(("engine", "isolation", "tool", "when"), NOT_RECORDED)
        return {"origin": origin, **unknown}
    seen = {"observed": made.observed.strip()} if made.observed else {}
    return {
        "origin": origin,
        "engine": made.engine.document(),
        "isolation": _isolation_id(made.isolation),
        "tool": made.tool,
        "when": made.when,
        **seen,
    }


def _isolation(provenances: Iterable[Provenance | None]) -> dict[str, Any]:
    """The rules, and each way in which the runs that made the results kept them, once."""
    found = {_isolation_id(made.isolation): made.isolation for made in provenances if made}
    return {
        "rules": Policy().describe()["rules"],
        "enforced": [{"id": name, **found[name]} for name in sorted(found)],
    }


def _isolation_id(isolation: Mapping[str, Any]) -> str:
    return str(digests.of_bytes(canonical.dumps(dict(isolation))))


def write(folder: Path, content: dict[str, Any], results: Results, store: Store) -> None:
    """Write `result.json`, `SHA256SUMS`, `B3SUMS` and `logs/` into the new output directory."""
    made = [content[name] for name in ("cpio", "image")]
    for name, algorithm in (("SHA256SUMS", "sha256"), ("B3SUMS", "blake3")):
        lines = [f"{part[algorithm]}  {part['path']}\n" for part in made]
        (folder / name).write_text("".join(lines))
    beside = folder / "logs"
    beside.mkdir()
    logs.write(results, store, beside)
    (folder / output_directory.RESULT).write_bytes(canonical.pretty(content))
