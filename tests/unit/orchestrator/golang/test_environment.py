"""The go command's environment: every variable in every conditions, and what they share."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.golang import environment

ARCHITECTURES = ["amd64", "arm64", "riscv64"]
# Written down once more: with a variable, every key of an action changes that has it.
SETTINGS = {
    "CGO_ENABLED": "0",
    "GOENV": "off",
    "GOFLAGS": (
        "-mod=vendor -pgo=off -trimpath -ldflags=-w -gcflags=all=-dwarf=false -gcflags=std="
    ),
    "GOOS": "linux",
    "GOPROXY": "off",
    "GOROOT": "/go",
    "GOSUMDB": "off",
    "GOTELEMETRY": "off",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
    "TZ": "UTC",
}
SANDBOX = {
    "GOCACHE": "/tmp/cache",  # noqa: S108 - inside the sandbox
    "GOGC": "off",
    "GOMEMLIMIT": "1536MiB",
    "GOPATH": "/tmp/gopath",  # noqa: S108 - inside the sandbox
    "HOME": "/tmp/home",  # noqa: S108 - inside the sandbox
    "LC_ALL": "C",
    "PATH": "/bin",
    "TMPDIR": "/tmp",  # noqa: S108 - inside the sandbox
}


def test_a_build_of_the_toolchain_has_no_flags_of_its_own() -> None:
    usual = {**SETTINGS, **SANDBOX, "GOFLAGS": "", "GOARCH": "amd64"}
    del usual["GOWORK"]
    given = environment.toolchain("amd64")
    assert dict(given) == usual
    assert list(given) == sorted(given)


def test_it_can_be_changed_and_reduced() -> None:
    usual = dict(environment.toolchain("arm64"))
    changed = dict(environment.toolchain("arm64", GOGC="100", TZ=None, NEW="1"))
    expected = {**usual, "GOGC": "100", "NEW": "1"}
    del expected["TZ"]
    assert changed == expected


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_packages_for_the_stick_are_compiled_under_its_settings(architecture: str) -> None:
    settings = {**SETTINGS, "GOARCH": architecture}
    assert environment.settings(architecture) == settings
    assert environment.sandbox(architecture) == {**settings, **SANDBOX}


def test_the_device_has_the_settings_and_places_of_its_own() -> None:
    assert environment.device("riscv64") == {
        **SETTINGS,
        "GOARCH": "riscv64",
        "GOCACHE": "/tmp/cache/go-build",  # noqa: S108 - on the device
        "GOCACHEPROG": (
            "/linux_riscv64/bin/buildcache -seed /linux_riscv64/seed -cache /tmp/cache/go-build"
        ),
        "GOPATH": "/tmp/go",  # noqa: S108 - on the device
        "HOME": "/tmp/home",  # noqa: S108 - on the device
        "LANG": "C.UTF-8",
        "PATH": "/bin:/linux_riscv64/bin",
        "TMPDIR": "/tmp",  # noqa: S108 - on the device
    }


def test_on_this_machine_all_is_written_below_one_folder() -> None:
    written = {
        "GOCACHE": "/scratch/cache",
        "GOMODCACHE": "/scratch/modules",
        "GOPATH": "/scratch/gopath",
    }
    assert environment.listing("arm64", Path("/opt/go"), Path("/scratch")) == {
        **SETTINGS,
        **written,
        "GOARCH": "arm64",
        "GOROOT": "/opt/go",
        "HOME": "/scratch",
        "LC_ALL": "C",
        "PATH": "/usr/bin:/bin",
        "TMPDIR": "/scratch",
    }
    assert environment.download(Path("/scratch")) == {
        **written,
        "GO111MODULE": "on",
        "GOFLAGS": "-modcacherw",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_go_build_by_hand_hits_the_seed(architecture: str) -> None:
    # What decides how the go command compiles is the same in the build and on the device.
    on_device = environment.device(architecture)
    for name, value in environment.settings(architecture).items():
        assert on_device[name] == value
    assert on_device["CGO_ENABLED"] == "0"
    assert on_device["GOARCH"] == architecture
    assert on_device["GOPROXY"] == "off"
    assert on_device["GOTOOLCHAIN"] == "local"
    assert on_device["TZ"] == "UTC"
    # Each module is built for itself, from its vendor, whatever its go.mod says of Go's version.
    assert on_device["GOWORK"] == "off"
    assert {"-mod=vendor", "-pgo=off"} <= set(on_device["GOFLAGS"].split())
    assert on_device["PATH"].split(":") == ["/bin", f"/linux_{architecture}/bin"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_environment_file_is_sorted_lines(architecture: str) -> None:
    comment, *lines = environment.device_file(architecture).decode().splitlines()
    assert comment.startswith("#")
    assert lines == sorted(lines)
    found = dict(line.split("=", 1) for line in lines)
    assert found == environment.device(architecture)
    assert environment.device_file(architecture).endswith(b"\n")
