"""Draws a real session as an SVG: `make picture`, from what `test_boot.py` kept of its boots.

The same recording gives the same picture. The marks that the driver types around each command are
left out, as is what the line editor draws again and again; commands, outputs and times are those of
the session.
"""

from __future__ import annotations

import json
import re
import sys
from io import StringIO
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEPT = ROOT / ".cache" / "boot"
PICTURE = ROOT / "docs" / "session.svg"
PLATFORM = "pc-uefi"
_WIDTH = 84
_GREETING = "Sourcery: a system that is mostly source."
# Fonts would be fetched from elsewhere by everybody who looks at the picture.
_FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def greeting(transcript: str) -> list[str]:
    """The lines that the device greets with, up to the blank line at their end."""
    lines = transcript.splitlines()
    first = lines.index(_GREETING)
    last = next(n for n in range(first, len(lines)) if "What you make in" in lines[n])
    return lines[first : last + 1]


def session(outcome: dict[str, Any], transcript: str) -> Iterator[Text]:
    """The lines of the picture."""
    for line in greeting(transcript):
        yield Text(line, style="bold" if line == _GREETING else "")
    yield Text()
    for ran in outcome["commands"]:
        first, *more = ran["command"].splitlines()
        compiled = f"compiled {', '.join(ran['compiled'])}: " if ran["compiled"] else ""
        took = f"{compiled}{ran['seconds']:.1f} s"
        gap = max(_WIDTH - len(first) - len(took) - 2, 2)
        yield Text.assemble(("> ", "green"), (first, "bold"), " " * gap, (took, "dim"))
        for line in more:
            yield Text.assemble("  ", (line, "bold"))
        shown = ran["output"].rstrip("\n").splitlines()
        for line in [" ".join(shown)] if ran["command"] == "ls /" else shown:
            yield Text(line)
    yield Text.assemble(("> ", "green"), ("poweroff", "bold"))


def draw(folder: Path) -> str:
    """The picture of the session that is kept in a folder, as SVG."""
    document = json.loads((folder / "boot.json").read_bytes())
    (outcome,) = [one for one in document["platforms"] if one["name"] == PLATFORM]
    transcript = (folder / f"{PLATFORM}.log").read_text("utf-8")
    console = Console(record=True, width=_WIDTH, file=StringIO(), color_system="truecolor")
    for line in session(outcome, transcript):
        console.print(line, soft_wrap=False)
    drawn = console.export_svg(title=f"{PLATFORM}, emulated", unique_id="session")
    return _FONTS.sub("", drawn)


def main() -> None:
    """Write the picture.

    Raises:
        SystemExit: no session was kept.
    """
    if not (KEPT / "boot.json").exists():
        sys.exit("no session is kept: run `python -m pytest tests/integration/test_boot.py` first")
    PICTURE.write_text(draw(KEPT), "utf-8")


if __name__ == "__main__":
    main()
