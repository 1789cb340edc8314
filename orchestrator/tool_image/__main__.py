"""Program behind `make image`: makes the container image of the tool, twice, and compares.

`python -m orchestrator.tool_image` in a checkout. Exit status as `orchestrate`: 1 where the image
came out otherwise the second time.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from orchestrator import resources
from orchestrator.architecture import host
from orchestrator.tool_image import making
from orchestrator.tool_image.job import Job
from reproducibility import canonical, regular, visible
from reproducibility import digest as digests
from reproducibility.errors import InfrastructureError, SourceryError


def main() -> int:
    """Do what the arguments say; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m orchestrator.tool_image", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--once", action="store_true", help="do not make it a second time, and prove nothing"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where the image is to lie (default: in dist/)"
    )
    parser.add_argument(
        "--relock", action="store_true", help="pin the Debian packages that there are today"
    )
    parser.add_argument("--request", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    try:
        if arguments.request is not None:
            return _answer(arguments.request)
        job = Job(Path.cwd(), _say)
        if arguments.relock:
            job.relock(int(time.time()))
            return 0
        name = f"sourcery-{resources.VERSION}-{host()}.tar"
        target = arguments.out or Path("dist", name)
        manifest = job.make(target, twice=not arguments.once)
        digest, size = digests.measured(target)
    except SourceryError as error:
        sys.stderr.write(f"error: {visible.lines(error.diagnostics())}\n")
        return error.status
    except OSError as error:
        sys.stderr.write(f"error: {visible.lines(str(error))}\n")
        return InfrastructureError.status
    proved = "made once, compared with nothing" if arguments.once else "made twice, the same"
    _write(f"{target}: {size:,} bytes, {proved}")
    _write(f"manifest {manifest}")
    _write(f"file     {digest}")
    return 0


def _answer(path: Path) -> int:
    """Make what a request asks for; the answer goes to standard output as JSON."""
    try:
        answer: dict[str, object] = {"manifest": making.make(making.parse(regular.read(path)))}
        status = 0
    except SourceryError as error:
        parts = {"summary": error.summary, "subject": error.subject, "remedy": error.remedy}
        answer, status = {"error": parts}, error.status
    sys.stdout.write(canonical.dumps(answer).decode())
    return status


def _say(line: str) -> None:
    _write(f"== {line}")


def _write(line: str) -> None:
    # A name may hold what steers a terminal.
    sys.stdout.write(f"{visible.line(line)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
