"""OCI image layout with a build's image and its attestations, for registries and their tools.

The disk image is a blob as it is, so its digest is the one in every statement; the statements and
the bill of materials are artifacts that refer to it (`subject`). Sources: OCI image specification
1.1 (image layout, manifest, "Guidelines for Artifact Usage").
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from containers.host import durable
from containers.host.scratch import Scratch
from orchestrator.artifacts import names
from orchestrator.evidence import dsse, sbom
from orchestrator.evidence.oci_layout import CONFIG, EMPTY, NAME, Layout
from reproducibility import canonical, regular
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.artifacts.model import Artifact, BuildResult
    from orchestrator.evidence.dsse import Envelope

# The name of the image in the layout, as in `skopeo inspect oci:FOLDER:image`.
TAG = "image"
_DISK = "application/vnd.sourcery.disk-image.v1"
_ARCHIVE = "application/vnd.sourcery.cpio.v1+zstd"
# As cosign and in-toto name them.
_DSSE = "application/vnd.dsse.envelope.v1+json"
_SPDX = "application/spdx+json"
_TITLE = "org.opencontainers.image.title"
_PAYLOAD = "in-toto.io/payload-type"
_PREFIX = ".sourcery-oci"


@dataclass(frozen=True)
class Exported:
    """A layout that was written: where, its image manifest's digest, how many refer to that."""

    folder: Path
    manifest: str
    referrers: int


def export(out: Path, result: BuildResult, target: Path) -> Exported:
    """Write the layout of a finished build into a new folder, whole or not at all.

    Image and archive are linked where the file system allows that, else copied; both are hashed.

    Raises:
        InputError: something lies at `target`, or the evidence is missing.
        ComparisonError: image or archive are not what the result says.
        InfrastructureError: the disk is full, or cannot be written.
    """
    if os.path.lexists(target):
        raise InputError(
            "something lies here already",
            subject=str(target),
            remedy="name a folder that does not exist",
        )
    try:
        envelopes = dsse.parse_lines(regular.read(out / names.PROVENANCE))
        bills = [
            (name, regular.read(out / name, limit=sbom.LARGEST))
            for name in (names.SBOM, names.SBOM_FILES)
            # Earlier builds have one document.
            if name == names.SBOM or os.path.lexists(out / name)
        ]
    except OSError as error:
        raise InputError(
            f"cannot read the evidence of the build: {error.strerror}",
            subject=str(error.filename or out),
            remedy="build again: `orchestrate build`",
        ) from error
    try:
        with contextlib.closing(Scratch(target.parent, _PREFIX)) as scratch:
            layout = Layout(scratch.folder / "layout")
            exported = _filled(layout, out, result, envelopes, bills)
            for path, _ in durable.files(layout.folder):
                durable.sync(path)
            layout.folder.rename(target)
            durable.sync(target.parent)
    except OSError as error:
        raise InfrastructureError(
            f"the layout cannot be written: {error.strerror}",
            subject=str(target),
            remedy="free some space, or name another folder",
        ) from error
    return Exported(target, *exported)


def _filled(
    layout: Layout,
    out: Path,
    result: BuildResult,
    envelopes: tuple[Envelope, ...],
    bills: list[tuple[str, bytes]],
) -> tuple[str, int]:
    layers = [
        _taken(layout, out, result.image, _DISK),
        _taken(layout, out, result.cpio, _ARCHIVE),
    ]
    architectures = sorted(result.root.commands)
    config = {
        "architecture": architectures[0],
        "config": {"Labels": {"sourcery.architectures": " ".join(architectures)}},
        "os": "linux",
        "rootfs": {"diff_ids": [layer["digest"] for layer in layers], "type": "layers"},
    }
    image = layout.manifest(layout.json(config, CONFIG), layers)
    empty = layout.blob(b"{}", EMPTY)
    referring = [
        layout.manifest(
            empty,
            [layout.blob(canonical.dumps(one.document()), _DSSE, {_PAYLOAD: one.payload_type})],
            kind=one.payload_type,
            subject=image,
        )
        for one in envelopes
    ]
    described = [layout.blob(data, _SPDX, {_TITLE: name}) for name, data in bills]
    referring.append(layout.manifest(empty, described, kind=_SPDX, subject=image))
    named = {**image, "annotations": {NAME: TAG}}
    layout.finish([named, *referring])
    return str(image["digest"]), len(referring)


def _taken(layout: Layout, out: Path, file: Artifact, kind: str) -> dict[str, Any]:
    """Add a file of the build; give its descriptor."""
    return layout.file(
        out / file.path,
        file.sha256,
        kind,
        {_TITLE: file.path},
        remedy="build again: `orchestrate build`",
    )
