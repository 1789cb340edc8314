"""The project as others get it: a wheel in an environment of its own, with no checkout in sight."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from orchestrator import resources
from orchestrator.resources import VERSION
from reproducibility.errors import InfrastructureError

ROOT = Path(__file__).resolve().parents[4]

IMPORT_EVERYTHING = """
import importlib, json, pkgutil, sys
found = {}
for package in ("containers", "orchestrator", "reproducibility"):
    path = importlib.import_module(package).__path__
    for module in pkgutil.walk_packages(path, package + "."):
        if not module.name.endswith("__main__"):
            found[module.name] = importlib.import_module(module.name).__file__
from orchestrator import resources
print(json.dumps({
    "modules": found,
    "userland": str(resources.userland()),
    "dockerfile": str(resources.dockerfile()),
    "observer": str(resources.observer()),
    "surroundings": str(resources.surroundings()),
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(ROOT),
    )
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a fresh environment that holds the wheel and borrows its dependencies."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    run(
        sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index",
        "--no-deps", "--disable-pip-version-check", str(wheel),
    )  # fmt: skip
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(run(str(python), "-c", code).strip())
    # A path in a .pth file does not carry out the .pth files there: the checkout stays unseen.
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (own / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n")
    return folder / "bin"


def run(*command: str, cwd: Path | None = None) -> str:
    environment = {key: os.environ[key] for key in ("HOME", "PATH", "TMPDIR") if key in os.environ}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=cwd
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_the_packages_and_their_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.partition("/")[0] for name in names}
    assert top == {
        "containers",
        "orchestrator",
        "reproducibility",
        f"sourcery_orchestrator-{VERSION}.dist-info",
    }
    assert {"orchestrator/data/Dockerfile.builder", "orchestrator/data/userland/go.mod"} <= set(
        names
    )
    texts = (ROOT / "orchestrator" / "nightly" / "systemd").iterdir()
    assert {path.relative_to(ROOT).as_posix() for path in texts} <= set(names)
    assert not [name for name in names if "__pycache__" in name]
    packaged = {
        name.removeprefix("orchestrator/data/userland/")
        for name in names
        if name.startswith("orchestrator/data/userland/")
    }
    checkout = {
        path.relative_to(ROOT / "userland").as_posix()
        for path in (ROOT / "userland").rglob("*")
        if path.is_file()
    }
    assert packaged == checkout


@pytest.mark.once
def test_the_wheel_is_reproducible(wheel: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(tmp_path), str(ROOT))
    (again,) = tmp_path.glob("*.whl")
    assert again.read_bytes() == wheel.read_bytes()


def test_the_console_script(installed: Path, tmp_path: Path) -> None:
    shown = run(str(installed / "orchestrate"), "--help", cwd=tmp_path)
    assert "Usage: orchestrate" in shown
    found = json.loads(run(str(installed / "orchestrate"), "version", "--json", cwd=tmp_path))
    assert found["version"] == VERSION


def test_every_module_and_file_comes_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    found = json.loads(run(str(installed / "python"), "-c", IMPORT_EVERYTHING, cwd=tmp_path))
    place = str(installed.parent)
    assert len(found["modules"]) > 50
    assert [file for file in found["modules"].values() if not file.startswith(place)] == []
    for name, original in (
        ("dockerfile", ROOT / "Dockerfile.builder"),
        ("observer", ROOT / "orchestrator" / "golang" / "observe.go"),
        ("surroundings", ROOT / "orchestrator" / "golang" / "surroundings.go"),
    ):
        assert found[name].startswith(place)
        assert Path(found[name]).read_bytes() == original.read_bytes()
    userland = Path(found["userland"])
    assert str(userland).startswith(place)
    for path in (ROOT / "userland").rglob("*"):
        if path.is_file():
            copy = userland / path.relative_to(ROOT / "userland")
            assert copy.read_bytes() == path.read_bytes()


def test_the_checkout_has_its_own_files() -> None:
    assert resources.userland() == ROOT / "userland"
    assert resources.dockerfile() == ROOT / "Dockerfile.builder"
    assert resources.observer() == ROOT / "orchestrator" / "golang" / "observe.go"
    assert resources.surroundings() == ROOT / "orchestrator" / "golang" / "surroundings.go"


def test_an_incomplete_installation_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "orchestrator")
    for find in (
        *(resources.userland, resources.dockerfile, resources.observer, resources.surroundings),
    ):
        with pytest.raises(InfrastructureError, match="a part of the installation is missing"):
            find()
