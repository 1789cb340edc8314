"""The whole job of `make image`: inputs, the image made twice in two processes, the comparison."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from containers.host import process
from orchestrator import resources
from orchestrator.architecture import host
from orchestrator.inputs.transport import Clients
from orchestrator.spec import model as spec
from orchestrator.store.store import Store
from orchestrator.tool_image import difference, inputs, lock, making
from reproducibility import canonical
from reproducibility.errors import ComparisonError, InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from containers.host.process import Completed
    from orchestrator.tool_image.making import Conditions
    from reproducibility.errors import SourceryError

# Below the checkout: what was fetched.
_CACHE = Path(".cache", "container-image")
_PATIENCE = 2 * 3600
_DAY = 86_400
_KEPT = 4000


_KINDS: tuple[type[SourceryError], ...] = (ComparisonError, InputError)


@dataclass(frozen=True)
class Job:
    """A checkout whose image is to be made. `say`: gets a line of what is going on."""

    checkout: Path
    say: Callable[[str], None]
    clients: Clients = field(default_factory=Clients)

    def relock(self, now: int) -> lock.ImageLock:
        """Pin what the suite of the checkout's spec has today, for this machine's architecture.

        What is pinned for other architectures is given up where the suite is another one. `now`:
        seconds since 1970-01-01 UTC; its day becomes the epoch.

        Raises as `inputs.pin`.
        """
        suite = spec.load(self.checkout / "sourcery.toml").debian.suite
        path = self.checkout / lock.FILE
        others = {}
        if os.path.lexists(path):
            before = lock.load(path)
            others = before.packages if before.suite == suite else {}
        self.say(f"pinning {len(inputs.wanted())} packages of {suite} and all that they need")
        with contextlib.closing(Store(self.checkout / _CACHE / "store")) as store:
            found = inputs.pin(host(), suite, store, self.clients)
        made = lock.ImageLock(
            suite=suite, epoch=now - now % _DAY, packages={**others, host(): found}
        )
        lock.save(made, path)
        size = sum(package.size for package in found)
        self.say(f"{path}: {len(found)} packages for {host()}, {size / 1e6:.0f} MB")
        return made

    def make(self, target: Path, *, twice: bool = True) -> str:
        """Make the image, and once more under other conditions; the digest of its manifest.

        Raises:
            ComparisonError: it came out otherwise the second time; or as `making.make`.
            InputError: a lock or a checkout that is not as it should be.
            InfrastructureError: something could not be had, or a program failed.
        """
        pinned = lock.load(self.checkout / lock.FILE)
        packages = pinned.of(host())
        target = target.absolute()
        with making.scratch() as folder:
            self.say(f"bringing {len(packages)} Debian packages and the wheels")
            with contextlib.closing(Store(self.checkout / _CACHE / "store")) as store:
                inputs.packages(packages, store, self.clients, folder / "packages")
            requirements = self.checkout / "requirements.lock"
            wheels = inputs.wheels(
                requirements,
                lock.python_version(packages),
                host(),
                self.checkout / _CACHE,
                self.clients,
            )

            def request(to: Path, conditions: Conditions) -> making.Request:
                return making.Request(
                    architecture=host(),
                    suite=pinned.suite,
                    epoch=pinned.epoch,
                    created=pinned.created,
                    version=resources.VERSION,
                    pinned={one.package: one.version for one in packages},
                    include=[*inputs.wanted()],
                    packages=str(folder / "packages"),
                    wheels=str(wheels),
                    requirements=str(requirements),
                    checkout=str(self.checkout),
                    target=str(to),
                    conditions=conditions,
                )

            target.parent.mkdir(parents=True, exist_ok=True)
            first = target.with_name(f"{target.name}.first")
            self.say("making the image")
            manifest = self._made(request(first, making.FIRST), folder / "first", folder)
            if twice:
                again = target.with_name(f"{target.name}.again")
                self.say(f"making it again: {making.VARIED}")
                other = folder / "second" / "time"
                self._made(request(again, making.SECOND), other, folder)
                difference.require_same(first, again)
                again.unlink()
            first.rename(target)
        return manifest

    def _made(self, request: making.Request, temporary: Path, folder: Path) -> str:
        """Make it in a process of its own, with a folder for temporary files of its own."""
        temporary.mkdir(parents=True)
        for place in (temporary, *temporary.parents):
            if place.is_relative_to(folder):
                place.chmod(0o755)
        asked = temporary / "request.json"
        asked.write_bytes(canonical.dumps(request.model_dump()))
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.environ.get("HOME", "/"),
            "TMPDIR": str(temporary),
            **request.conditions.environment,
        }
        command = [sys.executable, "-m", f"{__package__}", "--request", str(asked)]
        done = process.run(
            command,
            environment=environment,
            directory=self.checkout,
            seconds=_PATIENCE,
            check=False,
        )
        return answered(done)


def answered(done: Completed) -> str:
    """The manifest's digest that the process answered.

    Raises:
        SourceryError: of the kind that it ended with, in its words; `InfrastructureError` where it
            ended without any.
    """
    document: object = None
    with contextlib.suppress(InputError):
        document = canonical.loads(done.stdout)
    if isinstance(document, dict) and done.status == 0 and "manifest" in document:
        return str(document["manifest"])
    if isinstance(document, dict) and isinstance(document.get("error"), dict):
        summary, subject, remedy = (
            str(document["error"].get(part, "")) for part in ("summary", "subject", "remedy")
        )
        kind = next((one for one in _KINDS if one.status == done.status), InfrastructureError)
        raise kind(summary, subject=subject, remedy=remedy)
    said = done.stderr.decode(errors="replace")[-_KEPT:].strip()
    raise InfrastructureError(
        f"the process that makes the image ended with exit status {done.status}: {said}"
    )
