"""What is refused, what is written, and what is noticed when it is read back."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.stick import medium, writer
from orchestrator.stick.disks import Kernel, Target, Use
from orchestrator.stick.medium import Medium, held
from reproducibility import digest
from reproducibility.errors import ComparisonError, InfrastructureError, InputError, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SIZE = 2 * writer.PIECE + 1536
_MORE = _SIZE + 1000
_GIB = 1 << 30


def silent(_done: int, _total: int) -> None:
    pass


def write(
    image: Path,
    stick: Medium,
    tell: Callable[[int, int], None],
    stop: threading.Event,
    zeros: tuple[range, ...] = (),
) -> writer.Written:
    """Write an image that was looked at just now."""
    whole = digest.of_file(image)
    return writer.write(image, stick, tell, stop, expected=whole, zeros=zeros)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(os.urandom(_SIZE))
    return path


@pytest.fixture
def target(tmp_path: Path) -> Target:
    path = tmp_path / "stick"
    path.write_bytes(b"o" * (_SIZE + 1000))
    return Kernel().examine(path)


@pytest.fixture
def stick(target: Target) -> Iterator[Medium]:
    with held(target) as opened:
        yield opened


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


def test_written_and_read_back(image: Path, stick: Medium) -> None:
    told: list[tuple[int, int]] = []
    stop = threading.Event()
    written = write(image, stick, lambda *done: told.append(done), stop)
    assert written.digest == digest.of_file(image)
    assert told[-1] == (_SIZE, _SIZE)
    found = stick.target.path.read_bytes()
    assert found == image.read_bytes() + b"o" * 1000, "what the image does not reach is as it was"
    writer.check(written, stick, silent, stop)


def test_a_smaller_file_grows(image: Path, stick: Medium) -> None:
    stick.target.path.write_bytes(b"")
    written = write(image, stick, silent, threading.Event())
    writer.check(written, stick, silent, threading.Event())
    assert stick.target.path.read_bytes() == image.read_bytes()


@pytest.mark.parametrize("at", [0, writer.PIECE - 1, writer.PIECE, _SIZE - 1])
def test_one_changed_bit_is_found_and_placed(image: Path, stick: Medium, at: int) -> None:
    written = write(image, stick, silent, threading.Event())
    with stick.target.path.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)[0]
        stream.seek(at)
        stream.write(bytes([byte ^ 1]))
    with pytest.raises(ComparisonError, match=f"at byte {at // writer.PIECE * writer.PIECE:,}"):
        writer.check(written, stick, silent, threading.Event())


@pytest.mark.parametrize("zeros", [(), (range(_SIZE, _SIZE + 300), range(_SIZE + 301, _MORE))])
@pytest.mark.parametrize("size", [_SIZE, _SIZE - 1536])
def test_zeros_behind_the_image(
    image: Path, stick: Medium, zeros: tuple[range, ...], size: int
) -> None:
    """At odd places too; nothing else is touched."""
    os.truncate(image, size)
    told: list[tuple[int, int]] = []
    stop = threading.Event()
    written = write(image, stick, lambda *done: told.append(done), stop, zeros=zeros)
    expected = bytearray(image.read_bytes() + b"o" * (_MORE - size))
    for place in zeros:
        expected[place.start : place.stop] = bytes(len(place))
    assert stick.target.path.read_bytes() == bytes(expected)
    total = size + sum(map(len, zeros))
    assert told[-1] == (total, total)
    assert writer.check(written, stick, lambda *done: told.append(done), stop) is stick.direct
    assert told[-1] == (total, total)


@pytest.mark.parametrize("at", [_SIZE, _SIZE + 299, _SIZE + 301, _MORE - 1])
def test_what_is_left_behind_the_image_is_found_and_placed(
    image: Path, stick: Medium, at: int
) -> None:
    zeros = (range(_SIZE, _SIZE + 300), range(_SIZE + 301, _MORE))
    written = write(image, stick, silent, threading.Event(), zeros=zeros)
    with stick.target.path.open("r+b") as stream:
        stream.seek(at)
        stream.write(b"\1")
    with pytest.raises(ComparisonError, match="something of what it held before"):
        writer.check(written, stick, silent, threading.Event())


def test_an_interrupted_stick_is_not_what_it_was_either(image: Path, stick: Medium) -> None:
    """The end is overwritten before the image, so that no table is found there meanwhile."""
    stop = threading.Event()
    seen = []

    def tell(done: int, _total: int) -> None:
        seen.append(done)
        if done > writer.PIECE:
            stop.set()

    with pytest.raises(Stopped):
        write(image, stick, tell, stop, zeros=(range(_SIZE, _MORE),))
    assert stick.state == medium.SPOILT
    found = stick.target.path.read_bytes()
    assert found[: writer.PIECE] == bytes(writer.PIECE)
    assert found[writer.PIECE : _SIZE] == b"o" * (_SIZE - writer.PIECE)
    assert found[_SIZE:] == bytes(1000)


def test_a_change_behind_the_image_is_none(image: Path, stick: Medium) -> None:
    written = write(image, stick, silent, threading.Event())
    with stick.target.path.open("r+b") as stream:
        stream.seek(_SIZE)
        stream.write(b"x")
    writer.check(written, stick, silent, threading.Event())


def test_a_target_that_ends_too_early_is_noticed(image: Path, stick: Medium) -> None:
    written = write(image, stick, silent, threading.Event())
    os.truncate(stick.target.path, _SIZE - 1)
    with pytest.raises(InfrastructureError, match="ends too early") as caught:
        writer.check(written, stick, silent, threading.Event())
    assert medium.UNREAD in caught.value.remedy
    assert medium.SPOILT not in caught.value.remedy


def test_an_interrupted_stick_is_not_taken_for_a_whole_one(image: Path, stick: Medium) -> None:
    stop = threading.Event()
    with pytest.raises(Stopped):
        write(image, stick, lambda _done, _total: stop.set(), stop)
    assert stick.state == medium.SPOILT
    found = stick.target.path.read_bytes()
    assert found[: writer.PIECE] == bytes(writer.PIECE)
    assert found[writer.PIECE :] == b"o" * (_SIZE + 1000 - writer.PIECE)


def test_reading_back_can_be_stopped(image: Path, stick: Medium) -> None:
    written = write(image, stick, silent, threading.Event())
    stop = threading.Event()
    with pytest.raises(Stopped):
        writer.check(written, stick, lambda _done, _total: stop.set(), stop)
    assert stick.state == medium.UNREAD


def test_stopped_before_anything_is_written(image: Path, stick: Medium) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        write(image, stick, silent, stop)
    assert stick.state == medium.NOTHING
    assert stick.target.path.read_bytes() == b"o" * (_SIZE + 1000)


def test_an_image_that_cannot_be_read_spoils_nothing(image: Path, stick: Medium) -> None:
    class Shorter:
        """Says that nothing is to stop, and cuts the image."""

        def is_set(self) -> bool:
            os.truncate(image, 0)
            return False

    with pytest.raises(InfrastructureError, match="became shorter") as caught:
        write(image, stick, silent, Shorter())  # type: ignore[arg-type]
    assert medium.NOTHING in caught.value.remedy
    assert stick.target.path.read_bytes() == b"o" * (_SIZE + 1000)


def test_nobody_else_gets_it_while_it_is_written_and_read(image: Path, stick: Medium) -> None:
    refused = []

    def tell(_done: int, _total: int) -> None:
        with stick.target.path.open("rb") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
        refused.append(stick.state)

    written = write(image, stick, tell, threading.Event())
    writer.check(written, stick, tell, threading.Event())
    assert refused == [medium.SPOILT] * 3 + [medium.UNREAD] * 3
    assert stick.state == medium.WHOLE


def test_what_another_has_locked_is_not_written(target: Target) -> None:
    with target.path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        with (
            pytest.raises(InfrastructureError, match="another program has locked it"),
            held(target, patience=0),
        ):
            pass


def test_reading_that_falls_back_to_the_cache_says_so(
    image: Path, stick: Medium, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = write(image, stick, silent, threading.Event())
    preadv, asked = os.preadv, []

    def stubborn(descriptor: int, views: list[memoryview], at: int) -> int:
        asked.append(at)
        if at and stick.direct:
            raise OSError(errno.EINVAL, "not aligned as this disk wants it")
        return preadv(descriptor, views, at)

    monkeypatch.setattr(os, "preadv", stubborn)
    assert writer.check(written, stick, silent, threading.Event()) is False
    assert asked[0] == 0


def test_an_image_that_changes_meanwhile_is_no_image(image: Path, stick: Medium) -> None:
    def change(done: int, _total: int) -> None:
        if done == _SIZE:
            with image.open("r+b") as stream:
                stream.write(b"changed")

    with pytest.raises(InfrastructureError, match="changed while it was read") as caught:
        write(image, stick, change, threading.Event())
    assert medium.SPOILT in caught.value.remedy
    assert stick.target.path.read_bytes()[:512] == bytes(512)


@pytest.mark.parametrize("at", [0, writer.PIECE, _SIZE - 1])
def test_an_image_that_changed_before_it_was_written_never_gets_its_beginning(
    image: Path, stick: Medium, at: int
) -> None:
    """Wherever it changed: what has no beginning is no stick that boots."""
    expected = digest.of_file(image)
    with image.open("r+b") as stream:
        stream.seek(at)
        byte = stream.read(1)[0]
        stream.seek(at)
        stream.write(bytes([byte ^ 1]))
    with pytest.raises(ComparisonError, match="not what it was any more") as caught:
        writer.write(image, stick, silent, threading.Event(), expected=expected)
    assert stick.state == medium.SPOILT
    assert medium.SPOILT in caught.value.remedy
    assert stick.target.path.read_bytes()[: writer.PIECE] == bytes(writer.PIECE)


def test_an_image_that_becomes_shorter_is_noticed(image: Path, stick: Medium) -> None:
    def cut(_done: int, _total: int) -> None:
        os.truncate(image, writer.PIECE)

    with pytest.raises(InfrastructureError, match="became shorter"):
        write(image, stick, cut, threading.Event())


def test_a_disk_that_became_a_file_is_refused(target: Target) -> None:
    with (
        pytest.raises(InfrastructureError, match="not what it was when it was looked at") as caught,
        held(replace(target, kind="disk")),
    ):
        pass
    assert medium.NOTHING in caught.value.remedy


def test_another_file_of_the_same_name_is_refused(target: Target) -> None:
    data = target.path.read_bytes()
    other = target.path.with_name("other")
    other.write_bytes(data)
    other.replace(target.path)
    with pytest.raises(InfrastructureError, match="not what it was"), held(target):
        pass
    with pytest.raises(InfrastructureError, match="not what it was"):
        writer.lost(target)


def test_what_is_lost_is_read(target: Target) -> None:
    assert writer.lost(target).parts == ()
    with pytest.raises(InfrastructureError, match="cannot be read"):
        writer.lost(replace(target, path=target.path.with_name("gone")))


@pytest.mark.parametrize("force", [False, True])
def test_a_file_where_a_device_should_be(image: Path, target: Target, force: bool) -> None:
    said = refused(replace(target, in_dev=True), image, force=force)
    assert "this is a file, not a device" in said
    assert "remove it and plug the stick in" in said


def test_not_onto_what_the_build_made(image: Path, target: Target, tmp_path: Path) -> None:
    writer.refuse(target, image, _SIZE, force=False, made=(image, tmp_path / "gone"))
    link = tmp_path / "link"
    link.symlink_to(target.path)
    with pytest.raises(InputError, match="a file of the build"):
        writer.refuse(target, image, _SIZE, force=True, made=(tmp_path / "gone", link))
