"""Names of blobs on a farm: the digest function that is agreed on, digests, resource names.

BLAKE3 where the farm offers it, so that names there are the store's own. Else SHA-256: a name for
the transport and nothing more, since what comes back is also named by its BLAKE3 here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from blake3 import blake3
from cryptography.hazmat.primitives import hashes

from containers.remote import reapi_pb2 as api
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Iterable

Function = Literal["blake3", "sha256"]

_VALUES: dict[Function, api.DigestFunction.Value] = {
    "blake3": api.DigestFunction.BLAKE3,
    "sha256": api.DigestFunction.SHA256,
}
_DIGITS = 64
_LARGEST = 1 << 50
# Digits of the size of a blob.
_SIZE = 16


class Name(NamedTuple):
    """Name of a blob on a farm: a digest in hexadecimal digits, and the size in bytes."""

    hash: str
    size: int

    @property
    def message(self) -> api.Digest:
        """The name as a message of the API."""
        return api.Digest(hash=self.hash, size_bytes=self.size)

    @classmethod
    def parse(cls, digest: api.Digest) -> Name:
        """Read a farm's message.

        Raises:
            InfrastructureError: it is no digest of 32 bytes.
        """
        text = digest.hash
        if len(text) != _DIGITS or text.strip("0123456789abcdef") or digest.size_bytes < 0:
            raise InfrastructureError(
                "the farm answers with something that is no digest", subject=repr(text[:80])
            )
        if digest.size_bytes > _LARGEST:
            raise InfrastructureError("the farm names a blob of an impossible size", subject=text)
        return cls(text, digest.size_bytes)


class Hasher(Protocol):
    """What bytes are given to, piece by piece."""

    def update(self, data: bytes, /) -> object:
        """Take some bytes."""

    def hexdigest(self) -> str:
        """The digest of what was taken."""


class _Sha256:
    def __init__(self) -> None:
        self._hash = hashes.Hash(hashes.SHA256())

    def update(self, data: bytes, /) -> None:
        self._hash.update(data)

    def hexdigest(self) -> str:
        return self._hash.finalize().hex()


def chosen(caching: Iterable[int], executing: Iterable[int]) -> Function:
    """Return the digest function to use, by those that the farm offers to store and to run with.

    Raises:
        InfrastructureError: none that is known here.
    """
    offered = set(caching) & set(executing)
    for function, value in _VALUES.items():
        if value in offered:
            return function
    raise InfrastructureError(
        "the farm offers neither BLAKE3 nor SHA-256 as digest function",
        remedy="configure one of them for storage and execution",
    )


def value(function: Function) -> api.DigestFunction.Value:
    """The function's number in the API."""
    return _VALUES[function]


def hasher(function: Function) -> Hasher:
    """A new hasher."""
    return blake3() if function == "blake3" else _Sha256()


def of_bytes(function: Function, data: bytes) -> Name:
    """The name of bytes."""
    own = hasher(function)
    own.update(data)
    return Name(own.hexdigest(), len(data))


def to_read(function: Function, instance: str, name: Name, *, zstd: bool) -> str:
    """Resource name to read a blob by (ByteStream).

    Only functions that the length of a digest does not tell are named (remote_execution.proto,
    `ContentAddressableStorage`).
    """
    kind = "compressed-blobs/zstd" if zstd else "blobs"
    return "/".join(filter(None, (instance, kind, _said(function), name.hash, str(name.size))))


def to_write(function: Function, instance: str, name: Name, upload: str, *, zstd: bool) -> str:
    """Resource name to write a blob by; `upload`: a UUID of this one."""
    return "/".join(
        filter(None, (instance, "uploads", upload, to_read(function, "", name, zstd=zstd)))
    )


def missing(subject: str) -> Name | None:
    """Read the subject of a violation `MISSING`: `blobs/[<function>/]<hash>/<size>`; else None."""
    parts = subject.split("/")
    if "blobs" not in parts:
        return None
    digits, _, size = "/".join(parts[-2:]).partition("/")
    if len(digits) != _DIGITS or not size.isdecimal() or len(size) > _SIZE:
        return None
    return Name(digits, int(size))


def _said(function: Function) -> str:
    return "blake3" if function == "blake3" else ""
