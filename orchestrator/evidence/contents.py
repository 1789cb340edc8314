"""Contents of an image as components: what its software bill of materials lists. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reproducibility.digest import Digest

# An input of the lock; a Go module; programs, kernels and other things that the build made; a
# person's own files.
Kind = Literal["input", "module", "program", "kernel", "made", "files"]
NO_ASSERTION = "NOASSERTION"


@dataclass(frozen=True)
class File:
    """A file on the image. `path`: from the root, without a leading slash. `sha1`: digits."""

    path: str
    blake3: str
    sha1: str


@dataclass(frozen=True)
class Component:
    """A component: one package of the bill of materials.

    `id`: unique in the image; letters, digits, `.` and `-`. `h1`: the Go module hash. `sha256`:
    digits, of the artifact that was fetched; `blake3`: of it, of the tree, or of the only file that
    the build made. `licence`: an SPDX expression, or NOASSERTION; `licence_from`: the file that
    says so; `licence_texts`: the text of each reference in it that is not of the SPDX list. `purl`:
    the package URL.
    `files`: those of its files that are on the image. `built_from`, `depends_on`: ids of others.
    """

    id: str
    kind: Kind
    name: str
    version: str
    licence: str = NO_ASSERTION
    licence_from: str = ""
    licence_texts: Mapping[str, str] = field(default_factory=dict)
    purl: str = ""
    h1: str = ""
    sha256: str = ""
    blake3: str = ""
    tree: Digest | None = None
    comment: str = ""
    files: tuple[File, ...] = ()
    built_from: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
