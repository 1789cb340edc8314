"""Finds the machine's Debian mirror in its apt sources, in either form (sources.list(5)).

Pure but for reading those files. The project names no mirror: a machine whose apt has none (another
distribution) says one in SOURCERY_DEBIAN_MIRROR.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from debian.deb822 import Deb822

from reproducibility import regular
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

VARIABLE = "SOURCERY_DEBIAN_MIRROR"
_KEYRINGS = (
    "usr/share/keyrings/debian-archive-keyring.gpg",
    "usr/share/keyrings/debian-archive-keyring.pgp",
)
_ONE_LINE = re.compile(
    r"deb\s+(?:\[(?P<options>[^]]*)\]\s+)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<components>(?:\s+\S+)*)"
)
# Suites that lie in archives of their own, without the main pool.
_PARTIAL = re.compile(r"[-/](?:security|updates|backports|backports-sloppy|proposed-updates)$|/$")


@dataclass(frozen=True, slots=True)
class Mirror:
    """A mirror's base address, and the keys it is trusted by (a file, a key, or empty)."""

    uri: str
    signed_by: str

    def deb822(self, suite: str, architectures: Sequence[str]) -> str:
        """An apt source in deb822 form for one suite's main component."""
        lines = ["Types: deb", f"URIs: {self.uri}", f"Suites: {suite}", "Components: main"]
        if architectures:
            lines.append(f"Architectures: {' '.join(architectures)}")
        if self.signed_by:
            lines.append(f"Signed-By: {self.signed_by}")
        return "\n".join([*lines, ""])


@dataclass(frozen=True, slots=True)
class _Source:
    uri: str
    suite: str
    components: tuple[str, ...]
    signed_by: str


def mirror(root: Path, suite: str, environ: Mapping[str, str]) -> Mirror:
    """The machine's mirror of Debian, one that it uses for `suite` first.

    `root`: where the machine's `etc/apt` lies, `/`.

    Raises:
        InfrastructureError: the machine's apt knows no Debian mirror.
    """
    keyring = next((str(root / name) for name in _KEYRINGS if (root / name).exists()), "")
    said = environ.get(VARIABLE)
    if said:
        return Mirror(said.rstrip("/"), keyring)
    candidates = [
        source
        for source in _sources(root)
        if "main" in source.components
        and not _PARTIAL.search(source.suite)
        and re.search(r"debian/?$|debian\.list$", source.uri)
    ]
    for source in sorted(candidates, key=lambda found: found.suite != suite):
        return Mirror(source.uri.rstrip("/"), source.signed_by or keyring)
    raise InfrastructureError(
        "this machine's apt sources name no mirror of Debian",
        subject=str(root / "etc/apt"),
        remedy=f"say the base address of one in {VARIABLE}",
    )


def _sources(root: Path) -> Iterator[_Source]:
    folder = root / "etc" / "apt"
    parts = folder / "sources.list.d"
    if (folder / "sources.list").is_file():
        yield from parse_one_line(_text(folder / "sources.list"))
    for path in sorted(parts.iterdir()) if parts.is_dir() else ():
        text = _text(path) if path.suffix in {".list", ".sources"} else ""
        yield from parse_one_line(text) if path.suffix == ".list" else parse_deb822(text)


def _text(path: Path) -> str:
    return regular.read(path).decode(errors="replace")


def parse_one_line(text: str) -> Iterator[_Source]:
    """Sources in the one-line form; lines that are none are passed over."""
    for line in text.splitlines():
        found = _ONE_LINE.fullmatch(line.partition("#")[0].strip())
        if found:
            options = dict(
                option.split("=", 1) for option in (found["options"] or "").split() if "=" in option
            )
            signed_by = options.get("signed-by", "")
            yield _Source(
                found["uri"], found["suite"], tuple(found["components"].split()), signed_by
            )


def parse_deb822(text: str) -> Iterator[_Source]:
    """Sources in the deb822 form; stanzas that are disabled or no binary source are passed over."""
    try:
        # As lines, since python-debian takes a text for the name of a file if there is one.
        stanzas = list(Deb822.iter_paragraphs(text.split("\n"), use_apt_pkg=False))
    except ValueError:  # apt would not read it either
        return
    for stanza in stanzas:
        if "deb" not in stanza.get("Types", "").split() or stanza.get("Enabled", "") == "no":
            continue
        for uri in stanza.get("URIs", "").split():
            for suite in stanza.get("Suites", "").split():
                components = tuple(stanza.get("Components", "").split())
                yield _Source(uri, suite, components, stanza.get("Signed-By", ""))
