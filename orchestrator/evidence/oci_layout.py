"""OCI image layout in the making: blobs by SHA-256, manifests, and the index that names them.

Which blobs there are, and of what kind, is for others to say. Source: OCI image specification 1.1
("Image Layout Specification", "Image Manifest Specification").
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.errors import ComparisonError

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
EMPTY = "application/vnd.oci.empty.v1+json"
# The annotation with the name of an image in an index.
NAME = "org.opencontainers.image.ref.name"
BLOBS = "blobs/sha256"


class Layout:
    """A layout in the making, in a folder that is not there yet."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._blobs = folder / BLOBS
        self._blobs.mkdir(parents=True)

    def file(
        self,
        source: Path,
        sha256: str,
        kind: str,
        annotations: dict[str, str] | None = None,
        *,
        remedy: str = "",
    ) -> dict[str, Any]:
        """Add a file, linked where the file system allows that, else copied; its descriptor.

        `remedy`: what to do where it is not what its SHA-256 says.

        Raises:
            ComparisonError: it is not.
            OSError: it cannot be read, or not be written.
        """
        if digests.sha256_of_file(source, follow=False).hex != sha256:
            raise ComparisonError(
                f"the file is not what the result says: it should be sha256 {sha256}",
                subject=str(source),
                remedy=remedy,
            )
        target = self._blobs / sha256
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError:
            shutil.copyfile(source, target, follow_symlinks=False)
        size = target.stat().st_size
        return _descriptor(f"sha256:{sha256}", size, kind, annotations)

    def blob(
        self, data: bytes, kind: str, annotations: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Add bytes; give their descriptor."""
        digest = digests.sha256_of_bytes(data)
        (self._blobs / digest.hex).write_bytes(data)
        return _descriptor(str(digest), len(data), kind, annotations)

    def json(self, document: dict[str, Any], kind: str) -> dict[str, Any]:
        """Add a document; give its descriptor."""
        return self.blob(canonical.dumps(document), kind)

    def manifest(
        self,
        config: dict[str, Any],
        layers: list[dict[str, Any]],
        *,
        kind: str = "",
        subject: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Add a manifest; give its descriptor. `kind`: an artifact's type."""
        document = {
            "config": config,
            "layers": layers,
            "mediaType": MANIFEST,
            "schemaVersion": 2,
            **({"artifactType": kind} if kind else {}),
            **({"subject": subject} if subject else {}),
        }
        made = self.json(document, MANIFEST)
        return {**made, "artifactType": kind} if kind else made

    def finish(self, manifests: list[dict[str, Any]]) -> None:
        """Write what names the manifests."""
        index = {"manifests": manifests, "mediaType": INDEX, "schemaVersion": 2}
        (self.folder / "index.json").write_bytes(canonical.dumps(index))
        (self.folder / "oci-layout").write_bytes(canonical.dumps({"imageLayoutVersion": "1.0.0"}))


def _descriptor(
    digest: str, size: int, kind: str, annotations: dict[str, str] | None
) -> dict[str, Any]:
    found: dict[str, Any] = {"digest": digest, "mediaType": kind, "size": size}
    return {**found, "annotations": annotations} if annotations else found
