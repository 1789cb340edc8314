"""Subject of the evidence: one finished build as a value. Everything that a writer gets.

Writers are pure: they read no file, no clock and nothing of the machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.audit.model import AuditResult
    from orchestrator.evidence.contents import Component
    from orchestrator.lock.file import Lock


@dataclass(frozen=True)
class FileDigests:
    """A file of the output directory. `size`: bytes. `blake3`, `sha256`: hexadecimal digits."""

    size: int
    blake3: str
    sha256: str


@dataclass(frozen=True)
class Subject:
    """A finished build.

    `spec`, `lock_file`: bytes of the files that the build read. `epoch`: the image's one time,
    seconds since 1970-01-01 UTC. `actions`: by the digest that result.json names (`blake3:` and
    digits), the document of what was done. `files`: by name relative to the output directory, every
    file that was there before the one to be written. `contents`: what the image consists of; empty
    where the SBOM is not to be written. `bill`: the SBOM's bytes, once it is written. `audit`: the
    audit of this build, if there was one.
    `finished`: when the build, or that audit, came to its end; seconds since 1970-01-01 UTC.
    """

    result: BuildResult
    spec: bytes
    lock_file: bytes
    lock: Lock
    epoch: int
    finished: int
    actions: Mapping[str, Any]
    files: Mapping[str, FileDigests] = field(default_factory=dict)
    contents: tuple[Component, ...] = ()
    bill: bytes = b""
    audit: AuditResult | None = None
