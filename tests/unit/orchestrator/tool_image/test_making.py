from __future__ import annotations

import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from containers.host.process import Completed
from orchestrator.architecture import host
from orchestrator.tool_image import inputs, job, lock, making, repository
from reproducibility import canonical, digest
from reproducibility.errors import ComparisonError, InfrastructureError, InputError
from tests.unit.orchestrator.tool_image import test_archive, test_lock

ROOT = Path(__file__).resolve().parents[4]


def test_a_checkout_s_copy_has_all_that_its_wheel_is_made_from(tmp_path: Path) -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert set(making.sources(settings)) == {
        ".gitignore", "Dockerfile.builder", "LICENSE", "README.md", "containers", "orchestrator",
        "pyproject.toml", "reproducibility", "userland",
    }  # fmt: skip
    making.copy(ROOT, tmp_path / "copy")
    found = {path.relative_to(tmp_path / "copy") for path in (tmp_path / "copy").rglob("*")}
    assert {Path("orchestrator/tool_image/customize.sh"), Path("userland/go.mod")} <= found
    assert not any("__pycache__" in path.parts or ".venv" in path.parts for path in found)
    with pytest.raises(InfrastructureError, match="does not say what the wheel is made from"):
        making.sources({"project": {}})


def test_the_second_time_differs_in_every_condition() -> None:
    first, second = making.FIRST, making.SECOND
    assert first.environment.keys() == second.environment.keys()
    assert not first.environment.items() & second.environment.items()
    assert first.umask != second.umask
    assert first.cpus != second.cpus
    assert first.backwards != second.backwards


def answer(document: object, status: int = 0, said: str = "") -> Completed:
    return Completed(status, canonical.dumps(document), said.encode())


def test_an_error_of_the_process_keeps_its_kind_and_its_words() -> None:
    assert job.answered(answer({"manifest": "sha256:1"})) == "sha256:1"
    parts = {"summary": "it differs", "subject": "a file", "remedy": "look"}
    for kind in (ComparisonError, InputError, InfrastructureError):
        with pytest.raises(kind) as told:
            job.answered(answer({"error": parts}, kind.status))
        assert (told.value.summary, told.value.subject, told.value.remedy) == (*parts.values(),)
    with pytest.raises(InfrastructureError, match="exit status 137: killed"):
        job.answered(Completed(137, b"", b"killed"))
    with pytest.raises(InfrastructureError, match="exit status 1"):
        job.answered(answer({"manifest": "sha256:1"}, 1))


def deb(folder: Path, name: str) -> None:
    """A Debian package, made by dpkg itself."""
    control = folder.parent / f"{name}-tree" / "DEBIAN"
    control.mkdir(parents=True)
    control.chmod(0o755)
    (control / "control").write_text(
        f"Package: {name}\nVersion: 1\nArchitecture: all\nMaintainer: A <a@example.org>\n"
        "Essential: yes\nDescription: a package\n of two lines\n"
    )
    subprocess.run(
        ["dpkg-deb", "--build", str(control.parent), str(folder / f"{name}_1_all.deb")],  # noqa: S607
        check=True,
        stdout=subprocess.DEVNULL,
    )


@pytest.mark.needs_tools("dpkg-deb")
def test_a_repository_has_all_packages_in_one_order(tmp_path: Path) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in ("second", "first"):
        deb(packages, name)
    line = repository.make(packages, tmp_path / "a b", "trixie")
    assert line.endswith(f"copy://{tmp_path}/a%20b ./")
    again = repository.make(packages, tmp_path / "c", "trixie", backwards=True)
    assert again.startswith("deb [trusted=yes ")
    index = (tmp_path / "a b" / "Packages").read_text("utf-8")
    assert index == (tmp_path / "c" / "Packages").read_text("utf-8")
    assert index.index("Package: first") < index.index("Package: second")
    sha256 = digest.sha256_of_file(packages / "first_1_all.deb").hex
    size = (packages / "first_1_all.deb").stat().st_size
    assert f"Filename: ./first_1_all.deb\nSize: {size}\nSHA256: {sha256}\n" in index
    assert index.count("Essential: yes") == 2
    release = (tmp_path / "c" / "Release").read_text("utf-8")
    assert f" {digest.sha256_of_bytes(index.encode()).hex} {len(index)} Packages\n" in release
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "c").iterdir()} == {0o644}


@pytest.mark.needs_tools("dpkg-deb")
def test_what_is_no_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "packages").mkdir()
    shutil.copyfile(__file__, tmp_path / "packages" / "x_1_all.deb")
    with pytest.raises(InfrastructureError, match="dpkg-deb"):
        repository.make(tmp_path / "packages", tmp_path / "made", "trixie")


def checkout(folder: Path) -> Path:
    """A folder with the locks that `make image` reads."""
    folder.mkdir()
    (folder / "requirements.lock").write_text("one==1.0\n")
    pinned = lock.parse(canonical.dumps(test_lock.document(packages=PACKAGES)))
    lock.save(pinned, folder / lock.FILE)
    return folder


PACKAGES = {host(): [test_lock.package("bash", "5.2-2"), test_lock.package()]}


class World:
    """`make image` without inputs and processes: what each of both times makes is given."""

    def __init__(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, first: bytes, second: bytes
    ) -> None:
        self.requests: list[making.Request] = []
        contents = [first, second]

        def made(_: job.Job, request: making.Request, temporary: Path, __: Path) -> str:
            self.requests.append(request)
            temporary.parent.mkdir(exist_ok=True)
            image = test_archive.image(temporary, contents.pop(0))
            shutil.move(image, request.target)
            return "sha256:1"

        monkeypatch.setattr(job.Job, "_made", made)
        monkeypatch.setattr(inputs, "packages", lambda *_: None)
        monkeypatch.setattr(inputs, "wheels", lambda *_: folder)
        self.said: list[str] = []
        self.job = job.Job(checkout(folder / "checkout"), self.said.append)
        self.target = folder / "dist" / "image.tar"


def test_the_image_is_made_twice_under_different_conditions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, b"same", b"same")
    assert world.job.make(world.target) == "sha256:1"
    first, second = world.requests
    assert (first.conditions, second.conditions) == (making.FIRST, making.SECOND)
    same = {"conditions": making.FIRST, "target": ""}
    assert first.model_copy(update=same) == second.model_copy(update=same)
    assert first.pinned == {"bash": "5.2-2", "python3": "3.13.5-1"}
    assert [path.name for path in world.target.parent.iterdir()] == ["image.tar"]


def test_an_image_that_is_not_the_same_twice_is_refused_and_both_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, b"one", b"another")
    with pytest.raises(ComparisonError, match="debian: etc/name: content") as refused:
        world.job.make(world.target)
    assert refused.value.status == 1
    kept = sorted(path.name for path in world.target.parent.iterdir())
    assert kept == ["image.tar.again", "image.tar.first"]
    assert str(world.target.with_name("image.tar.first")) in refused.value.subject


def test_an_image_that_differs_does_not_take_the_place_of_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, b"one", b"another")
    world.target.parent.mkdir()
    world.target.write_bytes(b"the last one")
    with pytest.raises(ComparisonError):
        world.job.make(world.target)
    assert world.target.read_bytes() == b"the last one"


def test_once_proves_nothing_and_is_made_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, monkeypatch, b"one", b"another")
    world.job.make(world.target, twice=False)
    assert len(world.requests) == 1
    assert [path.name for path in world.target.parent.iterdir()] == ["image.tar"]
