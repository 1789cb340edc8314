"""What client programs and the public log answer."""

from __future__ import annotations

import base64
import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest

from containers.host.process import Completed
from orchestrator.golang import listing
from orchestrator.inputs import answers, apt_index, apt_sources, checksum_database, sources
from orchestrator.inputs.debian_package import DebianTransport, PackageRequest
from orchestrator.inputs.go_command import GoCommand
from orchestrator.inputs.go_module import GoTransport
from orchestrator.inputs.transport import Clients
from orchestrator.lock.model import Recorded
from orchestrator.spec.model import Source
from orchestrator.stick import signatures
from reproducibility import transparency
from reproducibility.errors import ActionError, ComparisonError, InfrastructureError, InputError
from tests.fuzz import scratch
from tests.fuzz.target import Target
from tests.unit.orchestrator import samples
from tests.unit.orchestrator.inputs import world
from tests.unit.reproducibility import test_transparency

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLIENTS = (InputError, ComparisonError, InfrastructureError)
_NAMES = ("example.org/tools", "v1.2.3", "busybox-static")
_SPOKEN = (
    (
        b"go: example.org/tools@v1.2.3: reading https://proxy.example/x.info: 404 Not Found\n\t"
        b"server response: not found\n"
    ),
    b'{\n\t"Path": "example.org/tools",\n\t"Error": "dial tcp: i/o timeout"\n}\n',
    b"ERROR: 403 Client Error: Forbidden for url: https://x\nERROR: No matching distribution found",
    b"Could not fetch URL https://a/: connection refused: skipping\n",
    world.APT_NOT_FOUND.encode(),
    b" <- http:400%20URI%20Failure%0aTransient-Failure:%20true%0aMessage:%20x%0aURI:%20u\n",
)


def _spoken() -> Sequence[bytes]:
    return _SPOKEN


def _long_lines() -> Sequence[bytes]:
    parts: tuple[bytes, ...] = (b"a", b"/a", b'"', b"a.a@", b"\\", b"://", b" -> ", b"A:b", b" \n")
    parts += (b"reading https://", b"\n\tserver response:\n ", b"could not ")
    parts += (b"<- http:400%20URI%20Failure%0a",)
    return [part * (300_000 // len(part)) for part in parts]


def _halves(data: bytes) -> Completed:
    """A client's answer: its status, then what it wrote, half on each stream."""
    status, rest = data[:1] or b"\0", data[1:]
    middle = len(rest) // 2
    return Completed(status[0] or 1, rest[:middle], rest[middle:])


def _judged(data: bytes) -> None:
    done = _halves(data)
    answers.go(done, _NAMES, lambda: done, withheld=True)
    answers.go(Completed(1, data, b""), _NAMES, None)
    answers.pip(done, _NAMES, data.decode("utf-8", "replace"))
    answers.apt(done)
    answers.words(answers.text_of(done))
    answers.go_advice(answers.go_text(done))
    checksum_database.no_record(answers.text_of(done), *world.TOOLS)


class _Client:
    """Every client program, with one answer."""

    def __init__(self, answer: bytes, settings: bytes = b"{}", status: int = 0) -> None:
        self._answer, self._settings, self._status = answer, settings, status

    def __call__(self, command: Sequence[str], **_: object) -> Completed:
        if "env" in command:
            return Completed(0, self._settings, b"")
        return Completed(self._status, self._answer, b"")

    @property
    def clients(self) -> Clients:
        return Clients(environ={"PATH": "/bin"}, run=self, attempts=1, longest_wait=0.001)


def _go(client: _Client) -> GoTransport:
    return GoTransport(client.clients, lambda: Path("/go/bin/go"))


def _download(data: bytes) -> None:
    """The answer to `go mod download -json`."""
    for status in (0, 1):
        with scratch.fresh() as folder:
            module, version = world.TOOLS
            archive, claimed = _go(_Client(data, status=status))._download(
                "tools", module, version, folder
            )
            str(archive) + claimed


def _downloads() -> Sequence[bytes]:
    there = scratch.file("downloaded.zip", b"zip")
    found = {"Path": "x", "Zip": str(there), "Sum": "h1:x", "Error": ""}
    late = {**found, "Error": "example.org/tools requires go >= 1.99"}
    return [json.dumps(found).encode(), json.dumps(late).encode(), *_SPOKEN[:2]]


def _settings(data: bytes) -> None:
    """The answer to `go env -json`."""
    with scratch.fresh() as folder:
        _go(_Client(b"", data))._environment(folder)


_LOCAL = Source.model_validate({"module": "example.org/x", "path": "x", "commands": ["./..."]})
_GO_MOD = {
    "Module": {"Path": "example.org/x"},
    "Go": "1.24",
    "Require": [{"Path": "example.org/a", "Version": "v1.0.0"}],
    "Replace": [
        {"Old": {"Path": "example.org/a"}, "New": {"Path": "./lib"}},
        {"Old": {"Path": "example.org/b", "Version": "v1"}, "New": {"Path": "c", "Version": "v2"}},
    ],
}


def _go_mod(data: bytes) -> None:
    """The answer to `go mod edit -json`."""
    client = _Client(data)
    command = GoCommand(client.clients, scratch.Sink(), lambda: Path("/go/bin/go"))  # type: ignore[arg-type]
    described = command.describe("x/go.mod", b"module example.org/x\n")
    sources.nested(described, _LOCAL, own=False)


def _listed(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    found = listing.parse(text, samples.MODULE, ["cmds/ls"], "list", named=["cmds/w"])
    listing.only(samples.tree(samples.SOURCE), found.needed, found, lambda _: b"")


def _listings() -> Sequence[bytes]:
    lines = "\n".join(map(json.dumps, samples.LISTING)).encode()
    return [lines, *(json.dumps(one).encode() for one in samples.LISTING[2:3])]


def _includes(data: bytes) -> None:
    tree = samples.tree({"a/x.s": b"", "b.h": b"", "a/c.h": b""})
    found = listing.Listing({}, (), (), {"a": ()}, (), {"a": ("a/x.s",)})
    listing.only(tree, {"a": ()}, found, lambda _: data)


def _apt_one_line(data: bytes) -> None:
    list(apt_sources.parse_one_line(data.decode("utf-8", "replace")))


def _apt_deb822(data: bytes) -> None:
    list(apt_sources.parse_deb822(data.decode("utf-8", "replace")))


_ONE_LINE = (
    b"deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://m.example/debian trixie main\n"
    b"# deb-src http://m.example/debian trixie main contrib\ndeb cdrom:[Debian]/ trixie main\n"
)
_DEB822 = (
    b"Types: deb deb-src\nURIs: http://m.example/debian\nSuites: trixie trixie-updates\n"
    b"Components: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n xx\n\n"
    b"# a comment\nTypes: deb\nEnabled: no\nURIs: x\nSuites: y\n"
)


def _shown(data: bytes) -> None:
    """The answer to `apt-cache show`: a stanza of the index, and its dependencies."""
    transport = DebianTransport(_Client(data).clients)
    request = PackageRequest("kernel", "linux-image-amd64", "trixie", "amd64", None, "linux-image-")
    from orchestrator.inputs import apt_configuration

    with scratch.fresh() as folder:
        stanza = transport._shown("linux-image-amd64", request, "kernel", "apt-cache", {}, folder)
    apt_index.installed(data.decode("utf-8", "replace"))
    list(apt_index.depended(stanza.get("Depends", ""), request.follow))
    list(apt_configuration._kept_settings(data.decode("utf-8", "replace")))


def _stanzas() -> Sequence[bytes]:
    digest = "0" * 64
    return [
        f"Package: linux-image-amd64\nVersion: 6.12-1\nDepends: linux-image-6.12 (= 1), a:any | b\n"
        f"Filename: pool/l.deb\nSHA256: {digest}\nDescription: x\n .\n y\n\n".encode(),
        world.APT_CONFIG.encode(),
    ]


def _signatures(data: bytes) -> None:
    """What `wipefs` says of a disk."""
    done = Completed(0, data, b"")
    with (
        mock.patch("containers.host.process.run", return_value=done),
        mock.patch("shutil.which", return_value="/sbin/wipefs"),
    ):
        for one in signatures.look(Path("/dev/null")).found:
            str(one)


def _wiped() -> Sequence[bytes]:
    found = [
        {"device": "sdb", "offset": "0x1fe", "type": "dos", "uuid": None, "label": None},
        {"device": "sdb", "offset": "0x52", "type": "vfat", "uuid": "A-B", "label": "STICK"},
    ]
    return [json.dumps({"signatures": found}).encode(), b"", b'{"signatures": []}']


# -- the public log --------------------------------------------------------------------------------


def _note(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    transparency.parse_tree_head(text)
    transparency.parse_tree_head(transparency.open_note(text, test_transparency.LOG))


def _lookup(data: bytes) -> None:
    record, note = transparency.parse_lookup(data.decode("utf-8", "replace"))
    head = transparency.check(record, note, test_transparency.PROOF, test_transparency.LOG)
    assert head.size
    record.h1(test_transparency.MODULE, test_transparency.VERSION)


def _lookups() -> Sequence[bytes]:
    real = test_transparency
    return [f"{real.NUMBER}\n{real.RECORD}\n{real.NOTE}".encode()]


def _recorded(data: bytes) -> None:
    """A record of the log with its proof, as a lock has it."""
    found = Recorded.model_validate_json(data)
    found.h1(test_transparency.MODULE, test_transparency.VERSION)


def _recordings() -> Sequence[bytes]:
    parts = ("number", "record", "tree_head", "proof")
    return [json.dumps({part: test_transparency.REAL[part] for part in parts}).encode()]


def _verifier(data: bytes) -> None:
    transparency.Verifier.parse(data.decode("utf-8", "replace"))


@functools.cache
def _world() -> tuple[str, bytes, bytes]:
    """The key of a log, its answer to a lookup, and its tile."""
    with pytest.MonkeyPatch.context() as patch, scratch.fresh() as folder:
        made = world.make(patch, folder)
        made.log.write(folder, "@".join(world.TOOLS))
        log = folder / "cache/download/sumdb/log.example"
        tile = next(path for path in (log / "tile").rglob("*") if path.is_file())
        answer = (log / "lookup" / "@".join(world.TOOLS)).read_bytes()
        return transparency.GO_SUM_DATABASE, answer, tile.read_bytes()


def _cached(data: bytes, *, tile: bool) -> None:
    """What the go command left of its talk with the log."""
    key, answer, hashes = _world()
    answer, hashes = (answer, data) if tile else (data, hashes)
    with scratch.fresh() as folder, mock.patch.object(transparency, "GO_SUM_DATABASE", key):
        log = folder / "cache/download/sumdb/log.example"
        for name, content in (
            (f"lookup/{'@'.join(world.TOOLS)}", answer),
            (f"tile/{transparency.tile_path(0, 0, 4)}", hashes),
        ):
            place = log / name
            place.parent.mkdir(parents=True)
            place.write_bytes(content)
        checksum_database.entry(folder, *world.TOOLS)


def _key() -> bytes:
    return transparency.GO_SUM_DATABASE.encode()


def _notes() -> Sequence[bytes]:
    further = test_transparency.NOTE + f"\u2014 x {base64.b64encode(b'12345').decode()}\n"
    return test_transparency.NOTE.encode(), further.encode()


TARGETS = (
    Target("client-answers", _judged, _spoken, nasty=_long_lines),
    Target("go-download", _download, _downloads, _CLIENTS),
    Target(
        "go-env", _settings, lambda: [b'{"GOPROXY": "https://p.example", "GOVCS": ""}'], _CLIENTS
    ),
    Target("go-mod", _go_mod, lambda: [json.dumps(_GO_MOD).encode()], _CLIENTS),
    Target("go-list", _listed, _listings, (ActionError,)),
    Target("go-include", _includes, lambda: [b'#include "c.h"\n # include "../b.h"\n']),
    Target("apt-sources-list", _apt_one_line, lambda: [_ONE_LINE]),
    Target("apt-sources-deb822", _apt_deb822, lambda: [_DEB822]),
    Target("apt-index", _shown, _stanzas),
    Target("wipefs", _signatures, _wiped),
    Target("log-note", _note, _notes),
    Target("log-lookup", _lookup, _lookups),
    Target("log-proof", _recorded, _recordings, (InputError, ComparisonError, ValueError)),
    Target("log-key", _verifier, lambda: [_key()]),
    Target("log-cache", functools.partial(_cached, tile=False), lambda: [_world()[1]], _CLIENTS),
    Target("log-tile", functools.partial(_cached, tile=True), lambda: [_world()[2]], _CLIENTS),
)
