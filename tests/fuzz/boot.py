"""What boots: kernels, their modules, SYSLINUX, and how they lie in their packages."""

from __future__ import annotations

import functools
import gzip
import lzma
import struct
from typing import TYPE_CHECKING

import zstandard

from orchestrator import emulator
from orchestrator.boot import elf, kernel, syslinux
from orchestrator.boot.modules import Modules, needs
from orchestrator.image.fat.witness import Packages, loader
from orchestrator.run import binfmt
from tests.fuzz import bombs, scratch
from tests.fuzz.target import Target
from tests.unit.orchestrator.boot import made

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reproducibility.digest import Digest
    from reproducibility.manifest import Tree

_KERNEL = made.kernel("amd64")
_MODULE = made.module("depends=")
_FOLDER = f"usr/lib/modules/{made.RELEASE}"


def _needed(data: bytes) -> None:
    elf.section(data, ".modinfo", "x.ko")
    needs(data, "x.ko")


def _modules() -> Sequence[bytes]:
    lines = ("depends=fat,usb-core", "softdep=pre: a post: b", "alias=usb:v*")
    return [made.module(*lines), made.elf_64({".bss": b"", "a": b"x" * 300})]


def _same_content() -> Sequence[bytes]:
    """A table of sections that all claim the whole file; and one whose names take the file."""
    count = 16_000
    table = struct.pack("<IIQQQQIIQQ", 0, 1, 0, 0, 0, 64 * count, *[0] * 4) * count
    head = struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, 64, 0, 64, 0, 0, 64, count, 0)
    start = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + head
    text = b"\0".join(b"depends=" + b",".join(b"%d" % n for n in range(at, at + 50))
                      for at in range(0, 100_000, 50))  # fmt: skip
    return start + table, made.elf_64({".modinfo": text[:1_000_000]})


def _length(data: bytes) -> None:
    elf.length_32(data, 0)
    elf.length_32(b"12" + data, 2)


@functools.cache
def _package() -> tuple[made.Memory, Tree]:
    memory = made.Memory()
    return memory, memory.tree(_KERNEL)


def _packed(name: str, data: bytes) -> None:
    """A kernel's package in which one module has this content."""
    memory, tree = _package()
    entry = tree.get(f"{_FOLDER}/kernel/fs/fat/fat.ko.xz")
    assert entry is not None
    path = entry.path.removesuffix(".ko.xz") + name
    tree = tree.renamed(lambda one: path if one == entry.path else one)

    def read(wanted: Digest) -> bytes:
        return data if wanted == entry.content else memory.read(wanted)

    Modules(tree.under(_FOLDER), "kernel", read).wanted(["snd"])


def _xz(data: bytes) -> None:
    _packed(".ko.xz", data)


def _gz(data: bytes) -> None:
    _packed(".ko.gz", data)


def _zst(data: bytes) -> None:
    _packed(".ko.zst", data)


def _xz_bombs() -> Sequence[bytes]:
    # The dictionary that the second one asks for has 1.5 GiB.
    filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 3 << 29}]
    return bombs.xz(), lzma.compress(b"x", lzma.FORMAT_ALONE, filters=filters)


def _gz_bombs() -> Sequence[bytes]:
    return [bombs.gz()]


def _zst_bombs() -> Sequence[bytes]:
    promise = bytes.fromhex("28b52ffd") + b"\xe0" + (1 << 40).to_bytes(8, "little") + b"\x01\0\0"
    return [bombs.zst(), promise]


def _found(data: bytes) -> None:
    """What tells of a kernel beside it: its configuration, and the modules that are built in."""
    memory, tree = _package()
    told = {f"boot/config-{made.RELEASE}", f"{_FOLDER}/modules.builtin"}
    known = {entry.content for entry in tree.files() if entry.path in told}

    def read(wanted: Digest) -> bytes:
        return data if wanted in known else memory.read(wanted)

    found = kernel.find(tree, "kernel", read)
    Modules(found.modules, "kernel", read).wanted(())


def _startable(data: bytes) -> None:
    # A mark of one architecture stands where nothing of another does.
    architecture = "amd64" if data[0x202:0x206] == b"HdrS" or data[:2] == b"\x1f\x8b" else "arm64"
    kernel.startable(data, architecture, "kernel", uefi=True)


def _kernels() -> Sequence[bytes]:
    plain = made.kernel_image("amd64")
    return plain, gzip.compress(plain), made.kernel_image("arm64")


def _syslinux(data: bytes) -> None:
    memory = made.Memory()
    tree = memory.tree({**made.syslinux(), syslinux.INSTALLER: data})
    found = syslinux.loader(tree, memory.read)
    count = len(found.unpatched) // 512
    found.patched(range(5000, 5000 + count))
    files = {syslinux.LDLINUX: found.unpatched, syslinux.MODULE: found.module}
    loader.installed(Packages(found.master, data), memory.tree(files), 5000)


def _witness(data: bytes) -> None:
    """The image's second opinion on the loader, about a tree that it does not belong to."""
    files = _loader_files()
    tree = made.Memory().tree(files)
    loader.installed(Packages(b"m" * 440, data), tree, 5000)


@functools.cache
def _loader_files() -> dict[str, bytes]:
    memory = made.Memory()
    found = syslinux.loader(memory.tree(made.syslinux()), memory.read)
    return {syslinux.LDLINUX: found.unpatched, syslinux.MODULE: found.module}


def _installers() -> Sequence[bytes]:
    return [made.syslinux(count)[syslinux.INSTALLER] for count in (30, 4)]


def _many_starts() -> Sequence[bytes]:
    """Everything looks like a boot sector, or like an ELF file that follows one."""
    sector = b"\xeb\x58\x90SYSLINUX\0".ljust(510, b"\0") + b"\x55\xaa"
    head = b"\r\nSYSLINUX ".ljust(512, b"\0")
    starts = (b"\x7fELF\x01\x01\x01".ljust(46, b"\0") + struct.pack("<3H", 40, 20_000, 0)).ljust(
        512, b"\0"
    )
    return (sector + b"\xeb\x58\x90SYSLINUX") * 1000, sector + head + starts * 1900


def _binfmt(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    found = binfmt._parsed(text)
    if found is not None:
        found.takes(binfmt.header("arm64"))
    binfmt._version(text)


def _is_static(data: bytes) -> None:
    emulator.is_static(scratch.file("program", data))


def _programs() -> Sequence[bytes]:
    head = b"\x7fELF\x02\x01\x01".ljust(32, b"\0") + struct.pack("<Q", 64)
    head = (head.ljust(54, b"\0") + struct.pack("<HH", 56, 2)).ljust(64, b"\0")
    return [head + struct.pack("<I52x", 1) + struct.pack("<I52x", 3)]


_REGISTERED = (
    b"enabled\ninterpreter /usr/libexec/qemu-aarch64\nflags: OCF\noffset 0\n"
    b"magic 7f454c460201010000000000000000000200b700\n"
    b"mask ffffffffffffff00fffffffffffffffffeffffff\n"
)

TARGETS = (
    Target("kernel-module", _needed, _modules, nasty=_same_content),
    Target("elf-32", _length, lambda: [made.elf_32(b"content")], ()),
    Target("kernel-module-xz", _xz, lambda: [lzma.compress(_MODULE)], nasty=_xz_bombs),
    Target("kernel-module-gz", _gz, lambda: [gzip.compress(_MODULE)], nasty=_gz_bombs),
    Target(
        "kernel-module-zst",
        _zst,
        lambda: [zstandard.compress(_MODULE)],
        nasty=_zst_bombs,
    ),
    Target("kernel-files", _found, lambda: [made.CONFIG, b"kernel/drivers/virtio/virtio_pci.ko\n"]),
    Target("kernel-image", _startable, _kernels, nasty=_gz_bombs),
    Target("syslinux", _syslinux, _installers, nasty=_many_starts),
    Target("syslinux-witness", _witness, _installers, nasty=_many_starts),
    Target("binfmt", _binfmt, lambda: [_REGISTERED, b"6.12.1-test"], ()),
    Target("program", _is_static, _programs, ()),
)
