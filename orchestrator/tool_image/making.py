"""Makes the container image once, from packages, wheels and a checkout, under given conditions.

mmdebstrap installs the packages, the image's own pip the wheels. It runs in a process of its own
(`python -m orchestrator.tool_image --request FILE`), so that a second time can be under others.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict

from containers.host import process
from orchestrator.architecture import FACTS, Architecture
from orchestrator.tool_image import archive, inputs, layers, lock, repository
from reproducibility import canonical, regular
from reproducibility.errors import ComparisonError, InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_HOOK: Final = "customize.sh"
_TARGETS = ("tool", "hatch", "build", "targets", "wheel")
# Seconds; a slow disk writes a gigabyte for minutes.
_PATIENCE: Final = 3600


class Conditions(BaseModel):
    """What must make no difference. `environment`: beside PATH and HOME.

    `umask`: of everything that is written. `cpus`: at most so many; 0 for all. `backwards`: files
    are laid down in the opposite order, and the wheel is made from a copy of the checkout.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    environment: dict[str, str]
    umask: int
    cpus: int
    backwards: bool


FIRST: Final = Conditions(
    environment={"TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"},
    umask=0o022,
    cpus=0,
    backwards=False,
)
SECOND: Final = Conditions(
    environment={"TZ": "Pacific/Kiritimati", "LC_ALL": "POSIX", "PYTHONHASHSEED": "77"},
    umask=0o077,
    cpus=1,
    backwards=True,
)
VARIED: Final = (
    "another folder, user mask, time zone, locale, hash seed, number of CPUs and order of files"
)


class Request(BaseModel):
    """What is to be made: the files that it is made from, and where it is to lie.

    `pinned`: version by package. `include`: the packages that are asked for. `checkout`: where the
    wheel of the tool comes from. `requirements`: the lock of the wheels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    architecture: Architecture
    suite: str
    epoch: int
    created: str
    version: str
    pinned: dict[str, str]
    include: list[str]
    packages: str
    wheels: str
    requirements: str
    checkout: str
    target: str
    conditions: Conditions


def parse(data: bytes) -> Request:
    """A request from its file."""
    return Request.model_validate(canonical.loads(data))


def make(request: Request) -> str:
    """Make the image; the digest of its manifest, as `sha256:` and digits.

    Raises:
        ComparisonError: what is installed is not what is pinned.
        InfrastructureError: a program that is needed is missing, or failed.
        OSError: something cannot be read or written.
    """
    os.umask(request.conditions.umask)
    if request.conditions.cpus:
        some = sorted(os.sched_getaffinity(0))[: request.conditions.cpus]
        os.sched_setaffinity(0, some)
    with scratch() as folder:
        root = folder / "root.tar"
        bootstrap(request, folder, root)
        parted = layers.part(root, folder)
        root.unlink()
        if wrong := list(layers.differing(request.pinned, parted.installed)):
            told = "\n  ".join(wrong)
            raise ComparisonError(
                f"what is installed is not what {lock.FILE} pins\n  {told}",
                subject=request.packages,
                remedy=lock.AGAIN,
            )
        described = archive.Described(request.architecture, request.version, request.created)
        return archive.write(Path(request.target), parted.layers, described, folder)


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder that everybody may read: without root, mmdebstrap works as other users."""
    with tempfile.TemporaryDirectory(prefix="sourcery-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def bootstrap(request: Request, folder: Path, target: Path) -> None:
    """Install packages and wheels in a new root file system, as a tar. Raises as `make`."""
    packages, wheels = folder / "packages", folder / "wheels"
    backwards = request.conditions.backwards
    line = repository.make(Path(request.packages), packages, request.suite, backwards=backwards)
    wheels.mkdir()
    own = _own_wheel(request, folder)
    for wheel in sorted([*Path(request.wheels).iterdir(), own], reverse=backwards):
        shutil.copyfile(wheel, wheels / wheel.name)
    text = regular.read(Path(request.requirements)).decode()
    (wheels / "requirements.txt").write_text(inputs.requirements(text, own), "utf-8")
    wheels.chmod(0o755)
    for path in wheels.iterdir():
        path.chmod(0o644)
    program = process.find(
        "mmdebstrap",
        reason="to make the container image from Debian packages",
        remedy="apt install mmdebstrap",
    )
    hook = (Path(__file__).parent / _HOOK).read_text("utf-8")
    command = [
        program, "--variant=essential", "--format=tar",
        f"--architectures={FACTS[request.architecture].debian}",
        f"--include={','.join(request.include)}", f"--customize-hook={hook}",
        request.suite, str(target), line,
    ]  # fmt: skip
    process.run(
        command,
        environment=_environment(request, SOURCERY_WHEELS=str(wheels)),
        directory=folder,
        seconds=_PATIENCE,
    )


def _own_wheel(request: Request, folder: Path) -> Path:
    """The wheel of the checkout, made by what pyproject.toml names."""
    checkout = Path(request.checkout)
    if request.conditions.backwards:
        checkout = folder / "another" / "checkout"
        copy(Path(request.checkout), checkout)
    into = folder / "own"
    into.mkdir()
    process.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(into)],
        environment=_environment(request),
        directory=checkout,
    )
    (wheel,) = into.glob("*.whl")
    return wheel


def _environment(request: Request, **further: str) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", "/"),
        "TMPDIR": tempfile.gettempdir(),
        "SOURCE_DATE_EPOCH": str(request.epoch),
        **request.conditions.environment,
        **further,
    }


def copy(checkout: Path, folder: Path) -> None:
    """Copy what the wheel is made from, in the opposite order.

    Raises:
        InfrastructureError: pyproject.toml does not say what that is.
        OSError: something cannot be read or written.
    """
    folder.mkdir(parents=True)
    for name in reversed(sources(tomllib.loads((checkout / "pyproject.toml").read_text("utf-8")))):
        if (checkout / name).is_dir():
            for path in sorted((checkout / name).rglob("*"), reverse=True):
                if path.is_file() and "__pycache__" not in path.parts:
                    target = folder / path.relative_to(checkout)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, target)
        elif (checkout / name).exists():
            shutil.copy(checkout / name, folder / name)


def sources(settings: Mapping[str, Any]) -> Sequence[str]:
    """The files and folders of a checkout that its wheel is made from.

    Raises:
        InfrastructureError: the settings do not say it.
    """
    try:
        project, wheel = settings["project"], settings
        for part in _TARGETS:
            wheel = wheel[part]
        named = [*wheel["packages"], *wheel["force-include"], *project["license-files"]]
        return [".gitignore", "pyproject.toml", project["readme"], *named]
    except (KeyError, TypeError) as error:
        raise InfrastructureError(
            f"pyproject.toml does not say what the wheel is made from: {error}",
            subject="pyproject.toml",
        ) from error
