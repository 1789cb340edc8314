"""What Linux calls each architecture, and its numbers of system calls."""

from __future__ import annotations

import os
from dataclasses import fields
from types import SimpleNamespace

import pytest

from containers import architecture
from containers.architecture import ARCHITECTURES, LINUX
from containers.sandbox import system_call_filter
from reproducibility.errors import InfrastructureError


def test_there_is_a_row_for_each_architecture() -> None:
    assert tuple(LINUX) == ARCHITECTURES


def test_numbers_are_those_that_libseccomp_knows() -> None:
    seccomp = system_call_filter.library()
    for row in LINUX.values():
        known = getattr(seccomp.Arch, row.machine.upper())
        calls = [field.name for field in fields(row) if field.name != "machine"]
        assert calls
        for call in calls:
            assert getattr(row, call) == seccomp.resolve_syscall(known, call), (row, call)


def test_a_machine_s_name_finds_its_architecture() -> None:
    assert [architecture.named(row.machine) for row in LINUX.values()] == list(ARCHITECTURES)
    assert architecture.named("amd64") is None
    assert architecture.named("") is None


@pytest.mark.parametrize(("machine", "wanted"), [("x86_64", "amd64"), ("aarch64", "arm64")])
def test_this_machine_has_one(monkeypatch: pytest.MonkeyPatch, machine: str, wanted: str) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=machine))
    assert architecture.host() == wanted


def test_a_machine_of_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="s390x"))
    with pytest.raises(InfrastructureError, match="cannot build on a s390x machine") as refused:
        architecture.host()
    assert refused.value.subject == "s390x"
    assert refused.value.remedy == "use one of aarch64, riscv64, x86_64"
