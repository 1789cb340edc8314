"""Telling somebody of a night: when, what, by which programs, and what comes of their failures."""

from __future__ import annotations

import email
import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from orchestrator.history.model import Check, InputChange, Stage, Varying, dumps, parse
from orchestrator.history.words import Word
from orchestrator.nightly import telling
from orchestrator.nightly.config import Notify
from reproducibility import digest as digests
from tests.unit.orchestrator.nightly.samples import night

if TYPE_CHECKING:
    from collections.abc import Sequence
    from email.message import Message
    from pathlib import Path

KEY = digests.of_bytes(b"key")
BAD = night(12, Word.NOT_DETERMINISTIC).model_copy(
    update={
        "line": "commands/amd64 made something else of the same",
        "notes": ("nothing could be locked anew",),
        "varying": (
            Varying(
                step="commands/amd64",
                key=KEY,
                first=KEY,
                second=None,
                seen="audit",
                first_night=12,
                cause="time",
                lines=("at byte 12: a time", "tricky \x1b[31m\nSubject: forged"),
            ),
        ),
        "changes": (
            InputChange(what="kernel.amd64", first="6.12.1", second="6.12.2", link="https://a/b"),
            InputChange(what="uname", first=None, second="1", link=""),
        ),
        "checks": (
            Check(stage="audit", code="audit.differs", subject="x", verdict="FAIL", reason="why"),
            Check(stage="build", code="release.proved", subject="y", verdict="PASS", reason="ok"),
        ),
        "stages": (
            Stage(name="audit", state="failed", status=1, seconds=1.0, reason="FAIL", command=()),
        ),
    }
)


# -- when ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "word", "before", "expected"),
    [
        ("always", Word.UNCHANGED, Word.UNCHANGED, True),
        ("changes", Word.UNCHANGED, Word.UNCHANGED, False),
        ("changes", Word.UNCHANGED, None, True),
        ("changes", Word.UNCHANGED, Word.BOOT_FAILED, True),
        ("changes", Word.BOOT_FAILED, Word.BOOT_FAILED, False),
        ("bad", Word.BOOT_FAILED, Word.BOOT_FAILED, True),
        ("bad", Word.INFRASTRUCTURE, None, True),
        ("bad", Word.INPUTS_CHANGED, Word.BOOT_FAILED, False),
    ],
)
def test_who_is_told_when(when: str, word: Word, before: Word | None, expected: bool) -> None:
    notify = Notify.model_validate({"when": when})
    assert telling.due(notify, night(3, word), before) is expected


# -- what ------------------------------------------------------------------------------------------


def test_the_text_says_what_somebody_must_know_and_where_to_look() -> None:
    told = telling.text(BAD, "https://builds.example.org/nights/12/")
    assert told.splitlines() == [
        "not-deterministic: a step that was given the same made something else",
        "commands/amd64 made something else of the same",
        "night 12, 2026-01-12; so since night 12",
        "",
        "Notes:",
        "  nothing could be locked anew",
        "",
        "Not deterministic:",
        "  commands/amd64: since night 12, cause: time",
        "    at byte 12: a time",
        r"    tricky \x1b[31m\nSubject: forged",
        "",
        "Failed:",
        "  audit: exit status 1, FAIL",
        "  audit: audit.differs x: why",
        "",
        "Changed:",
        "  kernel.amd64: 6.12.1 -> 6.12.2  https://a/b",
        "  uname: nothing -> 1",
        "",
        "https://builds.example.org/nights/12/",
    ]


def test_a_good_night_is_short() -> None:
    assert len(telling.text(night(3), "").splitlines()) == 3


def test_long_lists_and_lines_are_cut() -> None:
    notes = tuple(f"{number} " + "x" * 999 for number in range(50))
    lines = telling.text(night(3).model_copy(update={"notes": notes}), "").splitlines()
    assert lines[-1] == "  and 30 more"
    assert max(map(len, lines)) < 220


def parsed(data: bytes) -> tuple[Message, str]:
    found = email.message_from_bytes(data)
    body = found.get_payload(decode=True)
    assert isinstance(body, bytes)
    return found, body.decode()


def test_the_mail_has_its_headers_and_no_others() -> None:
    head, body = telling.subject(BAD), telling.text(BAD, "")
    found, text = parsed(telling.message("builds@example.org", head, body))
    assert found["Subject"] == "[sourcery] night 12: not-deterministic since night 12"
    assert found["To"] == "builds@example.org"
    assert found["Auto-Submitted"] == "auto-generated"
    assert {name.lower() for name in found} == {
        "to", "subject", "auto-submitted", "mime-version", "content-type",
        "content-transfer-encoding",
    }  # fmt: skip
    assert text == body


def test_a_local_user_and_other_letters_go_through() -> None:
    found, text = parsed(telling.message("root", "s", "größer\n.\n" + "x" * 2000 + "\n"))
    assert found["To"] == "root"
    assert text == "größer\n.\n" + "x" * 2000 + "\n"


# -- by which programs -----------------------------------------------------------------------------


def script(path: Path, text: str) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def environment(folder: Path, *first: Path) -> dict[str, str]:
    return {"OUT": str(folder), "PATH": os.pathsep.join([*map(str, first), os.environ["PATH"]])}


RECEIVED = 'cat > "$OUT/stdin"; env > "$OUT/env"; printf "%s\\n" "$@" > "$OUT/words"'


def test_a_command_gets_the_night_and_its_word(tmp_path: Path) -> None:
    program = script(tmp_path / "tell", RECEIVED)
    notify = Notify(command=(program, "a b", "$HOME"))
    assert telling.tell(notify, BAD, page="", environment=environment(tmp_path)) == ()
    assert (tmp_path / "stdin").read_bytes() == dumps(BAD)
    variables = (tmp_path / "env").read_text().splitlines()
    assert "SOURCERY_NIGHT_WORD=not-deterministic" in variables
    assert "SOURCERY_NIGHT_NUMBER=12" in variables
    assert (tmp_path / "words").read_text() == "a b\n$HOME\n"


def test_a_mail_goes_through_sendmail(tmp_path: Path) -> None:
    script(tmp_path / "bin" / "sendmail", RECEIVED)
    notify = Notify(mail="builds@example.org")
    given = environment(tmp_path, tmp_path / "bin")
    assert telling.tell(notify, BAD, page="/site/12/", environment=given) == ()
    assert (tmp_path / "words").read_text() == "-t\n-i\n"
    found, text = parsed((tmp_path / "stdin").read_bytes())
    assert found["To"] == "builds@example.org"
    assert text == telling.text(BAD, "/site/12/")


def told(tmp_path: Path, command: Sequence[str], seconds: int = 60) -> str:
    """The one note of telling by a command that fails."""
    notify = Notify(command=tuple(command)).model_copy(update={"seconds": seconds})
    (note,) = telling.tell(notify, BAD, page="", environment=environment(tmp_path))
    return note


def test_who_cannot_be_told_is_a_note(tmp_path: Path) -> None:
    failing = script(tmp_path / "fail", "echo no route >&2; exit 3")
    note = told(tmp_path, [failing])
    assert "ended with exit status 3: no route" in note
    assert "cannot start" in told(tmp_path, [str(tmp_path / "nowhere")])
    assert "somebody was not told" in told(tmp_path, ["a\0b"])


def test_a_program_that_does_not_end_is_ended(tmp_path: Path) -> None:
    hanging = script(tmp_path / "hang", "exec tail -f /dev/null")
    assert "was still running after 0 s and was ended" in told(tmp_path, [hanging], 0)


def test_a_program_that_reads_nothing_is_no_failure(tmp_path: Path) -> None:
    many = night(3).model_copy(update={"notes": ("x" * 200_000,)})
    notify = Notify(command=("true",))
    assert telling.tell(notify, many, page="", environment=environment(tmp_path)) == ()


def test_what_a_program_writes_without_end_fills_nothing(tmp_path: Path) -> None:
    writing = script(tmp_path / "write", "yes; exit 3")
    assert "was still running after 1 s and was ended" in told(tmp_path, [writing], 1)
    much = script(tmp_path / "much", "yes | head -c 9000000 >&2; echo the end >&2; exit 3")
    note = told(tmp_path, [much])
    assert note.endswith("y\nthe end")
    assert len(note) < 5000


def test_what_a_program_leaves_running_holds_nobody_up(tmp_path: Path) -> None:
    leaving = script(tmp_path / "leave", "tail -f /dev/null & echo $! > $OUT/pid; exit 0")
    notify = Notify(command=(leaving,))
    try:
        assert telling.tell(notify, BAD, page="", environment=environment(tmp_path)) == ()
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def test_the_words_of_a_command_are_not_said(tmp_path: Path) -> None:
    hanging = script(tmp_path / "hang", "exec tail -f /dev/null")
    address = "https://chat.example.org/hooks/hunter2"
    for command, seconds in (([hanging, address], 0), ([str(tmp_path / "none"), address], 60)):
        assert "hunter2" not in told(tmp_path, command, seconds)


def test_what_kept_a_night_from_its_end_is_told(tmp_path: Path) -> None:
    program = script(tmp_path / "tell", RECEIVED)
    script(tmp_path / "bin" / "sendmail", 'cat > "$OUT/mail"')
    notify = Notify(command=(program,), mail="root")
    given = environment(tmp_path, tmp_path / "bin")
    assert telling.tell_of_error(notify, "disk\nfull\x1b", environment=given) == ()
    document = json.loads((tmp_path / "stdin").read_bytes())
    assert (document["word"], document["number"]) == ("infrastructure", None)
    assert document["line"] == r"a night could not be carried out to its end: disk\nfull\x1b"
    _, text = parsed((tmp_path / "mail").read_bytes())
    assert document["line"] in text


def test_one_way_that_fails_leaves_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "_SENDMAIL_FOLDERS", ())
    program = script(tmp_path / "tell", RECEIVED)
    notify = Notify(command=(program,), mail="root")
    given = {"OUT": str(tmp_path), "PATH": str(tmp_path / "none")}
    (note,) = telling.tell(notify, BAD, page="", environment={**given, "PATH": "/nowhere"})
    assert note == "root was not told: sendmail is not installed here"
    failing = script(tmp_path / "fail", "exit 1")
    script(tmp_path / "bin" / "sendmail", RECEIVED)
    both = Notify(command=(failing,), mail="root")
    given = environment(tmp_path, tmp_path / "bin")
    assert len(telling.tell(both, BAD, page="", environment=given)) == 1
    assert b"To: root" in (tmp_path / "stdin").read_bytes()


def test_without_a_way_nobody_is_told() -> None:
    assert telling.tell(Notify(), BAD, page="", environment={}) == ()


# -- a night that was ended before its end ---------------------------------------------------------


def test_a_night_that_was_killed_is_told_by_the_unit_of_its_failure(tmp_path: Path) -> None:
    program = script(tmp_path / "tell", RECEIVED)
    script(tmp_path / "bin" / "sendmail", 'cat > "$OUT/mail"')
    notify = Notify(command=(program,), mail="root")
    monitor = {
        "MONITOR_SERVICE_RESULT": "timeout",
        "MONITOR_EXIT_CODE": "killed",
        "MONITOR_EXIT_STATUS": "TERM",
        "MONITOR_UNIT": "sourcery-nightly.service",
        "MONITOR_INVOCATION_ID": "ab" * 16,
    }
    given = environment(tmp_path, tmp_path / "bin")
    assert telling.tell_of_failure(notify, monitor, told_itself, environment=given) == ()
    document = json.loads((tmp_path / "stdin").read_bytes())
    assert (document["word"], document["number"]) == ("infrastructure", None)
    assert "SOURCERY_NIGHT_WORD=infrastructure" in (tmp_path / "env").read_text().splitlines()
    found, text = parsed((tmp_path / "mail").read_bytes())
    assert found["Subject"] == "[sourcery] a night was ended before its end"
    assert "sourcery-nightly.service was ended before its end: timeout (exit status TERM)" in text
    assert f"journalctl _SYSTEMD_INVOCATION_ID={'ab' * 16}" in text


RUN = "ab" * 16


def told_itself(run: str) -> bool:
    """Whether a run told of itself."""
    return run == RUN


def test_a_night_that_came_to_its_end_told_of_itself(tmp_path: Path) -> None:
    notify = Notify(command=(script(tmp_path / "tell", RECEIVED),))
    for word in Word:
        monitor = {
            "MONITOR_SERVICE_RESULT": "exit-code",
            "MONITOR_EXIT_STATUS": str(word.status),
            "MONITOR_INVOCATION_ID": RUN,
        }
        given = environment(tmp_path)
        assert telling.tell_of_failure(notify, monitor, told_itself, environment=given) == ()
        assert not (tmp_path / "stdin").exists()


@pytest.mark.parametrize(
    "monitor",
    [
        {},
        # Of a program that does not even find its modules.
        {"MONITOR_SERVICE_RESULT": "exit-code", "MONITOR_EXIT_STATUS": "1"},
        {"MONITOR_SERVICE_RESULT": "exit-code", "MONITOR_EXIT_STATUS": "2"},
        {
            "MONITOR_SERVICE_RESULT": "exit-code",
            "MONITOR_EXIT_STATUS": "4",
            "MONITOR_INVOCATION_ID": "cd" * 16,
        },
        {"MONITOR_SERVICE_RESULT": "oom-kill", "MONITOR_INVOCATION_ID": RUN},
        {"MONITOR_SERVICE_RESULT": "signal", "MONITOR_EXIT_STATUS": "KILL"},
    ],
)
def test_everything_else_is_told(tmp_path: Path, monitor: dict[str, str]) -> None:
    notify = Notify(command=(script(tmp_path / "tell", RECEIVED),))
    given = environment(tmp_path)
    assert telling.tell_of_failure(notify, monitor, told_itself, environment=given) == ()
    assert (tmp_path / "stdin").exists()


def test_the_sample_is_a_night() -> None:
    assert parse(dumps(BAD)) == BAD
