"""A store of its own for each test, and programs that use the same one at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from orchestrator.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_PRELUDE = """\
import sys
from pathlib import Path
from orchestrator.store import Store
from reproducibility import digest
from reproducibility.digest import Digest

def tell(text):
    print(text, flush=True)

def told():
    return sys.stdin.readline().strip()

KEY = digest.of_bytes(b"key")
"""


class Child:
    """Another process; it and the test tell each other lines."""

    def __init__(self, code: str, arguments: tuple[str, ...]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _PRELUDE + code, *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def told(self) -> str:
        """The next line that it says; empty where it has ended."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """End it as a power cut would: it can clean up nothing."""
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """Wait for its own end; its exit status."""
        return self.process.wait(60)

    def close(self) -> None:
        self.kill()
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()


@pytest.fixture
def child() -> Iterator[Callable[..., Child]]:
    """Start a process that runs some code, with arguments."""
    with ExitStack() as stack:

        def start(code: str, *arguments: object) -> Child:
            return stack.enter_context(closing(Child(code, tuple(map(str, arguments)))))

        yield start


@pytest.fixture
def holder(store: Store, child: Callable[..., Child]) -> Child:
    """A process that holds the store's lock on `KEY` until it is told something or killed."""
    code = """
store = Store(Path(sys.argv[1]))
with store.only_one(KEY):
    tell("locked")
    told()
"""
    found = child(code, store.root)
    assert found.told() == "locked"
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of this test's store."""
    return tmp_path / "store"


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    with closing(Store(root)) as opened:
        yield opened
