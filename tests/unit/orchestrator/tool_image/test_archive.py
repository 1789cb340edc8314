from __future__ import annotations

import json
import os
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.tool_image import archive, difference
from reproducibility import digest
from reproducibility.errors import ComparisonError
from tests.unit.orchestrator.tool_image.test_layers import member, packed

if TYPE_CHECKING:
    from pathlib import Path

DESCRIBED = archive.Described("amd64", "1.2.3", "2026-01-01T00:00:00Z")


def image(folder: Path, debian: bytes = b"debian", **fields: object) -> Path:
    """An image with a file in each layer."""
    folder.mkdir()
    layers = [
        packed(folder / "debian.tar", member("./etc/name", debian, **fields)),
        packed(folder / "tool.tar", member("./usr/local/bin/orchestrate", b"tool")),
    ]
    archive.write(folder / "image.tar", layers, DESCRIBED, folder)
    return folder / "image.tar"


def document(tar: tarfile.TarFile, name: str) -> Any:  # noqa: ANN401 - JSON
    stream = tar.extractfile(name)
    assert stream is not None
    return json.load(stream)


def blob(tar: tarfile.TarFile, descriptor: dict[str, Any]) -> bytes:
    stream = tar.extractfile(f"blobs/sha256/{descriptor['digest'].removeprefix('sha256:')}")
    assert stream is not None
    data = stream.read()
    assert str(digest.sha256_of_bytes(data)) == descriptor["digest"]
    assert len(data) == descriptor["size"]
    return data


def test_the_archive_is_a_layout_with_all_that_it_names(tmp_path: Path) -> None:
    with tarfile.open(image(tmp_path / "one")) as tar:
        assert document(tar, "oci-layout") == {"imageLayoutVersion": "1.0.0"}
        (named,) = document(tar, "index.json")["manifests"]
        assert named["annotations"] == {"org.opencontainers.image.ref.name": "sourcery:1.2.3"}
        assert named["platform"] == {"architecture": "amd64", "os": "linux"}
        manifest = json.loads(blob(tar, named))
        config = json.loads(blob(tar, manifest["config"]))
        # Layers are not compressed, so what a layer is and what is in it have one digest.
        assert config["rootfs"]["diff_ids"] == [one["digest"] for one in manifest["layers"]]
        assert [blob(tar, one) for one in manifest["layers"]] == [
            (tmp_path / "one" / name).read_bytes() for name in ("debian.tar", "tool.tar")
        ]
        assert config["config"]["Entrypoint"] == ["orchestrate"]
        assert config["created"] == DESCRIBED.created
        (saved,) = document(tar, "manifest.json")
        places = [saved["Config"], *saved["Layers"]]
        assert saved["RepoTags"] == ["sourcery:1.2.3"]
        assert [place.rpartition("/")[2] for place in places] == [
            one["digest"].removeprefix("sha256:")
            for one in (manifest["config"], *manifest["layers"])
        ]
        assert set(places) <= set(tar.getnames())


def test_neither_place_nor_mask_nor_time_is_in_the_archive(tmp_path: Path) -> None:
    first = image(tmp_path / "one")
    before = os.umask(0o077)
    try:
        second = image(tmp_path / "another")
    finally:
        os.umask(before)
    os.utime(second, (1, 1))
    assert first.read_bytes() == second.read_bytes()
    difference.require_same(first, second)
    with tarfile.open(first) as tar:
        assert {(one.mode, one.uid, one.gid, one.mtime, one.uname) for one in tar} == {
            (0o644, 0, 0, 0, "")
        }


def test_the_first_path_that_differs_is_named(tmp_path: Path) -> None:
    first = image(tmp_path / "one")
    with pytest.raises(ComparisonError) as content:
        difference.require_same(first, image(tmp_path / "two", b"other!"))
    assert "debian: etc/name: content blake3:" in content.value.summary
    assert "remedy" in str(content.value)
    with pytest.raises(ComparisonError, match="etc/name: mode 0644, then 0600; owner 0:0, then 7:"):
        difference.require_same(first, image(tmp_path / "three", mode=0o600, uid=7))
    with pytest.raises(ComparisonError, match="etc/name: time 1700000000, then 5"):
        difference.require_same(first, image(tmp_path / "four", mtime=5))


def test_a_difference_outside_of_the_layers_is_said_too(tmp_path: Path) -> None:
    first = image(tmp_path / "one")
    other = tmp_path / "other.tar"
    other.write_bytes(first.read_bytes() + bytes(512))
    with pytest.raises(ComparisonError, match="how the archive holds them"):
        difference.require_same(first, other)


def test_paths_of_one_image_alone_and_their_order_are_told() -> None:
    one = {"a": {"kind": "file"}, "b": {"kind": "file"}}
    two = {"b": {"kind": "file"}, "a": {"kind": "file"}}
    assert list(difference.in_layer("tool", one, two)) == ["tool: a: at another place in the layer"]
    assert list(difference.in_layer("tool", one, one)) == []
    assert list(difference.in_layer("tool", one, {"a": {"kind": "pipe"}, "c": {}})) == [
        "tool: a: kind file, then pipe",
        "tool: b: only in the first image",
        "tool: c: only in the second image",
    ]
