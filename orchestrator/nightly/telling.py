"""Tells somebody of a night: `night.json` to a command, and e-mail (RFC 5322) through `sendmail`.

Whoever cannot be told never changes what a night found: each failure comes back as a note. What is
said and when is decided by pure functions; `tell` and `tell_of_failure` start the programs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from collections import deque
from contextlib import nullcontext, suppress
from email.message import EmailMessage
from typing import TYPE_CHECKING

from containers.host import process
from orchestrator.history import model
from orchestrator.history.words import Word
from reproducibility import canonical, visible
from reproducibility.errors import InfrastructureError, SourceryError
from reproducibility.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from orchestrator.history.model import Night
    from orchestrator.nightly.config import Notify

WORD, NUMBER = "SOURCERY_NIGHT_WORD", "SOURCERY_NIGHT_NUMBER"
# Debian keeps it where an ordinary user's PATH does not look.
_SENDMAIL_FOLDERS = ("/usr/sbin", "/usr/lib")
# Of each list; the page has them all.
_SHOWN = 20
_LONGEST = 200
# Of what a program says of its failure: pieces that are kept, bytes of one, characters shown.
_KEPT, _PIECE, _LONGEST_WORDS = 16, 4096, 4000
# Seconds that reading the last of it may take.
_LATER = 5


def due(notify: Notify, night: Night, before: Word | None) -> bool:
    """Return whether somebody is to be told. `before`: the word of the night before, if any."""
    if notify.when == "bad":
        return not night.word.good
    return notify.when == "always" or night.word is not before


def tell(
    notify: Notify, night: Night, *, page: str, environment: Mapping[str, str]
) -> tuple[str, ...]:
    """Tell somebody of a night, by each of the ways that there are; return what failed, as notes.

    `page`: address or path of the night's page. `environment`: variables that the programs get.
    """
    return _tell(
        notify,
        model.dumps(night),
        {WORD: str(night.word), NUMBER: str(night.number)},
        (subject(night), text(night, page)),
        environment,
    )


def tell_of_failure(
    notify: Notify,
    monitor: Mapping[str, str],
    answered: Callable[[str], bool],
    *,
    environment: Mapping[str, str],
) -> tuple[str, ...]:
    """Tell somebody of a night that was ended before its end; return what failed, as notes.

    `monitor`: the variables that systemd gives to a unit of `OnFailure=` (systemd.exec(5),
    `$MONITOR_SERVICE_RESULT` and others). `answered`: says of `$MONITOR_INVOCATION_ID` whether that
    run told of itself. Of one that did nothing is told: an exit status alone says nothing, since an
    interpreter that does not even find its modules has that of a night whose check failed.
    """
    result = monitor.get("MONITOR_SERVICE_RESULT", "")
    status = monitor.get("MONITOR_EXIT_STATUS", "")
    invocation = monitor.get("MONITOR_INVOCATION_ID", "")
    if result == "exit-code" and answered(invocation):
        return ()
    unit = visible.line(monitor.get("MONITOR_UNIT", "") or "the night")
    line = f"{unit} was ended before its end: {visible.line(result or 'unknown')}"
    line += f" (exit status {visible.line(status)})" if status else ""
    journal = f"journalctl --unit={unit}"
    if invocation:
        journal = f"journalctl _SYSTEMD_INVOCATION_ID={visible.line(invocation)}"
    body = (
        f"{line}\n\nThe next night goes on with it or begins anew. What it said:\n\n  {journal}\n"
    )
    return _tell_of_none(notify, (line, result, status), body, environment)


def tell_of_error(
    notify: Notify, summary: str, *, environment: Mapping[str, str]
) -> tuple[str, ...]:
    """Tell somebody of what kept a night from its end, or from its pages; what failed, as notes."""
    line = _line(f"a night could not be carried out to its end: {summary}")
    body = f"{line}\n\nWhat was not done yet is done by the next night.\n"
    return _tell_of_none(
        notify, (line, "error", str(InfrastructureError.status)), body, environment
    )


def _tell_of_none(
    notify: Notify, what: tuple[str, str, str], body: str, environment: Mapping[str, str]
) -> tuple[str, ...]:
    """Tell of a night that there is no record of. `what`: its line, result and status."""
    line, result, status = what
    document = {
        "schema": model.FORMAT,
        "number": None,
        "word": str(Word.INFRASTRUCTURE),
        "line": line,
        "result": result,
        "status": status,
    }
    return _tell(
        notify,
        canonical.pretty(document),
        {WORD: str(Word.INFRASTRUCTURE), NUMBER: ""},
        ("[sourcery] a night was ended before its end", body),
        environment,
    )


def subject(night: Night) -> str:
    """The subject of the e-mail: `[sourcery] night 12: not-deterministic since night 12`."""
    return f"[sourcery] night {night.number}: {night.word} since night {night.since}"


def text(night: Night, page: str) -> str:
    """The text of the e-mail: its line, steps that vary, what failed and changed, the page."""
    lines = [
        f"{night.word}: {night.word.meaning}",
        _line(night.line),
        f"night {night.number}, {night.date}; so since night {night.since}",
    ]
    lines += _part("Notes", night.notes)
    lines += _part("Not deterministic", _varying(night))
    lines += _part("Failed", _failed(night))
    lines += _part("Changed", _changed(night))
    if page:
        lines += ["", page]
    return "\n".join(lines) + "\n"


def message(to: str, head: str, body: str) -> bytes:
    """The e-mail as `sendmail -t` takes it: without sender, date and id, which that adds."""
    mail = EmailMessage()
    mail["To"] = to
    mail["Subject"] = head
    # RFC 3834: whoever answers automatically does not answer this.
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(body)
    return mail.as_bytes()


def _tell(
    notify: Notify,
    document: bytes,
    variables: Mapping[str, str],
    mail: tuple[str, str],
    environment: Mapping[str, str],
) -> tuple[str, ...]:
    notes: list[str] = []
    if notify.command:
        notes += _ran(notify, notify.command, document, {**environment, **variables})
    if notify.mail is not None:
        program = _sendmail(environment)
        if program is None:
            notes.append(f"{notify.mail} was not told: sendmail is not installed here")
        else:
            given = message(notify.mail, *mail)
            notes += _ran(notify, (program, "-t", "-i"), given, environment)
    return tuple(notes)


def _ran(
    notify: Notify, command: Sequence[str], given: bytes, environment: Mapping[str, str]
) -> Iterator[str]:
    """Run a program; give a note where that failed.

    Through pipes: there may be no room for a file, which is what is to be told; and what it writes
    may be without end. Of its command only the program is said, since words may be secrets.
    """
    try:
        child = subprocess.Popen(  # noqa: S603 - argv list, no shell
            command,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        yield f"somebody was not told: cannot start {command[0]}: {reason}"
        return
    said: deque[bytes] = deque(maxlen=_KEPT)
    # What the program leaves running may hold the pipes open for ever.
    giving = threading.Thread(target=_give, args=(child, given), daemon=True)
    taking = threading.Thread(target=_take, args=(child, said), daemon=True)
    giving.start()
    taking.start()
    try:
        status = process.wait(child, seconds=notify.seconds, stop=None)
    except SourceryError:
        yield (
            f"somebody was not told: {command[0]} was still running after {notify.seconds} s and "
            "was ended"
        )
        return
    finally:
        process.end(child)
    if status:
        taking.join(_LATER)
        words = redact(b"".join([*said]).decode(errors="replace"))[-_LONGEST_WORDS:].strip()
        yield f"somebody was not told: {command[0]} ended with exit status {status}: {words}"


def _give(child: subprocess.Popen[bytes], given: bytes) -> None:
    """Write to a program what it may read; whether it does is its own matter."""
    with suppress(OSError, ValueError), child.stdin or nullcontext() as stream:
        if stream is not None:
            stream.write(given)


def _take(child: subprocess.Popen[bytes], said: deque[bytes]) -> None:
    """Read what a program says of itself, and keep the last of it."""
    with suppress(OSError, ValueError), child.stderr or nullcontext() as stream:
        while stream is not None and (piece := os.read(stream.fileno(), _PIECE)):
            said.append(piece)


def _sendmail(environment: Mapping[str, str]) -> str | None:
    folders = (environment.get("PATH", os.defpath), *_SENDMAIL_FOLDERS)
    return shutil.which("sendmail", path=os.pathsep.join(folders))


def _part(title: str, lines: Iterable[str]) -> list[str]:
    """A part of the text; none where there is nothing to say."""
    told = list(lines)
    if not told:
        return []
    more = [f"  and {len(told) - _SHOWN} more"] if len(told) > _SHOWN else []
    return ["", f"{title}:", *(f"  {_line(one)}" for one in told[:_SHOWN]), *more]


def _line(words: str) -> str:
    shown = visible.line(words)
    return shown if len(shown) <= _LONGEST else shown[:_LONGEST] + "..."


def _varying(night: Night) -> Iterator[str]:
    for one in night.varying:
        yield f"{one.step}: since night {one.first_night}, cause: {one.cause}"
        yield from (f"  {line}" for line in one.lines)


def _failed(night: Night) -> Iterator[str]:
    for stage in night.stages:
        if stage.state == "failed":
            yield f"{stage.name}: exit status {stage.status}, {stage.reason}"
    for check in night.checks:
        if check.verdict == "FAIL":
            yield f"{check.stage}: {check.code} {check.subject}: {check.reason}"


def _changed(night: Night) -> Iterator[str]:
    for change in night.changes:
        link = f"  {change.link}" if change.link else ""
        yield f"{change.what}: {change.first or 'nothing'} -> {change.second or 'nothing'}{link}"
