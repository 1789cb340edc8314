"""The container image as one file: an OCI image layout in a tar, which `docker load` reads too.

Beside the layout's own files lies `manifest.json`, by which container engines find images that they
saved themselves. Everything in it has one place, one owner and one time. Sources: OCI image
specification 1.1 (image layout, configuration); what `docker save` writes (Docker 25).
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from orchestrator.evidence.oci_layout import BLOBS, CONFIG, LAYER, NAME, Layout
from reproducibility import canonical
from reproducibility import digest as digests

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orchestrator.architecture import Architecture

# The repository part of the image's name; the tag is the version.
REPOSITORY: Final = "sourcery"
PROJECT: Final = "/project"
CACHE: Final = "/var/cache"
_FIRST: Final = ("oci-layout", "index.json", "manifest.json")


@dataclass(frozen=True, slots=True)
class Described:
    """What an image's configuration says. `created`: RFC 3339; `version`: the tool's."""

    architecture: Architecture
    version: str
    created: str

    @property
    def name(self) -> str:
        """The image's name, with its tag."""
        return f"{REPOSITORY}:{self.version}"


def config(described: Described, layers: Sequence[str]) -> dict[str, Any]:
    """The image's configuration. `layers`: `sha256:` and digits of each, uncompressed."""
    return {
        "architecture": described.architecture,
        "config": {
            "Cmd": ["nightly"],
            "Entrypoint": ["orchestrate"],
            "Env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "LANG=C.UTF-8",
                # The store: /var/cache/sourcery.
                f"XDG_CACHE_HOME={CACHE}",
            ],
            "Labels": {
                "org.opencontainers.image.title": REPOSITORY,
                "org.opencontainers.image.version": described.version,
                "org.opencontainers.image.licenses": "BSD-3-Clause",
            },
            "WorkingDir": PROJECT,
        },
        "created": described.created,
        "os": "linux",
        "rootfs": {"diff_ids": [*layers], "type": "layers"},
    }


def write(target: Path, layers: Sequence[Path], described: Described, scratch: Path) -> str:
    """Write the image; the digest of its manifest, as `sha256:` and digits.

    `layers`: tars, the lowest one first. `scratch`: an empty folder, on the disk of the layers.

    Raises:
        OSError: it cannot be written.
    """
    layout = Layout(scratch / "layout")
    found = [layout.file(path, digests.sha256_of_file(path).hex, LAYER) for path in layers]
    names = [str(layer["digest"]) for layer in found]
    described_by = layout.json(config(described, names), CONFIG)
    manifest = layout.manifest(described_by, found)
    platform = {"architecture": described.architecture, "os": "linux"}
    named = {**manifest, "annotations": {NAME: described.name}, "platform": platform}
    layout.finish([named])
    saved = [
        {
            "Config": _place(described_by),
            "Layers": [_place(layer) for layer in found],
            "RepoTags": [described.name],
        }
    ]
    (layout.folder / "manifest.json").write_bytes(canonical.dumps(saved))
    _pack(layout.folder, target)
    return str(manifest["digest"])


def _place(descriptor: dict[str, Any]) -> str:
    return f"{BLOBS}/{str(descriptor['digest']).partition(':')[2]}"


def _pack(folder: Path, target: Path) -> None:
    """All files of a layout as a tar: what names the others first, so that a reader knows them."""
    blobs = sorted(path.name for path in (folder / BLOBS).iterdir())
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name in (*_FIRST, *(f"{BLOBS}/{blob}" for blob in blobs)):
            member = tarfile.TarInfo(name)
            member.size = (folder / name).stat().st_size
            member.mode = 0o644
            with (folder / name).open("rb") as stream:
                archive.addfile(member, stream)
