"""Files of every format, small, with what is to differ as an argument."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from typing import TYPE_CHECKING

import zstandard

from orchestrator.golang import seed_index
from orchestrator.image.cpio import newc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EXECUTABLE = 0x6
EPOCH = 1_790_000_000


def elf(sections: Mapping[str, bytes], *, code: Sequence[str] = (".text",), size: int = 0) -> bytes:
    """An ELF file of 64 bits. `code`: the sections that can be executed; `size`: of an entry."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in [*sections, ".shstrtab"])
    body, table = b"", bytes(64)
    for name, content in [*sections.items(), (".shstrtab", names)]:
        at = names.index(b"\0" + name.encode() + b"\0") + 1
        kind = 3 if name == ".shstrtab" else 7 if name.startswith(".note") else 1
        flags = EXECUTABLE if name in code else 0
        entry = size if name == ".symtab" else 0
        table += struct.pack("<IIQQQQIIQQ", at, kind, flags, 0, 64 + len(body), len(content), 0, 0,
                             1, entry)  # fmt: skip
        body += content
    count = len(sections) + 2
    header = struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 0, 64 + len(body), 0, 64, 0, 0, 64, count,
                         count - 1)  # fmt: skip
    return b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + header + body + table


def note(content: bytes, whose: bytes = b"GNU\0", kind: int = 3) -> bytes:
    """A note section with one note."""
    return (
        struct.pack("<III", len(whose), len(content), kind)
        + whose
        + content.ljust(-(-len(content) // 4) * 4, b"\0")
    )


def build_information(lines: Sequence[str], version: str = "go1.25.4") -> bytes:
    """A `.go.buildinfo` section."""
    modules = b"0" * 16 + "".join(f"{line}\n" for line in lines).encode() + b"1" * 16
    head = b"\xff Go buildinf:" + b"\x08\x02" + bytes(16)
    return head + _string(version.encode()) + _string(modules)


def _string(data: bytes) -> bytes:
    length, out = len(data), b""
    while length >= 0x80:
        out += bytes([length & 0x7F | 0x80])
        length >>= 7
    return out + bytes([length]) + data


GO_LINES = ("path\texample.org/tool", "mod\texample.org/tool\t(devel)\t", "build\t-trimpath=true",
            "build\tGOARCH=amd64")  # fmt: skip


def go_program(lines: Sequence[str] = GO_LINES, files: bytes = b"main.go\0",
               code: bytes = b"\x90" * 64, identifier: bytes = b"a/b/c/d") -> bytes:  # fmt: skip
    """A Go program in little: instructions, file names, build information, build ID."""
    return elf(
        {
            ".text": code,
            ".gopclntab": b"\xf1\xff\xff\xff\0\0" + files,
            ".go.buildinfo": build_information(lines),
            ".note.go.buildid": note(identifier, b"Go\0\0", 4),
        }
    )


def ar(members: Mapping[str, bytes], time: int = 0, owner: int = 0) -> bytes:
    """An archive of `ar`."""
    out = b"!<arch>\n"
    for name, content in members.items():
        out += f"{name:<16}{time:<12}{owner:<6}{owner:<6}{644:<8}{len(content):<10}`\n".encode()
        out += content + b"\n" * (len(content) % 2)
    return out


def go_object(code: bytes, identifier: str = "act/cont") -> bytes:
    """The member of a Go archive that holds the compiled code."""
    return f'go object linux amd64 go1.25.4 X:none\nbuild id "{identifier}"\n\n!\n'.encode() + code


def cpio(members: Mapping[str, bytes], *, inode: int = 1, epoch: int = 0) -> bytes:
    """An archive of cpio by the product's own headers."""
    out = b""
    for number, (path, content) in enumerate(members.items()):
        out += newc.header(path, inode + number, newc.FILE, len(content), epoch=epoch)
        out += content + bytes(-len(content) % newc.WORD)
    return out + newc.end(len(out))


def zst(data: bytes, level: int = 3, *, frames: int = 1, threads: int = 0) -> bytes:
    """A zstd file of so many frames."""
    step = -(-len(data) // frames)
    return b"".join(
        zstandard.ZstdCompressor(level=level, threads=threads).compress(data[at : at + step])
        for at in range(0, len(data), step)
    )


def gz(data: bytes, time: int = 0) -> bytes:
    """A gzip file."""
    return gzip.compress(data, mtime=time)


def zipped(members: Mapping[str, bytes], when: tuple[int, ...] = (2026, 1, 1, 0, 0, 0),
           mode: int = 0o644) -> bytes:  # fmt: skip
    """A zip archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, when)  # type: ignore[arg-type]
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return out.getvalue()


def tar(members: Mapping[str, bytes], *, owner: str = "root", time: int = 0) -> bytes:
    """A tar archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size, info.uname, info.mtime = len(content), owner, time
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def index(pairs: Mapping[bytes, bytes]) -> bytes:
    """The index of a compile seed."""
    out = seed_index.MAGIC
    for action, output in sorted(pairs.items()):
        out += action.ljust(32, b"\0") + output.ljust(32, b"\0") + (7).to_bytes(8, "big")
    return out


MEMBERS = {"one": b"first\n", "two": b"second\n", "three": b"third\n"}
TURNED = dict(reversed(MEMBERS.items()))
