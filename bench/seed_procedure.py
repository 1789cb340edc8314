"""The procedure that Sourcery replaces, as its peer in the measurement.

What u-root's `sourcery` did: `make.bash` and `go build cmd/go` for the machine itself, then
`GOARCH=x make.bash` and `GOARCH=x go build cmd/go` for each further architecture; on the machine,
without isolation, comparison or image. Same source, same bootstrap Go, inputs already there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from containers.host import process

if TYPE_CHECKING:
    from pathlib import Path

_LONGEST = 3600.0


def run(
    source: Path,
    bootstrap: Path,
    folder: Path,
    architectures: tuple[str, ...],
    *,
    whole: bool = True,
) -> list[float]:
    """Run it in a fresh copy of the source; seconds for each architecture, the host's first.

    `source`: a GOROOT without programs, copied. `bootstrap`: GOROOT of the bootstrap Go. `folder`:
    empty, for the copy and the caches. All three from the root on: the programs run elsewhere.
    `whole`: else only the tool that would do the rest is made, to see that it can be.

    Raises:
        InfrastructureError: a program failed.
    """
    goroot = folder / "go"
    process.run(("cp", "-a", str(source), str(goroot)), environment={"PATH": "/usr/bin:/bin"})
    process.run(("chmod", "-R", "u+w", str(goroot)), environment={"PATH": "/usr/bin:/bin"})
    process.run(
        ("find", str(goroot / "src"), "-name", "*.bash", "-exec", "chmod", "+x", "{}", "+"),
        environment={"PATH": "/usr/bin:/bin"},
    )
    taken = []
    for number, architecture in enumerate(architectures):
        environment = {
            "PATH": f"{goroot}/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "GOROOT_BOOTSTRAP": str(bootstrap),
            "GOTOOLCHAIN": "local",
            "GOPROXY": "off",
            "GOTELEMETRY": "off",
        }
        if number:
            environment["GOARCH"] = architecture
        started = time.monotonic()
        commands: tuple[tuple[str, ...], ...] = (("./make.bash", "--dist-tool"),)
        if whole:
            build = (str(goroot / "bin/go"), "build", "-o", str(folder / "made"), "cmd/go")
            commands = (("./make.bash",), build)
        for command in commands:
            process.run(
                command, environment=environment, directory=goroot / "src", seconds=_LONGEST
            )
        taken.append(time.monotonic() - started)
    return taken
