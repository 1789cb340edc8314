"""The default image, read by programs that share nothing with the one that wrote it."""

from __future__ import annotations

import os
import struct
import subprocess
import tomllib
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

import pytest
import zstandard
from blake3 import blake3

from orchestrator import device
from orchestrator.boot import syslinux
from orchestrator.golang import environment
from orchestrator.image.fat import reader, witness
from orchestrator.store import Store
from reproducibility import digest, manifest
from reproducibility.compare import differences
from reproducibility.digest import Digest
from reproducibility.manifest import Tree
from tests.integration.building import ARCHITECTURES, U_ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.lock.file import Lock
    from tests.integration.building import Orchestrate
    from tests.integration.conftest import Built

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]

_SECTOR = 512
_PIECE = 1 << 20


@dataclass(frozen=True)
class Subject:
    """The image that is looked at: where it lies, the tree that it must hold, the store with it."""

    image: Path
    cpio: Path
    tree: Tree
    store: Store
    epoch: int
    label: str
    lock: Lock
    built: Built

    def read(self, path: str) -> bytes:
        """The bytes of a file of the tree."""
        entry = self.tree.get(path)
        assert entry is not None, path
        return self.store.read(entry.content)


@pytest.fixture(scope="module")
def subject(full: Built, orchestrate: Orchestrate) -> Iterator[Subject]:
    spec = tomllib.loads((orchestrate.project / "sourcery.toml").read_text())["image"]
    with closing(Store(orchestrate.store)) as store:
        tree = store.load_tree(Digest.parse(full.ran.document["root"]["tree"]))
        yield Subject(
            full.out / "sourcery.img",
            full.out / "sourcery.cpio.zst",
            tree,
            store,
            int(spec["epoch"].timestamp()),
            spec["label"],
            orchestrate.lock,
            full,
        )


def partition(image: Path) -> tuple[int, int]:
    """Where the one partition starts and how large it is, in bytes."""
    with image.open("rb") as stream:
        record = stream.read(_SECTOR)
    assert record[510:] == b"\x55\xaa"
    kind, start, count = record[450], *struct.unpack_from("<II", record, 454)
    assert kind == 0x0C
    assert record[462:510] == bytes(48)
    assert (start + count) * _SECTOR == image.stat().st_size
    return start * _SECTOR, count * _SECTOR


@pytest.mark.needs_tools("fsck.fat")
def test_fsck_finds_nothing(subject: Subject, place: Path) -> None:
    start, size = partition(subject.image)
    volume = place / "volume"
    with subject.image.open("rb") as source, volume.open("wb") as sink:
        source.seek(start)
        while piece := source.read(_PIECE):
            # Holes where there is nothing but zeros: half of the disk's space is not needed.
            if any(piece):
                sink.write(piece)
            else:
                sink.seek(len(piece), os.SEEK_CUR)
        sink.truncate(size)
    said = subprocess.run(
        ["fsck.fat", "-n", str(volume)],  # noqa: S607 - found on PATH
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout
    # Its version and its count; anything between is a complaint.
    assert len(said.stdout.splitlines()) == 2, said.stdout
    assert said.stderr == ""


@pytest.mark.needs_tools("mdir", "mcopy")
def test_mtools_read_every_file(subject: Subject, place: Path) -> None:
    start, _ = partition(subject.image)
    mtools = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "MTOOLSRC": os.devnull}
    image = f"{subject.image}@@{start}"
    listing = subprocess.run(
        ["mdir", "-a", "-b", "-i", image, "::/"],  # noqa: S607 - found on PATH
        env=mtools,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    names = {line.removeprefix("::/").strip("/") for line in listing.splitlines() if line}
    assert names == {entry.path.partition("/")[0] for entry in subject.tree}
    copy = place / "copy"
    copy.mkdir()
    subprocess.run(
        ["mcopy", "-s", "-i", image, "::*", str(copy)],  # noqa: S607 - found on PATH
        env=mtools,
        check=True,
        capture_output=True,
    )
    found = Tree(reader.expected(manifest.scan(copy)))
    assert differences(found, reader.expected(subject.tree)) == []


def test_pyfatfs_reads_every_file(subject: Subject) -> None:
    reading = reader.read(subject.image)
    assert differences(reading.tree, reader.expected(subject.tree)) == []
    assert reading.label == subject.label
    assert reading.stray_times(subject.epoch) == []


@pytest.fixture
def changed(subject: Subject, place: Path) -> Iterator[int]:
    """A copy of the image that may be changed, open."""
    image = place / "changed.img"
    with subject.image.open("rb") as source, image.open("w+b") as sink:
        # Holes stay holes.
        at, size = 0, os.fstat(source.fileno()).st_size
        sink.truncate(size)
        while at < size:
            try:
                at = os.lseek(source.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(source.fileno(), at, os.SEEK_HOLE)
            os.lseek(source.fileno(), at, os.SEEK_SET)
            os.lseek(sink.fileno(), at, os.SEEK_SET)
            while at < end:
                at += os.sendfile(sink.fileno(), source.fileno(), None, end - at)
        yield sink.fileno()


def _flip(descriptor: int, at: int) -> None:
    [byte] = os.pread(descriptor, 1, at)
    os.pwrite(descriptor, bytes([byte ^ 0x10]), at)


def test_a_single_changed_bit_of_a_file_is_found(
    subject: Subject, place: Path, changed: int
) -> None:
    start, size = partition(subject.image)
    # In the files' part: the middle of the volume.
    _flip(changed, start + size // 2)
    found = differences(reader.read(place / "changed.img").tree, reader.expected(subject.tree))
    assert len(found) == 1
    assert found[0].field == "blake3"


def test_a_single_changed_bit_of_anything_else_is_found(
    subject: Subject, place: Path, changed: int
) -> None:
    start, size = partition(subject.image)
    reserved, fat = struct.unpack("<14xH20xI", os.pread(changed, 40, start))
    fats = [start + (reserved + number * fat) * _SECTOR for number in range(2)]
    root = start + (reserved + 2 * fat) * _SECTOR
    expected = witness.Expected(
        tree=subject.tree,
        label=subject.label,
        volume_id=struct.unpack("<I", os.pread(changed, 4, start + 67))[0],
        signature=struct.unpack("<I", os.pread(changed, 4, 440))[0],
        epoch=subject.epoch,
        free_space=0,
        packages=_packages(subject),
    )
    image = place / "changed.img"
    assert witness.findings(image, expected) == []
    places = {
        "code of the master boot record": 100,
        "partition table": 447,
        "gap": 1 << 19,
        "boot code": start + 200,
        "boot sector's parameters": start + 24,
        "FSInfo": start + _SECTOR + 100,
        "backup of the boot sector": start + 6 * _SECTOR + 300,
        "a reserved sector": start + 20 * _SECTOR,
        "first FAT": fats[0] + 4000,
        "second FAT": fats[1] + 4001,
        "a directory's access date": root + 32 + 18,
        "free space": start + size - 1,
    }
    unseen = []
    for name, at in places.items():
        _flip(changed, at)
        if len(witness.findings(image, expected)) != 1:
            unseen.append(name)
        _flip(changed, at)
    assert unseen == []


def _packages(subject: Subject) -> witness.Packages:
    """SYSLINUX's two files, as the lock's packages have them in the store."""
    found: dict[str, bytes] = {}
    for pinned in subject.lock.inputs:
        if pinned.name in {"syslinux", "syslinux-common"}:
            tree = subject.store.load_tree(Digest.parse(str(pinned.tree)))
            for path in (syslinux.MASTER, syslinux.INSTALLER):
                entry = tree.get(path)
                if entry is not None:
                    found[path] = subject.store.read(entry.content)
    return witness.Packages(found[syslinux.MASTER], found[syslinux.INSTALLER])


# -- cpio ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Member:
    """A member of a newc archive."""

    path: str
    fields: dict[str, int]
    content: Digest


_FIELDS = (
    "ino", "mode", "uid", "gid", "nlink", "mtime", "filesize", "devmajor", "devminor",
    "rdevmajor", "rdevminor", "namesize", "check",
)  # fmt: skip


def members(stream: BinaryIO) -> Iterator[Member]:
    """The members of a newc archive; strict: padding is zeros, nothing follows the trailer.

    Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
    """
    at = 0

    def take(size: int) -> bytes:
        nonlocal at
        data = stream.read(size)
        assert len(data) == size, "the archive is cut short"
        at += size
        return data

    def align(unit: int) -> None:
        assert not any(take(-at % unit))

    while True:
        assert take(6) == b"070701"
        fields = dict(zip(_FIELDS, (int(take(8), 16) for _ in _FIELDS), strict=True))
        name = take(fields["namesize"])
        assert name.endswith(b"\0")
        align(4)
        hasher = blake3()
        left = fields["filesize"]
        while left:
            piece = take(min(left, _PIECE))
            hasher.update(piece)
            left -= len(piece)
        align(4)
        path = name[:-1].decode()
        if path == "TRAILER!!!":
            align(512)
            assert stream.read(1) == b""
            return
        yield Member(path, fields, Digest("blake3", hasher.hexdigest()))


def test_cpio_holds_the_same_tree(subject: Subject) -> None:
    with subject.cpio.open("rb") as packed:
        reading = zstandard.ZstdDecompressor().stream_reader(packed, read_size=_PIECE)
        found = list(members(reading))
    paths = [member.path for member in found]
    assert len(set(paths)) == len(paths)
    assert paths == sorted(paths)
    seen = set()
    for member in found:
        parent = member.path.rpartition("/")[0]
        assert not parent or parent in seen, f"{member.path} comes before its folder"
        seen.add(member.path)
    modes = Counter(member.fields["mode"] for member in found)
    assert set(modes) == {0o040755, 0o100755, 0o100644}
    for member in found:
        fixed = {key: value for key, value in member.fields.items() if key in {"uid", "gid"}}
        assert set(fixed.values()) == {0}
        assert member.fields["mtime"] == subject.epoch
    files = [member for member in found if member.fields["mode"] & 0o100000]
    inodes = [member.fields["ino"] for member in found]
    assert len(set(inodes)) == len(inodes)
    wanted = {
        entry.path: (entry.content, 0o100755 if entry.executable else 0o100644)
        for entry in subject.tree.files()
    }
    assert {m.path: (m.content, m.fields["mode"]) for m in files} == wanted
    empty = {entry.path for entry in subject.tree if entry.kind == "directory"}
    folders = {str(parent) for path in wanted for parent in PurePosixPath(path).parents} - {"."}
    folders |= empty | {str(p) for path in empty for p in PurePosixPath(path).parents} - {"."}
    assert {m.path for m in found if m.fields["mode"] == 0o040755} == folders


# -- what lies on it -----------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_command_has_its_stub(subject: Subject, architecture: str) -> None:
    document = subject.built.ran.document["root"]
    programs = {"buildcache", "init", "installcommand", "go", "gofmt"}
    found = {
        entry.path.rpartition("/")[2]: entry
        for entry in subject.tree.under(f"linux_{architecture}/bin").files()
    }
    assert programs <= set(found)
    stubs = set(found) - programs
    assert len(stubs) == document["commands"][architecture] > 100
    # Worked out from the tree: two levels below cmds, Go files that are no tests.
    folders = {
        str(PurePosixPath(entry.path).parent)
        for entry in subject.tree.under(f"src/{U_ROOT}").files()
        if entry.path.endswith(".go") and not entry.path.endswith("_test.go")
    }
    candidates = {name for name in folders if PurePosixPath(name).match("cmds/*/*")}
    candidates = {name for name in candidates if name.count("/") == 2}
    left_out = {
        name.removeprefix(f"src/{U_ROOT}/")
        for name in document["left_out_by_build_constraints"][architecture]
    }
    assert left_out < candidates
    wanted = candidates - left_out - {"cmds/core/init"}
    assert stubs == {name.rpartition("/")[2] for name in wanted}
    for folder in wanted:
        name = folder.rpartition("/")[2]
        line = subject.read(f"linux_{architecture}/bin/{name}").decode()
        assert line == f"#!/linux_{architecture}/bin/installcommand #!/src/{U_ROOT}/{folder}\n"
        assert len(line) < 256
        assert found[name].executable
    assert all(found[name].executable for name in programs)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_programs_are_for_their_architecture(subject: Subject, architecture: str) -> None:
    # elf(5): EM_X86_64, EM_AARCH64, EM_RISCV
    machine = {"amd64": 62, "arm64": 183, "riscv64": 243}[architecture]
    folders = (f"linux_{architecture}/bin", f"go/pkg/tool/linux_{architecture}")
    programs = [
        f"{folder}/{entry.path}"
        for folder in folders
        for entry in subject.tree.under(folder).files()
        if entry.size > 4096
    ]
    assert len(programs) == subject.built.ran.document["root"]["prebuilt"][architecture]
    for path in programs:
        head = subject.read(path)[:20]
        assert head[:4] == b"\x7fELF", path
        assert struct.unpack_from("<H", head, 18)[0] == machine, path


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_environment_file(subject: Subject, architecture: str) -> None:
    text = subject.read(f"linux_{architecture}/environment").decode()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    pairs = [line.partition("=") for line in lines]
    assert {key: value for key, _, value in pairs} == environment.device(architecture)
    assert lines == sorted(lines)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_seed_is_whole(subject: Subject, architecture: str) -> None:
    folder = f"linux_{architecture}/seed"
    index = subject.read(f"{folder}/index")
    assert index.startswith(b"SRCSEED1")
    records = [struct.unpack(">32s32sQ", index[at : at + 72]) for at in range(8, len(index), 72)]
    actions = [action for action, _, _ in records]
    assert actions == sorted(set(actions))
    promised = {output.hex(): size for _, output, size in records}
    assert all(promised[output.hex()] == size for _, output, size in records)
    objects = {
        entry.path.replace("/", ""): entry
        for entry in subject.tree.under(folder).files()
        if entry.path != "index"
    }
    # None that the index does not name, none missing, every size as it says.
    assert {name: entry.size for name, entry in objects.items()} == promised
    assert len(objects) > 1000
    for name, entry in objects.items():
        assert digest.sha256_of_file(subject.store.path(entry)).hex == name


def test_sources_are_there(subject: Subject) -> None:
    for path in (
        "go/VERSION",
        "go/src/cmd/go/main.go",
        "go/src/fmt/print.go",
        f"src/{U_ROOT}/go.mod",
        f"src/{U_ROOT}/vendor/modules.txt",
        f"src/{U_ROOT}/cmds/core/ls/ls.go",
        "src/sourcery/userland/go.mod",
        "src/sourcery/userland/cmd/init/main.go",
    ):
        assert subject.tree.get(path) is not None, path
    for name in device.MOUNT_POINTS:
        entry = subject.tree.get(name)
        assert entry is not None
        assert entry.kind == "directory"
    for name in ("bootstrap", "go/bin", "linux_amd64/bin/uname"):
        assert not [entry for entry in subject.tree if entry.path.startswith(f"{name}/")], name
    counts = subject.built.ran.document["root"]
    assert counts["files"] == sum(1 for _ in subject.tree.files())
    assert counts["bytes"] == subject.tree.size
    # Most of the files are what people wrote.
    assert counts["source_files"] > counts["files"] // 2
