"""The container image of the tool, on a container engine: it runs, and a whole night runs in it.

`make test-image`. It makes the image as `make image` does, from locked packages through the
machine's own clients.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import docker
import pytest

from orchestrator import resources
from orchestrator.history.words import Word
from orchestrator.nightly.state import State
from orchestrator.tool_image import archive
from tests.conftest import ROOT
from tests.integration import building
from tests.integration.building import HOST, Orchestrate
from tests.integration.nights_project import program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from docker.models.images import Image

    from tests.integration.conftest import Built

pytestmark = [
    pytest.mark.long,
    pytest.mark.needs_docker,
    pytest.mark.needs_network,
    pytest.mark.needs_tools("mmdebstrap", "skopeo"),
    pytest.mark.slow,
]

_PATIENCE = 3600
_SOURCE = '[[source]]\nmodule = "example.org/hello"\npath = "hello"\ncommands = ["."]\n'
_CONFIG = """\
engine = "sandbox"
relock = "none"
[boot]
platforms = "none"
[audit]
budget = "10m"
only = ["seed/*", "commands/*", "list/*"]
"""


@dataclass(frozen=True)
class Container:
    """The image in a container engine."""

    client: docker.DockerClient
    image: Image

    def run(self, *words: str, volumes: Mapping[Path, str] | None = None) -> tuple[int, str, str]:
        """Run a command of the tool as docs/nightly-setup.md says, without a network.

        Its exit status, and what it wrote to both streams.
        """
        api = self.client.api
        binds = [f"{place}:{inside}" for place, inside in (volumes or {}).items()]
        host = api.create_host_config(
            binds=binds,
            cap_add=["SYS_ADMIN"],
            network_mode="none",
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
        )
        # What `--security-opt systempaths=unconfined` says.
        host |= {"MaskedPaths": [], "ReadonlyPaths": []}
        image = str(self.image.id)
        config = api.create_container_config(image, list(words), host_config=host)
        made = api.create_container_from_config(config)  # type: ignore[no-untyped-call]
        container = self.client.containers.get(made["Id"])
        try:
            container.start()
            status = container.wait(timeout=_PATIENCE)["StatusCode"]
            out, error = (
                container.logs(stdout=first, stderr=not first).decode(errors="replace")
                for first in (True, False)
            )
        finally:
            container.remove(force=True)
        return status, out, error


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The image's file, and what `make image` said: it was made twice."""
    target = tmp_path_factory.mktemp("image") / "image.tar"
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.tool_image", "--out", str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=2 * _PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return target, done.stdout


@pytest.fixture(scope="module")
def container(made: tuple[Path, str], docker_host: str) -> Iterator[Container]:
    with closing(docker.DockerClient(docker_host, timeout=_PATIENCE)) as client:
        with made[0].open("rb") as stream:
            (image,) = client.images.load(stream)
        yield Container(client, image)
        client.images.remove(str(image.id), force=True)


def inspected(target: str) -> dict[str, Any]:
    done = subprocess.run(
        ["skopeo", "inspect", target],  # noqa: S607 - found on PATH
        capture_output=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_it_comes_out_the_same_twice_and_other_programs_read_it(
    made: tuple[Path, str], tmp_path: Path
) -> None:
    target, said = made
    assert "made twice, the same" in said
    found = inspected(f"oci-archive:{target}")
    assert f"manifest {found['Digest']}\n" in said
    assert found["Architecture"] == HOST
    layout = f"oci:{tmp_path}/layout:it"
    subprocess.run(
        ["skopeo", "copy", "--quiet", "--preserve-digests", f"oci-archive:{target}", layout],  # noqa: S607
        check=True,
    )
    assert inspected(layout)["Digest"] == found["Digest"]
    shutil.rmtree(tmp_path / "layout")


def test_the_tool_is_there(container: Container) -> None:
    assert f"{archive.REPOSITORY}:{resources.VERSION}" in container.image.tags
    status, out, _ = container.run("version")
    assert (status, resources.VERSION in out) == (0, True)


def test_it_has_everything_but_a_mirror(container: Container) -> None:
    status, out, error = container.run("doctor", "--json")
    assert status == 0, error
    found = {one["name"]: one for one in json.loads(out)["findings"]}
    assert found["engine sandbox"]["state"] == "ok", found["engine sandbox"]
    assert found["libseccomp"]["state"] == "ok"
    emulators = [name for name in found if name.startswith("qemu-system-") or "/" in name]
    assert len(emulators) > 5
    assert [name for name in emulators if found[name]["state"] != "ok"] == []


def test_a_night_runs_in_it(
    container: Container, small: Orchestrate, small_own: Built, place: Path
) -> None:
    assert small_own.ran.status == 0
    project = place / "project"
    (project / "hello").mkdir(parents=True)
    spec = building.spec_text(architectures=[HOST], source=_SOURCE)
    (project / "sourcery.toml").write_text(spec)
    (project / "nightly.toml").write_text(_CONFIG)
    (project / "hello" / "go.mod").write_text("module example.org/hello\n\ngo 1.21\n")
    (project / "hello" / "main.go").write_text(program("here"))
    shutil.copyfile(small.project / "sourcery.lock", project / "sourcery.lock")
    store = building.clone(small.store, place / "store")
    Orchestrate(project, store).run("lock")
    volumes = {project: archive.PROJECT, store: f"{archive.CACHE}/sourcery"}
    words = []
    for _ in range(2):
        status, out, error = container.run("nightly", "--json", volumes=volumes)
        assert status == 0, out + error
        words.append(json.loads(out)["word"])
    assert words == [str(Word.INPUTS_CHANGED), str(Word.UNCHANGED)]
    state = State(project / "nightly")
    assert (state.site / "index.html").is_file()
    result = json.loads((state.night(2) / "result.json").read_bytes())
    assert result["verdict"] == "PASS"
