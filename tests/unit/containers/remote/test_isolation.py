"""What travels with an action to a worker, and what is read of its report."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from containers.action import WORK, Action, Mount
from containers.layout import MASKED, lay_out
from containers.policy import RULES, Limits
from containers.remote import isolation
from containers.remote.request import Report, Request
from containers.sandbox import arguments, system_call_filter
from reproducibility import digest, manifest, variations
from reproducibility.conditions import STANDARD, STDIN_LINE, Conditions
from reproducibility.errors import InfrastructureError
from reproducibility.manifest import Tree
from reproducibility.variations import VARIED


def _file(path: str, content: bytes = b"x", *, executable: bool = False) -> manifest.Entry:
    return manifest.file(path, digest.of_bytes(content), len(content), executable=executable)


ROOT = Tree([_file("bin/program", executable=True)])
INPUT = Tree([_file("file", b"some"), _file("tool", executable=True), manifest.directory("empty")])
TOOLS = Tree(
    [
        _file("launcher", executable=True),
        _file("bwrap", executable=True),
        _file("lib/ld-linux-x86-64.so.2", executable=True),
        _file("lib/libc.so.6"),
    ]
)


def request(where: Conditions = STANDARD, **limits: int) -> Request:
    action = Action(
        name="an action",
        command=("/bin/program", "an argument", WORK),
        environment=(("A", "1"),),
        directory=f"{WORK}/start",
        root=ROOT,
        mounts=(Mount(f"{WORK}/copy", INPUT, "private"), Mount("/input", INPUT)),
        outputs=("out", "b"),
        epoch=7,
        architecture="amd64",
    )
    placed = action.under(where).placed()
    mounts = tuple(sorted(placed.mounts, key=lambda mount: mount.at))
    return Request(placed, lay_out(placed), mounts, Limits(**limits).under(where))


def document(asked: Request) -> dict[str, Any]:
    content = isolation.wrap(asked, TOOLS).files["tools/request"].content
    assert isinstance(content, bytes)
    found: dict[str, Any] = json.loads(content)
    return found


def test_the_farm_starts_the_launcher_and_gets_all_that_it_needs() -> None:
    wrapped = isolation.wrap(request(), TOOLS)
    assert wrapped.arguments == ("./tools/launcher",)
    assert wrapped.files.keys() == {f"tools/{e.path}" for e in TOOLS} | {"tools/request"}
    assert wrapped.files["tools/bwrap"].executable
    assert wrapped.environment == ()


def test_the_same_action_is_the_same_bytes() -> None:
    assert isolation.wrap(request(), TOOLS) == isolation.wrap(request(), TOOLS)


@pytest.mark.parametrize("missing", ["launcher", "bwrap"])
def test_nothing_is_wrapped_without_the_tools(missing: str) -> None:
    less = TOOLS.where(lambda entry: entry.path != missing)
    with pytest.raises(InfrastructureError, match=missing):
        isolation.wrap(request(), less)


def test_a_machine_that_no_filter_is_known_for_gets_nothing() -> None:
    asked = request()
    other = replace(asked, action=replace(asked.action, architecture="s390x"))
    with pytest.raises(InfrastructureError, match="nothing can be isolated"):
        isolation.wrap(other, TOOLS)


def test_trees_are_told_as_the_launcher_is_to_find_them() -> None:
    found = document(request())
    whole = {
        "files": 2,
        "bytes": 5,
        "executables": ["tool"],
        "folders": ["empty"],
        "digest": INPUT.digest.hex,
    }
    root = {
        "files": 1,
        "bytes": 1,
        "executables": ["bin/program"],
        "folders": [],
        "digest": ROOT.digest.hex,
    }
    # In the order of their places: the root, what is read-only, what is private.
    assert found["trees"] == [
        {"at": "root", **root},
        {"at": "inputs/0", **whole},
        {"at": "inputs/1", **whole},
    ]
    assert found["copies"] == [{"tree": 2, "at": "copy"}]
    assert (found["epoch"], found["directories"]) == (7, ["start"])
    assert found["outputs"] == ["b", "out"]


def test_another_byte_in_a_tree_is_another_request() -> None:
    asked = request()
    other = Tree([_file("bin/program", b"y", executable=True)])
    assert (other.size, len(other)) == (ROOT.size, len(ROOT))
    changed = replace(asked, action=replace(asked.action, root=other))
    assert document(changed)["trees"][0] != document(asked)["trees"][0]


def test_tools_are_told_as_trees_are() -> None:
    assert document(request())["tools"] == {
        "at": "tools",
        "files": 4,
        "bytes": 4,
        "executables": ["bwrap", "launcher", "lib/ld-linux-x86-64.so.2"],
        "folders": [],
        "digest": TOOLS.digest.hex,
    }


def test_a_tree_is_named_as_the_launcher_names_it() -> None:
    """As in `launcher/copy_test.go`, which has the same tree and digest."""
    tree = Tree(
        [
            _file("a-b", b"1"),
            _file("a/b", b"2", executable=True),
            _file("a.c", b""),
            manifest.directory("a/d/e"),
            manifest.directory("z"),
            _file("ä/ö", bytes(range(256)) * 20),
        ]
    )
    named = "9a0f76966722000cb577004257987429dab7d8441b43c804b08388c5ecf1b218"
    assert isolation._tree("at", tree)["digest"] == named


def test_bubblewrap_gets_the_words_of_the_sandbox_engine() -> None:
    asked = request()
    found = document(asked)
    proc = [*arguments.proc((), ()), *({"cover": path} for path in arguments.HIDDEN)]
    assert found["options"] == arguments.for_action(
        asked.action, asked.layout, asked.limits, proc, mounting=True
    )
    covered = {
        part["cover"] for part in found["options"] if isinstance(part, dict) and part.get("cover")
    }
    assert set(MASKED) < covered
    assert {"place": 2, "below": ""} in found["options"]
    assert base64.b64decode(found["filter"]) == system_call_filter.compiled("amd64")


def test_conditions_are_told() -> None:
    found = document(request(replace(VARIED, stdin="pipe", domain="d", umask=0o077)))
    assert found["order_seed"] == VARIED.order_seed
    assert (found["stdin"], found["domain"], found["umask"]) == (STDIN_LINE.decode(), "d", 0o077)
    assert found["expected"]["host"] == VARIED.host
    assert found["expected"]["work"] == VARIED.work
    assert found["command"][-1] == VARIED.work
    assert document(request(replace(STANDARD, addresses="fixed")))["personality"] == 0x0040000
    assert document(request(replace(STANDARD, processors=1), cpus=3))["cpus"] == 1
    assert document(request(cpus=3))["cpus"] == 3
    # Else it would be the worker's.
    assert document(request())["domain"] == "(none)"
    assert document(request())["cpus"] == 0


def test_the_environment_that_the_probe_expects_is_the_action_s() -> None:
    assert document(request())["expected"]["environment"] == [
        *("A=1", "HOME=/nonexistent", "PWD=/work/start"),
    ]


def test_all_rules_must_hold_but_those_that_a_machine_may_lack_means_for() -> None:
    names = {rule.name for rule in RULES}
    lacking = names - {*document(request())["required"]}
    assert lacking == {"bounded-work", "cpus", "memory", "no-machine-paths", "processes"}


def test_filters_are_those_of_the_worker_s_architecture() -> None:
    asked = request()
    other = replace(asked, action=replace(asked.action, architecture="arm64"))
    assert document(other)["filter"] != document(asked)["filter"]


# -- reports -------------------------------------------------------------------------------------


def reported(**changes: object) -> dict[str, Any]:
    return {
        "schema": 1,
        "refused": "",
        "words": "",
        "status": 3,
        "ended_by": "",
        "milliseconds": 1500,
        "peak_memory": 4096,
        "cpus": 2,
        "unkept": {"path": "", "reason": ""},
        "rules": [
            {"rule": rule.name, "state": "enforced", "seen": f"seen {rule.name}"} for rule in RULES
        ],
        "worker": {
            "host": "node",
            "kernel": "6.1",
            "machine": "x86_64",
            "user": 1000,
            "group": 1000,
            "user_map": "0 0 4294967295",
            "folder": "/farm/x",
            "namespaces": {"user": "user:[1]"},
            "settings": {},
            "action_user": 1000,
            "room": "memory",
        },
        **changes,
    }


def read(document: dict[str, Any], worker: str = "w1") -> Report:
    return isolation.read_report(json.dumps(document).encode(), worker)


def test_what_was_observed_is_said_of_the_worker_that_it_was_observed_on() -> None:
    found = read(reported())
    assert [entry.rule for entry in found.enforcement] == sorted(rule.name for rule in RULES)
    (network,) = (entry for entry in found.enforcement if entry.rule == "no-network")
    assert network.state == "enforced"
    assert network.means == "observed on worker w1: seen no-network"
    assert (found.exit_status, found.seconds, found.peak_memory) == (3, 1.5, 4096)
    assert (found.machine, found.refusal, found.remedy) == ("node, Linux 6.1 x86_64", "", "")


def test_without_a_name_a_worker_has_its_host_s() -> None:
    assert all("on worker node: " in e.means for e in read(reported(), "").enforcement)


def test_what_a_worker_says_cannot_forge_lines() -> None:
    document = reported()
    document["rules"][0]["seen"] = "a\n\x1b[31mb"
    assert all("\x1b" not in e.means and "\n" not in e.means for e in read(document).enforcement)


def rules(states: dict[str, str]) -> list[dict[str, str]]:
    return [
        {"rule": rule.name, "state": states.get(rule.name, "enforced"), "seen": ""}
        for rule in RULES
    ]


def test_a_limit_without_means_is_said_and_an_action_runs_all_the_same() -> None:
    found = read(reported(rules=rules({"memory": "not enforced"})))
    assert {e.rule for e in found.enforcement if e.state == "not enforced"} == {"memory"}


@pytest.mark.parametrize("rule", isolation.REQUIRED)
def test_no_action_is_taken_that_ran_without_a_rule_that_must_hold(rule: str) -> None:
    with pytest.raises(InfrastructureError, match=rule) as caught:
        read(reported(rules=rules({rule: "not enforced"})))
    assert "worker w1" in caught.value.subject
    missing = [one for one in rules({}) if one["rule"] != rule]
    with pytest.raises(InfrastructureError, match="not those of the policy"):
        read(reported(rules=missing))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[1]",
        b"\xff",
        json.dumps(reported(schema=2)).encode(),
        json.dumps(reported(status=-1)).encode(),
        json.dumps(reported(ended_by="whim")).encode(),
        json.dumps(reported(more=1)).encode(),
        json.dumps(reported(rules=[{"rule": "x"}])).encode(),
    ],
)
def test_what_is_no_report_is_refused(data: bytes) -> None:
    with pytest.raises(InfrastructureError, match="nothing of the action is taken"):
        isolation.read_report(data, "w1")


def test_an_output_that_cannot_be_kept_is_named() -> None:
    found = read(reported(unkept={"path": "out/pipe", "reason": "neither a file nor a directory"}))
    assert found.unkept == "out/pipe: neither a file nor a directory"


def refused(code: str, words: str, **settings: str) -> Report:
    worker = {**reported()["worker"], "settings": settings}
    return read(reported(refused=code, words=words, rules=[], worker=worker, status=0))


@pytest.mark.parametrize(
    ("code", "words", "settings", "remedy"),
    [
        ("user-namespaces", "EPERM", {}, "seccomp=unconfined"),
        ("user-namespaces", "/proc/self/exe: ENOSPC", {}, "seccomp=unconfined"),
        (
            "user-namespaces",
            "EPERM",
            {"kernel.unprivileged_userns_clone": "0"},
            "sysctl kernel.unprivileged_userns_clone=1",
        ),
        (
            "user-namespaces",
            "ENOSPC",
            {"user.max_user_namespaces": "0"},
            "sysctl user.max_user_namespaces=10000",
        ),
        (
            "mounts",
            "mount tmpfs on /tmp: permission denied",
            {"kernel.apparmor_restrict_unprivileged_userns": "1"},
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("user-0", "user 0", {}, "unixUID"),
        ("bubblewrap", "bwrap: setting up uid map: Permission denied", {}, "unixUID"),
        ("bubblewrap", "bwrap: Can't mount proc on /newroot/proc: EPERM", {}, "systempaths"),
        ("proc", "mount proc on /proc: operation not permitted", {}, "systempaths"),
        ("room", "5 MiB", {}, "limits.memory"),
        ("inputs", "root has 2 files", {}, "clean the worker's folder"),
        ("ended", "signal: killed", {}, "the worker's log"),
        ("rules", "no-network: eth0", {}, "docs/limits.md"),
        ("whim", "anything", {}, "the worker's log"),
    ],
)
def test_a_refusal_says_why_and_what_would_help(
    code: str, words: str, settings: dict[str, str], remedy: str
) -> None:
    found = refused(code, words, **settings)
    assert words in found.refusal
    assert remedy in found.remedy


def test_it_says_of_every_variation_whether_it_can() -> None:
    found = isolation.capabilities(2)
    assert found.keys() == {*variations.NAMES}
    assert found["cpus"].refusal == ""
    assert isolation.capabilities(1)["cpus"].refusal != ""
