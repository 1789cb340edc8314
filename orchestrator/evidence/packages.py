"""Package URLs and digests of inputs, as other programs name them. Pure.

Sources: the purl specification's types `golang`, `pypi` and `deb`; the in-toto DigestSet.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import quote

from orchestrator.lock.model import DebianPackage, GoModule, PythonWheel

if TYPE_CHECKING:
    from orchestrator.lock.file import Input


def purl(found: Input) -> str:
    """Return the package URL of an input; empty for a person's own files."""
    if isinstance(found, GoModule):
        return module_url(found.module, found.version)
    if isinstance(found, PythonWheel):
        return f"pkg:pypi/{found.package.lower().replace('_', '-')}@{_quoted(found.version)}"
    if isinstance(found, DebianPackage):
        # name_version_architecture.deb
        architecture = found.where.removesuffix(".deb").rpartition("_")[2]
        place = f"?arch={_quoted(architecture)}&distro={_quoted(found.suite)}"
        return f"pkg:deb/debian/{_quoted(found.package)}@{_quoted(found.version)}{place}"
    return ""


def module_url(module: str, version: str) -> str:
    """Return the package URL of a Go module; without a version where there is none."""
    path = "/".join(_quoted(part) for part in module.lower().split("/"))
    return f"pkg:golang/{path}" + (f"@{_quoted(version)}" if version else "")


def digests(found: Input) -> dict[str, str]:
    """Return the digests of what was fetched, by their names in in-toto; hexadecimal digits."""
    known = {"blake3": found.blake3.hex}
    if isinstance(found, GoModule):
        known["goModuleH1"] = hexadecimal(found.h1)
    if isinstance(found, DebianPackage | PythonWheel):
        known["sha256"] = found.sha256.hex
    return known


def hexadecimal(h1: str) -> str:
    """Return a Go module hash (`h1:` and base64) as hexadecimal digits."""
    return base64.b64decode(h1.removeprefix("h1:")).hex()


def _quoted(text: str) -> str:
    return quote(text, safe=".-_~")
