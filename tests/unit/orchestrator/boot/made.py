"""Kernel modules, kernels, an installer of SYSLINUX and their packages, made small."""

from __future__ import annotations

import lzma
import struct
from typing import TYPE_CHECKING

from orchestrator.boot.model import Boot, Machine
from reproducibility import digest, manifest
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.architecture import Architecture

RELEASE = "6.12.1-test"
VOLUME_ID = 0x5A1D_B007
CONFIG = (
    b"CONFIG_BLK_DEV_INITRD=y\nCONFIG_DEVTMPFS=y\nCONFIG_RD_ZSTD=y\n# CONFIG_RD_LZO is not set\n"
)
EFI_NAMES = {"amd64": "x64", "arm64": "aa64", "riscv64": "riscv64"}


class Memory:
    """Blobs in memory."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def put(self, data: bytes) -> digest.Digest:
        found = digest.of_bytes(data)
        self.blobs[found.hex] = data
        return found

    def read(self, wanted: digest.Digest) -> bytes:
        return self.blobs[wanted.hex]

    def tree(self, content: Mapping[str, bytes]) -> Tree:
        return Tree(
            manifest.file(path, self.put(data), len(data)) for path, data in content.items()
        )

    def content(self, tree: Tree, path: str) -> bytes:
        entry = tree.get(path)
        assert entry is not None, path
        return self.read(entry.content)


def elf_64(sections: Mapping[str, bytes]) -> bytes:
    """An object file of 64 bits with these sections."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in [*sections, ".shstrtab"])
    contents = [*sections.items(), (".shstrtab", names)]
    body = b""
    table = bytes(64)
    for name, content in contents:
        at = names.index(b"\0" + name.encode() + b"\0") + 1
        kind = 3 if name == ".shstrtab" else 1
        table += struct.pack("<IIQQQQIIQQ", at, kind, 0, 0, 64 + len(body), len(content), *[0] * 4)
        body += content
    count = len(contents) + 1
    header = struct.pack("<HHIQQQIHHHHHH", 1, 62, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, count,
                         count - 1)  # fmt: skip
    return b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + header + body + table


def elf_32(content: bytes) -> bytes:
    """A file of 32 bits with one section beside that of the names."""
    names = b"\0.text\0.shstrtab\0"
    texts = struct.pack("<10I", 1, 1, 0, 0, 52, len(content), 0, 0, 0, 0)
    strings = struct.pack("<10I", 7, 3, 0, 0, 52 + len(content), len(names), 0, 0, 0, 0)
    shoff = 52 + len(content) + len(names)
    header = struct.pack("<HHIIIIIHHHHHH", 3, 3, 1, 0, 0, shoff, 0, 52, 0, 0, 40, 3, 2)
    start = b"\x7fELF\x01\x01\x01".ljust(16, b"\0") + header
    return start + content + names + bytes(40) + texts + strings


def module(*lines: str) -> bytes:
    """A kernel module whose `.modinfo` has these lines."""
    info = "".join(f"{line}\0" for line in ("license=GPL", *lines)).encode()
    return elf_64({".text": b"code", ".modinfo": info})


def kernel_image(architecture: str) -> bytes:
    """The marks of a kernel with an EFI stub, and nothing else."""
    image = bytearray(b"MZ" + bytes(0x400))
    at, mark = {
        "amd64": (0x202, b"HdrS"),
        "arm64": (0x38, b"ARM\x64"),
        "riscv64": (0x38, b"RSC\x05"),
    }[architecture]
    image[at : at + len(mark)] = mark
    return bytes(image) + architecture.encode()


def kernel(
    architecture: str, changes: Mapping[str, bytes | None] | None = None
) -> dict[str, bytes]:
    """A linux-image package. `changes`: path -> other content, or None for no such file."""
    modules = f"usr/lib/modules/{RELEASE}"
    content: dict[str, bytes | None] = {
        f"boot/vmlinuz-{RELEASE}": kernel_image(architecture),
        f"boot/config-{RELEASE}": CONFIG,
        f"{modules}/modules.builtin": b"kernel/drivers/virtio/virtio_pci.ko\n",
        f"{modules}/kernel/fs/fat/vfat.ko.xz": lzma.compress(module("depends=fat")),
        f"{modules}/kernel/fs/fat/fat.ko.xz": lzma.compress(module("depends=")),
        f"{modules}/kernel/drivers/usb/host/xhci-pci.ko": module("depends=xhci-hcd"),
        f"{modules}/kernel/drivers/usb/host/xhci-hcd.ko": module("depends="),
        f"{modules}/kernel/sound/snd.ko": module("depends="),
        f"usr/lib/linux-image-{RELEASE}/vendor/board.dtb": b"tree",
        f"usr/lib/linux-image-{RELEASE}/vendor/other.dtb": b"other",
        f"usr/share/doc/linux-image-{RELEASE}/copyright": b"GPL",
        **(changes or {}),
    }
    return {path: data for path, data in content.items() if data is not None}


def systemd_boot(architecture: str) -> dict[str, bytes]:
    name = EFI_NAMES[architecture]
    return {
        f"usr/lib/systemd/boot/efi/systemd-boot{name}.efi": b"MZ loader " + name.encode(),
        "usr/share/doc/systemd-boot-efi/copyright": b"LGPL",
    }


# Where the parts of the patch area lie in the made ldlinux.sys.
AREA, EXTENDED, ADV, FOLDER, ROOM, TABLE, MOST, LOW, HIGH = 24, 64, 100, 128, 32, 200, 40, 100, 106
SECTOR_SIZE = 512


def syslinux(sectors: int = 30) -> dict[str, bytes]:
    """The packages syslinux and syslinux-common."""
    boot_sector = bytearray(b"\xeb\x58\x90SYSLINUX".ljust(SECTOR_SIZE, b"\0"))
    boot_sector[200:510] = b"c" * 310
    boot_sector[510:] = b"\x55\xaa"
    system = bytearray(b"\r\nSYSLINUX 6.04 \0\r\n\x1a".ljust(sectors * SECTOR_SIZE, b"s"))
    struct.pack_into("<IIHHIIHH", system, AREA, 0x3EB202FE, 7, 0, 0, 0, 0, 127, EXTENDED)
    struct.pack_into(
        "<10H", system, EXTENDED, ADV, FOLDER, ROOM, 170, 20, TABLE, MOST, LOW, HIGH, 0
    )
    # A start of an ELF file that is none, at a border of sectors.
    system[SECTOR_SIZE : SECTOR_SIZE + 7] = b"\x7fELF\x01\x01\x01"
    installer = b"\x7fELF program " + boot_sector + system + elf_32(b"module") + b"the end"
    return {
        "usr/bin/syslinux": bytes(installer),
        "usr/lib/syslinux/mbr/mbr.bin": b"m" * 440,
        "usr/share/doc/syslinux/copyright": b"GPL of syslinux",
        "usr/share/doc/syslinux-common/copyright": b"GPL of syslinux-common",
    }


def machine(memory: Memory, architecture: Architecture, **fields: object) -> Machine:
    """A machine; `fields` replace those that are made here."""
    init = memory.put(b"init of " + architecture.encode())
    made: dict[str, object] = {
        "architecture": architecture,
        "kernel": memory.tree(kernel(architecture)),
        "command_line": "console=ttyS0,115200",
        "init": manifest.file("stickinit", init, 8 + len(architecture), executable=True),
        "uefi": memory.tree(systemd_boot(architecture)),
    }
    return Machine(**(made | fields))  # type: ignore[arg-type]


def boot(memory: Memory, *machines: Machine, with_syslinux: bool = True, timeout: int = 3) -> Boot:
    """What is wanted for these machines, or for all three architectures."""
    every: tuple[Architecture, ...] = ("amd64", "arm64", "riscv64")
    return Boot(
        machines or tuple(machine(memory, architecture) for architecture in every),
        memory.tree(syslinux()) if with_syslinux else None,
        VOLUME_ID,
        timeout,
        "shell",
    )
