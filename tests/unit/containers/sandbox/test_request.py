"""The request to the launcher: what the policy promises is in bubblewrap's words."""

from __future__ import annotations

import json
import os
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from containers.action import Action, Mount
from containers.layout import MASKED, lay_out
from containers.policy import Limits, Share
from containers.sandbox import request, system_call_filter
from reproducibility import digest, manifest
from reproducibility.conditions import STANDARD, STDIN_LINE, Conditions
from reproducibility.manifest import Entry, Tree
from reproducibility.variations import VARIED

TREE = Tree([manifest.file("bin/program", digest.of_bytes(b"x"), 1, executable=True)])
OTHER = Tree([manifest.file("file", digest.of_bytes(b"y"), 1)])


class Folders:
    """Where trees would lie. `stops`: by what each was to be stopped."""

    def __init__(self) -> None:
        self.stops: list[Event | None] = []

    def path(self, entry: Entry) -> Path:
        return Path("/blobs", entry.digest)

    def checkout(self, tree: Tree, epoch: int, stop: Event | None = None) -> Path:
        self.stops.append(stop)
        return Path("/trees", f"{tree.digest.hex[:4]}-{epoch}")


def requested(
    where: Conditions = STANDARD,
    *,
    mounting: bool = False,
    in_memory: bool = False,
    **limits: int,
) -> dict[str, Any]:
    action = Action(
        name="an action",
        command=("/bin/program", "an argument"),
        environment=(("A", "1"),),
        directory=f"{where.work}/start",
        root=TREE,
        mounts=(Mount("/input", OTHER), Mount(f"{where.work}/copy", OTHER, "private")),
        outputs=(),
        epoch=7,
        architecture="amd64",
        conditions=where,
    )
    found = request.for_action(
        *("/bwrap", action, lay_out(action), Limits(**limits), Folders()),
        mounting=mounting,
        in_memory=in_memory,
        views=True,
    )
    json.dumps(found)
    return found


def text(arguments: list[Any]) -> str:
    words = [
        part if isinstance(part, str) else f"<{part.get('place')}:{part.get('below')}>"
        for part in arguments
    ]
    return " ".join(words)


def test_every_namespace_is_new_and_every_privilege_dropped() -> None:
    words = text(requested()["options"])
    for kind in ("user", "pid", "net", "ipc", "uts", "cgroup"):
        assert f"--unshare-{kind} " in words
    for option in ("--disable-userns", "--die-with-parent", "--new-session", "--cap-drop ALL"):
        assert option in words
    assert "--uid 65534 --gid 65534 --hostname builder" in words


def test_the_launcher_is_told_this_machine_s_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("containers.architecture.named", lambda _: "arm64")
    found = requested()
    assert (found["keyctl"], found["rt_sigaction"]) == (219, 134)


def test_mounts_come_in_the_order_that_they_need() -> None:
    found = requested(tmp=4096)
    words = text(found["options"])
    assert "--ro-bind <1:bin> /bin " in words
    assert "--perms 1777 --size 4096 --tmpfs /tmp --ro-bind <2:> /input --bind <0:> /work" in words
    assert "/work --remount-ro /dev --remount-ro / --chdir /work/start --clearenv" in words
    assert (found["program"], found["command"]) == ("/bwrap", ["/bin/program", "an argument"])
    assert " /sys" not in words


def test_the_environment_is_what_the_action_says() -> None:
    words = text(requested()["options"])
    assert "--setenv A 1 --setenv HOME /nonexistent --setenv PWD /work/start" in words
    assert words.count("--setenv") == 3


def test_sources_copies_and_folders() -> None:
    found = requested()
    root, other = TREE.digest.hex[:4], OTHER.digest.hex[:4]
    assert found["sources"] == [f"/trees/{root}-7", f"/trees/{other}-7", f"/trees/{other}-7"]
    assert found["copies"] == [{"source": 2, "at": "copy"}]
    assert found["directories"] == ["start"]
    assert found["tmpfs"] is None
    assert found["shuffled"] == []


def test_a_seed_puts_inputs_and_private_copies_on_a_tmpfs() -> None:
    found = requested(VARIED, work=1 << 30)
    assert found["order_seed"] == VARIED.order_seed
    assert found["shuffled"] == [1]
    assert found["tmpfs"]["work"] == 1 << 30
    assert found["tmpfs"]["inputs"] > OTHER.size


def test_the_times_of_inputs_are_those_of_their_checkouts_or_of_their_copies() -> None:
    root, other = TREE.digest.hex[:4], OTHER.digest.hex[:4]
    found = requested(Conditions(mtime=9))
    # The root keeps its own; a private copy is made anyway, and gets its times then.
    assert found["sources"] == [f"/trees/{root}-7", f"/trees/{other}-9", f"/trees/{other}-7"]
    assert (found["epoch"], found["shuffled"], found["tmpfs"]) == (9, [], None)
    both = requested(Conditions(mtime=9, order_seed=1))
    assert both["sources"] == [f"/trees/{root}-7", *[f"/trees/{other}-7"] * 2]
    assert (both["epoch"], both["shuffled"]) == (9, [1])


@pytest.mark.parametrize(
    ("conditions", "field", "usual", "varied"),
    [
        (Conditions(domain="d"), "domain", "", "d"),
        (Conditions(umask=0o077), "umask", 0o022, 0o077),
        (Conditions(addresses="fixed"), "personality", 0, 0x40000),
        (Conditions(kernel="2.6"), "personality", 0, 0x20000),
        (Conditions(kernel="2.6", addresses="fixed"), "personality", 0, 0x60000),
        (Conditions(stdin="pipe"), "stdin", "", STDIN_LINE.decode()),
    ],
)
def test_what_only_the_launcher_can_do_is_asked_of_it(
    conditions: Conditions, field: str, usual: object, varied: object
) -> None:
    before, found = requested(), requested(conditions)
    assert (before[field], found[field]) == (usual, varied)
    assert {**found, field: usual} == before


def test_what_can_be_mounted_is_bounded_by_the_kernel() -> None:
    found = requested(mounting=True, in_memory=True, work=1 << 30, tmp=1 << 20, files=77)
    assert found["tmpfs"] == {"inputs": 0, "work": 1 << 30, "tmp": 1 << 20, "files": 77}
    words = text(found["options"])
    assert "--bind <-1:> /tmp " in words
    assert "--tmpfs /tmp" not in words
    # With too little memory for the work directory.
    assert requested(mounting=True, tmp=1 << 20)["tmpfs"]["work"] == 0
    assert requested(VARIED, mounting=True, work=5)["tmpfs"]["work"] == 5


def test_limits_become_resource_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "spare_users", lambda: {"first": 1, "count": 1})
    found = requested(processes=10, memory=1000, work=2000)["limits"]
    assert found["RLIMIT_NPROC"] == 10
    assert found["RLIMIT_DATA"] == 1000
    assert found["RLIMIT_FSIZE"] == 2000
    assert found["RLIMIT_CORE"] == 0
    assert (found["RLIMIT_NICE"], found["RLIMIT_RTPRIO"]) == (0, 0)
    monkeypatch.setattr(request, "spare_users", lambda: None)
    assert requested(processes=10)["limits"]["RLIMIT_NPROC"] > 10
    monkeypatch.setattr(request, "counts_by_namespace", lambda: True)
    assert requested(processes=10, mounting=True)["limits"]["RLIMIT_NPROC"] == 10
    monkeypatch.setattr(request, "counts_by_namespace", lambda: False)
    assert requested(processes=10, mounting=True)["limits"]["RLIMIT_NPROC"] > 10


@pytest.mark.parametrize(
    ("release", "wanted"),
    [("6.18.44-fc", True), ("5.14.0-362.el9", True), ("5.13.19", False), ("4.18.0", False)],
)
def test_since_when_the_kernel_counts_by_namespace(
    monkeypatch: pytest.MonkeyPatch,
    release: str,
    wanted: bool,
) -> None:
    machine = SimpleNamespace(release=release)
    monkeypatch.setattr(os, "uname", lambda: machine)
    assert request.counts_by_namespace() == wanted


def test_processors_are_given_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 5})
    assert request.processors(0, 3) == []
    assert request.processors(4, 3) == []
    assert request.processors(9, 3) == []
    assert [request.processors(2, number) for number in range(3)] == [[0, 1], [2, 5], [0, 1]]
    assert [request.processors(3, number) for number in (0, 1)] == [[0, 1, 2], [0, 1, 5]]


def test_an_action_keeps_to_its_share_of_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 5, 7})
    parts = [request.processors(0, 9, Share(number, 2)) for number in range(2)]
    assert parts == [[0, 1], [2, 5, 7]]
    assert request.processors(1, 9, Share(1, 2)) == [2]
    assert request.processors(4, 9, Share(0, 2)) == [0, 1]
    # The only part is all of them; a part without a processor is none.
    assert request.processors(0, 9, Share(0, 1)) == [0, 1, 2, 5, 7]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})
    assert [request.processors(0, 9, Share(number, 2)) for number in range(2)] == [[], [3]]


@pytest.mark.parametrize(
    ("user", "mapping", "wanted"),
    [
        (1000, "0 0 4294967295\n", None),
        (0, "         0          0 4294967295\n", {"first": 0x70000000, "count": 0x400000}),
        (0, "0 100000 65536\n", {"first": 61184, "count": 4000}),
        (0, "0 1000 1\n1 100000 65535\n", {"first": 61184, "count": 4000}),
        (0, "0 1000 1\n", None),
    ],
)
def test_users_that_nobody_has(
    monkeypatch: pytest.MonkeyPatch, user: int, mapping: str, wanted: dict[str, int] | None
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(Path, "read_text", lambda *_: mapping)
    assert request.spare_users() == wanted


def test_the_trial_is_made_in_the_same_way() -> None:
    found = request.for_check("/bwrap", Limits())
    words = text(found["options"])
    assert "--disable-userns" in words
    assert "--ro-bind / /" in words
    assert (found["program"], found["command"]) == ("/bwrap", ["/bwrap", "--version"])
    assert found["filter"] == requested()["filter"]


def test_the_first_process_and_the_machines_keys_are_covered() -> None:
    words = text(requested()["options"])
    assert "--proc /proc " in words
    assert "--tmpfs /proc/1 --remount-ro /proc/1 " in words
    for path in (*MASKED, "/proc/sys/kernel/core_pattern"):
        assert (f" {path} " in words) == Path(path).exists()


def test_system_calls_are_filtered() -> None:
    instructions = bytes.fromhex(requested()["filter"])
    assert instructions == system_call_filter.compiled()
    assert len(instructions) % 8 == 0


def test_the_making_of_every_checkout_can_be_stopped() -> None:
    mounts = (Mount("/input", OTHER), Mount("/work/copy", OTHER, "private"))
    action = Action("an action", ("/bin/program",), (), "/work", TREE, mounts, (), 7, "amd64")
    folders, stop = Folders(), Event()
    request.for_action("/bwrap", action, lay_out(action), Limits(), folders, stop=stop)
    assert folders.stops == [stop, stop, stop]
