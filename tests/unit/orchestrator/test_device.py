"""The device's side: places on the stick, and stubs that the kernel can run."""

from __future__ import annotations

from orchestrator import device


def test_a_stub_is_one_line_of_two_parts() -> None:
    assert device.stub("riscv64", "src/example.com/a/cmds/ls") == (
        b"#!/linux_riscv64/bin/installcommand #!/src/example.com/a/cmds/ls\n"
    )


def test_places_are_relative_to_the_sticks_root() -> None:
    assert device.folder("arm64") == "linux_arm64"
    assert device.source("example.com/a") == "src/example.com/a"
    assert not any(name.startswith("/") for name in device.MOUNT_POINTS)
