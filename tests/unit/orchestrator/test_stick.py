"""What is refused, what is written, and what is noticed when it is read back."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.stick import writer
from orchestrator.stick.disks import Target, Use
from reproducibility import digest
from reproducibility.errors import ComparisonError, InfrastructureError, InputError, Stopped

_SIZE = 2 * writer.PIECE + 1536
_GIB = 1 << 30


def silent(_done: int, _total: int) -> None:
    pass


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(os.urandom(_SIZE))
    return path


@pytest.fixture
def target(tmp_path: Path) -> Target:
    path = tmp_path / "stick"
    path.write_bytes(b"o" * (_SIZE + 1000))
    return Target(path, "file", path.stat().st_size)


DISK = Target(Path("/dev/sdz"), "disk", 16 * _GIB, model="Stick", removable=True)


def refused(target: Target, image: Path, *, force: bool = False) -> str:
    with pytest.raises(InputError) as caught:
        writer.refuse(target, image, _SIZE, force=force)
    return str(caught.value)


def test_a_stick_is_accepted(image: Path) -> None:
    writer.refuse(DISK, image, _SIZE, force=False)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "partition", "disk": "/dev/sdq"}, "write to the disk that it lies on: /dev/sdq"),
        ({"system": True}, "never written to"),
        ({"uses": (Use("sdz1", "mounted", "/media"),)}, "sdz1 is mounted on /media"),
        ({"uses": (Use("sdz1", "swap", ""),)}, "sdz1 is swap space"),
        ({"uses": (Use("sdz1", "held", "vg-lv (dm-1)"),)}, "sdz1 is in vg-lv (dm-1)"),
        ({"read_only": True}, "write-protected"),
        ({"size": _SIZE - 1}, "does not fit"),
    ],
)
def test_never(image: Path, change: dict[str, object], said: str, force: bool) -> None:
    assert said in refused(replace(DISK, **change), image, force=force)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "said"),
    [({"removable": False}, "taken out"), ({"size": 257 * _GIB}, "more than sticks have")],
)
def test_not_without_force(image: Path, change: dict[str, object], said: str) -> None:
    other = replace(DISK, **change)  # type: ignore[arg-type]
    assert said in refused(other, image)
    writer.refuse(other, image, _SIZE, force=True)


def test_not_onto_itself(image: Path) -> None:
    assert "the image itself" in refused(Target(image, "file", _SIZE), image, force=True)


def test_written_and_read_back(image: Path, target: Target) -> None:
    told: list[tuple[int, int]] = []
    stop = threading.Event()
    written = writer.write(image, target, lambda *done: told.append(done), stop)
    assert written.digest == digest.of_file(image)
    assert told[-1] == (_SIZE, _SIZE)
    found = target.path.read_bytes()
    assert found == image.read_bytes() + b"o" * 1000, "what the image does not reach is as it was"
    writer.check(written, target, silent, stop)


def test_a_smaller_file_grows(image: Path, target: Target) -> None:
    target.path.write_bytes(b"")
    written = writer.write(image, target, silent, threading.Event())
    writer.check(written, target, silent, threading.Event())
    assert target.path.read_bytes() == image.read_bytes()


@pytest.mark.parametrize("at", [0, writer.PIECE - 1, writer.PIECE, _SIZE - 1])
def test_one_changed_bit_is_found_and_placed(image: Path, target: Target, at: int) -> None:
    written = writer.write(image, target, silent, threading.Event())
    with target.path.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)[0]
        stream.seek(at)
        stream.write(bytes([byte ^ 1]))
    with pytest.raises(ComparisonError, match=f"at byte {at // writer.PIECE * writer.PIECE:,}"):
        writer.check(written, target, silent, threading.Event())


def test_a_change_behind_the_image_is_none(image: Path, target: Target) -> None:
    written = writer.write(image, target, silent, threading.Event())
    with target.path.open("r+b") as stream:
        stream.seek(_SIZE)
        stream.write(b"x")
    writer.check(written, target, silent, threading.Event())


def test_a_target_that_ends_too_early_is_noticed(image: Path, target: Target) -> None:
    written = writer.write(image, target, silent, threading.Event())
    os.truncate(target.path, _SIZE - 1)
    with pytest.raises(InfrastructureError, match="ends too early"):
        writer.check(written, target, silent, threading.Event())


def test_an_interrupted_stick_is_not_taken_for_a_whole_one(image: Path, target: Target) -> None:
    stop = threading.Event()
    with pytest.raises(Stopped):
        writer.write(image, target, lambda _done, _total: stop.set(), stop)
    found = target.path.read_bytes()
    assert found[: writer.PIECE] == bytes(writer.PIECE)
    assert found[writer.PIECE :] == b"o" * (_SIZE + 1000 - writer.PIECE)


def test_reading_back_can_be_stopped(image: Path, target: Target) -> None:
    written = writer.write(image, target, silent, threading.Event())
    stop = threading.Event()
    with pytest.raises(Stopped):
        writer.check(written, target, lambda _done, _total: stop.set(), stop)


def test_an_image_that_changes_meanwhile_is_no_image(image: Path, target: Target) -> None:
    def change(done: int, _total: int) -> None:
        if done == _SIZE:
            with image.open("r+b") as stream:
                stream.write(b"changed")

    with pytest.raises(InfrastructureError, match="changed while it was read") as caught:
        writer.write(image, target, change, threading.Event())
    assert writer.UNUSABLE in caught.value.remedy
    assert target.path.read_bytes()[:512] == bytes(512)


def test_an_image_that_becomes_shorter_is_noticed(image: Path, target: Target) -> None:
    def cut(_done: int, _total: int) -> None:
        os.truncate(image, writer.PIECE)

    with pytest.raises(InfrastructureError, match="became shorter"):
        writer.write(image, target, cut, threading.Event())


def test_a_disk_that_became_a_file_is_refused(image: Path, target: Target) -> None:
    with pytest.raises(InfrastructureError, match="a moment ago"):
        writer.write(image, replace(target, kind="disk"), silent, threading.Event())
    assert target.path.read_bytes()[:8] == b"oooooooo"


def test_what_is_lost_is_read(target: Target) -> None:
    assert writer.lost(target).parts == ()
    with pytest.raises(InfrastructureError, match="cannot be read"):
        writer.lost(replace(target, path=target.path.with_name("gone")))
