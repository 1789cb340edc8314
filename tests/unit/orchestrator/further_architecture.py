"""Says as JSON what the product makes of a row that its two tables do not have: `loong64`.

A program of its own, so that the modules which read the tables are loaded after it was added.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

_LINUX = 'LINUX: Mapping[str, Linux] = {\n    "loong64": Linux("loongarch64", 219, 41, 134),\n'
_FACTS = """_ROWS = (
    Facts(
        name="loong64",
        title="a LoongArch machine",
        debian="loong64",
        wheel="loongarch64",
        elf=258,
        uefi="loongarch64",
        qemu="loongarch64",
        qemu_package="qemu-system-misc",
        bootstrap=True,
        bios=False,
        u_boot=True,
        console="ttyS9,115200",
        command_line=4096,
        kernel_mark=(0x38, bytes.fromhex("cd238281")),
    ),
"""
_SPEC = """
[image]
epoch = "2026-01-01T00:00:00Z"
architectures = ["loong64"]
[go]
version = "1.27.3"
bootstrap = "1.26.6"
[debian]
suite = "trixie"
[boot.kernel.loong64]
package = "linux-image-loong64"
"""


def load(name: str, *changes: tuple[str, str]) -> None:
    """Load a module out of its source with some of it changed."""
    found = importlib.util.find_spec(name)
    assert found is not None
    assert found.origin is not None
    text = Path(found.origin).read_text("utf-8")
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    module = sys.modules[name] = importlib.util.module_from_spec(found)
    exec(compile(text, found.origin, "exec"), module.__dict__)  # noqa: S102 - our own source


def main() -> None:
    """Add the rows, then ask those who need them."""
    load(
        "containers.architecture",
        ('Literal["', 'Literal["loong64", "'),
        ("LINUX: Mapping[str, Linux] = {\n", _LINUX),
    )
    load("orchestrator.architecture", ("_ROWS = (\n", _FACTS))
    from containers import architecture
    from orchestrator import doctor
    from orchestrator.boot import kernel
    from orchestrator.cli.options import Architecture
    from orchestrator.run import binfmt
    from orchestrator.spec import model as spec

    read = spec.parse(_SPEC)
    assert read.boot is not None
    image = bytes(0x38) + bytes.fromhex("cd238281")
    print(  # noqa: T201 - how a program tells
        json.dumps(
            {
                "named": architecture.named("loongarch64"),
                "asked for": Architecture("loong64").value,
                "image": list(read.image.architectures),
                "command line": read.boot.command_line("loong64"),
                "inputs": sorted(read.boot.origins(read.image.architectures)),
                "kernel": kernel.startable(image, "loong64", "", uefi=False) == image,
                "elf": int.from_bytes(binfmt.header("loong64")[18:20], "little"),
                "build there": doctor.architecture("loongarch64").state,
            }
        )
    )


if __name__ == "__main__":
    main()
