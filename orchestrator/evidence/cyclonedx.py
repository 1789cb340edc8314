"""CycloneDX 1.6 (JSON) from a build's SPDX document: the same components, without their files."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_TYPES = {
    "SOURCE": "library", "INSTALL": "library", "APPLICATION": "application", "FILE": "file",
    "OPERATING-SYSTEM": "operating-system", "OTHER": "data",
}  # fmt: skip
_HASHES = {"SHA256": "SHA-256"}
_NO_ASSERTION = "NOASSERTION"
_DEPENDS = {"GENERATED_FROM"}
_REMEDY = "build again: `orchestrate build`"


def convert(data: bytes, subject: str = "sbom.spdx.json") -> bytes:
    """Return the CycloneDX document of an SPDX document that a build wrote.

    Raises:
        InputError: it is another document.
    """
    document = canonical.loads(data, subject=subject, remedy=_REMEDY)
    try:
        return canonical.pretty(_converted(document, digests.of_bytes(data).hex))
    except (AttributeError, KeyError, StopIteration, TypeError) as error:
        raise InputError(
            f"this is not the SPDX document of a build: {error!r}",
            subject=subject,
            remedy=_REMEDY,
        ) from error


def _converted(document: dict[str, Any], own: str) -> dict[str, Any]:
    packages = document["packages"]
    relations = document["relationships"]
    described = {
        one["relatedSpdxElement"] for one in relations if one["relationshipType"] == "DESCRIBES"
    }
    image = next(one for one in packages if one["SPDXID"] in described)
    parts = [one for one in packages if one is not image]
    return {
        "bomFormat": "CycloneDX",
        "components": [_component(one) for one in parts],
        "dependencies": list(_dependencies(image, parts, relations)),
        "metadata": {
            "component": _component(image),
            "timestamp": document["creationInfo"]["created"],
            "tools": {
                "components": [
                    {"name": "orchestrate", "type": "application", "version": version}
                    for creator in document["creationInfo"]["creators"]
                    for version in [creator.rpartition("-")[2]]
                ]
            },
        },
        # Of the document that it is made from: the same one has the same number.
        "serialNumber": f"urn:uuid:{uuid.UUID(hex=own[:32], version=4)}",
        "specVersion": "1.6",
        "version": 1,
    }


def _component(one: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "bom-ref": one["SPDXID"],
        "name": one["name"],
        "type": _TYPES[one["primaryPackagePurpose"]],
    }
    hashes = [
        {"alg": _HASHES[sum_["algorithm"]], "content": sum_["checksumValue"]}
        for sum_ in one.get("checksums", ())
    ]
    if hashes:
        found["hashes"] = hashes
    if version := one.get("versionInfo"):
        found["version"] = version
    if comment := one.get("comment"):
        found["description"] = comment
    if one["licenseDeclared"] != _NO_ASSERTION:
        found["licenses"] = [{"expression": one["licenseDeclared"]}]
    for reference in one.get("externalRefs", ()):
        found["purl"] = reference["referenceLocator"]
    return found


def _dependencies(
    image: dict[str, Any], parts: list[dict[str, Any]], relations: list[dict[str, str]]
) -> Iterator[dict[str, Any]]:
    made: dict[str, list[str]] = {}
    for one in relations:
        if one["relationshipType"] in _DEPENDS:
            made.setdefault(one["spdxElementId"], []).append(one["relatedSpdxElement"])
    yield {"dependsOn": sorted(one["SPDXID"] for one in parts), "ref": image["SPDXID"]}
    for one in parts:
        if needs := made.get(one["SPDXID"]):
            yield {"dependsOn": sorted(set(needs)), "ref": one["SPDXID"]}
