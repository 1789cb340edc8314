"""DSSE envelopes: a payload, its type, and any number of signatures over both.

One envelope is one line of canonical JSON. What is signed is the pre-authentication encoding (PAE),
not the JSON. Source: the DSSE protocol and envelope, version 1.0 (secure-systems-lab/dsse).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from reproducibility import canonical
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
# A build has some thirty statements; several builders' lie side by side in one file.
_MOST_ENVELOPES = 4096
_MOST_SIGNATURES = 256
# An envelope's own; a statement is a text in it. A signature has three.
_MOST_VALUES = 8 * _MOST_SIGNATURES
_KEYS = {"payload", "payloadType", "signatures"}
_REMEDY = "take the file again from whom it came, or build again: `orchestrate build`"


@dataclass(frozen=True)
class Signature:
    """Signature over an envelope. `keyid`: a hint at the key, `sig`: the signature's bytes."""

    keyid: str
    sig: bytes


@dataclass(frozen=True)
class Envelope:
    """DSSE envelope. `payload`: the statement's bytes, as they were signed."""

    payload: bytes
    payload_type: str = PAYLOAD_TYPE
    signatures: tuple[Signature, ...] = ()

    @property
    def pae(self) -> bytes:
        """Bytes that a signature is over: `DSSEv1 LENGTH TYPE LENGTH PAYLOAD`."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)

    def signed(self, signature: Signature) -> Envelope:
        """Return the envelope with a signature; the same envelope if that is there already."""
        if signature in self.signatures:
            return self
        return replace(self, signatures=(*self.signatures, signature))

    def document(self) -> dict[str, Any]:
        """The envelope as a JSON object; payload and signatures in base64."""
        return {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": [
                {"keyid": one.keyid, "sig": base64.b64encode(one.sig).decode()}
                for one in self.signatures
            ],
        }


def dumps(envelopes: Iterable[Envelope]) -> bytes:
    """Envelopes as lines of canonical JSON."""
    return b"".join(canonical.dumps(one.document()) + b"\n" for one in envelopes)


def parse_lines(data: bytes, subject: str = "provenance.intoto.jsonl") -> tuple[Envelope, ...]:
    """Read the envelopes of a file, one a line.

    Raises:
        InputError: a line is no envelope; says which, and what is wrong with it.
    """
    lines = data.split(b"\n")
    if lines.pop():
        raise _refused("the last line does not end", subject)
    if len(lines) > _MOST_ENVELOPES:
        raise _refused(f"it has {len(lines)} lines, more than {_MOST_ENVELOPES}", subject)
    return tuple(
        parse(canonical.loads(line, subject=place, most=_MOST_VALUES, remedy=_REMEDY), place)
        for number, line in enumerate(lines, 1)
        for place in [f"{subject}, line {number}"]
    )


def parse(document: object, subject: str = "a DSSE envelope") -> Envelope:
    """Read an envelope from its JSON object.

    Raises:
        InputError: it is none.
    """
    if not isinstance(document, dict) or document.keys() != _KEYS:
        raise _refused(f"expected an object with {', '.join(sorted(_KEYS))}", subject)
    kind, signatures = document["payloadType"], document["signatures"]
    if not isinstance(kind, str) or not kind:
        raise _refused("payloadType is not a text", subject)
    if not isinstance(signatures, list) or len(signatures) > _MOST_SIGNATURES:
        raise _refused(f"signatures is no list of at most {_MOST_SIGNATURES}", subject)
    return Envelope(
        _decoded(document["payload"], "payload", subject),
        kind,
        tuple(_signature(one, subject) for one in signatures),
    )


def _signature(document: object, subject: str) -> Signature:
    # The key's name is optional in DSSE.
    if not isinstance(document, dict) or not {"sig"} <= document.keys() <= {"keyid", "sig"}:
        raise _refused("a signature is no object with keyid and sig", subject)
    keyid = document.get("keyid", "")
    if not isinstance(keyid, str):
        raise _refused("a keyid is not a text", subject)
    return Signature(keyid, _decoded(document["sig"], "sig", subject))


def _decoded(value: object, what: str, subject: str) -> bytes:
    if not isinstance(value, str):
        raise _refused(f"{what} is not a text", subject)
    try:
        found = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refused(f"{what} is not base64", subject) from error
    # A second text for the same bytes would let a file be changed without a trace.
    if base64.b64encode(found).decode() != value:
        raise _refused(f"{what} is not the one base64 text of its bytes", subject)
    return found


def _refused(words: str, subject: str) -> InputError:
    return InputError(f"not a DSSE envelope: {words}", subject=subject, remedy=_REMEDY)
