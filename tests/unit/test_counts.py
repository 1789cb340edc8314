"""The table of what an image consists of: README holds one as the program makes it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bench import counts

ROOT = Path(__file__).resolve().parents[2]

SAMPLE: dict[str, Any] = {
    "files": 24950,
    "bytes": 1_390_000_000,
    "source_files": 17239,
    "source_bytes": 420_000_000,
    "seed_files": 7125,
    "seed_bytes": 680_000_000,
    "boot_files": 24,
    "boot_bytes": 93_000_000,
    "prebuilt": {"arm64": 13, "amd64": 13},
    "commands": {"arm64": 180, "amd64": 184},
}


def test_the_table() -> None:
    made = counts.table(SAMPLE).splitlines()
    assert made[2] == "| all that lies on it | 24,950 | 100 % | 1,390,000,000 | 100 % |"
    assert made[3] == "| source | 17,239 | 69 % | 420,000,000 | 30 % |"
    assert made[5] == "| kernels, initramfs, boot loaders | 24 | 0 % | 93,000,000 | 7 % |"
    assert made[-2:] == ["| amd64 | 13 | 184 |", "| arm64 | 13 | 180 |"]


def test_the_table_takes_its_place() -> None:
    text = f"before\n{counts.BEGIN}\nold\n{counts.END}\nafter\n"
    new = counts.placed(text, counts.table(SAMPLE))
    assert counts.found(new) == counts.table(SAMPLE)
    assert new.startswith("before\n")
    assert new.endswith("\nafter\n")
    assert counts.placed("no place", "x") == "no place"


def test_readme_holds_a_table_that_the_program_has_made() -> None:
    shown = counts.found((ROOT / "README.md").read_text("utf-8"))
    numbers = [int(text.replace(",", "")) for text in re.findall(r"(?<=\| )[\d,]+(?= \|)", shown)]
    (
        files,
        size,
        source_files,
        source_bytes,
        seed_files,
        seed_bytes,
        boot_files,
        boot_bytes,
        *rest,
    ) = numbers
    names = re.findall(r"^\| (amd64|arm64|riscv64) \|", shown, re.MULTILINE)
    again = counts.table(
        {
            "files": files,
            "bytes": size,
            "source_files": source_files,
            "source_bytes": source_bytes,
            "seed_files": seed_files,
            "seed_bytes": seed_bytes,
            "boot_files": boot_files,
            "boot_bytes": boot_bytes,
            "prebuilt": dict(zip(names, rest[::2], strict=True)),
            "commands": dict(zip(names, rest[1::2], strict=True)),
        }
    )
    assert shown == again, "run `make counts`"
    assert files > source_files > files // 2, "mostly source"
