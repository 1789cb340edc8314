"""Other specs than the default one: an older Go, another source of commands."""

from __future__ import annotations

import json
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from orchestrator.store import Store
from reproducibility.digest import Digest
from tests.integration.building import (
    ARCHITECTURES,
    HOST,
    SMALL,
    SMALL_SOURCE,
    Orchestrate,
    spec_text,
)
from tests.integration.test_build import checked, expected_checks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Built

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]


def test_another_module_with_one_command(
    small: Orchestrate, full: Built, place: Path, orchestrate: Orchestrate
) -> None:
    ran = small.build(place / "out")
    assert checked(ran) == expected_checks(small.lock)
    # The toolchains are those of the default image: only what is compiled for the stick is new.
    # (The prebuilt programs are compiled with what the seed's step has compiled before.)
    programs = {f"programs/{name}" for name in ARCHITECTURES}
    assert {name for name in ran.executed() if SMALL not in name} <= programs
    keys = {step["name"]: step["key"] for step in full.ran.actions()}
    for step in ran.actions():
        if SMALL not in step["name"] and step["name"] not in programs:
            assert keys[step["name"]] == step["key"]
    assert ran.document["root"]["commands"] == dict.fromkeys(ARCHITECTURES, 1)
    with closing(Store(orchestrate.store)) as store:
        tree = store.load_tree(Digest.parse(ran.document["root"]["tree"]))
        for name in ARCHITECTURES:
            stub = tree.get(f"linux_{name}/bin/2fa")
            assert stub is not None
            line = f"#!/linux_{name}/bin/installcommand #!/src/{SMALL}\n"
            assert store.read(stub.content).decode() == line
    assert tree.get(f"src/{SMALL}/vendor/github.com/atotto/clipboard/clipboard.go") is not None


@pytest.mark.long  # a second whole toolchain; make test-older-go
def test_an_older_go(orchestrate: Orchestrate, usable_lock: Path, place: Path) -> None:
    project = place / "project"
    project.mkdir()
    (project / "sourcery.toml").write_text(
        spec_text(architectures=[HOST], source=SMALL_SOURCE, go="1.25.5", label="OLDER")
    )
    (project / "sourcery.lock").write_bytes(usable_lock.read_bytes())
    command = Orchestrate(project, orchestrate.store)
    command.run("lock")
    programs = command.lock.toolchain
    assert programs.version == "1.25.5"
    # That version has one tool less than 1.27: the list is read from the published module.
    assert "fix" not in programs.tool
    assert "fix" in orchestrate.lock.toolchain.tool
    ran = command.build(place / "out")
    assert checked(ran) == expected_checks(command.lock, (HOST,))
    assert ran.document["verdict"] == "PASS"
    again = command.build(place / "out")
    assert again.executed() == []
    assert again.image == ran.image
    with closing(Store(orchestrate.store)) as store:
        tree = store.load_tree(Digest.parse(ran.document["root"]["tree"]))
        version = tree.get("go/VERSION")
        assert version is not None
        assert store.read(version.content).decode().splitlines()[0] == "go1.25.5"
        tools = {entry.path for entry in tree.under(f"go/pkg/tool/linux_{HOST}").files()}
        assert tools == set(programs.tool)
        # This machine can run the program that is on the stick.
        program = tree.get(f"linux_{HOST}/bin/go")
        assert program is not None
        runnable = place / "go"
        runnable.write_bytes(store.read(program.content))
    runnable.chmod(0o755)
    said = subprocess.run(
        [runnable, "env", "-json", "GOVERSION", "GOARCH", "CGO_ENABLED"],
        env={"GOROOT": str(place), "GOTOOLCHAIN": "local", "HOME": str(place), "GOENV": "off"},
        capture_output=True,
        check=True,
    )
    found = json.loads(said.stdout)
    assert (found["GOVERSION"], found["GOARCH"]) == ("go1.25.5", HOST)
