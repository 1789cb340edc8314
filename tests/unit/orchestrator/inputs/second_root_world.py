"""Packages and releases of a second root in the small world, and answers of apt that know them."""

from __future__ import annotations

import io
import lzma
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.inputs import resolve
from orchestrator.lock.file import GCC, SecondRoot
from reproducibility import digest as digests
from tests.unit.orchestrator.inputs.world import done, h1, module_zip

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from containers.host.process import Completed
    from orchestrator.lock.file import Lock
    from orchestrator.spec.model import Spec
    from orchestrator.store import Store
    from tests.unit.orchestrator.inputs.world import World

TABLE = """
[root.gcc]
packages = ["gccgo-14"]
versions = ["1.21.13", "1.22.10", "1.24.11"]
"""
VERSIONS = ("1.21.13", "1.22.10", "1.24.11")
TOOLCHAIN = "golang.org/toolchain"


def package(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """A Debian package with links; one to a path with `=` in front is a hard one."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(f"./{name}")
            member.type = tarfile.LNKTYPE if target.startswith("=") else tarfile.SYMTYPE
            member.linkname = target.replace("=", "./")
            tar.addfile(member)
    out = b"!<arch>\n"
    for name, content in (
        ("debian-binary", b"2.0\n"),
        ("data.tar.xz", lzma.compress(data.getvalue())),
    ):
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        out += content + b"\n" * (len(content) % 2)
    return out


PACKAGES = {
    "gccgo-14": package(
        {"usr/share/doc/gccgo-14/copyright": b"GPL", "usr/bin/x86_64-linux-gnu-go-14": b"go"},
        {
            "usr/bin/go-14": "x86_64-linux-gnu-go-14",
            "usr/bin/hard": "=usr/bin/x86_64-linux-gnu-go-14",
        },
    ),
    "libgo23": package(
        {"usr/lib/x86_64-linux-gnu/libgo.so.23.0.0": b"libgo", "usr/include/go.h": b"h"},
        {
            "usr/lib/x86_64-linux-gnu/libgo.so.23": "libgo.so.23.0.0",
            "usr/lib/gcc/14/libgo.so": "../../x86_64-linux-gnu/libgo.so.23",
            "usr/lib64/ld.so": "/lib/x86_64-linux-gnu/libgo.so.23",
            "usr/lib/nowhere": "../../../../etc/passwd",
            "usr/lib/self": "self",
            "usr/lib/folder": "x86_64-linux-gnu",
        },
    ),
}


class Debian:
    """Answers of apt that know several packages.

    `others`: those that other architectures have. `unmet`: what apt says where it would not install
    them. `installing`: what it was asked to install. `broken`: apt-cache is.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.others: set[str] = set()
        self.unmet = ""
        self.installing: list[list[str]] = []
        self.broken = False
        self.packages = dict(PACKAGES)
        for name in self.packages:
            self.publish(name)
        world.failing = self

    def publish(self, name: str) -> None:
        self.world.packages[f"pool/{name}.deb"] = self.packages[name]

    def __call__(self, command: Sequence[str]) -> Completed | None:
        if "--simulate" in command:
            if self.unmet:
                return done("", 100, self.unmet)
            self.installing.append([word for word in command if word.endswith(":amd64")])
            return done("".join(f"Inst {name} (14.2.0-19 Debian)\n" for name in self.packages))
        if Path(command[0]).name == "apt-cache":
            return self.show(command[command.index("show") + 1 :])
        return None

    def show(self, names: Sequence[str]) -> Completed | None:
        """What the index of an architecture has of the names, or the world's own index."""
        asked = [name.partition(":") for name in names]
        if not {name for name, *_ in asked} - {"busybox-static"}:
            return None
        if self.broken:
            return done("", -11)
        found = [
            name for name, _, of in asked
            if name in (self.packages if of in {"", "amd64"} else self.others)
        ]  # fmt: skip
        shown = "\n".join(map(self.stanza, found))
        return done(shown) if found else done("", 100, "E: No packages found\n")

    def stanza(self, name: str) -> str:
        content = self.packages.get(name, b"")
        return (
            f"Package: {name}\nVersion: 14.2.0-19\nFilename: pool/{name}.deb\n"
            f"SHA256: {digests.sha256_of_bytes(content).hex}\n"
        )


def publish(world: World) -> Debian:
    """Let releases and packages be published."""
    for version in VERSIONS:
        name = f"v0.0.1-go{version}.linux-amd64"
        files = {"bin/go": version.encode(), "pkg/tool/linux_amd64/link": b"", "src/_go.mod": b"m"}
        world.modules[TOOLCHAIN, name] = module_zip(TOOLCHAIN, name, files)
        world.log.add(TOOLCHAIN, name, h1(world.modules[TOOLCHAIN, name]))
    return Debian(world)


def elsewhere_only(world: World, version: str) -> None:
    """Let a release be published for another architecture, and for this one no more."""
    name = f"v0.0.1-go{version}.linux-"
    world.modules[TOOLCHAIN, f"{name}riscv64"] = world.modules.pop((TOOLCHAIN, f"{name}amd64"))


def make(
    world: World,
    spec: Spec,
    store: Store,
    previous: Lock | None = None,
    update: AbstractSet[str] = frozenset(),
) -> Lock:
    return resolve.lock(spec, previous, store, update=update, clients=world.clients())


def pinned(lock: Lock) -> SecondRoot:
    found = lock.roots[GCC]["amd64"]
    assert isinstance(found, SecondRoot)
    return found
