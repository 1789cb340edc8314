"""`[boot]` of the spec: what makes the stick boot, and what is wrong with it.

Left out, there are no boot files. Kernels and loaders come from Debian packages, from a place in
a mirror's pool (for when an index is broken), or from a local folder of a package's shape.
"""

from __future__ import annotations

import fnmatch
import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from orchestrator.architecture import ARCHITECTURES, FACTS, bios
from orchestrator.spec.diagnostics import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.architecture import Architecture
    from orchestrator.spec.diagnostics import Key

# The parameters of the kernel command line that the build itself writes, and the one that the
# loaders do.
OWNED = ("sourcery.volume", "sourcery.missing", "initrd")
SYSTEMD_BOOT = "systemd-boot-efi"
# Both are needed where a BIOS starts the stick: the installer's data, and the modules.
SYSLINUX = ("syslinux", "syslinux-common")

# Each loader passes these on as they are. U-Boot expands $ and eats ' and \ on the way (its
# cli_simple_process_macros), and a # may start a comment.
_COMMAND_LINE = re.compile(r"[A-Za-z0-9 \"%&()*+,\-./:;<=>?@\[\]^_{|}~!]*")
# RISC-V has the shortest kernel command line, 1024 bytes (COMMAND_LINE_SIZE); the build's part
# and a loader's `initrd=` go there too.
_LONGEST = 512
_POOL = re.compile(
    r"pool/(?:[A-Za-z0-9][A-Za-z0-9.+-]*/)+"
    r"(?P<package>[a-z0-9][a-z0-9.+-]+)_(?P<version>[A-Za-z0-9.+~-]+)_(?P<architecture>[a-z0-9]+)"
    r"\.deb"
)
_POOL_HELP = 'a place such as "pool/main/l/linux/linux-image-..._riscv64.deb", with sha256'

Texts = Annotated[tuple[str, ...], Field(strict=False)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Origin(_Model):
    """Where a package's files come from: one of `package`, `path`, and `pool` with `sha256`."""

    package: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9.+-]+$",
        description="a Debian package of the suite in [debian]",
    )
    path: str | None = Field(
        default=None,
        pattern=r"^[^/]",
        description="a local folder shaped like the unpacked package, relative to the spec",
    )
    pool: str | None = Field(default=None, description=_POOL_HELP)
    sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="the SHA-256 of the package in pool, 64 lower-case hexadecimal digits",
    )

    @property
    def pooled(self) -> tuple[str, str]:
        """Package and version of the file in the pool, out of its name (without an epoch)."""
        found = _POOL.fullmatch(self.pool or "")
        return (found["package"], found["version"]) if found else ("", "")

    def __str__(self) -> str:
        """As a lock says what it was made for."""
        if self.pool is not None:
            return f"{self.pool} sha256:{self.sha256}"
        return f"in {self.path}" if self.path is not None else str(self.package)


class Kernel(Origin):
    """`[boot.kernel.<arch>]`; `modules` and `device_trees` are those beside the default ones."""

    command_line: str | None = Field(
        default=None,
        max_length=_LONGEST,
        description=f"the kernel's parameters, one line of at most {_LONGEST} characters",
    )
    modules: Texts = Field(default=(), description="a list of names of kernel modules")
    device_trees: Texts = Field(
        default=(),
        description='a list of patterns such as "broadcom/bcm2711-*.dtb"',
    )


def _tables(kind: str, model: type[Origin]) -> dict[str, tuple[object, object]]:
    """The fields of `[boot.<kind>]`: a table for each architecture that is given one."""
    return {
        name: (model | None, Field(default=None, description=f"the table [boot.{kind}.{name}]"))
        for name in ARCHITECTURES
    }


if TYPE_CHECKING:
    # Type checkers read no fields out of a table.
    class Kernels(_Model):
        """`[boot.kernel]`, by architecture."""

    class Loaders(_Model):
        """`[boot.loader]`, by architecture: systemd-boot for UEFI, the suite's if left out."""
else:
    Kernels = create_model(
        "Kernels",
        __base__=_Model,
        **_tables("kernel", Kernel),
    )
    Loaders = create_model(
        "Loaders",
        __base__=_Model,
        **_tables("loader", Origin),
    )


class Boot(_Model):
    """`[boot]`; what is left out of it has defaults but the kernels."""

    timeout: int = Field(
        default=1, ge=0, le=600, description="seconds that a boot menu waits, 0 to 600"
    )
    missing: Literal["shell", "reboot"] = Field(
        default="shell", description='"shell" or "reboot": what is done where no stick is found'
    )
    kernels: Kernels = Field(
        default=Kernels(), alias="kernel", description="tables [boot.kernel.<architecture>]"
    )
    loaders: Loaders = Field(
        default=Loaders(), alias="loader", description="tables [boot.loader.<architecture>]"
    )

    def kernel(self, architecture: str) -> Kernel:
        """The kernel of an architecture, which a checked spec has."""
        found: Kernel = getattr(self.kernels, architecture)
        return found

    def command_line(self, architecture: str) -> str:
        """The kernel command line of an architecture, without what the build adds."""
        said = self.kernel(architecture).command_line
        if said is None:
            # The screen, and the serial line.
            return f"console=tty0 console={FACTS[architecture].console}"
        return " ".join(said.split())

    def origins(
        self, architectures: Sequence[Architecture]
    ) -> dict[str, tuple[Architecture, Origin]]:
        """By name of the input: the architecture whose package it is, and where that comes from."""
        found: dict[str, tuple[Architecture, Origin]] = {}
        for architecture in architectures:
            found[kernel_name(architecture)] = architecture, self.kernel(architecture)
            loader = getattr(self.loaders, architecture) or Origin(package=SYSTEMD_BOOT)
            found[loader_name(architecture)] = architecture, loader
        personal = bios(architectures)
        if personal is not None:
            found |= {name: (personal, Origin(package=name)) for name in SYSLINUX}
        return found

    def mistakes(self, architectures: Sequence[str]) -> Iterator[Mistake]:
        """What is wrong between keys that are each well-formed."""
        kernels = _given(self.kernels)
        for architecture in architectures:
            if architecture not in kernels:
                yield Mistake(
                    ("boot", "kernel", architecture),
                    "missing",
                    f"expected a table [boot.kernel.{architecture}]: "
                    f"image.architectures has {architecture}",
                )
        for table, origins in (("kernel", kernels), ("loader", _given(self.loaders))):
            for architecture, origin in origins.items():
                key: Key = ("boot", table, architecture)
                if architecture not in architectures:
                    yield Mistake(
                        key,
                        f"image.architectures has no {architecture}",
                        "remove this table, or add the architecture",
                    )
                yield from _origin(key, origin, architecture)
                if isinstance(origin, Kernel):
                    yield from _kernel(key, origin)


def kernel_name(architecture: str) -> str:
    """The name of the input that an architecture's kernel is."""
    return f"kernel.{architecture}"


def loader_name(architecture: str) -> str:
    """The name of the input that an architecture's UEFI loader is."""
    return f"systemd-boot.{architecture}"


def is_input(name: str) -> bool:
    """Whether a boot section could ask for an input of this name."""
    kind, dot, _ = name.partition(".")
    return name in SYSLINUX or (bool(dot) and kind in {"kernel", "systemd-boot"})


def _given(tables: Kernels | Loaders) -> dict[str, Origin]:
    found = {name: getattr(tables, name) for name in type(tables).model_fields}
    return {name: origin for name, origin in found.items() if origin is not None}


def _origin(key: Key, origin: Origin, architecture: str) -> Iterator[Mistake]:
    said = [name for name in ("package", "path", "pool") if getattr(origin, name) is not None]
    if len(said) != 1:
        yield Mistake(
            (*key, said[1] if said else "package"),
            f"has {' and '.join(said)}" if said else "needs one of package, path and pool",
            "expected package (of the suite), path (a local folder) or pool (a place on the "
            "mirror), one of them",
        )
    if origin.pool is not None:
        found = _POOL.fullmatch(origin.pool)
        if not found or found["architecture"] not in {FACTS[architecture].debian, "all"}:
            yield Mistake(
                (*key, "pool"),
                f"{origin.pool!r} is no package for {architecture} in a mirror's pool",
                f"expected {_POOL_HELP}",
            )
    if (origin.pool is None) != (origin.sha256 is None):
        yield Mistake(
            (*key, "sha256"),
            "missing" if origin.sha256 is None else "stands without pool",
            "expected pool and sha256 together: the hash is all that vouches for the file",
        )
    if origin.path is not None and ".." in origin.path.split("/")[1:]:
        yield Mistake((*key, "path"), f"got {origin.path!r}", "expected a path without inner ..")


def _kernel(key: Key, kernel: Kernel) -> Iterator[Mistake]:
    line = kernel.command_line or ""
    at = (*key, "command_line")
    bad = sorted({character for character in line if not _COMMAND_LINE.fullmatch(character)})
    if bad:
        yield Mistake(
            at,
            f"holds {', '.join(map(repr, bad))}, which not every boot loader passes on as it is",
            "expected one line of plain ASCII without ' \\ $ ` #",
        )
    if line.count('"') % 2:
        yield Mistake(at, 'holds a " without its partner', 'expected them in pairs, as in a="b c"')
    for word in line.split():
        name = word.strip('"').partition("=")[0]
        if name in OWNED:
            yield Mistake(
                at, f"sets {name}, which the build sets itself", f"leave {name} out of it"
            )
    for index, module in enumerate(kernel.modules):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", module):
            yield Mistake(
                (*key, "modules", index),
                f"{module!r} is no name of a kernel module",
                'expected a name such as "usb_storage", without folder and .ko',
            )
    for index, pattern in enumerate(kernel.device_trees):
        parts = pattern.split("/")
        if not {"", ".", ".."}.isdisjoint(parts) or not fnmatch.fnmatch(parts[-1], "*.dtb"):
            yield Mistake(
                (*key, "device_trees", index),
                f"got {pattern!r}",
                'expected a relative pattern of .dtb files, such as "broadcom/bcm2711-*.dtb"',
            )
