"""What an action sees is decided in one place, and what cannot be is refused there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.action import Action, Mount
from containers.layout import HOME, environment, is_below, lay_out, root_binds
from reproducibility import digest, manifest
from reproducibility.conditions import STANDARD, Conditions
from reproducibility.errors import InputError
from reproducibility.manifest import Tree
from reproducibility.variations import VARIED

CONTENT = digest.of_bytes(b"")


def tree(*paths: str) -> Tree:
    """A tree of empty files; a path that ends in `/` is an empty folder."""
    return Tree(
        manifest.directory(path[:-1]) if path.endswith("/") else manifest.file(path, CONTENT, 0)
        for path in paths
    )


def action(*mounts: Mount, **changes: object) -> Action:
    plain = Action(
        name="an action",
        command=("/bin/program",),
        environment=(("B", "2"), ("A", "1")),
        directory="/work",
        root=tree("bin/program"),
        mounts=mounts,
        outputs=("out",),
        epoch=0,
        architecture="amd64",
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def test_the_environment_is_complete_and_sorted() -> None:
    assert list(environment(action()).items()) == [
        *(("A", "1"), ("B", "2"), ("HOME", HOME), ("PWD", "/work")),
    ]
    given_home = action(environment=(("HOME", "/work/home"), ("PWD", "/lies")))
    assert environment(given_home) == {"HOME": "/work/home", "PWD": "/work"}


def test_conditions_set_variables_whatever_the_action_says() -> None:
    around = Conditions(
        home="/h", locale="tr_TR.UTF-8", zone="Asia/Kathmandu", search_path="/x:/y z"
    )
    said = (("HOME", "/a"), ("LC_ALL", "C"), ("PATH", "/bin"), ("TZ", "UTC"))
    assert environment(action(environment=said, conditions=around)) == {
        "HOME": "/h",
        "LANG": "tr_TR.UTF-8",
        "LC_ALL": "tr_TR.UTF-8",
        "PATH": "/bin:/x:/y z",
        "PWD": "/work",
        "TZ": "Asia/Kathmandu",
    }
    # One that had none.
    assert environment(action(environment=(), conditions=around))["PATH"] == "/x:/y z"


def test_one_more_variable_turns_their_order_round() -> None:
    around = Conditions(exported="C=a = b")
    assert list(environment(action(conditions=around)).items()) == [
        *(("PWD", "/work"), ("HOME", HOME), ("C", "a = b"), ("B", "2"), ("A", "1")),
    ]


def test_mounts_are_sorted_and_parted() -> None:
    one = tree("file")
    laid = lay_out(
        action(
            Mount("/src", one),
            Mount("/work/copy", one, "private"),
            Mount("/go", one),
            directory="/work/copy/deep",
        )
    )
    assert [mount.at for mount in laid.read_only] == ["/go", "/src"]
    assert [mount.at for mount in laid.private] == ["/work/copy"]
    assert laid.folders == ("copy/deep",)


def test_folders_that_must_be_there_lie_below_the_work_directory() -> None:
    laid = lay_out(action(Mount("/work/below/input", tree("file")), directory="/elsewhere"))
    assert laid.folders == ("below/input",)
    assert lay_out(action()).folders == ()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"directory": "work"}, "starting directory"),
        ({"directory": "/work/../etc"}, "starting directory"),
        ({"directory": "/"}, "starting directory"),
        ({"directory": "//work"}, "starting directory"),
        ({"directory": "/work/"}, "starting directory"),
        ({"directory": "/tmp"}, "cannot start in /tmp"),  # noqa: S108 - a path inside
        ({"directory": "/tmp/a/b"}, "cannot start in /tmp"),  # noqa: S108 - a path inside
        ({"command": ("program",)}, "absolute path"),
        ({"command": ()}, "absolute path"),
        ({"outputs": ("/etc",)}, "clean relative path"),
        ({"outputs": ("../out",)}, "clean relative path"),
        ({"outputs": ("a/../../out",)}, "clean relative path"),
        ({"outputs": (".",)}, "clean relative path"),
        ({"outputs": ("",)}, "clean relative path"),
        ({"outputs": ("out/",)}, "clean relative path"),
        ({"conditions": replace(STANDARD, work="work")}, "work directory"),
        ({"conditions": replace(STANDARD, work="/")}, "work directory"),
    ],
)
def test_unclean_paths_are_refused(changed: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        lay_out(action(**changed))


@pytest.mark.parametrize(
    ("mounts", "words"),
    [
        ([Mount("input", tree("f"))], "clean absolute path"),
        ([Mount("/input/../etc", tree("f"))], "clean absolute path"),
        ([Mount("/input", tree("f"), "private")], "below the work directory"),
        ([Mount("/workshop", tree("f"), "private")], "below the work directory"),
        ([Mount("/work", tree("f"))], "cannot lie in a read-only"),
        ([Mount("/proc", tree("f"))], "cover what every engine makes"),
        ([Mount("/proc/self", tree("f"))], "cover what every engine makes"),
        ([Mount("/dev/shm", tree("f"))], "cover what every engine makes"),  # noqa: S108 - inside
        ([Mount("/tmp", tree("f"))], "cover what every engine makes"),  # noqa: S108 - inside
        ([Mount("/a", tree("f")), Mount("/a", tree("g"))], "two input trees"),
        ([Mount("/a", tree("f")), Mount("/a/b", tree("g"))], "no folder at that place"),
        ([Mount("/a", tree("f/g")), Mount("/a/f/g", tree("g"))], "no folder at that place"),
    ],
)
def test_mounts_that_cannot_be_are_refused(mounts: list[Mount], words: str) -> None:
    with pytest.raises(InputError, match=words):
        lay_out(action(*mounts))


def test_mounts_may_lie_in_folders_that_are_there() -> None:
    outer = tree("inner/", "deep/er/file")
    laid = lay_out(
        action(
            *(Mount("/a/inner", tree("x")), Mount("/a", outer), Mount("/a/deep", tree("x"))),
            *(Mount("/tmp/there", tree("x")), Mount("/ab", tree("x"))),  # noqa: S108 - inside
        )
    )
    places = [mount.at for mount in laid.read_only]
    assert places == ["/a", "/a/deep", "/a/inner", "/ab", "/tmp/there"]  # noqa: S108 - inside


def test_below() -> None:
    assert is_below("/work", "/work")
    assert is_below("/work/a", "/work")
    assert is_below("/work/a", "/")
    assert not is_below("/workshop", "/work")
    assert not is_below("/", "/work")


def test_the_root_is_bound_whole_where_nothing_is_in_the_way() -> None:
    made, bound = root_binds(tree("bin/a", "bin/b", "go/src/x", "file"), ["/work", "/proc"])
    assert (made, bound) == ([], ["bin", "file", "go"])


def test_the_root_gives_way_to_mount_points() -> None:
    root = tree("bin/a", "bin/sub/b", "go/src/x", "tmp/kept", "etc/")
    points = ["/bin/new/deep", "/go/src", "/tmp", "/other/place"]  # noqa: S108 - paths inside
    made, bound = root_binds(root, points)
    # /bin has no `new`, so it is made and its entries bound; /go/src is there to be covered.
    assert made == ["bin", "bin/new", "other"]
    assert bound == ["bin/a", "bin/sub", "etc", "go"]


PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join)


@given(st.lists(PATHS, max_size=6), st.lists(PATHS, max_size=3))
def test_every_file_is_bound_once_unless_something_covers_it(
    files: list[str], points: list[str]
) -> None:
    folders = {path[:end] for path in files for end in range(len(path)) if path[end] == "/"}
    kept = sorted({path for path in files if path not in folders})
    # A point where the root has a file, or below one, cannot be mounted on.
    usable = [
        point
        for point in points
        if not any(point == path or point.startswith(path + "/") for path in kept)
    ]
    made, bound = root_binds(tree(*kept), [f"/{point}" for point in usable])
    assert not set(made) & set(bound)
    for path in kept:
        binds = [place for place in bound if path == place or path.startswith(place + "/")]
        covered = any(path.startswith(point + "/") for point in usable)
        assert len(binds) == 1 or (covered and not binds)
    for point in usable:
        parent = point.rpartition("/")[0]
        inside = [place for place in bound if point.startswith(place + "/")]
        # There is a place to mount on: beside the binds, or a folder of the root in a bind.
        assert point in folders or not inside
        assert not parent or parent in made or parent in folders or inside


def test_varied_conditions_are_laid_out_alike() -> None:
    varied = action(
        Mount(f"{VARIED.work}/copy", tree("x"), "private"),
        conditions=VARIED,
        directory=VARIED.work,
    )
    assert lay_out(varied).folders == ()
    assert lay_out(varied).environment["PWD"] == VARIED.work
