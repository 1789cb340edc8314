"""The launcher as a computation: what it is made from, and that it is made once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from containers.host.process import Completed
from orchestrator import resources
from orchestrator.golang import launcher
from orchestrator.store import Store
from reproducibility.errors import ActionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from reproducibility.manifest import Tree


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


class Compiler:
    """A go command that writes what it was told, or fails."""

    def __init__(self) -> None:
        self.commands: list[Sequence[str]] = []
        self.environments: list[Mapping[str, str]] = []
        self.status = 0

    def __call__(
        self, command: Sequence[str], *, environment: Mapping[str, str], **_: object
    ) -> Completed:
        self.commands.append(command)
        self.environments.append(environment)
        if self.status == 0:
            place = Path(command[command.index("-o") + 1])
            place.parent.mkdir()
            place.write_text(environment["GOARCH"])
            place.chmod(0o755)
        return Completed(self.status, b"", b"undefined: x")


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Compiler:
    made = Compiler()
    monkeypatch.setattr("orchestrator.golang.launcher.process.run", made)
    return made


def bootstrap(store: Store, content: bytes = b"go") -> Tree:
    with store.temporary() as folder:
        (folder / "tree" / "bin").mkdir(parents=True)
        (folder / "tree" / "bin" / "go").write_bytes(content)
        return store.put_tree(folder / "tree")


def test_it_is_made_from_its_source_without_its_tests(store: Store) -> None:
    names = {entry.path for entry in launcher.source(store)}
    assert {"go.mod", "main.go", "probe.go"} <= names
    assert not {name for name in names if name.endswith("_test.go")}
    assert names <= {path.name for path in resources.launcher().iterdir()}


def test_it_is_made_once_for_each_architecture_and_bootstrap(
    store: Store, compiler: Compiler
) -> None:
    stop, go = threading.Event(), bootstrap(store)
    first = launcher.program(go, "amd64", store, stop)
    assert launcher.program(go, "amd64", store, stop) == first
    assert len(compiler.commands) == 1
    assert [(entry.path, entry.executable) for entry in first] == [("launcher", True)]
    assert launcher.program(go, "arm64", store, stop) != first
    launcher.program(bootstrap(store, b"another"), "amd64", store, stop)
    assert len(compiler.commands) == 3


def test_nothing_of_the_machine_gets_into_it(store: Store, compiler: Compiler) -> None:
    launcher.program(bootstrap(store), "riscv64", store, threading.Event())
    (environment,) = compiler.environments
    wanted = {"CGO_ENABLED": "0", "GOARCH": "riscv64", "GOPROXY": "off", "GOTOOLCHAIN": "local"}
    assert wanted.items() <= environment.items()
    assert {"-trimpath", "-buildvcs=false"} <= {*compiler.commands[0]}


def test_one_that_does_not_compile_is_told_and_not_remembered(
    store: Store, compiler: Compiler
) -> None:
    compiler.status = 1
    with pytest.raises(ActionError, match="undefined: x"):
        launcher.program(bootstrap(store), "amd64", store, threading.Event())
    compiler.status = 0
    assert launcher.program(bootstrap(store), "amd64", store, threading.Event())
