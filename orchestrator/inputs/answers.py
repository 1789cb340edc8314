"""Classifies failures of client programs (apt, pip, go): temporary, missing, or the input's fault.

Exit statuses and structured answers count first. Where there is only text, it is read in the
client's own form, after names, versions, addresses and whatever a server said are taken out of it:
`v1.404.0` is no "not found", and a module named `timeout` is no time-out. Nothing here runs
anything.
"""

from __future__ import annotations

import json
import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, TypeVar
from urllib.parse import unquote

from pydantic import ValidationError

from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from pydantic import TypeAdapter

    from containers.host.process import Completed

Shape = TypeVar("Shape")


class Kind(Enum):
    """Meaning of a client's failure.

    `PASSING`: asking again may help. `MISSING`: there is no such thing. `MISMATCH`: its bytes are
    not those that were promised. `CONTENT`: the input itself is at fault, whatever the network
    does. `REFUSED`: any other final answer.
    """

    PASSING = "may pass"
    MISSING = "missing"
    MISMATCH = "mismatch"
    CONTENT = "content"
    REFUSED = "refused"


class Judged(NamedTuple):
    """Judgement of a failure, and the client's words that a person should see."""

    kind: Kind
    said: str


_SHOWN = 200
_BLANK = re.compile(r"\s*")
_PASSING = re.compile(
    r"timed? ?out|timeout|deadline exceeded|connection (?:refused|reset|aborted|failed|broken)"
    r"|could not connect|unable to connect|no such host|temporary failure|name resolution"
    r"|could ?n[o']t resolve|network is unreachable|no route to host|unexpected eof|\beof\b"
    r"|handshake|proxyconnect|server misbehaving|retrying \(retry|remote end closed"
    r"|incomplete ?read|broken pipe|too many requests|bad gateway|service unavailable",
    re.IGNORECASE,
)
_MISMATCH = re.compile(
    r"checksum mismatch|security error|do not match the hashes|hash sum mismatch|hashes mismatch"
    r"|unexpected size",
    re.IGNORECASE,
)
# errno(3) in the C library's words and Go's, and the Go runtime's.
_MACHINE = re.compile(
    r"no space left on device|disk quota exceeded|cannot allocate memory|out of memory"
    r"|permission denied|operation not permitted|read-only file system|too many open files"
    r"|input/output error|resource temporarily unavailable|failed to create new OS thread",
    re.IGNORECASE,
)
# A shell's status of a program that a signal ended, and above.
_SIGNALLED = 128
# HTTP (RFC 9110, RFC 6585): what a server says of itself or of the moment, not of what was asked.
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_GONE = frozenset({404, 410})

# What is looked for anywhere in a text has a bound, so that the time does not grow with the square
# of what a server wrote.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}://[^\s\"]*")
_QUOTED = re.compile(r'"(?:[^"\\\n]|\\.)*"')
# Module paths, file names, hosts, versions. (`i/o timeout` keeps the word that counts.)
_WORD = re.compile(r"\S+")
_OF_A_NAME = re.compile(r"\w[/@.]\w")
_LONGEST_LINE = 4000


def bare(text: str, names: Iterable[str] = ()) -> str:
    """A client's text without addresses, quoted words, `names`, and whatever looks like a name."""
    for name in sorted(filter(None, names), key=len, reverse=True):
        text = text.replace(name, " ")
    return _WORD.sub(_unless_name, _QUOTED.sub(" ", _ADDRESS.sub(" ", text)))


def _unless_name(word: re.Match[str]) -> str:
    return " " if _OF_A_NAME.search(word[0]) else word[0]


def _text(data: bytes) -> str:
    """Return what a client wrote; of a line that is longer than any of theirs, the beginning."""
    text = data.decode(errors="replace")
    if len(text) <= _LONGEST_LINE:
        return text
    return "\n".join(
        line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..."
        for line in text.split("\n")
    )


def words(text: str, names: Iterable[str] = ()) -> Kind | None:
    """Return what a client's text means by the words of systems and libraries; None if unknown."""
    left = bare(text, names)
    if _MISMATCH.search(left):
        return Kind.MISMATCH
    return Kind.PASSING if _PASSING.search(left) else None


def statuses(found: Iterable[str | int], gone: Collection[int] = _GONE) -> Kind | None:
    """Return what HTTP statuses mean; None for none. `gone`: those that mean "not there"."""
    numbers = {int(one) for one in found}
    if not numbers:
        return None
    if numbers & _BUSY:
        return Kind.PASSING
    return Kind.MISSING if numbers <= set(gone) else Kind.REFUSED


def text_of(done: Completed) -> str:
    """Everything that a client wrote."""
    return _text(b"\n".join([done.stdout, done.stderr])).strip()


def document(shape: TypeAdapter[Shape], data: bytes | str, *, what: str) -> Shape:
    """The JSON document that a client wrote, of the shape that it has to have.

    `what`: the command, for messages.

    Raises:
        InfrastructureError: it is another, or none: the program is not the one it should be.
    """
    try:
        return shape.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InfrastructureError(
            f"`{what}`: the answer is not understood" + (f" at {place}" if place else ""),
            subject=f"{first['msg']}: {data[:_SHOWN]!r}",
            remedy="see whether the program is the one that it should be",
        ) from error


# -- the go command --------------------------------------------------------------------------------

# cmd/go/internal/web: HTTPError; the server's own words come last and are indented.
_GO_STATUS = re.compile(r"\breading [A-Za-z][A-Za-z0-9+.-]*://\S*: (\d{3}) [A-Z]")
_GO_FORBIDDEN = re.compile(r"(?:(?<=\.info)|(?<=\.mod)|(?<=\.zip)): 403 F")
_GO_NO_FILE = re.compile(r"\breading file://\S*: no such file or directory")
_GO_SERVER = re.compile(r"\n?[ \t]{0,16}server response:[^\n]*(?:\n[ \t]+[^\n]*)*")
_GO_NO_VERSION = re.compile(r"unknown revision|no matching versions")
_GO_EXCHANGE = re.compile(
    r"\bdial tcp\b|\bi/o timeout\b|: exit status \d+:|module lookup disabled by GOPROXY=off"
)
# What to do about a module that the go command refuses, by words of its refusal; they decide
# nothing but the advice.
_GO_ADVICE = {
    r"missing go\.sum|updates to go\.(?:mod|sum)|no required module provides": (
        "run `go mod tidy` in the module's folder and lock again; of a published module ask for a "
        "version whose go.mod and go.sum are whole"
    ),
    r"replacement (?:directory|module)|replaced by": (
        "a `replace` with a folder outside of the module cannot come along: run `go mod vendor` in "
        "the module's folder, or replace with a published module, and lock again"
    ),
    r"requires go >= ": (
        "ask for a newer Go in the spec, [go] version, or for an older version of the module"
    ),
    r"checksum mismatch": (
        "find out which of the two is right before anything is built from it: go.sum of the module "
        "was changed, or the mirror serves other bytes"
    ),
}
_GO_MEND = "mend the module, or ask for another version of it in the spec"
_GO_PROGRESS = re.compile(r"go: (?:downloading|finding|extracting) .*")


def go(
    done: Completed,
    names: Iterable[str],
    again: Callable[[], Completed] | None,
    *,
    withheld: bool = False,
) -> Judged:
    """Return what a failure of the go command means.

    `names`: what it was asked about. `again`: asks the same without any network. An answer that is
    the same then cannot be about the network, so it is about the content. `withheld`: a module that
    a mirror forbids is one that it does not have, as some mirrors put it.
    """
    said = go_text(done)
    if is_machines_fault(done, said):
        # Without a network it would fail the same way.
        return Judged(Kind.REFUSED, said or f"it ended with status {done.status} and said nothing")
    heard = _GO_SERVER.sub("", said)
    kind = _go_kind(_GO_FORBIDDEN.sub(": 404 N", heard) if withheld else heard, names)
    if kind is not Kind.MISMATCH and again is not None:
        offline = again()
        if offline.status != 0 and _go_lines(offline) == _go_lines(done):
            kind = Kind.CONTENT
    return Judged(kind, said)


def is_machines_fault(done: Completed, said: str) -> bool:
    """Return whether a client lacked something on this machine: room, memory, permission.

    A client that a signal ended, or that said nothing, says nothing about what it was asked either.
    """
    if done.status < 0 or done.status >= _SIGNALLED or not said:
        return True
    return bool(_MACHINE.search(bare(said)))


def go_text(done: Completed) -> str:
    """Return what the go command says went wrong: its errors, with `-json` those in its answers."""
    errors = [str(one["Error"]) for one in _documents(done.stdout) if one.get("Error")]
    lines = _text(done.stderr).strip().splitlines()
    rest = "\n".join(line for line in lines if not _GO_PROGRESS.fullmatch(line))
    if errors:
        return "\n".join([*errors, *([rest] if rest else [])])
    return "\n".join(filter(None, [_text(done.stdout).strip(), rest]))


def go_advice(said: str) -> str:
    """Return what to do about a module that the go command refuses."""
    found = (advice for pattern, advice in _GO_ADVICE.items() if re.search(pattern, said))
    return next(found, _GO_MEND)


def _go_lines(done: Completed) -> list[str]:
    return go_text(done).splitlines()


def _documents(data: bytes) -> Iterator[dict[str, object]]:
    """The JSON objects that a client wrote one after the other; none if it is something else."""
    text, decoder = data.decode(errors="replace"), json.JSONDecoder()
    at = 0
    while at < len(text):
        blank = _BLANK.match(text, at)
        try:
            found, at = decoder.raw_decode(text, blank.end() if blank else at)
        except (ValueError, RecursionError):
            return
        if isinstance(found, dict):
            yield found


def _go_kind(said: str, names: Iterable[str]) -> Kind:
    found = statuses(_GO_STATUS.findall(said))
    if found is not None:
        return found
    if _GO_NO_FILE.search(said):
        return Kind.MISSING
    left = bare(said, names)
    known = words(left)
    # What is about an exchange with somebody names an address, or the program that had it.
    exchange = _ADDRESS.search(said) or _GO_EXCHANGE.search(said)
    if known is Kind.MISMATCH or (known and exchange):
        return known
    if _GO_NO_VERSION.search(left):
        return Kind.MISSING
    return Kind.REFUSED if exchange else Kind.CONTENT


# -- pip -------------------------------------------------------------------------------------------

# requests: HTTPError, in pip's log of what it could not read and in its errors.
_PIP_STATUS = re.compile(r"\b(\d{3}) (?:Client|Server) Error: ")
_PIP_UNREAD = re.compile(r"Could not fetch URL \S+: (?P<reason>.*)$", re.MULTILINE)
_PIP_BUSY = re.compile(r"too many \d{3} error responses|max retries exceeded", re.IGNORECASE)
_PIP_IGNORED = re.compile(r"is not a trusted or secure host and is being ignored")
_PIP_NO_SUCH = re.compile(r"^ERROR: No matching distribution found", re.MULTILINE)


def pip(done: Completed, names: Iterable[str], log: str) -> Judged:
    """Return what a failure of pip means.

    `log`: what `--log` kept. An index that could not be read is not in pip's error, which says that
    there is no such package; so whatever it could not read decides.
    """
    said = text_of(done)
    reasons = [found["reason"] for found in _PIP_UNREAD.finditer(log)]
    everything = "\n".join([*reasons, said])
    if words(said, names) is Kind.MISMATCH:
        return Judged(Kind.MISMATCH, said)
    unread = [one for one in reasons if not _PIP_STATUS.search(one)]
    kind = statuses(_PIP_STATUS.findall(everything))
    if kind in {Kind.PASSING, Kind.REFUSED}:
        return Judged(kind, _with_reasons(said, reasons))
    if any(_PIP_BUSY.search(one) or words(one, names) is Kind.PASSING for one in (*unread, said)):
        return Judged(Kind.PASSING, _with_reasons(said, reasons))
    if unread or _PIP_IGNORED.search(said):
        return Judged(Kind.REFUSED, _with_reasons(said, reasons))
    if kind is Kind.MISSING or _PIP_NO_SUCH.search(said):
        return Judged(Kind.MISSING, said)
    return Judged(Kind.REFUSED, said)


def _with_reasons(said: str, reasons: Iterable[str]) -> str:
    return "\n".join([said, *(f"the index could not be read: {reason}" for reason in reasons)])


# -- apt -------------------------------------------------------------------------------------------

# Makes apt write what its methods tell it: APT's method interface, `400 URI Failure`.
APT_STRUCTURED = "-oDebug::pkgAcquire::Worker=1"
_APT_MESSAGE = re.compile(r"^ <- [a-z0-9+.-]+:400%20URI%20Failure%0a(?P<fields>.*)$", re.MULTILINE)
_APT_TALK = re.compile(
    r"^(?: -> | <- |Starting method '|Configured access method |Version:\S+ SingleInstance:).*\n?",
    re.MULTILINE,
)
_APT_STATUS = re.compile(r"HttpError(\d{3})")
_APT_GONE = frozenset({403, 404, 410})
_APT_PASSING = frozenset(
    {"ConnectionRefused", "ConnectionTimedOut", "ResolveFailure", "TmpResolveFailure", "Timeout"}
)


def apt(done: Completed) -> Judged:
    """Return what a failure of apt means, by what its methods say of each file."""
    output = _text(b"\n".join([done.stdout, done.stderr]))
    said = _APT_TALK.sub("", output).strip()
    failures: dict[str, dict[str, str]] = {}
    for found in _APT_MESSAGE.finditer(output):
        fields = dict(
            line.partition(": ")[::2] for line in unquote(found["fields"]).splitlines() if line
        )
        failures[fields.get("URI", "")] = fields  # the last attempt counts
    if words(said) is Kind.MISMATCH:
        return Judged(Kind.MISMATCH, said)
    reasons = [fields.get("FailReason", "") for fields in failures.values()]
    transient = any(fields.get("Transient-Failure") == "true" for fields in failures.values())
    if transient or _APT_PASSING & set(reasons):
        return Judged(Kind.PASSING, said)
    numbers = [number for reason in reasons for number in _APT_STATUS.findall(reason)]
    kind = statuses(numbers, _APT_GONE)
    if kind is None and failures:
        messages = [fields.get("Message", "") for fields in failures.values()]
        missing = all(message.startswith("File not found") for message in messages)
        kind = Kind.MISSING if missing else words("\n".join(messages))
    return Judged(kind or words(said) or Kind.REFUSED, said)
