"""`result.json` and the other files beside the image that say what was built and compared.

Schema 1 of `result.json`: `schema`, `verdict`, `image` and `cpio` (`path`, `size`, `blake3`,
`sha256`), `checks` (`name`, `subject`, `verdict`, `reason`),
`stages` (`name`, `key`, `seconds`, `cached`, `peak_memory`), `patches` (`file`, `change`,
`blake3`: what the build changed in a private copy of a published file), `inputs`, `root`,
`isolation`, `engine`, `compression` (the library and level of archive and initramfs: another
version may give other bytes), `seconds`, `peak_memory`. Sizes are bytes. It holds times, so it is
not part of what must come out the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator import output, scheduler
from orchestrator.boot import initramfs
from orchestrator.image import cpio
from reproducibility import canonical

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from containers.policy import Enforcement, Policy
    from orchestrator.lock import Lock
    from orchestrator.making import Image
    from orchestrator.root import Root
    from orchestrator.scheduler import Results, Run
    from orchestrator.store import Store
    from orchestrator.toolchain.chain import Chain
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
    enforcement: Sequence[Enforcement],
    policy: Policy,
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
        "isolation": {
            **policy.describe(),
            "enforcement": [
                {"rule": found.rule, "state": found.state, "means": found.means}
                for found in enforcement
            ],
        },
        "seconds": round(seconds, 3),
        "peak_memory": peak_memory,
    }


def write(folder: Path, content: dict[str, Any], results: Results, store: Store) -> None:
    """Write `result.json`, `SHA256SUMS`, `B3SUMS` and `logs/` into the new output directory."""
    made = [content[name] for name in ("cpio", "image")]
    for name, algorithm in (("SHA256SUMS", "sha256"), ("B3SUMS", "blake3")):
        lines = [f"{part[algorithm]}  {part['path']}\n" for part in made]
        (folder / name).write_text("".join(lines))
    logs = folder / "logs"
    logs.mkdir()
    scheduler.logs(results, store, logs)
    (folder / output.RESULT).write_bytes(canonical.pretty(content))
