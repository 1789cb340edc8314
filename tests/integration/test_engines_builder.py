"""The builder image is the tree that the sandbox runs on, and real work comes out the same."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import closing
from typing import TYPE_CHECKING

import docker
import pytest

from containers import registry
from containers.action import Mount
from containers.docker import builder_image
from containers.docker.api import Api
from containers.docker.engine import connect
from reproducibility import manifest
from reproducibility.errors import InfrastructureError
from reproducibility.manifest import merge
from tests.integration.engine_fixtures import EPOCH, Bench, Builder, compile_probe
from tests.integration.private_docker import PrivateDocker

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.store import Store
    from reproducibility.manifest import Tree
    from tests.integration.engine_fixtures import Engines

# The engines' own mount points, what Docker adds, and in /sbin its init.
_BESIDE = {".dockerenv", "dev", "etc", "proc", "sbin", "sys", "tmp", "work"}


def test_the_action_sees_the_tree_and_nothing_else(bench: Bench) -> None:
    seen = bench.probe("look")
    assert set(seen["root"]) - _BESIDE == {"bin", "bootstrap"}
    modes = bench.probe("modes", "/bin", "/bootstrap")
    files = {
        path.lstrip("/"): (entry["Mode"], entry["Time"])
        for path, entry in modes.items()
        if entry["Mode"].startswith("-")
    }
    assert files == {entry.path: ("-r-xr-xr-x", EPOCH) for entry in bench.builder.root}


@pytest.mark.slow
@pytest.mark.needs_sandbox
@pytest.mark.needs_docker
def test_compiling_gives_the_same_bits_on_both_engines(
    engines: Engines, builder: Builder, whole_root: tuple[Store, Tree], tmp_path: Path
) -> None:
    """What the builder's tree has of the probe the sandbox has compiled."""
    whole = Builder(*whole_root)
    outcome = Bench(engines["docker-api"], whole, tmp_path).run(compile_probe(whole))
    assert outcome.exit_status == 0, outcome.stderr.read_text()
    (made,) = manifest.scan(outcome.outputs)
    in_sandbox = builder.root.get("bin/probe")
    assert in_sandbox is not None
    assert made == in_sandbox.moved("probe")


@pytest.fixture
def api(docker_host: str, monkeypatch: pytest.MonkeyPatch) -> Api:
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    return Api()


@pytest.mark.needs_docker
def test_an_image_is_made_once_and_verified(api: Api, builder: Builder, docker_host: str) -> None:
    root, store = builder.root, builder.store
    with closing(api):
        first = builder_image.ensure(api, root, EPOCH + 2, store.path, {})
        assert builder_image.ensure(api, root, EPOCH + 2, store.path, {}) == first
    tag = f"{builder_image.NAME}:{root.digest.hex[:40]}-{EPOCH + 2}"
    with closing(docker.DockerClient(docker_host)) as client:
        assert client.images.get(tag).id == first
        assert client.images.get(tag).labels == {"sourcery.tree": str(root.digest)}
        client.images.remove(tag)


@pytest.mark.needs_docker
def test_an_image_with_the_right_tag_and_other_files_is_not_used(
    api: Api, builder: Builder, docker_host: str, tmp_path: Path
) -> None:
    store = builder.store
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "backdoor").write_text("not wanted")
    other = merge([("root", builder.root), ("more", store.put_tree(tmp_path))])
    tag = f"{builder_image.NAME}:{builder.root.digest.hex[:40]}-{EPOCH + 4}"
    with closing(api), closing(docker.DockerClient(docker_host)) as client:
        wrong = builder_image.ensure(api, other, EPOCH + 4, store.path, {})
        client.images.get(wrong).tag(*tag.split(":"))
        right = builder_image.ensure(api, builder.root, EPOCH + 4, store.path, {})
        assert right != wrong
        assert client.images.get(tag).id == right
        for image in (wrong, right):
            client.images.remove(image, force=True)


@pytest.mark.needs_docker
def test_all_that_is_in_a_tree_is_in_the_image(
    api: Api, builder: Builder, docker_host: str, tmp_path: Path
) -> None:
    """Another root, such as GCC's Go, has folders that no list of names would foresee."""
    (tmp_path / "lib" / "deep" / "empty").mkdir(parents=True)
    (tmp_path / "lib" / "deep" / "file").write_text("copied")
    (tmp_path / "file").write_text("copied too")
    store = builder.store
    root = merge([("root", builder.root), ("more", store.put_tree(tmp_path))])
    with closing(api), closing(docker.DockerClient(docker_host)) as client:
        made = builder_image.ensure(api, root, EPOCH, store.path, {})
        client.images.remove(made, force=True)


@pytest.mark.needs_docker
def test_what_the_dockerfile_does_not_copy_is_missed(
    api: Api, builder: Builder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "Dockerfile.builder"
    other.write_text("FROM scratch\nCOPY root/bootstrap /bootstrap\n")
    monkeypatch.setattr(builder_image, "dockerfile", lambda: other)
    with closing(api), pytest.raises(InfrastructureError, match="bin/uname is missing"):
        builder_image.ensure(api, builder.root, EPOCH + 6, builder.store.path, {})


@pytest.mark.needs_docker
def test_bind_mounts_are_tried_and_not_guessed(
    builder: Builder, docker_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    with connect(tmp_path / "scratch") as engine:
        bench = Bench(engine, builder, tmp_path)
        tree = bench.input({"file": "content"})
        action = builder.action("modes", "/input", mounts=(Mount("/input", tree),))
        outcome = bench.run(action)
        assert json.loads(outcome.stdout.read_text())["/input/file"]["Data"] == "content"
        with closing(docker.DockerClient(docker_host)) as client:
            label = f"sourcery.run={next((tmp_path / 'scratch').glob('docker-*[0-9a-f]')).name}"
            volumes = client.volumes.list(filters={"label": label})
        # The engine of these tests is on this machine: no volume was needed for the input.
        assert volumes == []


@pytest.mark.needs_docker
def test_an_engine_that_does_not_see_our_folders_gets_everything_through_the_api(
    builder: Builder, tmp_path: Path, engine_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dockerd = shutil.which("dockerd")
    if dockerd is None or os.geteuid() != 0:
        pytest.skip("no dockerd that this user may start")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with PrivateDocker(dockerd, engine_folder / "remote", hidden=tmp_path) as remote:
        monkeypatch.setenv("DOCKER_HOST", remote.host)
        with connect(scratch) as engine:
            bench = Bench(engine, builder, tmp_path)
            tree = bench.input({"file": "content", "folder/inner": "inner"})
            mounts = (Mount("/input", tree), Mount("/work/copy", tree, "private"))
            action = builder.action("produce", outputs=("out", "copy"), mounts=mounts)
            outcome = bench.run(action)
            assert outcome.exit_status == 0, outcome.stderr.read_text()
            assert (outcome.outputs / "copy" / "folder" / "inner").read_text() == "inner"
            assert bench.probe("modes", "/input", mounts=mounts)["/input/file"]["Data"] == "content"
            with closing(docker.DockerClient(remote.host)) as client:
                assert client.volumes.list(filters={"label": "sourcery.run"}) != []
        with closing(docker.DockerClient(remote.host)) as client:
            assert client.volumes.list() == []
            assert client.containers.list(all=True) == []


@pytest.mark.needs_sandbox
@pytest.mark.needs_docker
def test_auto_takes_what_there_is(
    docker_host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", docker_host)
    assert registry.connect("auto", tmp_path).name == "docker"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/absent.sock")
    assert registry.connect("auto", tmp_path).name == "sandbox"
