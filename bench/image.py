"""How fast the image is written: our writer against `mkfs.vfat` and `mcopy` of the same folder.

Run as `python -m bench.image FOLDER --rounds N`: both in turn, N times, on the disk of `--scratch`;
JSON on stdout with the medians, the spread and the ratio. Ours is timed from the tree manifest
(which a build has already) to the finished file: lint, layout, writing. The other is timed from the
empty file to the end of mcopy. Neither waits for the medium. The processor's time is given beside
the clock's: it says more where others use the machine too.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from containers.host import process
from orchestrator.image.fat import reverse_digest, writer
from orchestrator.image.fat.disk import Disk
from orchestrator.image.fat.layout import lay_out
from orchestrator.image.fat.volume import Volume
from reproducibility.manifest import scan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reproducibility.manifest import Entry, Tree

_VOLUME = Volume(volume_id=0x5710_1234, label="BENCH", epoch=1_700_000_000)
_SIGNATURE = 0x5717_C001
# What mtools takes for FAT32 has 65,525 clusters, here of 4 KiB; with the tables, less than this.
_LEAST = 300 << 20
_REASON = "to compare the speed of the image writer"


def compare(folder: Path, scratch: Path, rounds: int) -> dict[str, Any]:
    """Time both in turn. `folder`: the tree; `scratch`: where the images go, removed again.

    Raises:
        InfrastructureError: mkfs.vfat or mcopy is missing.
        InputError: the folder holds what VFAT cannot.
        subprocess.CalledProcessError: mkfs.vfat or mcopy failed.
    """
    mkfs = process.find("mkfs.vfat", reason=_REASON, remedy="install dosfstools")
    mcopy = process.find("mcopy", reason=_REASON, remedy="install mtools")
    tree = scan(folder)
    phases: dict[str, list[float]] = {"layout": [], "write": [], "again": []}
    ours: list[Spent] = []
    theirs: list[Spent] = []
    size = Disk(lay_out(tree, _VOLUME), _SIGNATURE).size
    with tempfile.TemporaryDirectory(dir=scratch) as place:
        target = Path(place, "image")
        for _ in range(rounds):
            theirs.append(_mcopy(mkfs, mcopy, folder, target, size))
            target.unlink()
            ours.append(_write(tree, folder, target, phases))
            target.unlink()
    return {
        "files": sum(1 for _ in tree.files()),
        "bytes": tree.size,
        "image_bytes": size,
        "rounds": rounds,
        "mkfs_mcopy_seconds": _summary([spent.clock for spent in theirs]),
        "mkfs_mcopy_cpu_seconds": _summary([spent.cpu for spent in theirs]),
        "ours_seconds": _summary([spent.clock for spent in ours]),
        "ours_cpu_seconds": _summary([spent.cpu for spent in ours]),
        "phases_seconds": {name: _summary(times) for name, times in phases.items()},
        "times_faster": _ratio([spent.clock for spent in theirs], [spent.clock for spent in ours]),
        "times_less_cpu": _ratio([spent.cpu for spent in theirs], [spent.cpu for spent in ours]),
    }


class Spent(NamedTuple):
    """Seconds by the clock, and of processors: at a moment, or between two."""

    clock: float
    cpu: float

    @classmethod
    def by_now(cls) -> Spent:
        """Of this process and of those that it waited for."""
        times = os.times()
        cpu = times.user + times.system + times.children_user + times.children_system
        return cls(time.perf_counter(), cpu)

    def until_now(self) -> Spent:
        """What was spent since this moment."""
        now = self.by_now()
        return Spent(now.clock - self.clock, now.cpu - self.cpu)


def _ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    return round(statistics.median(theirs) / max(statistics.median(ours), 1e-9), 2)


def _mcopy(mkfs: str, mcopy: str, folder: Path, target: Path, size: int) -> Spent:
    environment = {
        "PATH": os.defpath,
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "MTOOLSRC": os.devnull,
        "MTOOLS_SKIP_CHECK": "1",
        "SOURCE_DATE_EPOCH": str(_VOLUME.epoch),
    }
    children = [str(child) for child in sorted(folder.iterdir())]
    # Its directories may take a little more room than ours.
    room = max(size + size // 8, _LEAST)
    start = Spent.by_now()
    with target.open("wb") as image:
        image.truncate(room)
    for command in (
        [mkfs, "--invariant", "-F", "32", "-s", "8", "-n", "BENCH", str(target)],
        [mcopy, "-s", "-m", "-Q", "-i", str(target), *children, "::/"],
    ):
        # Not through `process.run`, which looks only now and then whether a program has ended.
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return start.until_now()


def _write(tree: Tree, folder: Path, target: Path, phases: dict[str, list[float]]) -> Spent:
    prefix = f"{folder}/"

    def blob(entry: Entry) -> str:
        return prefix + entry.path

    start = Spent.by_now()
    disk = Disk(lay_out(tree, _VOLUME), _SIGNATURE)
    laid_out = start.until_now().clock
    writer.write(disk, blob, target)
    written = start.until_now()
    again = Spent.by_now()
    reverse_digest.digest(disk, blob)
    phases["layout"].append(laid_out)
    phases["write"].append(written.clock - laid_out)
    phases["again"].append(again.until_now().clock)
    return written


def _summary(times: Sequence[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(times), 3),
        "least": round(min(times), 3),
        "most": round(max(times), 3),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison and write its JSON to stdout."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder to make an image of")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--scratch", type=Path, default=None, help="a folder on the disk to write to"
    )
    chosen = parser.parse_args(arguments)
    scratch = chosen.scratch or Path(tempfile.gettempdir())
    result = compare(chosen.folder.resolve(), scratch.absolute(), max(1, chosen.rounds))
    sys.stdout.write(json.dumps(result, indent=2, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
