"""Software bill of materials of an image in SPDX 2.3 (JSON), two documents, pure.

The image is the first one's subject; it contains packages, one for each component, and each file of
the image is in exactly one of them. The files themselves are listed in the second one, which the
first names by its SHA-1 (section 6.6): validators look each id of a relationship up among all
elements of its document, and with 25,000 files in the same one, spdx-tools 0.8 takes minutes.
BLAKE3 stands in comments: SPDX has a name for it, and that validator refuses the 64 digits that it
has. Source: the SPDX specification 2.3, sections 6 to 11, and its JSON schema.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from orchestrator.artifacts import names
from orchestrator.evidence import uris
from orchestrator.evidence.contents import NO_ASSERTION
from reproducibility import canonical, utc
from reproducibility import digest as digests

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.evidence.contents import Component
    from orchestrator.evidence.subject import Subject

# The version of what is written here.
FORMAT = 4
# Bytes; those of the default image, of 25,000 files, have 4 and 7 MiB.
LARGEST = 256 << 20
# What the first document calls the second one.
FILES: Final = "DocumentRef-files"
# Begins the id of each file.
FILE: Final = "SPDXRef-File-"
_IMAGE = "SPDXRef-Image"
_ROOT = "SPDXRef-Root"
_DOCUMENT = "SPDXRef-DOCUMENT"
# Section 7.24.
_PURPOSES = {
    "input": "INSTALL", "module": "SOURCE", "program": "APPLICATION", "kernel": "OPERATING-SYSTEM",
    "made": "OTHER", "files": "FILE",
}  # fmt: skip


def document(subject: Subject, files: bytes) -> bytes:
    """Return the document of the packages: sorted JSON, one package or relationship a line.

    `files`: the document of the files.

    Raises:
        ValueError: the subject has no contents.
    """
    _require(subject)
    contents = subject.contents
    reference = {
        "checksum": _checksum("SHA1", digests.sha1_of_bytes(files)),
        "externalDocumentId": FILES,
        "spdxDocument": _namespace(subject, names.SBOM_FILES),
    }
    head = {
        **_head(subject, names.SBOM),
        "externalDocumentRefs": [reference],
        "name": subject.result.image.path,
    }
    lists = {
        "hasExtractedLicensingInfos": _texts(contents),
        "packages": [_image(subject), *(_package(one) for one in contents)],
        "relationships": list(_relationships(contents, _numbers(contents))),
    }
    return _laid_out(head, lists)


def files(subject: Subject) -> bytes:
    """Return the document of the files: sorted JSON, one file a line, in the order of their paths.

    Raises:
        ValueError: the subject has no contents.
    """
    _require(subject)
    contents = subject.contents
    head = {
        **_head(subject, names.SBOM_FILES),
        "name": f"files of {subject.result.image.path}",
    }
    lists = {
        "files": list(_files(contents, _numbers(contents))),
        "packages": [_root(subject)],
        # Something must be described, and as many relationships as files would cost the same again.
        "relationships": [_relation(_DOCUMENT, "DESCRIBES", _ROOT)],
    }
    return _laid_out(head, lists)


def _require(subject: Subject) -> None:
    if not subject.contents:
        raise ValueError("there are no contents to list")


def _head(subject: Subject, name: str) -> dict[str, Any]:
    created = utc.of_epoch(subject.epoch)
    return {
        "SPDXID": _DOCUMENT,
        "comment": "created: the image's own time, so that equal images have equal documents",
        "creationInfo": {
            "created": created,
            "creators": [f"Tool: orchestrate-{subject.result.tool}"],
        },
        "dataLicense": "CC0-1.0",
        "documentNamespace": _namespace(subject, name),
        "spdxVersion": "SPDX-2.3",
    }


def _namespace(subject: Subject, name: str) -> str:
    result = subject.result
    named = [FORMAT, result.image.blake3, str(result.spec), str(result.lock), result.tool, name]
    return f"{uris.DOCUMENT}:{digests.of_bytes(canonical.dumps(named)).hex}"


def _numbers(contents: Sequence[Component]) -> dict[str, int]:
    """The number of each file in its id, by path."""
    paths = sorted(file.path for one in contents for file in one.files)
    return {path: number for number, path in enumerate(paths, 1)}


def _root(subject: Subject) -> dict[str, Any]:
    result = subject.result
    return {
        "SPDXID": _ROOT,
        "comment": f"the files of this document; {names.SBOM} says which package each is in",
        "copyrightText": NO_ASSERTION,
        "downloadLocation": NO_ASSERTION,
        "filesAnalyzed": False,
        "licenseConcluded": NO_ASSERTION,
        "licenseDeclared": NO_ASSERTION,
        "name": f"root tree of {result.image.path}",
        "primaryPackagePurpose": "OTHER",
        "versionInfo": str(result.root.tree),
    }


def _image(subject: Subject) -> dict[str, Any]:
    result = subject.result
    return {
        "SPDXID": _IMAGE,
        "checksums": [_checksum("SHA256", result.image.sha256)],
        "comment": f"blake3:{result.image.blake3}; root tree {result.root.tree}; "
        f"{result.cpio.path} holds the same files",
        "copyrightText": NO_ASSERTION,
        "downloadLocation": NO_ASSERTION,
        "filesAnalyzed": False,
        "licenseConcluded": NO_ASSERTION,
        "licenseDeclared": NO_ASSERTION,
        "name": result.image.path,
        "packageFileName": result.image.path,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "versionInfo": result.image.blake3,
    }


def _package(one: Component) -> dict[str, Any]:
    comments = [one.comment]
    if one.blake3:
        comments.append(f"blake3:{one.blake3}")
    if one.tree is not None:
        comments.append(f"unpacked: tree {one.tree}")
    if one.h1:
        comments.append(f"Go module hash {one.h1}")
    if one.licence_from:
        comments.append(f"licence by {one.licence_from}")
    found: dict[str, Any] = {
        "SPDXID": f"SPDXRef-{one.id}",
        "checksums": [_checksum("SHA256", one.sha256)] if one.sha256 else [],
        "comment": "; ".join(filter(None, comments)),
        "copyrightText": NO_ASSERTION,
        "downloadLocation": NO_ASSERTION,
        "filesAnalyzed": bool(one.files),
        "licenseConcluded": NO_ASSERTION,
        "licenseDeclared": one.licence,
        "name": one.name,
        "primaryPackagePurpose": _PURPOSES[one.kind],
    }
    if one.files:
        # Section 7.9: the SHA-1 of the files' SHA-1, sorted.
        sums = "".join(sorted(file.sha1 for file in one.files))
        found["packageVerificationCode"] = {
            "packageVerificationCodeValue": digests.sha1_of_bytes(sums.encode())
        }
    if one.version:
        found["versionInfo"] = one.version
    if one.purl:
        found["externalRefs"] = [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceLocator": one.purl,
                "referenceType": "purl",
            }
        ]
    return {name: value for name, value in found.items() if value not in ("", [])}


def _files(contents: Sequence[Component], numbers: dict[str, int]) -> Iterator[dict[str, Any]]:
    files = {file.path: file for one in contents for file in one.files}
    for path, number in numbers.items():
        file = files[path]
        yield {
            "SPDXID": f"{FILE}{number}",
            "checksums": [_checksum("SHA1", file.sha1)],
            "comment": f"blake3:{file.blake3}",
            "fileName": f"./{path}",
        }


def _checksum(algorithm: str, digits: str) -> dict[str, str]:
    return {"algorithm": algorithm, "checksumValue": digits}


def _texts(contents: Sequence[Component]) -> list[dict[str, str]]:
    texts = {name: text for one in contents for name, text in one.licence_texts.items()}
    return [{"extractedText": texts[name], "licenseId": name} for name in sorted(texts)]


def _relationships(
    contents: Sequence[Component], numbers: dict[str, int]
) -> Iterator[dict[str, str]]:
    yield _relation(_DOCUMENT, "DESCRIBES", _IMAGE)
    for one in contents:
        own = f"SPDXRef-{one.id}"
        if one.files:
            yield _relation(_IMAGE, "CONTAINS", own)
        elif one.kind == "input":
            # Section 11.1: what is needed to build, and is not in what was built.
            yield _relation(own, "BUILD_DEPENDENCY_OF", _IMAGE)
        for other in one.built_from:
            yield _relation(own, "GENERATED_FROM", f"SPDXRef-{other}")
        for file in one.files:
            yield _relation(own, "CONTAINS", f"{FILES}:{FILE}{numbers[file.path]}")


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"relatedSpdxElement": other, "relationshipType": kind, "spdxElementId": one}


def _laid_out(head: dict[str, Any], lists: dict[str, list[Any]]) -> bytes:
    """JSON with sorted keys; each element of a list is one line."""
    parts = {name: _json(value) for name, value in head.items()}
    for name, elements in lists.items():
        if elements:
            parts[name] = "[\n" + ",\n".join(map(_json, elements)) + "\n]"
    lines = ",\n".join(f"{_json(name)}: {parts[name]}" for name in sorted(parts))
    return f"{{\n{lines}\n}}\n".encode()


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(", ", ": "), ensure_ascii=False)
