"""`orchestrate compare`: its answers, exit statuses, and what it refuses."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.artifacts import model
from orchestrator.cli.main import run
from orchestrator.diagnosis import deep
from orchestrator.store import Store
from reproducibility import digest, regular
from tests.results import build_result, step
from tests.unit.orchestrator.diagnosis import samples

if TYPE_CHECKING:
    from pathlib import Path

Captured = pytest.CaptureFixture[str]
EARLY = b"made on 2026-11-28 12:00:00\n"
LATE = b"made on 2026-11-28 12:09:03\n"


def written(folder: Path, **files: bytes) -> Path:
    for name, data in files.items():
        place = folder / name.replace("__", "/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return folder


def answered(capsys: Captured, *arguments: object) -> tuple[int, dict[str, Any]]:
    status = run(["compare", *map(str, arguments), "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_a_file_says_its_cause_first(tmp_path: Path, capsys: Captured) -> None:
    folder = written(tmp_path, one=EARLY, two=LATE)
    assert run(["compare", str(folder / "one"), str(folder / "two")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "FAIL  the files differ"
    assert lines[3].startswith("  cause: time (likely): moments: ")
    assert lines[4] == "  at: one: byte 23 (0x17), line 1"


def test_files_that_do_not_say_their_size_are_refused(capsys: Captured) -> None:
    status, found = answered(capsys, "/proc/version", "/proc/meminfo")
    assert (status, found["error"]["subject"]) == (2, "/proc/version")
    assert "copy into a file" in found["error"]["remedy"]


def test_a_large_file_with_the_name_of_a_result_is_a_file_like_others(
    tmp_path: Path, capsys: Captured
) -> None:
    large = bytes(regular.LARGEST_TEXT + 1)
    first = written(tmp_path / "1", **{"result.json": large})
    second = written(tmp_path / "2", **{"result.json": b"{}"})
    for sides in ((first, second), (second, first)):
        status, found = answered(capsys, *sides)
        assert (status, found["kind"]) == (1, "folders")


def test_folders_are_explained_file_by_file(tmp_path: Path, capsys: Captured) -> None:
    first = written(tmp_path / "1", a__x=EARLY, a__y=b"host: alpha\n", same=b"")
    second = written(tmp_path / "2", a__x=LATE, a__y=b"host: gamma\n", same=b"")
    status, found = answered(capsys, first, second)
    assert (status, found["kind"], found["schema"]) == (1, "folders", 2)
    causes = {one["path"]: one["cause"] for one in found["diagnosis"]["findings"]}
    assert causes == {"a/x": "time", "a/y": "user"}


def test_what_is_tolerated_is_a_success_that_names_it(tmp_path: Path, capsys: Captured) -> None:
    folder = written(
        tmp_path, a=samples.zst(EARLY * 99, 1), b=samples.zst(EARLY * 99, 19, frames=2)
    )
    both = folder / "a", folder / "b"
    assert answered(capsys, *both)[0] == 1
    status, found = answered(capsys, *both, "--tolerate", "archive-compression")
    assert (status, found["verdict"]) == (0, "PASS")
    assert found["tolerated"] == [{"path": "a", "as": "archive-compression"}]
    run(["compare", *map(str, both), "--tolerate", "archive-compression"])
    shown = capsys.readouterr().out
    assert "PASS  the same but for what is tolerated: archive-compression" in shown
    assert "What is lost" in shown


def test_in_folders_only_what_is_tolerated_is_left_out(tmp_path: Path, capsys: Captured) -> None:
    first = written(tmp_path / "1", z=samples.gz(EARLY, 5), t=EARLY)
    second = written(tmp_path / "2", z=samples.gz(EARLY, 77), t=LATE)
    status, found = answered(capsys, first, second, "--tolerate", "gzip-header")
    assert status == 1
    assert [one["path"] for one in found["diagnosis"]["findings"]] == ["t"]
    (second / "t").write_bytes(EARLY)
    assert answered(capsys, first, second, "--tolerate", "gzip-header")[0] == 0
    assert answered(capsys, first, second, "--tolerate", "archive-compression")[0] == 0
    assert answered(capsys, first, second)[0] == 1


def test_what_is_tolerated_in_one_file_hides_no_other(tmp_path: Path, capsys: Captured) -> None:
    """A name that begins like the tolerated one's, and what is not its content."""
    first = written(tmp_path / "1", **{"z": samples.gz(EARLY, 5), "z:other": EARLY})
    second = written(tmp_path / "2", **{"z": samples.gz(EARLY, 77), "z:other": LATE})
    assert answered(capsys, first, second, "--tolerate", "gzip-header")[0] == 1
    (second / "z:other").write_bytes(EARLY)
    assert answered(capsys, first, second, "--tolerate", "gzip-header")[0] == 0
    (second / "z").chmod(0o755)
    assert answered(capsys, first, second, "--tolerate", "gzip-header")[0] == 1


def test_a_result_of_another_program_makes_no_build(tmp_path: Path, capsys: Captured) -> None:
    first = written(tmp_path / "1", **{"result.json": b'{"passed": 3}'})
    second = written(tmp_path / "2", **{"result.json": b'{"passed": 4}'})
    status, found = answered(capsys, first, second)
    assert (status, found["kind"]) == (1, "folders")


# -- trees of the store ----------------------------------------------------------------------------


def test_trees_of_the_store(tmp_path: Path, capsys: Captured) -> None:
    place = tmp_path / "store"
    with closing(Store(place)) as store:
        names = [
            str(store.put_tree(written(tmp_path / name, x=data)).digest)
            for name, data in (("1", EARLY), ("2", LATE))
        ]
    status, found = answered(capsys, *names, "--store", place)
    assert (status, found["kind"]) == (1, "trees")
    assert found["diagnosis"]["cause"]["class"] == "time"
    assert answered(capsys, names[0], names[0], "--store", place)[0] == 0
    assert answered(capsys, names[0], tmp_path / "1", "--store", place)[0] == 0


def test_trees_without_files_that_are_the_same_are_the_same(
    tmp_path: Path, capsys: Captured
) -> None:
    """One and the same digest stands for both."""
    for name in ("1/s", "2/s", "3/t", "none"):
        (tmp_path / name).mkdir(parents=True)
    status, found = answered(capsys, tmp_path / "1", tmp_path / "2")
    assert (status, found["verdict"], found["reason"]) == (
        0, "PASS", "both hold no files, and the same empty folders",
    )  # fmt: skip
    assert found["first"]["blake3"] == found["second"]["blake3"]
    # Of folders that hold nothing at all nothing was compared.
    assert answered(capsys, tmp_path / "none", tmp_path / "none")[1]["verdict"] == "FAIL"
    assert answered(capsys, tmp_path / "1", tmp_path / "none")[0] == 1
    assert answered(capsys, tmp_path / "1", tmp_path / "3")[0] == 1
    with closing(Store(tmp_path / "store")) as store:
        name = str(store.put_tree(tmp_path / "1").digest)
    assert answered(capsys, name, tmp_path / "2", "--store", tmp_path / "store")[0] == 0


def test_a_blob_that_is_no_tree_is_named(tmp_path: Path, capsys: Captured) -> None:
    with closing(Store(tmp_path / "store")) as store:
        name = str(store.put_tree(written(tmp_path / "1", x=EARLY)).digest)
        blob = str(digest.of_bytes(EARLY))
    for sides in ((blob, name), (name, blob)):
        status, found = answered(capsys, *sides, "--store", tmp_path / "store")
        assert (status, found["error"]["subject"]) == (2, blob)
        assert found["error"]["summary"].startswith("not a tree manifest: ")


def test_a_name_that_is_too_long_is_named(tmp_path: Path, capsys: Captured) -> None:
    there = written(tmp_path, one=EARLY) / "one"
    long = tmp_path / ("n" * 256)
    for sides in ((long, there), (there, long)):
        status, found = answered(capsys, *sides)
        assert (status, found["error"]["subject"]) == (2, str(long))
        assert "name is too long" in found["error"]["summary"]
        assert "--store" not in found["error"]["remedy"]


def test_a_folder_whose_paths_grow_too_long_is_named(tmp_path: Path, capsys: Captured) -> None:
    top = tmp_path / "top"
    top.mkdir()
    descriptor = os.open(top, os.O_RDONLY)
    name = "n" * 254
    # The path below the folder is shorter than the longest one, the whole path is not.
    for _ in range(16):
        os.mkdir(name, dir_fd=descriptor)
        below = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    other = written(tmp_path / "other", x=EARLY)
    status, found = answered(capsys, other, top)
    assert (status, found["error"]["subject"]) == (2, str(top))
    assert "name is too long" in found["error"]["summary"]


REFUSED = {
    "unknown tree": (["blake3:" + "0" * 64, "{here}", "--store", "{store}"], "no such tree"),
    "no digest": (["blake3:12", "{here}"], "not a digest"),
    "no store": (["blake3:" + "0" * 64, "{here}", "--store", "{here}/none"], "no store"),
    "tree and file": (["blake3:" + "0" * 64, "{here}/one"], "one is a tree and the other a file"),
    "unknown tolerance": (["{here}/one", "{here}/one", "--tolerate", "x"], "tolerated"),
    "nothing there": (["{here}/one", "{here}/none"], "no such file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_status_2(name: str, tmp_path: Path, capsys: Captured) -> None:
    arguments, words = REFUSED[name]
    here = written(tmp_path / "here", one=b"1")
    Store(tmp_path / "store").close()
    filled = [one.format(here=here, store=tmp_path / "store") for one in arguments]
    assert run(["compare", *filled]) == 2
    assert words.split()[0] in capsys.readouterr().err
    assert not (here / "none").exists()


def refused(capsys: Captured, *arguments: object) -> str:
    assert run(["compare", *map(str, arguments)]) == 2
    return capsys.readouterr().err


def test_what_is_refused_says_what_to_do(tmp_path: Path, capsys: Captured) -> None:
    here = written(tmp_path / "here", **{"sourcery.img": b"1", "other": b"2"})
    image = here / "sourcery.img"
    assert f"did you mean {image}?" in refused(capsys, here / "sourcry.img", image)
    assert "name two files, folders" in refused(capsys, here / "zzzzz", image)
    assert "name two files" in refused(capsys, tmp_path / "no" / "folder", image)
    beside = written(tmp_path / "beside", **{"sourcery.img": b"1"}) / "sourcery.img"
    assert f"name the file in the folder: {image}" in refused(capsys, here, beside)
    assert "can be named by its path" in refused(capsys, tmp_path, image)
    told = refused(capsys, "/dev/zero", image)
    assert "a character device" in told
    assert "name regular files or folders" in told


def test_a_file_that_is_cut_short_is_the_verdict_s_reason(tmp_path: Path, capsys: Captured) -> None:
    data = bytes(range(256)) * 10
    folder = written(tmp_path, one=data, two=data[:1000])
    status, found = answered(capsys, folder / "one", folder / "two")
    words = "the second is the beginning of the first, cut short after 1000 of 2560 bytes"
    assert (status, found["reason"]) == (1, words)
    assert found["diagnosis"]["cause"]["reason"] == words


# -- builds ----------------------------------------------------------------------------------------


ARCHIVE = samples.zst(samples.cpio(samples.MEMBERS))


def output(folder: Path, image: bytes, archive: bytes = ARCHIVE, **changes: Any) -> Path:  # noqa: ANN401 - JSON
    written(folder, **{"sourcery.img": image, "sourcery.cpio.zst": archive})
    made = {
        name: {"blake3": digest.of_bytes(data).hex, "size": len(data)}
        for name, data in (("image", image), ("cpio", archive))
    }
    (folder / "result.json").write_bytes(model.dumps(build_result(**made, **changes)))
    return folder


def test_equal_builds_are_the_same_whatever_their_times(tmp_path: Path, capsys: Captured) -> None:
    first, second = output(tmp_path / "1", EARLY), output(tmp_path / "2", EARLY, seconds=99.0)
    status, found = answered(capsys, first, second)
    assert (status, found["kind"], found["verdict"]) == (0, "builds", "PASS")
    assert found["reason"] == "image and archive are the same"


def test_an_archive_of_another_level_may_be_tolerated(tmp_path: Path, capsys: Captured) -> None:
    again = samples.zst(samples.cpio(samples.MEMBERS), 19, frames=2)
    first, second = output(tmp_path / "1", EARLY), output(tmp_path / "2", EARLY, again)
    status, found = answered(capsys, first, second)
    assert (status, found["reason"]) == (
        1, "archive differs; the same inputs: not deterministic",
    )  # fmt: skip
    status, found = answered(capsys, first, second, "--tolerate", "archive-compression")
    assert (status, found["tolerated"]) == (0, [{"path": "archive", "as": "archive-compression"}])
    assert found["reason"] == "the same but for what is tolerated: archive-compression"


def test_other_inputs_come_first(tmp_path: Path, capsys: Captured) -> None:
    keys = [f"blake3:{digit * 64}" for digit in "12"]
    sides = [
        output(tmp_path / key[-1], image, lock=key, steps=[step("a", key=key, outputs=key)])
        for key, image in zip(keys, (EARLY, LATE), strict=True)
    ]
    assert run(["compare", *map(str, sides)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "FAIL  image differs; other inputs"
    assert lines[3] == "  other inputs:"
    status, found = answered(capsys, *sides)
    assert status == 1
    assert found["builds"]["follow"] == ["a"]
    assert found["diagnosis"]["cause"]["class"] == "input"
    assert found["diagnosis"]["cause"]["sure"] == "certain"
    assert found["builds"]["not_deterministic"] == []


def test_a_step_that_varies_is_explained_from_the_store(tmp_path: Path, capsys: Captured) -> None:
    place = tmp_path / "store"
    with closing(Store(place)) as store:
        trees = [
            str(store.put_tree(written(tmp_path / name, made=data)).digest)
            for name, data in (("x", b"host: alpha\n"), ("y", b"host: gamma\n"))
        ]
    sides = [
        output(tmp_path / name, image, steps=[step("a/step", outputs=tree)])
        for name, image, tree in zip("12", (EARLY, LATE), trees, strict=True)
    ]
    status, found = answered(capsys, *sides, "--store", place)
    assert status == 1
    assert found["reason"] == "image differs; the same inputs: not deterministic"
    [varying] = found["builds"]["not_deterministic"]
    assert (varying["step"], varying["first"], varying["second"]) == ("a/step", *trees)
    causes = {one["path"]: one["cause"] for one in found["diagnosis"]["findings"]}
    assert causes == {"image": "time", "a/step/made": "user"}


def test_an_image_that_is_not_its_result_s_is_said(tmp_path: Path, capsys: Captured) -> None:
    first, second = output(tmp_path / "1", EARLY), output(tmp_path / "2", EARLY)
    (second / "sourcery.img").write_bytes(LATE)
    assert run(["compare", str(first), str(second)]) == 1
    shown = capsys.readouterr()
    assert "is not the file that its result names" in shown.err
    assert "image differs; changed since the build" in shown.out
    (second / "sourcery.img").unlink()
    assert run(["compare", str(first), str(second)]) == 2
    assert "the image of this build is missing" in capsys.readouterr().err


def test_a_result_of_another_version_is_refused(tmp_path: Path, capsys: Captured) -> None:
    first, second = output(tmp_path / "1", EARLY), output(tmp_path / "2", EARLY)
    text = (second / "result.json").read_text()
    (second / "result.json").write_text(text.replace('"schema": 2', '"schema": 9'))
    assert run(["compare", str(first), str(second)]) == 2
    assert "format 9" in capsys.readouterr().err


# -- diffoscope ------------------------------------------------------------------------------------


def test_deep_hands_over_the_file_within(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / deep.PROGRAM
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nfor last; do before=$other; other=$last; done\n'
                       'cat "$before" "$other"; exit 1\n')  # fmt: skip
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    packed = [samples.zst(samples.cpio({"x": data})) for data in (EARLY, LATE)]
    folder = written(tmp_path, one=packed[0], two=packed[1])
    status, found = answered(capsys, folder / "one", folder / "two", "--deep")
    assert status == 1
    assert found["deep"] == [EARLY.decode().strip(), LATE.decode().strip()]


def test_deep_without_diffoscope_is_refused_before_the_work(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    folder = written(tmp_path, one=EARLY, two=LATE)
    assert run(["compare", str(folder / "one"), str(folder / "two"), "--deep"]) == 2
    assert "diffoscope is not installed" in capsys.readouterr().err
