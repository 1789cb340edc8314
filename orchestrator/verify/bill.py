"""Holds the bill of materials (SPDX) against the image: its files, each in exactly one package.

What the packages are, their versions and licences, is the builder's word.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from orchestrator.artifacts import names
from orchestrator.evidence import sbom
from reproducibility import canonical, regular, visible
from reproducibility import digest as digests
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

    from orchestrator.verify.model import Findings
    from reproducibility.manifest import Tree

_DIFFERS = "bill-differs"
# What either document may have for each file of the image, and beside all of them: those of the
# default image have 300 bytes and 11 values for each, and 200 KB and 6,000 values beside.
_BYTES, _BYTES_BESIDE = 2 << 10, 8 << 20
_VALUES, _VALUES_BESIDE = 16, 400_000
_SHOWN = 3
_WORDS = 120


def notes(present: Collection[str]) -> Iterator[str]:
    """What is not compared, in words."""
    if names.SBOM in present and names.SBOM_FILES not in present:
        yield f"the bill of materials was not compared: {names.SBOM_FILES} is not there"


def check(folder: Path, present: Collection[str], tree: Tree, findings: Findings) -> bool:
    """Compare both documents with the image's tree; whatever differs is a finding.

    Returns whether they were compared and fit. A build of an earlier version has one document, with
    its files in it, and is not compared.
    """
    if not {names.SBOM, names.SBOM_FILES} <= {*present}:
        return False
    wanted = {f"./{entry.path}": f"blake3:{entry.digest}" for entry in tree.files()}
    before = findings.total
    try:
        paths, sha1 = _files(folder, wanted, findings)
        data = _read(folder, names.SBOM, len(wanted))
        for reason in _wrong(_parsed(data, names.SBOM, len(wanted)), paths, sha1):
            findings.say(_DIFFERS, names.SBOM, reason)
    except InputError as error:
        findings.say("file-unreadable", error.subject, error.summary)
    except OSError as error:
        name = str(error.filename).rpartition("/")[2]
        findings.say("file-unreadable", name, f"it cannot be read: {error.strerror}")
    except (AttributeError, KeyError, TypeError):
        reason = "one of its two documents has not the form in which a build writes it"
        findings.say(_DIFFERS, names.SBOM, reason)
    return findings.total == before


def _read(folder: Path, name: str, files: int) -> bytes:
    limit = min(sbom.LARGEST, _BYTES * files + _BYTES_BESIDE)
    return regular.read(folder / name, follow=False, limit=limit)


def _parsed(data: bytes, name: str, files: int) -> Any:  # noqa: ANN401 - JSON
    return canonical.loads(data, subject=name, most=_VALUES * files + _VALUES_BESIDE)


def _files(
    folder: Path, wanted: Mapping[str, str], findings: Findings
) -> tuple[dict[str, str], str]:
    """The path of each file by its id, and the SHA-1 of the document that lists them."""
    data = _read(folder, names.SBOM_FILES, len(wanted))
    files = _parsed(data, names.SBOM_FILES, len(wanted))["files"]
    paths = {str(one["SPDXID"]): str(one["fileName"]) for one in files}
    listed = {str(one["fileName"]): str(one["comment"]) for one in files}
    if len(listed) != len(files) or len(paths) != len(files):
        findings.say(_DIFFERS, names.SBOM_FILES, "a file, or an id, is there twice")
    if listed != wanted:
        different = sorted(
            path for path in listed.keys() | wanted.keys() if listed.get(path) != wanted.get(path)
        )
        reason = f"{len(different)} files are not those of the image: {_shown(different)}"
        findings.say(_DIFFERS, names.SBOM_FILES, reason)
    return paths, digests.sha1_of_bytes(data)


def _wrong(bill: Mapping[str, Any], paths: Mapping[str, str], sha1: str) -> Iterator[str]:
    """What is wrong with whose the files are said to be.

    `paths`: by id. `sha1`: of the document that lists them.
    """
    checksum = {"algorithm": "SHA1", "checksumValue": sha1}
    said = [(one["externalDocumentId"], one["checksum"]) for one in bill["externalDocumentRefs"]]
    if said != [(sbom.FILES, checksum)]:
        yield f"it does not refer to the {names.SBOM_FILES} that is here"
    packages = {one["SPDXID"] for one in bill["packages"]}
    inside = f"{sbom.FILES}:"
    owners: Counter[str] = Counter()
    for one in bill["relationships"]:
        kind = one["relationshipType"]
        ends = (str(one["spdxElementId"]), str(one["relatedSpdxElement"]))
        if not any(end.startswith(inside) for end in ends):
            continue
        if kind != "CONTAINS" or ends[0] not in packages:
            yield f"it says of a file what no build says: {visible.line(' '.join(ends))[:_WORDS]}"
            return
        owners[ends[1].removeprefix(inside)] += 1
    wrong = sorted(
        paths.get(one, one)
        for one in owners.keys() | paths.keys()
        if owners[one] != 1 or one not in paths
    )
    if wrong:
        yield f"{len(wrong)} files are not in exactly one package: {_shown(wrong)}"


def _shown(paths: list[str]) -> str:
    return ", ".join(visible.line(one)[:_WORDS] for one in paths[:_SHOWN])
