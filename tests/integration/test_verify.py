"""Verifying a real build as a stranger would: from a wheel, without network, store and checkout.

The wheel lies in an environment of its own, with what it says that it needs and nothing else; the
program runs as an ordinary user in an empty network namespace, with no home folder and no store
that it could find.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from orchestrator.artifacts.finished import Finished
from orchestrator.evidence import folder as evidence
from orchestrator.evidence import keys
from tests.conftest import ROOT
from tests.integration.building import HOST, SMALL

if TYPE_CHECKING:
    from tests.integration.conftest import Built

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]

STRANGER = 4321
AS_USER = Path(__file__).with_name("as_ordinary_user.py")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program from a wheel, in a fresh environment with links to what the wheel needs."""
    place = tmp_path_factory.mktemp("stranger")
    place.chmod(0o755)
    build = ["-m", "build", "--wheel", "--no-isolation", "--outdir", str(place), str(ROOT)]
    subprocess.run([sys.executable, *build], check=True, capture_output=True)
    (wheel,) = place.glob("*.whl")
    venv.create(place / "venv", symlinks=True)
    python = place / "venv" / "bin" / "python"
    install = ["install", "--quiet", "--no-index", "--no-deps", str(wheel)]
    pip = [sys.executable, "-m", "pip", "--python", str(python), *install]
    subprocess.run(pip, check=True, capture_output=True)
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    said = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    site = Path(said.stdout.strip())
    for one in needed("sourcery-orchestrator", site):
        for file in one.files or ():
            if ".." not in file.parts:
                (site / file).parent.mkdir(parents=True, exist_ok=True)
                (site / file).symlink_to(str(one.locate_file(file)))
    # A program for tests is not there, so neither is anything else that the wheel did not ask for.
    absent = subprocess.run([python, "-c", "import pytest"], check=False, capture_output=True)
    assert b"No module named 'pytest'" in absent.stderr
    return place / "venv" / "bin" / "orchestrate"


def needed(name: str, site: Path) -> list[metadata.Distribution]:
    """Distributions of this environment that a wheel in another one needs, with what those need."""
    (wheel,) = metadata.distributions(name=name, path=[str(site)])
    found: dict[str, metadata.Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(text, "") for text in wheel.requires or ()]
    while waiting:
        text, extra = waiting.pop()
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": extra}):
            continue
        key = canonicalize_name(wanted.name)
        found.setdefault(key, metadata.distribution(wanted.name))
        for one in ("", *wanted.extras):
            if (key, one) not in seen:
                seen.add((key, one))
                waiting += [(further, one) for further in found[key].requires or ()]
    return list(found.values())


def stranger(program: Path, folders: list[Path], *arguments: object) -> tuple[int, dict[str, Any]]:
    """Run it as somebody who has the folders and nothing else."""
    command = ["unshare", "--map-root-user", "--net", program, *arguments, "--json"]
    if os.getuid() == 0:
        reachable = [program.parents[2], Path(sys.base_prefix), Path(sys.prefix), *folders]
        command = [sys.executable, AS_USER, str(STRANGER), *reachable, "--", *command]
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        check=False,
        cwd="/",
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
    )
    assert done.stdout, done.stderr.decode(errors="replace")
    return done.returncode, json.loads(done.stdout)


def test_a_stranger_verifies_a_build(program: Path, small_own: Built, place: Path) -> None:
    out = place / "out"
    shutil.copytree(small_own.out, out)
    key = keys.generate()
    keys.save(key, place / "key", None)
    evidence.sign(out, Finished.load(out).result, key)
    (place / "key.pub").chmod(0o644)
    status, found = stranger(program, [place], "verify", out, "--key", place / "key.pub")
    (folder,) = found["folders"]
    assert folder["findings"] == []
    assert (status, found["verdict"]) == (0, "PASS")
    assert folder["signed_by"] == [key.public.keyid]
    derived = {(c["what"], c["subject"]) for c in folder["claims"] if c["how"] == "derived here"}
    # Its own toolchain is the published one, as the public log has it; and so is the source, whose
    # module was changed in nothing.
    assert ("release.same (PASS)", HOST) in derived
    assert ("transparency-log.proved (PASS)", HOST) in derived
    assert ("toolchain", HOST) in derived
    assert ("Go release", HOST) in derived
    assert ("source.same (PASS)", f"{SMALL}@v1.2.0") in derived
    # A byte of a log, of which no other file holds a copy.
    log = next(path for path in sorted((out / "logs").iterdir()) if path.stat().st_size)
    data = bytearray(log.read_bytes())
    data[len(data) // 2] ^= 1
    log.write_bytes(data)
    status, found = stranger(program, [place], "verify", out)
    assert status == 1
    assert f"logs/{log.name}" in {one["file"] for one in found["folders"][0]["findings"]}
