"""What an image consists of, as a table for README, from the build's own count.

    python -m bench.counts [OUT]

`--readme FILE` puts the table into the file, between the lines that mark its place.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.artifacts.finished import Finished
from reproducibility.errors import SourceryError

if TYPE_CHECKING:
    from collections.abc import Mapping

BEGIN = "<!-- counts: made by `make counts` -->"
END = "<!-- end of counts -->"
_PLACE = re.compile(re.escape(BEGIN) + r"\n(.*?)" + re.escape(END), re.DOTALL)


def table(root: Mapping[str, Any]) -> str:
    """The table, as Markdown. `root`: that part of `result.json`."""
    files, size = root["files"], root["bytes"]
    rows = [("all that lies on it", files, size)]
    rows += [
        ("source", root["source_files"], root["source_bytes"]),
        ("packages compiled ahead", root["seed_files"], root["seed_bytes"]),
        ("kernels, initramfs, boot loaders", root["boot_files"], root["boot_bytes"]),
    ]
    lines = ["| on the image | files | | bytes | |", "| --- | ---: | ---: | ---: | ---: |"]
    lines += [
        f"| {name} | {count:,} | {share(count, files)} | {amount:,} | {share(amount, size)} |"
        for name, count, amount in rows
    ]
    lines += ["", "| architecture | prebuilt programs | commands compiled on demand |"]
    lines += ["| --- | ---: | ---: |"]
    lines += [
        f"| {name} | {count} | {root['commands'][name]} |"
        for name, count in sorted(root["prebuilt"].items())
    ]
    return "\n".join(lines) + "\n"


def share(part: int, whole: int) -> str:
    """A part of a whole in percent."""
    return f"{100 * part / whole:.0f} %"


def found(readme: str) -> str:
    """The table in a text; empty where it has no place for one."""
    match = _PLACE.search(readme)
    return match[1] if match else ""


def placed(readme: str, made: str) -> str:
    """A text with the table in its place."""
    return _PLACE.sub(lambda _: f"{BEGIN}\n{made}{END}", readme)


def main() -> int:
    """Print the table, or put it in its place."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("out", nargs="?", type=Path, default=Path("out"))
    parser.add_argument("--readme", type=Path)
    arguments = parser.parse_args()
    try:
        made = table(Finished.load(arguments.out).result.root.model_dump())
    except SourceryError as error:
        print(error.diagnostics(), file=sys.stderr)
        return error.status
    if arguments.readme is None:
        print(made, end="")
    else:
        text = arguments.readme.read_text("utf-8")
        arguments.readme.write_text(placed(text, made), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
