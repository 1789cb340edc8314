"""Transport protocol, and how transports run client programs and retry.

A client gets an environment made from nothing plus what it needs to honour the person's mirrors,
proxies, credentials and certificates. Only faults that may pass (a time-out, a refused connection,
a busy server) are tried again; an answer such as "not found" or "wrong hash" is final. What a
client wrote is passed on without the credentials that it got.
"""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    wait_exponential_jitter,
)

from containers.host import process
from containers.host.process import Bounds, Completed
from orchestrator.files import places
from orchestrator.inputs.answers import Judged, Kind
from reproducibility.errors import InfrastructureError, SourceryError
from reproducibility.redaction import redact, secrets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from threading import Event
    from typing import Any, BinaryIO

    from reproducibility.digest import Digest
    from reproducibility.manifest import Entry, Tree

# Bytes that no single input may exceed, packed or unpacked.
LARGEST = 8 << 30
# Bytes that a client writes in a file beside what it was asked for: its log, an index, a cache.
_BESIDE = 64 << 20
# Bytes of memory of a client; they read indexes and small answers into it, whatever their length.
_MEMORY = 4 << 30

_SHARED = (
    "CURL_CA_BUNDLE", "HOME", "LANG", "LOGNAME", "NETRC", "PATH", "REQUESTS_CA_BUNDLE",
    "SSH_AUTH_SOCK", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR", "USER", "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME", "all_proxy", "ftp_proxy", "http_proxy", "https_proxy", "no_proxy",
    "ALL_PROXY", "FTP_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
)  # fmt: skip
_KEPT = 2000
# As glibc has it, and with it every client.
_FULL = re.compile(rb"no space left on device|disk quota exceeded", re.IGNORECASE)
# SIGXFSZ and EFBIG in the words of the C library, of Go, and of apt about a method of its own.
_LARGE = re.compile(
    rb"file too large|file size limit exceeded|SIGXFSZ|Sub-process \S+ received signal 25\b",
    re.IGNORECASE,
)
_LOOK = "look at the network, the proxy settings and the mirror, then try again"
_ASK = "look at what the client says, and at the settings of its mirror, proxy and credentials"


class Store(Protocol):
    """Store interface that transports need (`orchestrator.store.store.Store`)."""

    def has(self, digest: Digest) -> bool:
        """Return whether a blob is there."""

    def holds(self, tree: Tree) -> bool:
        """Return whether every file of a tree is there."""

    def blob(self, digest: Digest) -> Path:
        """The verified file of a blob."""

    def path(self, entry: Entry) -> Path:
        """The verified file of a tree's entry."""

    def put_bytes(self, data: bytes) -> Digest:
        """Keep bytes."""

    def put_file(self, path: Path, *, move: bool = False) -> Digest:
        """Keep a file's bytes."""

    def put_stream(self, stream: BinaryIO, *, limit: int) -> tuple[Digest, int]:
        """Keep what is left in a stream."""

    def put_tree(self, folder: Path, *, move: bool = False) -> Tree:
        """Keep everything below a folder."""

    def save_tree(self, tree: Tree) -> Digest:
        """Keep a tree's manifest."""

    def load_tree(self, digest: Digest) -> Tree:
        """A tree by its digest."""

    def checkout(self, tree: Tree, epoch: int, stop: Event | None = None) -> Path:
        """A read-only folder that holds a tree."""

    def export(self, tree: Tree, folder: Path, epoch: int, stop: Event | None = None) -> None:
        """A writable copy of a tree in a new folder."""

    def temporary(self) -> AbstractContextManager[Path]:
        """An empty folder that is removed at the end."""

    def remember(self, kind: str, key: Digest, document: dict[str, Any]) -> None:
        """Write down what came of a key."""

    def recall(self, kind: str, key: Digest) -> dict[str, Any] | None:
        """Return what came of a key."""


Request_contra = TypeVar("Request_contra", contravariant=True)
Pinned = TypeVar("Pinned")


class Transport(Protocol[Request_contra, Pinned]):
    """One way to get inputs."""

    def resolve(self, request: Request_contra, store: Store) -> Pinned:
        """Find what a request means today, bring it into the store, and pin it.

        Raises:
            InputError: there is no such thing (`missing`), or it is not what was promised of it.
            InfrastructureError: it could not be had.
        """

    def fetch(self, pinned: Pinned, store: Store) -> None:
        """Bring the artifact that the lock pins into the store.

        Raises:
            InputError: its bytes are not those of the lock.
            InfrastructureError: it could not be had.
        """

    def unpack(self, pinned: Pinned, store: Store) -> Tree:
        """The tree that an artifact in the store holds, its files put into the store too.

        Raises:
            InputError: the artifact is not what it claims to be.
        """


class Events(Protocol):
    """Receives progress of the inputs. Called from several threads."""

    def expected(self, labels: Sequence[str]) -> None:
        """The inputs that there will be, all of them, before the work on the first one begins."""

    def settled(self, label: str, *others: str) -> None:
        """Note that an input is settled. `others`: labels that work on it had."""

    def started(self, label: str, doing: str) -> None:
        """Work on an input begins (`resolving`, `fetching`, `unpacking`, `vendoring`)."""

    def finished(self, label: str) -> None:
        """That work is done."""

    def retrying(self, label: str, reason: str, seconds: float) -> None:
        """An attempt failed; the next one comes in `seconds`."""


class Silent:
    """Events that are ignored."""

    def expected(self, labels: Sequence[str]) -> None:
        """Ignore it."""

    def settled(self, label: str, *others: str) -> None:
        """Ignore it."""

    def started(self, label: str, doing: str) -> None:
        """Ignore it."""

    def finished(self, label: str) -> None:
        """Ignore it."""

    def retrying(self, label: str, reason: str, seconds: float) -> None:
        """Ignore it."""


class PassingFaultError(InfrastructureError):
    """A client failed for a reason that may pass."""


class RefusedError(InfrastructureError):
    """A client got an answer that will not change by asking again.

    `kind`: what it means. `output`: the client's words, and `answer`: its standard output, both
    without credentials.
    """

    def __init__(  # noqa: PLR0913 - an error's parts by keyword
        self,
        summary: str,
        kind: Kind,
        *,
        output: str,
        answer: str = "",
        subject: str = "",
        remedy: str = "",
    ) -> None:
        super().__init__(summary, subject=subject, remedy=remedy)
        self.kind = kind
        self.output = redact(output)
        self.answer = answer


class Runner(Protocol):
    """Runs a client program to its end: `containers.host.process.run`, or a fake in tests."""

    def __call__(  # noqa: PLR0913 - those of `process.run`
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path | None = None,
        seconds: float = 600,
        stop: Event | None = None,
        check: bool = True,
        bounds: Bounds | None = None,
    ) -> Completed:
        """Run it; see `containers.host.process.run`."""


@dataclass(frozen=True)
class Clients:
    """Settings by which client programs are run.

    `environ`: the person's environment. `offline`: refuse every attempt. `attempts`: at most so
    many; `longest_wait`: seconds between two of them at most. `stop`: ends the work when set.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: places.environment(os.environ))
    run: Runner = process.run
    events: Events = field(default_factory=Silent)
    offline: bool = False
    attempts: int = 4
    longest_wait: float = 20
    stop: Event | None = None

    def environment(self, *names: str, prefixes: tuple[str, ...] = ()) -> dict[str, str]:
        """The part of the person's environment that a client may see."""
        allowed = {*_SHARED, *names}
        return {
            key: value
            for key, value in self.environ.items()
            if key in allowed or key.startswith(prefixes or ("\0",))
        }

    def ask(  # noqa: PLR0913 - what is run, and how its failure is read and told
        self,
        label: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        directory: Path,
        *,
        judge: Callable[[Completed], Judged],
        where: str | None = None,
        seconds: float = 1800,
        size: int | None = None,
    ) -> Completed:
        """Run a client until it succeeds, it gets a final answer, or the attempts are used up.

        `label`: the input it is for. `judge`: says what a failure means. `where`: what an error
        says of the place, by default the command line; for what cannot be run again as it stands.
        `size`: bytes of what it is to bring, where that is known; whatever a mirror, or somebody
        on the way from it, answers with, the client writes no file that is much larger.

        Raises:
            RefusedError: a final answer.
            InfrastructureError: it cannot be started, or failed every time; or it got more than
                any input may have; or offline.
            Stopped: `stop` was set.
        """
        self.require_network(label)
        secrets = secrets_of([*self.environ.values(), *environment.values(), *command])
        subject = process.replayable(command, environment, directory) if where is None else where

        largest = LARGEST if size is None else min(size + _BESIDE, LARGEST)

        def once() -> Completed:
            done = self.run(
                command,
                environment=environment,
                directory=directory,
                seconds=seconds,
                stop=self.stop,
                check=False,
                bounds=Bounds(largest, _MEMORY),
            )
            if done.status == 0:
                return done
            kind, said = judge(done)
            said = redact(said, secrets)
            told = f"{label} could not be fetched: {said[-_KEPT:]}"
            place = redact(subject, secrets)
            full = _FULL.search(done.stderr) or _FULL.search(done.stdout)
            if full is not None and kind in {Kind.PASSING, Kind.REFUSED}:
                # Nobody's answer: asking again, and the client's settings, change nothing.
                raise InfrastructureError(
                    f"{label} could not be fetched: {full[0].decode().lower()}",
                    subject=str(directory),
                    remedy="free some space on its disk, or on that of temporary files",
                )
            if kind in {Kind.PASSING, Kind.REFUSED} and _was_too_large(done):
                raise InfrastructureError(
                    f"{label} could not be fetched: the answer has more than {largest:,} bytes"
                    + ("" if size is None else f", where {size:,} are pinned"),
                    subject=place,
                    remedy="look at the mirror, the proxy settings and whoever is in between: one "
                    "of them answers with something else than was asked for",
                )
            if kind is Kind.PASSING:
                raise PassingFaultError(told, subject=place, remedy=_LOOK)
            raise RefusedError(
                told,
                kind,
                output=said,
                answer=redact(done.stdout.decode(errors="replace"), secrets),
                subject=place,
                remedy=_ASK,
            )

        return self._retrying(label)(once)

    def require_network(self, label: str) -> None:
        """Refuse to fetch when offline.

        Raises:
            InfrastructureError: offline; names the input.
        """
        if self.offline:
            raise InfrastructureError(
                f"{label} is not in the store, and --offline forbids to fetch it",
                subject=label,
                remedy="run `orchestrate fetch` with a network, or give a bundle with --bundle",
            )

    def _retrying(self, label: str) -> Retrying:
        def tell(state: RetryCallState) -> None:
            outcome, action = state.outcome, state.next_action
            if outcome is not None and action is not None:
                error = outcome.exception()
                reason = error.summary if isinstance(error, SourceryError) else str(error)
                self.events.retrying(label, reason, action.sleep)

        retrying = Retrying(
            stop=stop_after_attempt(self.attempts),
            wait=wait_exponential_jitter(initial=1, max=self.longest_wait, jitter=1),
            retry=retry_if_exception_type(PassingFaultError),
            before_sleep=tell,
            reraise=True,
        )
        return retrying.copy(sleep=sleep_using_event(self.stop)) if self.stop else retrying


def _was_too_large(done: Completed) -> bool:
    """Return whether a client ended because it wrote a file that is larger than it may be."""
    if done.status == 128 + signal.SIGXFSZ:
        return True
    return any(_LARGE.search(said) for said in (done.stdout, done.stderr))
