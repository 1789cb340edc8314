"""An image in some twenty files, one of each kind, and the build that made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.artifacts import names
from orchestrator.evidence import gathering
from orchestrator.evidence.subject import FileDigests, Subject
from orchestrator.lock import file as locks
from orchestrator.spec import model as specs
from reproducibility import digest, manifest
from reproducibility.manifest import Tree
from tests import results
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.evidence.contents import Component
    from orchestrator.store import Store

LICENCE = (ROOT / "LICENSE").read_bytes()
LOCK_FILE = (ROOT / "sourcery.lock").read_bytes()
LOCK = locks.parse(LOCK_FILE)
SPEC_FILE = (ROOT / "sourcery.toml").read_bytes()
# Of builds that are about something else.
BILLS = {names.SBOM: b"{}\n", names.SBOM_FILES: b"{}\n"}
EPOCH = 1_700_000_000
FINISHED = 1_790_000_000
KERNEL, SYSLINUX = b"a kernel", b"the loader"
H1 = "h1:" + "A" * 43 + "="
COPYRIGHT = b"""\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: somebody
License: GPL-2+

Files: debian/*
Copyright: somebody
License: Expat
 Do as you like.

License: GPL-2+
 The text of that.
"""
SOURCE = "src/github.com/u-root/u-root"
# Path on the image to its bytes and the component that it belongs to.
FILES: dict[str, tuple[bytes, str]] = {
    "go/LICENSE": (LICENCE, "go-source"),
    "go/src/fmt/print.go": (b"package fmt\n", "go-source"),
    "go/src/go.sum": (f"golang.org/x/net v0.1.0 {H1}\n".encode(), "go-source"),
    "go/src/vendor/modules.txt": (
        b"# golang.org/x/net v0.1.0\n## explicit\ngolang.org/x/net/idna\n",
        "go-source",
    ),
    "go/src/vendor/golang.org/x/net/LICENSE": (
        LICENCE,
        "module-go-src-vendor-golang.org-x-net",
    ),
    "go/pkg/tool/linux_amd64/asm": (b"asm", "program-go-pkg-tool-linux-amd64-asm"),
    "linux_amd64/bin/init": (b"init", "program-linux-amd64-bin-init"),
    "linux_amd64/bin/ls": (b"#!/linux_amd64/bin/installcommand\n", "commands-amd64"),
    "linux_amd64/environment": (b"GOROOT=/go\n", "commands-amd64"),
    "linux_amd64/seed/a-d": (b"object", "seed-amd64"),
    "src/sourcery/userland/go.mod": (b"module sourcery/userland\n", "userland"),
    f"{SOURCE}/LICENSE": (LICENCE, "input-u-root"),
    f"{SOURCE}/main.go": (b"package main\n", "input-u-root"),
    f"{SOURCE}/go.sum": (f"mvdan.cc/sh/v3 v3.14.1 {H1}\n".encode(), "input-u-root"),
    f"{SOURCE}/vendor/modules.txt": (
        (
            b"# mvdan.cc/sh/v3 v3.7.0 => mvdan.cc/sh/v3 v3.14.1\nmvdan.cc/sh/v3/syntax\n"
            b"# mvdan.cc/sh/v3 => mvdan.cc/sh/v3 v3.14.1\n"
        ),
        "input-u-root",
    ),
    f"{SOURCE}/vendor/mvdan.cc/sh/v3/sh.go": (
        b"package sh\n",
        "module-src-github.com-u-root-u-root-vendor-mvdan.cc-sh-v3",
    ),
    "boot/amd64/vmlinuz": (KERNEL, "kernel-amd64"),
    "boot/amd64/initramfs.zst": (b"initramfs", "initramfs-amd64"),
    "boot/licences/linux": (COPYRIGHT, "input-kernel.amd64"),
    "syslinux/ldlinux.c32": (SYSLINUX, "input-syslinux-common"),
    "syslinux/ldlinux.sys": (b"patched", "syslinux"),
    "syslinux/syslinux.cfg": (b"DEFAULT linux\n", "boot-menus"),
    "loader/loader.conf": (b"timeout 5\n", "boot-menus"),
    "README": (b"of nobody\n", "other"),
}
PROGRAMS = {"amd64": ["go/pkg/tool/linux_amd64/asm", "linux_amd64/bin/init"]}


def tree(files: Mapping[str, bytes], store: Store) -> Tree:
    return Tree(
        manifest.file(path, store.put_bytes(data), len(data)) for path, data in files.items()
    )


def root(store: Store) -> Tree:
    return tree({path: data for path, (data, _) in FILES.items()}, store)


def boot(store: Store) -> dict[str, Tree]:
    return {
        "kernel.amd64": tree(
            {"boot/vmlinuz-6": KERNEL, "usr/share/doc/linux/copyright": COPYRIGHT}, store
        ),
        "syslinux-common": tree({"usr/lib/syslinux/ldlinux.c32": SYSLINUX}, store),
    }


def result(**changes: Any) -> BuildResult:  # noqa: ANN401 - JSON
    inputs = LOCK.model_dump(mode="json")["inputs"]
    own = {"prebuilt_programs": PROGRAMS, "commands": {"amd64": 1}}
    changes = {"inputs": inputs, **changes, "root": {**own, **changes.get("root", {})}}
    return results.build_result(**changes)


def contents(store: Store) -> tuple[Component, ...]:
    return gathering.contents(result(), root(store), boot(store), store)


def files(made: BuildResult) -> dict[str, FileDigests]:
    found = {
        one.path: FileDigests(one.size, one.blake3, one.sha256) for one in (made.image, made.cpio)
    }
    for name in ("result.json", "sourcery.toml", "sourcery.lock", "actions.json"):
        data = name.encode()
        sums = digest.of_bytes(data).hex, digest.sha256_of_bytes(data).hex
        found[name] = FileDigests(len(data), *sums)
    return found


def subject(**changes: Any) -> Subject:  # noqa: ANN401 - parts of a subject
    made = changes.pop("result", None) or result()
    parts: dict[str, Any] = {
        "result": made,
        "spec": SPEC_FILE,
        "lock_file": LOCK_FILE,
        "lock": LOCK,
        "epoch": EPOCH,
        "finished": FINISHED,
        "actions": {results.NOTHING: {"command": ["true"]}},
        "files": files(made),
    }
    return Subject(**{**parts, **changes})


def stated(result: BuildResult) -> Subject:
    """A build whose statements are those that its files lead to."""
    epoch = specs.parse(SPEC_FILE.decode()).image.epoch
    return subject(result=result, epoch=epoch)


def output(folder: Path) -> BuildResult:
    """An output directory as it is before its evidence: image, archive, result and a log."""
    data = {"sourcery.img": b"image", "sourcery.cpio.zst": b"archive"}
    parts = {}
    for key, name in (("image", "sourcery.img"), ("cpio", "sourcery.cpio.zst")):
        (folder / name).write_bytes(data[name])
        parts[key] = {
            "size": len(data[name]),
            "blake3": digest.of_bytes(data[name]).hex,
            "sha256": digest.sha256_of_bytes(data[name]).hex,
        }
    made = result(**parts)
    from orchestrator.artifacts import model

    (folder / "result.json").write_bytes(model.dumps(made))
    (folder / "logs").mkdir()
    (folder / "logs" / "T1-dist.log").write_text("built\n")
    return made
