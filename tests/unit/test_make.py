"""What the Makefile does before anything runs: environments, whatever a person has set."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]

# Each would have pip install elsewhere, something else, or nothing.
WHERE = {
    "PIP_USER": "1",
    "PIP_TARGET": "elsewhere",
    "PIP_PREFIX": "elsewhere",
    "PIP_ROOT": "elsewhere",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_NO_DEPS": "1",
    "PIP_DRY_RUN": "1",
    "PIP_CONSTRAINT": "no-such-file",
    "PIP_PYTHON": "/nonexistent/python",
    "PIP_PLATFORM": "win32",
    "PIP_NO_BINARY": ":all:",
    "PIP_QUIET": "0",
    "PYTHONHOME": "/nonexistent",
    "PYTHONPATH": "/nonexistent",
    "PYTHONNOUSERSITE": "",
    "PYTHONUSERBASE": "elsewhere",
}
CONFIGURED = """\
[global]
user = true
require-virtualenv = true
[install]
target = elsewhere
prefix = elsewhere
root = elsewhere
no-deps = true
dry-run = true
"""
# What counts all the same: the only place that has the locked package.
MIRROR = "[global]\nindex-url = http://127.0.0.1:9/none\n[install]\nfind-links = {}\nno-index = 1\n"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- which settings count --------------------------------------------------------------------------


def settings(environment: dict[str, str]) -> dict[str, str]:
    """The settings of pip's that are handed on."""
    module = loaded("pip_install")
    vars(module)["MACHINE"] = Path("/nonexistent/pip.conf")
    found: dict[str, str] = module.environment(environment)
    assert found["PIP_CONFIG_FILE"] == os.devnull
    assert not [name for name in found if name.startswith("PYTHON")]
    return {
        name: value
        for name, value in found.items()
        if name.startswith("PIP_") and name != "PIP_CONFIG_FILE"
    }


@pytest.mark.parametrize("name", sorted(WHERE))
def test_a_variable_that_says_where_does_not_count(name: str, tmp_path: Path) -> None:
    quiet = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path)}
    assert settings({**quiet, name: WHERE[name]}).keys() <= settings(quiet).keys()


def test_mirrors_proxies_and_certificates_count_wherever_they_are_from(tmp_path: Path) -> None:
    files = {
        "dirs/pip/pip.conf": "[global]\nproxy = http://everybody\ntimeout = 1\nuser = true\n",
        "home/.pip/pip.conf": "[global]\ntimeout = 2\nretries = 2\n",
        "config/pip/pip.conf": "[global]\nretries = 3\ncert = /own.pem\n[install]\ntarget = x\n",
        "named.conf": "[install]\nindex-url = http://named\n[list]\ncert = /other.pem\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    person = {
        "HOME": str(tmp_path / "home"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_CONFIG_DIRS": str(tmp_path / "dirs"),
    }
    expected = {
        "PIP_PROXY": "http://everybody",
        "PIP_TIMEOUT": "2",
        "PIP_RETRIES": "3",
        "PIP_CERT": "/own.pem",
    }
    assert expected.items() <= settings(person).items()
    # A file that is named takes the place of a person's own; variables win over files.
    named = {**person, "PIP_CONFIG_FILE": str(tmp_path / "named.conf")}
    found = settings({**named, "PIP_TIMEOUT": "9", "PIP_EXTRA_INDEX_URL": "http://a http://b"})
    assert found["PIP_INDEX_URL"] == "http://named"
    assert found["PIP_PROXY"] == "http://everybody"
    assert found["PIP_TIMEOUT"] == "9"
    assert found["PIP_EXTRA_INDEX_URL"] == "http://a http://b"
    assert "PIP_CERT" not in found
    assert settings({**person, "PIP_CONFIG_FILE": os.devnull}) == {}


# -- a real environment ----------------------------------------------------------------------------

BACKEND = """
import base64, pathlib, zipfile

NAME = "own-1-py3-none-any.whl"

def build_editable(folder, config_settings=None, metadata_directory=None):
    with zipfile.ZipFile(pathlib.Path(folder, NAME), "w") as wheel:
        wheel.writestr("own.pth", str(pathlib.Path.cwd()))
        about = "Metadata-Version: 2.1\\nName: own\\nVersion: 1\\n"
        wheel.writestr("own-1.dist-info/METADATA", about)
        kind = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
        wheel.writestr("own-1.dist-info/WHEEL", kind)
        wheel.writestr("own-1.dist-info/RECORD", "")
    return NAME

build_wheel = build_editable
"""


def tiny_wheel(folder: Path) -> str:
    """A wheel with one module in a folder; gives the SHA-256 that a lock pins."""
    from reproducibility import digest

    folder.mkdir()
    path = folder / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny.py", "")
        about = "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n"
        wheel.writestr("tiny-1.dist-info/METADATA", about)
        kind = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        wheel.writestr("tiny-1.dist-info/WHEEL", kind)
        wheel.writestr("tiny-1.dist-info/RECORD", "")
    return digest.sha256_of_file(path).hex


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the project's Makefile, and one small package in its locks."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    shutil.copyfile(ROOT / "Makefile", folder / "Makefile")
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    digest = tiny_wheel(tmp_path / "mirror")
    for name in ("requirements", "requirements-build", "requirements-dev"):
        (folder / f"{name}.lock").write_text(f"tiny==1 --hash=sha256:{digest}\n")
    (folder / "backend.py").write_text(BACKEND)
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "own"\nversion = "1"\n'
    )
    return folder


@pytest.mark.needs_tools("make", "bwrap")
def test_the_environment_is_made_whatever_settings_say_of_where(
    checkout: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    named = tmp_path / "named.conf"
    named.write_text(_joined(CONFIGURED, MIRROR.format(tmp_path / "mirror")))
    base = {**WHERE, "PATH": os.environ["PATH"], "HOME": str(home), "PYTHON": sys.executable}
    base["PIP_CONFIG_FILE"] = str(named)
    done = subprocess.run(
        ["make", "setup"],  # noqa: S607 - found on PATH
        cwd=checkout,
        env=base,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (library,) = (checkout / ".venv" / "lib").glob("python3*/site-packages")
    assert (library / "tiny.py").is_file()
    assert (library / "own.pth").is_file()
    assert list(tmp_path.rglob("elsewhere")) == []
    assert not (home / ".local").exists()


def _joined(*texts: str) -> str:
    """Settings of several texts as one: pip refuses a section that comes twice."""
    sections: dict[str, list[str]] = {}
    for text in texts:
        for part in re.split(r"(?m)^(?=\[)", text):
            head, _, rest = part.partition("\n")
            sections.setdefault(head, []).append(rest)
    return "".join(f"{head}\n{''.join(rest)}" for head, rest in sections.items() if head)


def test_every_call_of_pip_goes_that_way() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.findall(r"-m pip\b|/pip install", makefile) == []
    assert makefile.count(".ci/pip_install.py") == 3


# -- other Pythons ---------------------------------------------------------------------------------


def program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def test_other_pythons_are_tried_where_they_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = loaded("other_pythons").others
    project = tmp_path / "pyproject.toml"
    names = "".join(
        f'    "Programming Language :: Python :: 3.{minor}",\n' for minor in (90, 91, 92, 93)
    )
    project.write_text(f"[project]\nclassifiers = [\n{names}]\n")
    # A version manager's name that runs nothing, though it is on PATH; then the program itself.
    program(tmp_path / "shims", "python3.90", "echo no version is set >&2; exit 127")
    kept = program(tmp_path / "pyenv/versions/3.90.4/bin", "python3.90", "echo 3.90")
    there = program(tmp_path / "bin", "python3.91", "echo 3.91")
    program(tmp_path / "bin", "python3.92", "echo 3.11")
    monkeypatch.setenv("PATH", f"{tmp_path}/shims:{tmp_path}/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.setenv("UV_PYTHON_INSTALL_DIR", str(tmp_path / "uv"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert list(others(project)) == [
        ("3.90", str(kept)), ("3.91", str(there)), ("3.92", ""), ("3.93", ""),
    ]  # fmt: skip


def test_the_pythons_that_the_package_claims_are_those_that_are_tested() -> None:
    settings: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    claimed = [
        found[1]
        for one in settings["project"]["classifiers"]
        if (found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", one))
    ]
    assert claimed[0] == settings["project"]["requires-python"].removeprefix(">=")
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    named = [version for version, _ in loaded("other_pythons").others(ROOT / "pyproject.toml")]
    assert sorted({*named, here}) == sorted({*claimed, here})
