"""Module hashes of what lies on an image: nothing stands for a file that the device would run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.artifacts import model
from orchestrator.lock import logged
from orchestrator.verify import toolchains, verdicts
from orchestrator.verify.contents import Contents
from orchestrator.verify.model import Findings
from orchestrator.verify.toolchains import Source
from reproducibility import codes, digest, gomodule
from reproducibility.manifest import Tree
from tests import results
from tests.unit.orchestrator.verify import world

if TYPE_CHECKING:
    from orchestrator.verify.toolchains import Toolchain


def toolchain(more: dict[str, bytes]) -> Toolchain:
    """The toolchain of an image that holds `more`."""
    content = {**world.contents(), **more}
    tree = world.tree_of(content)
    hashes = {path: digest.sha256_of_bytes(data).hex for path, data in content.items()}
    result = model.BuildResult.model_validate(results.document(root={"commands": {"amd64": 1}}))
    lock = world.lock_of(world.tree_of(world.contents()))
    found = toolchains.derived(Contents(tree, hashes), result, lock, Findings())
    return found["amd64"]


def test_a_published_program_elsewhere_stands_for_none_on_the_image() -> None:
    """The device runs what lies in its own folder."""
    honest = toolchain({})
    assert honest.is_release
    evil = {"linux_amd64/bin/go": b"evil"}
    genuine = {"go/bin/go": world.contents()["linux_amd64/bin/go"]}
    forged = toolchain({**evil, **genuine})
    assert (forged.h1, forged.goroot) == (toolchain(evil).h1, toolchain(evil).goroot)
    assert forged.h1 != honest.h1
    assert forged.is_release is False


def test_two_files_of_one_published_name_have_no_hash() -> None:
    assert toolchain({"go/_go.mod": b"module evil\n"}).h1 == ""
    assert toolchain({"go/src/_go.mod": b"module evil\n"}).h1 not in {"", toolchain({}).h1}


def source(hashes: tuple[str, ...], *, replaced: tuple[str, ...] | None) -> tuple[set[str], bool]:
    """Outcomes that may be stated of a source whose files on the image have these hashes."""
    lock = world.lock_of(world.tree_of(world.contents()))
    (pinned,) = logged.sources(lock)
    pinned = pinned.model_copy(update={"replace": replaced})
    grounds = verdicts.Grounds(
        result=model.BuildResult.model_validate(results.document()),
        lock=lock,
        contents=Contents(),
        toolchains={},
        sources={pinned.module: Source(Tree(), hashes)},
    )
    found = verdicts._source(codes.SOURCE, pinned, grounds)
    assert found.outcomes is not None
    return {*found.outcomes}, found.here


def recorded() -> str:
    (pinned,) = logged.sources(world.published())
    return pinned.h1


def test_a_source_of_which_nothing_was_changed_has_the_recorded_hash() -> None:
    other = "h1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    for good in ((recorded(), other), (other, recorded())):
        assert source(good, replaced=None) == ({"same"}, True)
    bad: tuple[tuple[str, ...], ...] = ((other, other), ())
    for hashes in bad:
        outcomes, here = source(hashes, replaced=None)
        assert here
        assert "same" not in outcomes
    # With another dependency, go.mod is changed.
    outcomes, here = source((other,), replaced=("golang.org/x/sys@v0.41.0",))
    assert "same" in outcomes
    assert not here


@pytest.mark.parametrize("listed", [False, True])
def test_a_module_s_own_list_of_dependencies_may_be_published(*, listed: bool) -> None:
    """Its archive holds that file, and none beside it in `vendor/`."""
    lock = world.lock_of(world.tree_of(world.contents()))
    content = {
        **world.contents(),
        f"src/{world.MODULE}/vendor/golang.org/x/sys/a.go": b"package sys\n",
    }
    tree = world.tree_of(content)
    hashes = {path: digest.sha256_of_bytes(data).hex for path, data in content.items()}
    found = toolchains.sources(Contents(tree, hashes), lock, Findings(), "sourcery.img")
    (pinned,) = logged.sources(lock)
    prefix = f"{pinned.module}@{pinned.version}"
    own = [path for path in content if path.startswith("src/") and "/vendor/" not in path]
    if listed:
        own.append(f"src/{world.MODULE}/vendor/modules.txt")
    start = len(f"src/{world.MODULE}/")
    published = gomodule.h1({f"{prefix}/{path[start:]}": hashes[path] for path in own})
    assert published in found[world.MODULE].hashes
    assert len({*found[world.MODULE].hashes}) == 2
