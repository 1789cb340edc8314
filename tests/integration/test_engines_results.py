"""What goes into an action and what comes out: the same on every engine, and nothing beside it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from containers.action import Mount
from containers.policy import Limits
from reproducibility import manifest
from reproducibility.conditions import STANDARD
from reproducibility.errors import InfrastructureError, InputError
from reproducibility.variations import VARIED
from tests.integration.engine_fixtures import ENGINES, EPOCH, Bench

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reproducibility.conditions import Conditions
    from tests.integration.engine_fixtures import Builder, Engines

_MANY = {f"name-{number:02}": str(number) for number in range(40)}


def test_declared_outputs_come_out_and_nothing_else(bench: Bench) -> None:
    outputs = ("out", "single", "missing", "out/plain", "missing/too")
    outcome = bench.run(bench.builder.action("produce", outputs=outputs))
    assert (outcome.exit_status, outcome.ended_by) == (0, "")
    tree = manifest.scan(outcome.outputs)
    assert [(entry.path, entry.kind, entry.executable, entry.size) for entry in tree] == [
        ("out/again", "file", False, 5),
        ("out/deep/er/file", "file", False, 6),
        ("out/dé ñ", "file", False, 24),
        ("out/empty", "directory", False, 0),
        ("out/large", "file", False, 5 << 18),
        ("out/plain", "file", False, 5),
        ("out/program", "file", True, 7),
        ("single", "file", False, 3),
    ]
    assert {entry.name for entry in outcome.outputs.parent.iterdir()} == {
        *("outputs", "stdout", "stderr"),
    }
    modes = {path.stat().st_mode & 0o7777 for path in outcome.outputs.rglob("*") if path.is_file()}
    assert modes == {0o644, 0o755}
    folders = {path.stat().st_mode & 0o7777 for path in outcome.outputs.rglob("*") if path.is_dir()}
    assert folders == {0o755}


def test_an_output_below_another_folder_comes_out_alone(bench: Bench) -> None:
    outcome = bench.run(bench.builder.action("produce", outputs=("out/deep/er", "out/program")))
    assert [entry.path for entry in manifest.scan(outcome.outputs)] == [
        *("out/deep/er/file", "out/program"),
    ]


def test_links_are_not_followed(bench: Bench) -> None:
    outputs = ("out", "link", "behind/file")
    outcome = bench.run(bench.builder.action("links", outputs=outputs))
    assert outcome.exit_status == 0
    assert {path.name for path in outcome.outputs.iterdir()} == {"out", "link"}
    assert (outcome.outputs / "link").is_symlink()
    assert (outcome.outputs / "out" / "root").is_symlink()
    with pytest.raises(InputError, match="neither a file nor a directory"):
        manifest.scan(outcome.outputs)


def test_exit_status_and_signals_are_told(bench: Bench) -> None:
    assert bench.run(bench.builder.action("exit", "7")).exit_status == 7
    failed = bench.run(bench.builder.action("nonsense"))
    assert failed.exit_status == 64
    assert failed.stderr.read_text() == "probe: no such command\n"
    assert failed.stdout.read_text() == ""


def test_a_command_that_is_not_there_is_not_a_failed_action(bench: Bench) -> None:
    with pytest.raises(InfrastructureError, match=r"(?i)no such file"):
        bench.run(bench.builder.action("/bin/absent"))


def test_logs_are_cut_without_a_deadlock(bench: Bench) -> None:
    limits = Limits(log=10_000, seconds=60)
    outcome = bench.run(bench.builder.action("flood", str(8 << 20)), limits=limits)
    assert outcome.exit_status == 0
    for log in (outcome.stdout, outcome.stderr):
        assert log.stat().st_size == 10_000
        assert log.read_bytes().startswith(b"xxxx")
        assert log.read_bytes().endswith(b"[cut at 10000 of 8388608 bytes]\n")


@pytest.mark.parametrize("where", [STANDARD, VARIED], ids=["standard", "varied"])
def test_inputs_have_fixed_modes_and_times(bench: Bench, where: Conditions) -> None:
    tree = bench.input({"file": "content", "folder/inner": "inner"})
    private = f"{where.work}/a/copy"
    mounts = (Mount("/input/deep", tree), Mount(private, tree, "private"))
    seen = bench.probe("modes", "/input/deep", private, mounts=mounts, conditions=where)
    assert {path: entry["Data"] for path, entry in seen.items() if entry["Data"]} == {
        "/input/deep/file": "content",
        "/input/deep/folder/inner": "inner",
        f"{private}/file": "content",
        f"{private}/folder/inner": "inner",
    }
    assert {entry["Time"] for entry in seen.values()} == {EPOCH}
    assert seen["/input/deep/file"]["Mode"] == "-r--r--r--"
    assert seen["/input/deep/folder"]["Mode"] == "drwxr-xr-x"
    assert seen[f"{private}/file"]["Mode"] == "-rw-r--r--"
    assert seen[private]["Owner"] == where.user


@pytest.mark.parametrize("where", [STANDARD, VARIED], ids=["standard", "varied"])
def test_private_copies_can_be_written_and_taken(bench: Bench, where: Conditions) -> None:
    tree = bench.input({"file": "content"})
    work = where.work
    action = bench.builder.action(
        *("fill", f"{work}/copy/new", "1"),
        mounts=(Mount(f"{work}/copy", tree, "private"),),
        directory=f"{work}/copy",
        outputs=("copy",),
        conditions=where,
    )
    outcome = bench.run(action)
    assert outcome.exit_status == 0, outcome.stderr.read_text()
    assert [entry.path for entry in manifest.scan(outcome.outputs)] == ["copy/file", "copy/new"]


def test_nested_mounts_and_starting_directories(bench: Bench) -> None:
    tree = bench.input({"file": "content", "inner/": ""})
    inner = bench.input({"deep": "deeper"})
    mounts = (
        *(Mount("/outer", tree), Mount("/outer/inner", inner), Mount("/bin/more", inner)),
        *(Mount("/work/below", inner), Mount("/tmp/there", inner)),  # noqa: S108 - a path inside
    )
    places = ("/outer", "/bin/more", "/work/below", "/tmp/there")  # noqa: S108 - paths inside
    seen = bench.probe("modes", *places, mounts=mounts, directory="/work/start/here")
    assert seen["/outer/inner/deep"]["Data"] == "deeper"
    assert seen["/bin/more/deep"]["Data"] == "deeper"
    assert seen["/work/below/deep"]["Data"] == "deeper"
    assert seen["/tmp/there/deep"]["Data"] == "deeper"  # noqa: S108 - a path inside
    assert bench.probe("look", directory="/work/start/here")["directory"] == "/work/start/here"


def test_the_order_of_files_follows_the_seed(bench: Bench) -> None:
    tree = bench.input(_MANY)

    def order(where: Conditions) -> Sequence[Sequence[str]]:
        private = f"{where.work}/copy"
        mounts = (Mount("/input", tree), Mount(private, tree, "private"))
        seen = bench.probe("list", "/input", private, mounts=mounts, conditions=where)
        return [seen["/input"], seen[private]]

    standard, again, varied = order(STANDARD), order(STANDARD), order(VARIED)
    names = sorted(_MANY)
    for found in (*standard, *again, *varied):
        assert sorted(found) == names
    assert standard[0] == again[0]
    assert varied == order(VARIED)
    assert varied[0] != standard[0]
    assert varied[0] not in (names, names[::-1])
    assert varied[1] == varied[0]


def test_actions_run_at_once(bench: Bench) -> None:
    tree = bench.input({"file": "content"})
    actions = [
        bench.builder.action("modes", "/input", mounts=(Mount("/input", tree),), name=str(number))
        for number in range(6)
    ]
    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(bench.run, actions))
    assert [outcome.exit_status for outcome in outcomes] == [0] * 6
    assert len({outcome.stdout.read_text() for outcome in outcomes}) == 1


@pytest.mark.needs_sandbox
@pytest.mark.needs_docker
def test_all_engines_give_the_same_tree(engines: Engines, builder: Builder, tmp_path: Path) -> None:
    trees = {}
    for parameter in ENGINES:
        name = str(parameter.values[0])
        bench = Bench(engines[name], builder, tmp_path)
        for label, conditions in (("standard", STANDARD), ("varied", VARIED)):
            source = bench.input({**_MANY, "deep/er/file": "x"})
            action = builder.action(
                *("produce",),
                outputs=("out", "single", "copy"),
                mounts=(Mount(f"{conditions.work}/copy", source, "private"),),
                conditions=conditions,
            )
            outcome = bench.run(action)
            assert outcome.exit_status == 0, outcome.stderr.read_text()
            trees[name, label] = manifest.scan(outcome.outputs)
    assert len(set(trees.values())) == 1, trees


def test_bad_actions_are_refused(bench: Bench) -> None:
    tree = bench.input({"file": "content"})
    with pytest.raises(InputError, match="absolute path"):
        bench.run(bench.builder.action(mounts=(Mount("input", tree),)))
    with pytest.raises(InputError, match="below the work directory"):
        bench.run(bench.builder.action("look", mounts=(Mount("/input", tree, "private"),)))


def test_an_engine_is_used_inside_its_block_only(builder: Builder, tmp_path: Path) -> None:
    from containers.sandbox.engine import SandboxEngine

    engine = SandboxEngine(tmp_path)
    with pytest.raises(InfrastructureError, match="outside"):
        Bench(engine, builder, tmp_path).run(builder.action("look"), stop=threading.Event())
