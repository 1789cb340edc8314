"""Docker engine: one container an action, on the engine that DOCKER_HOST names.

What the action sees is decided in `layout.py`; how its files get there and back, in
`volumes.py` and `archive.py`. Everything made carries the label of the run; a second process
(`reaper.py`) removes what is left when this one is killed.
"""

from __future__ import annotations

import base64
import secrets
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, Self

import requests
from docker.errors import APIError
from docker.types import LogConfig, Ulimit
from docker.types import Mount as DockerMount

from containers import architecture, system_calls
from containers.docker import archive, builder_image, capability
from containers.docker import enforcement as docker_enforcement
from containers.docker.api import Api
from containers.docker.reaper import Reaper
from containers.docker.volumes import Connection, Volumes
from containers.docker.watch import watch
from containers.engine import Identity
from containers.host import system
from containers.host.scratch import Scratch
from containers.layout import MASKED, is_below, lay_out
from containers.local import Ended, LocalEngine
from containers.outputs import Allowance, ExceededError, outermost
from reproducibility import canonical
from reproducibility.conditions import STANDARD, STDIN_LINE
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from threading import Event

    from docker.api.client import APIClient

    from containers.action import Action
    from containers.engine import Blobs, Capability
    from containers.layout import Layout
    from containers.outputs import Exceeded
    from containers.policy import Enforcement, Limits, Policy
    from reproducibility.manifest import Tree

Transfer = Literal["auto", "bind", "api"]

LABEL = "sourcery.run"
_PREFIX = "docker"
_OPEN_FILES = 16384
# Go's bit for a symbolic link in a file mode, as the API hands it on: io/fs.ModeSymlink.
_SYMLINK = 1 << 27


def connect(scratch: Path, transfer: Transfer = "auto") -> DockerEngine:
    """The engine that the environment names, seen to answer.

    Raises:
        InfrastructureError: none answers, or it runs no Linux containers.
    """
    engine = DockerEngine(scratch, transfer)
    kind = engine.about().get("OSType")
    if kind != "linux":
        raise InfrastructureError(
            f"the container engine runs {kind} containers, and Linux ones are needed",
            remedy="switch it to Linux containers, or use --engine sandbox",
        )
    return engine


class DockerEngine(LocalEngine):
    """Runs actions in containers.

    `transfer`: how files travel. `bind`: read-only bind mounts of this machine's folders, which the
    engine must see. `api`: volumes filled through the API, which works with every engine. `auto`:
    the first where a trial shows that it works, else the second. The builder image stays on the
    engine after a run, as a cache.
    """

    name = "docker"

    def __init__(self, scratch: Path, transfer: Transfer = "auto") -> None:
        """`scratch`: folder for the lock of a run, and for the trial of bind mounts."""
        self._api = Api()
        self._parent = scratch
        self._transfer = transfer
        self._about: dict[str, Any] = {}
        self._scratch: Scratch | None = None
        self._reaper: Reaper | None = None
        self._volumes: Volumes | None = None
        self._images: dict[tuple[str, int], str] = {}
        self._lock = threading.Lock()
        self._used = False

    def about(self) -> dict[str, Any]:
        """Return what the engine says of itself.

        Raises:
            InfrastructureError: it does not answer.
        """
        if not self._about:
            self._about = self._api.meet()
        return self._about

    @property
    def identity(self) -> Identity:
        """See `Engine.identity`: the ID that it made for itself, else its machine's name."""
        about = self.about()
        own = about.get("ID") or about.get("Name") or "it gives no ID"
        return Identity(self.name, str(own), str(about.get("ServerVersion", "")))

    @property
    def processors(self) -> int:
        """See `Engine.processors`: those of the engine's machine, which may be another one."""
        count = self.about().get("NCPU")
        if not isinstance(count, int) or count < 1:
            raise InfrastructureError(
                f"the container engine does not say how many processors it has: {count!r}",
                subject="NCPU in what `docker info` asks for",
                remedy="update the engine, or use --engine sandbox",
            )
        return count

    def __enter__(self) -> Self:
        """Begin a run, after removing what runs left that are gone."""
        with ExitStack() as stack:
            stack.callback(self._api.close)
            scratch = Scratch(self._parent, _PREFIX, self._remove_left)
            stack.callback(scratch.close)
            self._reaper = Reaper(f"{LABEL}={scratch.folder.name}")
            stack.pop_all()
        self._scratch = scratch
        return self

    def _remove_left(self, name: str) -> None:
        """Remove what a run left, known by the name of its scratch folder."""
        self._api.remove_labelled(f"{LABEL}={name}")

    def __exit__(self, *exception: object) -> None:
        """Remove every container and volume of the run."""
        scratch, reaper = self._scratch, self._reaper
        self._scratch = self._reaper = self._volumes = None
        clean = False
        try:
            if scratch is not None:
                if self._used:
                    self._api.remove_labelled(f"{LABEL}={scratch.folder.name}")
                clean = True
        except InfrastructureError:
            # What went wrong first is what matters; the reaper tries again.
            if exception[0] is None:
                raise
        finally:
            if reaper is not None:
                reaper.close(clean=clean)
            if scratch is not None:
                # The reaper gives up on an engine that stays away; the next run has the lock.
                scratch.close(clean=clean)
            self._api.close()

    def execute(
        self, action: Action, policy: Policy, blobs: Blobs, into: Path, stop: Event
    ) -> Ended:
        """See `LocalEngine.execute`."""
        layout = lay_out(action)
        self._used = True
        self._check_machine(action)
        limits = policy.limits.under(action.conditions)
        image = self._image(action.root, action.epoch, blobs)
        volumes = self._volumes_for(image)
        with ExitStack() as stack:
            mounts = volumes.for_action(action, layout, limits, blobs, image, stack, stop)
            container = self._create(action, layout, limits, image, mounts)
            stack.callback(self._api.remove_container, container)
            given = STDIN_LINE if action.conditions.stdin == "pipe" else b""
            ended = watch(self._api, container, limits, into, stop, given)
            exceeded = self._take(container, action, into, Allowance.of(limits, stop))
            return Ended(
                exit_status=ended.status,
                outputs=into / "outputs",
                stdout=into / "stdout",
                stderr=into / "stderr",
                seconds=ended.seconds,
                peak_memory=ended.peak_memory,
                ended_by=ended.ended_by or exceeded,
                cut=ended.cut,
                cpus=action.conditions.processors or self.processors,
            )

    def capabilities(self) -> Mapping[str, Capability]:
        """See `Engine.capabilities`."""
        return capability.capabilities(self.about(), self.processors)

    def enforcement(self, policy: Policy) -> tuple[Enforcement, ...]:
        """See `Engine.enforcement`."""
        return docker_enforcement.enforcement(policy, self.about())

    def _check_machine(self, action: Action) -> None:
        machine = str(self.about().get("Architecture", ""))
        if (architecture.named(machine) or machine) != action.architecture:
            raise InfrastructureError(
                f"the container engine runs on {machine}, and {action.name} needs "
                f"{action.architecture}",
                remedy="set DOCKER_HOST to another engine, or use --engine sandbox",
            )

    def _image(self, root: Tree, epoch: int, blobs: Blobs) -> str:
        """The builder image of a tree, made or found, once a run."""
        with self._lock:
            key = (root.digest.hex, epoch)
            if key not in self._images:
                labels = dict([self._label])
                self._images[key] = builder_image.ensure(self._api, root, epoch, blobs.path, labels)
            return self._images[key]

    def _volumes_for(self, image: str) -> Volumes:
        with self._lock:
            if self._volumes is None:
                bind = self._transfer == "bind"
                if self._transfer == "auto":
                    bind = self._sees_our_folders(image)
                self._volumes = Volumes(Connection(self._api, self._label, bind))
            return self._volumes

    @property
    def _label(self) -> tuple[str, str]:
        return LABEL, self._own.folder.name

    @property
    def _own(self) -> Scratch:
        if self._scratch is None:
            raise InfrastructureError("the docker engine is used outside its `with` block")
        return self._scratch

    def _sees_our_folders(self, image: str) -> bool:
        """Return whether a bind mount shows a file of ours: tried, as no address tells for sure."""
        options = " ".join(self.about().get("SecurityOptions") or [])
        if any(name in options for name in ("name=selinux", "name=userns", "name=rootless")):
            # The engine would see the files, and the action not, or not with their own modes.
            return False
        token = secrets.token_bytes(16)
        folder = self._own.folder / "trial"
        folder.mkdir()
        (folder / "token").write_bytes(token)
        mount = DockerMount("/trial", str(folder), type="bind", read_only=True)
        with self._api.lend("try a bind mount") as client:
            try:
                container = client.create_container(
                    image,
                    command=["/"],
                    labels=dict([self._label]),
                    host_config=client.create_host_config(network_mode="none", mounts=[mount]),
                )["Id"]
            except APIError:
                return False
        try:
            with self._api.tar("try a bind mount", container, "/trial/token") as pieces:
                found = [content and content.read() for _, content in archive.members(pieces or ())]
        except InfrastructureError:
            return False
        finally:
            self._api.remove_container(container)
        return found == [token]

    def _create(
        self,
        action: Action,
        layout: Layout,
        limits: Limits,
        image: str,
        mounts: list[DockerMount],
    ) -> str:
        """The action's container, not yet started."""
        conditions = action.conditions
        # A name without a value takes away what the engine or the image would set.
        variables = [name for name in ("PATH", "HOSTNAME") if name not in layout.environment]
        variables += [f"{name}={value}" for name, value in layout.environment.items()]
        with self._api.lend(f"make a container for {action.name}") as client:
            container: str = client.create_container(
                image,
                command=list(action.command),
                entrypoint=[],
                user=f"{conditions.user}:{conditions.group}",
                hostname=conditions.host,
                working_dir=action.directory,
                environment=variables,
                stdin_open=conditions.stdin == "pipe",
                labels=dict([self._label]),
                host_config=_host_config(client, action, limits, mounts, self.about()),
            )["Id"]
            return container

    def _take(self, container: str, action: Action, into: Path, allowance: Allowance) -> Exceeded:
        """Fetch the declared outputs; the limit that they exceed all together."""
        folder = into / "outputs"
        folder.mkdir()
        for output in outermost(action.outputs):
            place = PurePosixPath(action.conditions.work) / output
            allowance.go_on()
            if not self._reaches(container, place, action.conditions.work):
                continue
            target = (folder / output).parent
            what = f"fetch {output} of {action.name}"
            with self._api.tar(what, container, str(place)) as pieces:
                if pieces is None:
                    continue
                target.mkdir(parents=True, exist_ok=True)
                try:
                    archive.unpack(pieces, target, allowance)
                except ExceededError as error:
                    return error.limit
        return ""

    def _reaches(self, container: str, place: PurePosixPath, work: str) -> bool:
        """Return whether no folder between the work directory and a place in it is a symbolic link.

        The engine would follow it.
        """
        for parent in reversed(place.parents):
            if not is_below(str(parent), work) or str(parent) == work:
                continue
            mode = self._api.ask("look at a path", partial(_mode, container, str(parent)))
            if mode is None or mode & _SYMLINK:
                return False
        return True


def _mode(container: str, path: str, client: APIClient) -> int | None:
    """The mode (Go's `io/fs.FileMode`) of a path in a container, or None where there is none."""
    answer = client.head(
        f"{client.base_url}/v{client.api_version}/containers/{container}/archive",
        params={"path": path},
        timeout=client.timeout,
    )
    if answer.status_code == requests.codes.not_found:
        return None
    answer.raise_for_status()
    try:
        status = base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"])
        return int(canonical.loads(status)["mode"])
    except (InputError, KeyError, TypeError, ValueError) as error:
        raise InfrastructureError(
            "the container engine's answer about a file is not understood", subject=path
        ) from error


def _host_config(
    client: APIClient,
    action: Action,
    limits: Limits,
    mounts: list[DockerMount],
    about: Mapping[str, object],
) -> dict[str, Any]:
    conditions = action.conditions
    options = ["no-new-privileges:true"]
    if docker_enforcement.filters(about):
        options.append(f"seccomp={system_calls.profile()}")
    config: dict[str, Any] = client.create_host_config(
        network_mode="none",
        # Else the engine copies its machine's name servers into /etc/resolv.conf.
        dns=["127.0.0.1"],
        dns_search=["."],
        read_only=True,
        cap_drop=["ALL"],
        security_opt=options,
        # The kernel keeps from a first process what has no handler: it could not kill itself.
        init=True,
        ipc_mode="none",
        cgroupns="private",
        tmpfs={
            "/tmp": f"rw,exec,nosuid,nodev,size={limits.tmp},mode=1777",  # noqa: S108 - inside
            # Docker mounts a message queue file system there, which everybody may write.
            "/dev/mqueue": "ro,size=4096",
        },
        mem_limit=limits.memory,
        memswap_limit=limits.memory,
        pids_limit=limits.processes,
        ulimits=[
            Ulimit(name="core", soft=0, hard=0),
            Ulimit(name="fsize", soft=limits.work, hard=limits.work),
            Ulimit(name="nofile", soft=_OPEN_FILES, hard=_OPEN_FILES),
        ],
        # The output is read while the action runs; the engine need not keep it too, without bound.
        log_config=LogConfig(type="none"),
        mounts=mounts,
    )
    if limits.cpus:
        config["NanoCpus"] = limits.cpus * 1_000_000_000
    if conditions.processors:
        config["CpusetCpus"] = f"0-{conditions.processors - 1}"
    if not docker_enforcement.refused_domain(about):
        # The engine's own setting for it would be a part of the host name too, and without either
        # a container has its machine's.
        config["Sysctls"] = {"kernel.domainname": conditions.domain or system.NO_DOMAIN}
    if conditions.memory != STANDARD.memory:
        # The cgroup's limit cannot be seen from inside, and this one can.
        data = Ulimit(name="data", soft=limits.memory, hard=limits.memory)
        config["Ulimits"] = [*config["Ulimits"], data]
    # /sys shows the machine's devices; the sandbox has none.
    config["MaskedPaths"] = [*MASKED, "/sys"]
    return config
