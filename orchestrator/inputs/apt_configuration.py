"""Private configuration of apt: one mirror, a person's settings of downloads, and nothing else.

Source: apt.conf(5), sources.list(5).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

# The person's settings that apt-config shows and that decide how something is downloaded.
_KEPT_SETTING = re.compile(r"^(?:Acquire|APT::Sandbox)(?:::(?!IndexTargets|Languages)[^ ]*)? \"")


def write(base: Path, sources: str, architectures: Sequence[str], settings: str) -> Path:
    """Write a configuration with folders of its own; return the file for `APT_CONFIG`.

    `base`: its folder. `sources`: the mirror, as deb822. `architectures`: by Debian's names; none
    where no index is read. `settings`: what `apt-config dump` says.

    Raises:
        OSError: the disk cannot be written.
    """
    for name in ("lists/partial", "cache/archives/partial", "state"):
        (base / name).mkdir(parents=True, exist_ok=True)
    (base / "status").touch()
    (base / "sources.sources").write_text(sources)
    written = base / "apt.conf"
    written.write_text(
        "\n".join(
            [
                # Read before anything else (apt.conf(5)), so the machine's files, with their
                # hooks and indexes, are never read.
                'Dir::Etc::main "/dev/null";',
                'Dir::Etc::parts "/dev/null";',
                'Dir::Etc::preferences "/dev/null";',
                'Dir::Etc::preferencesparts "/dev/null";',
                f'Dir::Etc::sourcelist "{base}/sources.sources";',
                'Dir::Etc::sourceparts "/dev/null";',
                f'Dir::State "{base}/state";',
                f'Dir::State::lists "{base}/lists";',
                f'Dir::State::status "{base}/status";',
                f'Dir::Cache "{base}/cache";',
                'Acquire::Languages "none";',
                f'APT::Architecture "{architectures[0]}";' if architectures else "",
                *(f'APT::Architectures:: "{name}";' for name in architectures),
                *_kept_settings(settings),
                "",
            ]
        )
    )
    return written


def _kept_settings(dump: str) -> Iterator[str]:
    return (line for line in dump.splitlines() if _KEPT_SETTING.match(line))
