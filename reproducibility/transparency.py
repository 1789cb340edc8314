"""Go's checksum database, checked offline: signed notes, tree heads, records, inclusion proofs.

A record says which hash the log has for a module; the proof shows that the record is in the tree
that the log signed. All functions are pure: what they work on comes from the lock, or, when a lock
is made, from the tiles that the go command left in its module cache. Formats: C2SP signed-note,
C2SP tlog-checkpoint and tlog-tiles, RFC 6962 section 2.1; golang.org/x/mod/sumdb is the reference.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from reproducibility import digest as digests
from reproducibility.errors import ComparisonError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Source: golang/go, src/cmd/go/internal/modfetch/key.go.
GO_SUM_DATABASE = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

TILE_HEIGHT = 8
_HASH = 32
_ED25519 = 1
_KEY_HASH = 4
_TREE_TITLE = "go.sum database tree"
_TREE_LINES = 3
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")
_RECORD_LINE = re.compile(r"(?P<module>\S+) (?P<version>\S+) (?P<h1>h1:[A-Za-z0-9+/]{43}=)")


@dataclass(frozen=True, slots=True)
class Verifier:
    """A log's name and its public key: 4 bytes that name the key, 32 bytes Ed25519."""

    name: str
    key_hash: bytes
    public_key: bytes

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """Read the form `<name>+<key hash in hexadecimal>+<base64 of 0x01 and the key>`.

        Raises:
            InputError: another form, or the key hash is not that of name and key.
        """
        name, _, rest = text.partition("+")
        digits, _, encoded = rest.partition("+")
        try:
            key = _base64(encoded)
            key_hash = bytes.fromhex(digits)
        except ValueError as error:
            raise InputError("not a verifier key", subject=text) from error
        if len(key) != 1 + _HASH or key[0] != _ED25519 or key_hash != _key_hash(name, key):
            raise InputError("not an Ed25519 verifier key, or its hash is wrong", subject=text)
        return cls(name, key_hash, key[1:])


@dataclass(frozen=True, slots=True)
class TreeHead:
    """Tree head: how many records the log held (`size`), the root hash of their tree (32 bytes)."""

    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """Record of one module version in the log.

    `number`: the record's place in the log, from 0. `text`: two lines, the hash of the module zip
    and that of its go.mod.
    """

    number: int
    text: str

    def h1(self, module: str, version: str) -> str:
        """The hash of a module's zip according to this record.

        Raises:
            InputError: the record is about something else.
        """
        for line in self.text.splitlines():
            found = _RECORD_LINE.fullmatch(line)
            if found and (found["module"], found["version"]) == (module, version):
                return found["h1"]
        raise InputError(f"the log's record is not about {module} {version}", subject=self.text)


def parse_record(number: int, text: str) -> Record:
    """A record from its parts, its form checked.

    Raises:
        InputError: not a record.
    """
    lines = text.split("\n")
    if number < 0 or lines[-1] or not lines[:-1]:
        raise InputError("not a record of the log", subject=repr(text))
    for line in lines[:-1]:
        if not _RECORD_LINE.fullmatch(line):
            raise InputError("not a line of a record of the log", subject=repr(line))
    return Record(number, text)


def parse_lookup(answer: str) -> tuple[Record, str]:
    """Split the log's answer to a lookup into the record and the signed tree head (unchecked).

    Raises:
        InputError: not such an answer.
    """
    number, newline, rest = answer.partition("\n")
    text, gap, note = rest.partition("\n\n")
    if not newline or not gap or not _NUMBER.fullmatch(number):
        raise InputError("not an answer of the log", subject=repr(answer[:200]))
    return parse_record(int(number), text + "\n"), note


def open_note(note: str, verifier: Verifier) -> str:
    """The text of a signed note, its signature by `verifier` checked.

    Raises:
        InputError: not a signed note.
        ComparisonError: no valid signature by this key.
    """
    text, gap, signatures = note.rpartition("\n\n")
    if not gap or not signatures.endswith("\n"):
        raise InputError("not a signed note", subject=repr(note[:200]))
    text += "\n"
    for line in signatures[:-1].split("\n"):
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        try:
            signature = _base64(encoded)
        except ValueError as error:
            raise InputError("not a signature of a note", subject=repr(line)) from error
        if dash != "\N{EM DASH}" or not name:
            raise InputError("not a signature of a note", subject=repr(line))
        if (name, signature[:_KEY_HASH]) != (verifier.name, verifier.key_hash):
            continue
        try:
            key = Ed25519PublicKey.from_public_bytes(verifier.public_key)
            key.verify(signature[_KEY_HASH:], text.encode())
        except InvalidSignature as error:
            raise ComparisonError(
                f"the signature of {verifier.name} does not fit its tree head", subject=repr(text)
            ) from error
        return text
    raise ComparisonError(f"the tree head is not signed by {verifier.name}", subject=repr(text))


def parse_tree_head(text: str) -> TreeHead:
    """Read a tree head: the title, the number of records, the root hash in base64.

    Raises:
        InputError: not a tree head.
    """
    lines = text.split("\n")
    try:
        title, size, root = lines[:_TREE_LINES]
        decoded = _base64(root)
    except ValueError as error:
        raise InputError("not a tree head of the log", subject=repr(text[:200])) from error
    if title != _TREE_TITLE or not _NUMBER.fullmatch(size) or len(decoded) != _HASH:
        raise InputError("not a tree head of the log", subject=repr(text[:200]))
    return TreeHead(int(size), decoded)


def leaf_hash(text: str) -> bytes:
    """The hash of a record as a leaf of the tree (RFC 6962: SHA-256 of 0x00 and the record)."""
    return _sha256(b"\x00" + text.encode())


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node (RFC 6962: SHA-256 of 0x01 and both children)."""
    return _sha256(b"\x01" + left + right)


def root_from_proof(record: Record, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that a proof leads to (RFC 9162 section 2.1.3.2).

    Raises:
        ComparisonError: the proof has not the length that the record's place asks for.
    """
    place, last, current = record.number, size - 1, leaf_hash(record.text)
    if not 0 <= place < size:
        raise ComparisonError(f"record {place} cannot lie in a tree of {size} records")
    for step in proof:
        if last == 0:
            raise ComparisonError("the inclusion proof is too long")
        if place & 1 or place == last:
            current = node_hash(step, current)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            current = node_hash(current, step)
        place, last = place >> 1, last >> 1
    if last:
        raise ComparisonError("the inclusion proof is too short")
    return current


def check(record: Record, note: str, proof: Sequence[bytes], verifier: Verifier) -> TreeHead:
    """Check that a record is in the tree that the log signed; returns the tree head.

    Raises:
        InputError: something is not of the form it must have.
        ComparisonError: the signature or the proof does not hold.
    """
    head = parse_tree_head(open_note(note, verifier))
    found = root_from_proof(record, head.size, proof)
    if found != head.root:
        raise ComparisonError(
            "the inclusion proof does not lead to the root that the log signed: "
            f"expected {base64.b64encode(head.root).decode()}, "
            f"found {base64.b64encode(found).decode()}",
            subject=record.text,
        )
    return head


def tile_path(level: int, number: int, width: int = 1 << TILE_HEIGHT) -> str:
    """Return the path of a tile below `tile/`, as in `8/0/x271/398` or `8/1/x001/080.p/220`.

    `level`: of the tile, from 0 at the leaves. `width`: hashes in it, 256 for a full one.
    """
    parts = []
    rest = number
    while True:
        parts.append(f"{rest % 1000:03d}")
        rest //= 1000
        if not rest:
            break
    path = "/".join([*(f"x{part}" for part in reversed(parts[1:])), parts[0]])
    partial = "" if width == 1 << TILE_HEIGHT else f".p/{width}"
    return f"{TILE_HEIGHT}/{level}/{path}{partial}"


def prove(number: int, size: int, read: Callable[[int, int, int], bytes]) -> list[bytes]:
    """The inclusion proof of record `number` in a tree of `size` records, from the log's tiles.

    `read(level, tile, width)`: at least the first `width` hashes of a tile, 32 bytes each.

    Raises:
        ComparisonError: the record cannot lie in the tree.
        InputError: a tile is too short.
    """
    if not 0 <= number < size:
        raise ComparisonError(f"record {number} cannot lie in a tree of {size} records")
    proof = []
    low, high = 0, size
    while high - low > 1:
        half = low + (1 << ((high - low - 1).bit_length() - 1))
        if number < half:
            proof.append(_range_hash(half, high, size, read))
            high = half
        else:
            proof.append(_range_hash(low, half, size, read))
            low = half
    return proof[::-1]


def _range_hash(low: int, high: int, size: int, read: Callable[[int, int, int], bytes]) -> bytes:
    """The hash of the records from `low` to before `high`; a subtree as RFC 6962 cuts them."""
    count = high - low
    if count & (count - 1):
        half = low + (1 << ((count - 1).bit_length() - 1))
        return node_hash(_range_hash(low, half, size, read), _range_hash(half, high, size, read))
    height = count.bit_length() - 1
    level = height // TILE_HEIGHT
    first, length = low >> (level * TILE_HEIGHT), 1 << (height - level * TILE_HEIGHT)
    tile, start = first >> TILE_HEIGHT, first & ((1 << TILE_HEIGHT) - 1)
    width = min(1 << TILE_HEIGHT, (size >> (level * TILE_HEIGHT)) - (tile << TILE_HEIGHT))
    data = read(level, tile, width)
    if len(data) < width * _HASH:
        raise InputError("a tile of the log is too short", subject=tile_path(level, tile, width))
    hashes = [data[at * _HASH : (at + 1) * _HASH] for at in range(start, start + length)]
    while len(hashes) > 1:
        hashes = [
            node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)
        ]
    return hashes[0]


def _key_hash(name: str, key: bytes) -> bytes:
    return _sha256(f"{name}\n".encode() + key)[:_KEY_HASH]


def _sha256(data: bytes) -> bytes:
    return bytes.fromhex(digests.sha256_of_bytes(data).hex)


def _base64(text: str) -> bytes:
    """Decode base64 in its one canonical form.

    Raises:
        ValueError: another form (`binascii.Error` is one).
    """
    decoded = base64.b64decode(text, validate=True)
    if base64.b64encode(decoded).decode() != text:
        raise binascii.Error("not in canonical form")
    return decoded
