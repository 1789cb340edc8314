"""Verifying a real build as a stranger would: from a wheel, without network, store and checkout.

The wheel lies in an environment of its own; the program runs as an ordinary user in an empty
network namespace, with no home folder and no store that it could find.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

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
    """The program from a wheel, in a fresh environment that borrows the dependencies."""
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
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(said.stdout.strip()) / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n")
    return place / "venv" / "bin" / "orchestrate"


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
