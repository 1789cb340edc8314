"""The device's side: one environment for build and stick, and stubs that the kernel can run."""

from __future__ import annotations

import pytest

from orchestrator import device

ARCHITECTURES = ["amd64", "arm64", "riscv64"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_go_build_by_hand_hits_the_seed(architecture: str) -> None:
    # What decides how the go command compiles is the same in the build and on the device.
    on_device = device.environment(architecture)
    for name, value in device.build_environment(architecture).items():
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
    comment, *lines = device.environment_file(architecture).decode().splitlines()
    assert comment.startswith("#")
    assert lines == sorted(lines)
    found = dict(line.split("=", 1) for line in lines)
    assert found == device.environment(architecture)
    assert device.environment_file(architecture).endswith(b"\n")


def test_a_stub_is_one_line_of_two_parts() -> None:
    assert device.stub("riscv64", "src/example.com/a/cmds/ls") == (
        b"#!/linux_riscv64/bin/installcommand #!/src/example.com/a/cmds/ls\n"
    )


def test_places_are_relative_to_the_sticks_root() -> None:
    assert device.folder("arm64") == "linux_arm64"
    assert device.source("example.com/a") == "src/example.com/a"
    assert not any(name.startswith("/") for name in device.MOUNT_POINTS)
