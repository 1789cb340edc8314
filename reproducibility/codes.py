"""Registry of check codes: every kind of check, and what can come of it, in one line each.

Codes are stable: a policy names them, and a later version gives an outcome that it already has the
same code. `docs/checks.md` is this table for people. Only this module declares kinds of checks.
"""

from __future__ import annotations

from typing import Any

from reproducibility.compare import DIFFERS, NOTHING, SAME, CheckKind, Code

_KINDS: list[CheckKind] = []


def _kind(
    code: str,
    name: str,
    *,
    passes: dict[str, str],
    skips: dict[str, str] | None = None,
    fails: dict[str, str],
) -> CheckKind:
    made = CheckKind(code, name, passes, skips or {}, fails)
    _KINDS.append(made)
    return made


def _of_trees(code: str, name: str, same: str, differs: str, **more: Any) -> CheckKind:  # noqa: ANN401 - tables as below
    """A kind of check that compares two trees."""
    nothing = "there was no file to compare"
    fails = {DIFFERS: differs, NOTHING: nothing, **more.pop("fails", {})}
    return _kind(code, name, passes={SAME: same, **more.pop("passes", {})}, fails=fails, **more)


FIXED_POINT = _of_trees(
    "fixed-point",
    "F1 == F2",
    "the toolchain built by T1 and the one built by F1, under other conditions, are the same",
    "a program of F2 is not what F1 has",
)
GENERATED = _of_trees(
    "generated-source",
    "generated source == published source",
    "the source after cmd/dist's work is the published one",
    "a source file after cmd/dist's work is not the published one",
)
HELPERS = _of_trees(
    "recorder",
    "recorder by T1 == recorder by F1",
    "recorder and observer are the same, built by T1 and by F1",
    "recorder or observer come out otherwise when F1 builds them",
)
CROSS_AGAIN = _of_trees(
    "cross-build",
    "cross by F1 == cross by F2",
    "an architecture's toolchain is the same, built by F1 and by F2",
    "an architecture's toolchain comes out otherwise when F2 builds it",
)
VARIATION = _kind(
    "variation",
    "variation",
    passes={"varied": "F1 and F2 saw different values of this condition"},
    skips={
        "not-recorded": "what F1 or F2 saw was not written down by the run that made it",
        "one-processor": "the engine gives an action one processor, which has no half",
        "unable": "the engine cannot apply this variation",
    },
    fails={"no-effect": "F1 and F2 saw the same value: the variation was not applied"},
)
CONDITIONS = _of_trees(
    "conditions",
    "under other conditions",
    "a step gave the same under other conditions",
    "a step gave other files under other conditions",
    skips={"unable": "the engine cannot apply one of the conditions"},
    fails={
        "words": "a step said other words, which later steps use, under other conditions",
        "failed": "a step ended with an error under other conditions",
        "other-result": "the store remembers other outputs of a step than the build's result names",
    },
)
SEEN = _kind(
    "audit-variation",
    "varied in an audit",
    passes={"seen": "a program inside saw another value than under the build's conditions"},
    skips={
        "input": "it was seen; but some steps have it as an input, and were run without it",
        "not-asked": "the audit was asked to leave this variation out",
        "not-recorded": "it was seen; but the build did not record what some steps had of it",
        "not-run": "no action was run with it",
        "one-processor": "the engine gives an action one processor, which has no half",
        "unable": "the engine cannot apply this variation",
    },
    fails={"no-effect": "a program inside saw the same value: the variation was not applied"},
)
COMPUTED = _kind(
    "computed-again",
    "computed again in another process",
    passes={SAME: "another process in other surroundings computed the same"},
    fails={
        DIFFERS: "another process computed something else than the build's result names",
        "failed": "another process could not compute it",
        "same-surroundings": "the other process had surroundings that should have been varied",
    },
)
OUTPUT_FILE = _kind(
    "output-file",
    "file beside the result == as the result says",
    passes={SAME: "the file in the output folder has the digest that the result names"},
    fails={DIFFERS: "the file in the output folder is another one than the result names, or gone"},
)
COVERAGE = _kind(
    "audit-coverage",
    "covered by the audit",
    passes={"whole": "every step of the build was audited"},
    skips={"part": "some steps of the build were not audited; it says how many"},
    fails={"nothing": "no step of the build was audited"},
)
FROM_INPUTS = _of_trees(
    "from-inputs",
    "built from the inputs again",
    "a step gave the same in a build from the inputs under other conditions",
    "a step gave other files in a build from the inputs under other conditions",
    fails={
        "words": "a step said other words, which later steps use, in that build",
        "failed": "a step of that build failed, so it did not come to its end",
    },
)
NATIVE = _of_trees(
    "native-build",
    "built by its own programs == cross build",
    "a foreign toolchain, run as its own programs, builds itself as the cross build did",
    "a foreign toolchain, run as its own programs, builds something else than the cross build",
    skips={"not-run": "the audit's time was used up before its turn came"},
    fails={
        "failed": "a foreign toolchain ended with an error when it built itself",
        "other-result": "the store has other outputs than the build's result names: nothing is run",
    },
)
RELEASE = _kind(
    "release",
    "== published release",
    passes={SAME: "our files have the module hash of the published toolchain"},
    skips={"absent-record": "the public log has no record of the published toolchain"},
    fails={DIFFERS: "our files have another module hash than the published toolchain"},
)
LINK = _kind(
    "root-link",
    "link of the second root == published release",
    passes={SAME: "what a link of the second root made has the module hash of that release"},
    skips={"absent-record": "the public log has no record of that release"},
    fails={DIFFERS: "what a link of the second root made has another module hash"},
)
SECOND_ROOT = _of_trees(
    "second-root",
    "by the second root == F1",
    "the chain from the second root ends in the toolchain that the build has",
    "the chain from the second root ends in another program than the build has",
    skips={
        "not-pinned": "the second root is not published for this machine, as the lock says",
        "not-run": "the audit's time was used up before its turn came",
    },
    fails={
        "other-result": "the store has other outputs than the build's result names: nothing is run"
    },
)
LOG = _kind(
    "transparency-log",
    "in the transparency log",
    passes={"proved": "the record's inclusion proof leads to a tree head that the log signed"},
    fails={
        "not-asked": "the lock says nothing of the log's record",
        "not-proved": "the record, its proof or the log's signature does not hold",
        "other-hash": "the lock pins another module hash than the log recorded",
    },
)
SOURCE = _kind(
    "source",
    "source == published module",
    passes={SAME: "a source's files are those that the log recorded, and those on the stick"},
    skips={
        "absent-record": "the public log has no record of the module",
        "not-at-hand": "the store has neither the module's zip nor its files",
    },
    fails={
        "other-hash": "the module's files have another module hash than the log recorded",
        DIFFERS: "files on the stick are not the published ones",
    },
)
REBUILD = _of_trees(
    "rebuild",
    "built again",
    "a step gave the same outputs as its earlier result",
    "a step gave other outputs than its earlier result",
    passes={"nothing-to-do": "a step has nothing to do, by steps that gave the same again"},
    skips={
        "no-earlier-result": "there is no earlier result to compare with",
        "unreadable-result": "there is an earlier result, and it cannot be read",
        "needs-not-compared": "a step has nothing to do, by steps that were not compared",
    },
    fails={
        "other-output": "a step wrote other words to standard output, which later steps use",
        "needs-differ": "a step has nothing to do, by steps that differ from their results",
    },
)
IMAGE_AGAIN = _kind(
    "image-again",
    "image made twice",
    passes={SAME: "another process in other surroundings made the same image"},
    fails={
        DIFFERS: "another process made another image or another tree",
        "same-surroundings": "the other process had surroundings that should have been varied",
    },
)
IMAGE_READ_BACK = _of_trees(
    "image-read-back",
    "read back by pyfatfs == root",
    "pyfatfs reads the root's files, label, volume ID and times from the image",
    "pyfatfs reads other files from the image than the root has",
    fails={
        "unreadable": "pyfatfs cannot read the image",
        "other-fields": "the image's label, volume ID or times are not as they should be",
    },
)
IMAGE_BYTES = _kind(
    "image-bytes",
    "every other byte == as the root and the parameters say",
    passes={SAME: "every byte beside the files' content is as it should be"},
    fails={DIFFERS: "a byte beside the files' content is not as it should be"},
)
ARCHIVE_READ_BACK = _kind(
    "archive-read-back",
    "archive read back == root",
    passes={SAME: "another program reads the root from the archive, field by field"},
    fails={DIFFERS: "the archive is not the root's, or cannot be read"},
)
BOOT_IMAGE = _kind(
    "boot-image",
    "image unchanged",
    passes={SAME: "booting left the image as it was"},
    fails={
        "changed": "the image is another one after booting",
        "not-as-built": "the image is not the one that its build made",
    },
)
BOOT_ARCHIVE = _kind(
    "boot-archive",
    "archive as built",
    passes={SAME: "the archive that is started is the one that its build made"},
    skips={"unknown-digest": "the build does not say what the archive should be"},
    fails={DIFFERS: "the archive is not the one that its build made"},
)
BOOT_PROMPT = _kind(
    "boot-prompt",
    "boots to a prompt",
    passes={"reached": "the machine came up to the shell's prompt"},
    fails={"not-reached": "the machine did not come up to the shell's prompt"},
)
BOOT_POWER_OFF = _kind(
    "boot-poweroff",
    "powers off",
    passes={"off": "the machine went off by itself after `poweroff`"},
    fails={"not-off": "the machine was not off in time, or ended before that"},
)
BOOT_LISTING = _kind(
    "boot-listing",
    "lists the root",
    passes={"holds": "`ls /` names the folders of the root"},
    fails={"fails": "`ls /` does not name the folders of the root"},
)
BOOT_PIPE = _kind(
    "boot-pipe",
    "a pipe of two commands",
    passes={"holds": "a pipe of two commands gives the Go version"},
    fails={"fails": "a pipe of two commands does not give the Go version"},
)
BOOT_COMPILES_ONCE = _kind(
    "boot-compiles-once",
    "compiles a command once",
    passes={"holds": "a command is compiled when it is first run, and found compiled after that"},
    fails={"fails": "a command was not compiled once and found compiled after that"},
)
BOOT_GO_VERSION = _kind(
    "boot-go-version",
    "go version",
    passes={"holds": "`go version` names the machine's architecture"},
    fails={"fails": "`go version` does not name the machine's architecture"},
)
BOOT_PROGRAM = _kind(
    "boot-program",
    "builds a program typed in",
    passes={"holds": "a program that was typed in is built and runs"},
    fails={"fails": "a program that was typed in is not built, or gives other words"},
)
CONTENT = _of_trees(
    "content",
    "content",
    "two files or two folders are the same",
    "two files or two folders differ",
)

KINDS = tuple(_KINDS)
CODES: dict[str, Code] = {str(code): code for kind in KINDS for code in kind.codes.values()}


def find(text: str) -> Code:
    """The code that a text such as `release.absent-record` is.

    Raises:
        KeyError: there is no such code.
    """
    return CODES[text]
