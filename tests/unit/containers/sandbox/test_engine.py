"""What lies around a run in the sandbox: trials, the launcher's channel, and taking outputs."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

from containers import registry
from containers.action import Action
from containers.policy import Limits
from containers.sandbox import (
    bubblewrap,
    launch,
    system_call_filter,
)
from containers.sandbox import (
    engine as sandbox,
)
from containers.sandbox.usage import Usage
from reproducibility.conditions import STANDARD
from reproducibility.errors import InfrastructureError
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from pathlib import Path


def test_a_missing_libseccomp_is_told_with_its_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> bytes:
        raise InfrastructureError("libseccomp is not installed", remedy="apt install libseccomp2")

    monkeypatch.setattr(bubblewrap, "find", lambda: "/bwrap")
    monkeypatch.setattr(system_call_filter, "compiled", missing)
    with pytest.raises(InfrastructureError, match="libseccomp is not installed") as refused:
        registry.connect("sandbox", tmp_path)
    assert refused.value.remedy == "apt install libseccomp2"
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
    with pytest.raises(InfrastructureError, match="libseccomp is not installed") as refused:
        registry.connect("auto", tmp_path)
    assert "apt install libseccomp2" in refused.value.remedy


def test_a_launcher_that_ended_before_it_was_let_go_is_the_end_of_the_stream(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack, closing(Usage(tmp_path, Limits(), None)) as usage:
        channel = launch._Channel(stack, usage)
        channel.go()
        channel.started()  # closes the launcher's end, with what it has not read
        assert not channel.read()
        assert not channel.read()


def test_a_full_disk_is_told_by_whoever_knows_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:  # noqa: ANN401 - as os.sendfile
        raise OSError(errno.ENOSPC, "No space left on device")

    def elsewhere(*_: Any, **__: Any) -> None:  # noqa: ANN401 - as os.rename
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "sendfile", full)
    monkeypatch.setattr(os, "rename", elsewhere)
    work, into = tmp_path / "work", tmp_path / "into"
    for folder in (work, into):
        folder.mkdir()
    (work / "out").write_bytes(b"x")
    action = Action(
        name="an action",
        command=("/bin/program",),
        environment=(),
        directory=STANDARD.work,
        root=Tree(),
        mounts=(),
        outputs=("out",),
        epoch=7,
        architecture="amd64",
        conditions=STANDARD,
    )
    with closing(Usage(work, Limits(), None)) as usage, pytest.raises(OSError) as told:  # noqa: PT011
        sandbox._take(work, action, into, Limits(), threading.Event(), usage)
    assert told.value.errno == errno.ENOSPC
    assert told.value.filename == str(into / "outputs" / "out")
