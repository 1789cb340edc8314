"""An image is compared with its tree file by file, and every way to differ is seen."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING

import pytest

from containers.docker import builder_image
from reproducibility import digest, manifest
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Callable

EPOCH = 1000
FILES = {"bin/uname": (b"uname", True), "go/src/a.go": (b"package a", False)}
ROOT = Tree(
    [
        manifest.file(path, digest.of_bytes(data), len(data), executable=executable)
        for path, (data, executable) in FILES.items()
    ]
    + [manifest.directory("go/empty")]
)


def exported(change: Callable[[dict[str, tarfile.TarInfo], dict[str, bytes]], None]) -> list[bytes]:
    """What an engine exports for a container of the image, after a change."""
    headers: dict[str, tarfile.TarInfo] = {}
    data: dict[str, bytes] = {}
    for path in ("bin", "dev", "dev/console", "etc", "etc/hosts", ".dockerenv", "go", "go/empty"):
        headers[path] = tarfile.TarInfo(path)
        folder = path not in {"dev/console", "etc/hosts", ".dockerenv"}
        headers[path].type = tarfile.DIRTYPE if folder else tarfile.REGTYPE
    headers["go/src"] = tarfile.TarInfo("go/src")
    headers["go/src"].type = tarfile.DIRTYPE
    for path, (content, executable) in FILES.items():
        headers[path] = tarfile.TarInfo(path)
        headers[path].mode = 0o555 if executable else 0o444
        headers[path].mtime = EPOCH
        data[path] = content
    change(headers, data)
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as made:
        for path, header in headers.items():
            header.size = len(data.get(path, b""))
            made.addfile(header, io.BytesIO(data.get(path, b"")))
    return [sink.getvalue()]


def test_an_image_that_holds_the_tree_does_not_differ() -> None:
    assert builder_image.compare(exported(lambda _headers, _data: None), ROOT, EPOCH) == []


def _add(name: str) -> Callable[[dict[str, tarfile.TarInfo], dict[str, bytes]], None]:
    def change(headers: dict[str, tarfile.TarInfo], data: dict[str, bytes]) -> None:
        headers[name] = tarfile.TarInfo(name)
        headers[name].mode, headers[name].mtime = 0o444, EPOCH
        data[name] = b"more"

    return change


def _content(_headers: dict[str, tarfile.TarInfo], data: dict[str, bytes]) -> None:
    data["bin/uname"] = b"evil!"


def _remove(headers: dict[str, tarfile.TarInfo], data: dict[str, bytes]) -> None:
    del headers["go/src/a.go"], data["go/src/a.go"]


def _set(name: str, field: str, value: object) -> Callable[..., None]:
    def change(headers: dict[str, tarfile.TarInfo], _data: dict[str, bytes]) -> None:
        setattr(headers[name], field, value)

    return change


def _empty_folder(headers: dict[str, tarfile.TarInfo], _data: dict[str, bytes]) -> None:
    headers["more"] = tarfile.TarInfo("more")
    headers["more"].type = tarfile.DIRTYPE


def _link(headers: dict[str, tarfile.TarInfo], data: dict[str, bytes]) -> None:
    del data["bin/uname"]
    headers["bin/uname"].type = tarfile.SYMTYPE
    headers["bin/uname"].linkname = "/elsewhere"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_add("bin/backdoor"), "bin/backdoor is too many"),
        (_add("bin/a\nb"), "cannot lie in a tree"),
        (_add("a/" * 2000 + "b"), "a longer or deeper path"),
        (_add("etc/hosts"), "etc/hosts is too many"),
        (_add("etc/passwd"), "etc/passwd is too many"),
        (_content, "bin/uname differs"),
        (_remove, "go/src/a.go is missing"),
        (_set("bin/uname", "mode", 0o444), "bin/uname differs"),
        (_set("bin/uname", "mode", 0o4555), "has mode 4555 instead of 555"),
        (_set("go/src/a.go", "mode", 0o644), "has mode 644 instead of 444"),
        (_set("go/src/a.go", "mtime", EPOCH + 1), "has the time 1001 instead of 1000"),
        (_set("go/src/a.go", "uid", 7), "belongs to 7:0"),
        (_empty_folder, "more is too many"),
        (_link, "bin/uname is neither a file nor a folder"),
    ],
)
def test_every_difference_is_told(change: Callable[..., None], words: str) -> None:
    found = builder_image.compare(exported(change), ROOT, EPOCH)
    assert any(words in difference for difference in found), found


def test_the_dockerfile_is_found_and_copies_the_whole_tree() -> None:
    text = builder_image.dockerfile().read_text()
    instructions = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert instructions == ["FROM scratch", "COPY root /"]
