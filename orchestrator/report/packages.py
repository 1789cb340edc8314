"""Packages of a bill of materials (SPDX 2.3, JSON), as far as the page shows them.

Only the list of packages is read, which is a small part of the document: it lists every file of the
image. It is found by the form in which a build writes it (`orchestrator/evidence/sbom.py`), one
package a line; of a document in another form there are none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from reproducibility import canonical
from reproducibility.errors import InputError

NAME: Final = "sbom.spdx.json"
_BEGIN, _END = b'\n"packages": [\n', b"\n]"
# Packages, bytes of one's line and values in it; those of the default image are 201, 1,819 and 22.
# Bytes of all lines: those of the default image have some 200 kB.
_MOST = 20_000
_ALL = 16 << 20
_LONGEST = 64 << 10
_MOST_VALUES = 1000
_NO_ASSERTION = frozenset({"NOASSERTION", "NONE", ""})
_GO = "pkg:golang/"
_DIGEST = re.compile(r"\bblake3:([0-9a-f]{64})\b")


@dataclass(frozen=True)
class Package:
    """A package. `licence`: an SPDX expression; empty where it is not known.

    `kind`: `module` for a Go module, else empty. `digests`: hexadecimal digits of all that are said
    of it, by which an input is recognised.
    """

    name: str
    version: str
    licence: str
    kind: str
    digests: frozenset[str] = frozenset()


def parse(data: bytes, subject: str = NAME) -> tuple[Package, ...]:
    """Read the packages of an SPDX document, in their order.

    Raises:
        InputError: a line of the list is no JSON, or there is more than a build's bill has.
    """
    begin = data.find(_BEGIN)
    if begin < 0:
        return ()
    begin += len(_BEGIN) - 1
    end = max(begin, data.find(_END, begin))
    if end - begin > _ALL:
        raise InputError(f"its packages have more than {_ALL >> 20} MiB", subject=subject)
    if data.count(b"\n", begin, end) > _MOST:
        raise InputError(f"it lists more than {_MOST} packages", subject=subject)
    lines = data[begin:end].split(b"\n")
    if max(map(len, lines)) > _LONGEST:
        raise InputError(f"a package has more than {_LONGEST} bytes", subject=subject)
    found = (
        canonical.loads(line.removesuffix(b","), subject=subject, most=_MOST_VALUES)
        for line in lines
        if line
    )
    return tuple(_package(one) for one in found if isinstance(one, dict))


def _package(one: dict[str, Any]) -> Package:
    said = [_text(one, "licenseConcluded"), _text(one, "licenseDeclared")]
    licence = next((words for words in said if words not in _NO_ASSERTION), "")
    locators = (_text(ref, "referenceLocator") for ref in _objects(one, "externalRefs"))
    is_module = any(locator.startswith(_GO) for locator in locators)
    digests = {_text(entry, "checksumValue") for entry in _objects(one, "checksums")}
    # spdx-tools refuses a BLAKE3 as a checksum, so those stand in the comment.
    digests.update(_DIGEST.findall(_text(one, "comment")))
    return Package(
        name=_text(one, "name"),
        version=_text(one, "versionInfo"),
        licence=licence,
        kind="module" if is_module else "",
        digests=frozenset(digests - {""}),
    )


def _objects(one: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = one.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _text(one: dict[str, Any], name: str) -> str:
    found = one.get(name)
    return found if isinstance(found, str) else ""
