"""Sources of a person's own, of every shape that the go command takes, and what `lock` refuses.

One project holds one module of each shape, so that one build compiles them all.
"""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from orchestrator.inputs import resolve
from orchestrator.spec import model as specs
from orchestrator.store import Store
from reproducibility.digest import Digest
from reproducibility.errors import InputError
from tests.integration.building import HOST, Orchestrate, spec_text
from tests.integration.conftest import Built
from tests.integration.test_run import Device

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]


def table(module: str, path: str, commands: Sequence[str], more: str = "") -> str:
    """A `[[source]]` of the person's own."""
    head = f'[[source]]\nmodule = "example.org/{module}"\npath = "{path}"\n'
    return f"{head}commands = {json.dumps(list(commands))}\n{more}\n"


SPEC = spec_text(
    architectures=[HOST],
    source="".join(
        (
            table("here", ".", ["here"], 'exclude = ["drafts", "*.raw"]\n'),
            table("noline", "noline", ["cmd/*"]),
            table("asm", "asm", ["cmd/..."]),
            table("nested", "nested", ["...", "testdata/named"]),
            table("nested/tools", "nested/tools", ["gen"]),
            table("replaced", "replaced", ["."]),
            table("profiled", "profiled", ["cmd/*"]),
        )
    ),
    files="""\
[[file]]
source = "."
destination = "/project"
exclude = ["out/logs", "a-link", "link"]
""",
)
DEPENDENCY = {
    "vendor/modules.txt": "# example.org/dep v1.0.0\nexample.org/dep\n",
    "vendor/example.org/dep/dep.go": 'package dep\n\nconst Word = "vendored"\n',
}
HELLO = 'package main\n\nfunc main() { print("hello\\n") }\n'
FILES = {
    # The spec's own folder is a module: spec, lock and output lie in it.
    "go.mod": "module example.org/here\n\ngo 1.24\n",
    "here/main.go": HELLO,
    "drafts/broken.go": "no Go\n",
    "here/picture.raw": "raw\n",
    ".git/HEAD": "ref: refs/heads/main\n",
    "here/.git": "gitdir: /elsewhere\n",
    # Without a line that says 1.14 or later, the go command does not look into vendor by itself.
    "noline/go.mod": "module example.org/noline\n\nrequire example.org/dep v1.0.0\n",
    "noline/cmd/noline/main.go": (
        'package main\n\nimport "example.org/dep"\n\nfunc main() { print(dep.Word, "\\n") }\n'
    ),
    **{f"noline/{path}": text for path, text in DEPENDENCY.items()},
    # What the assembler includes lies in folders without Go files, and in another command's.
    "asm/go.mod": "module (\n\texample.org/asm\n)\n\ngo 1.25\n",
    "asm/defs/defs.h": '#include "../other/more.h"\n#define ANSWER 4\n',
    "asm/cmd/other/more.h": "#define TAIL 2\n",
    "asm/cmd/other/main.go": HELLO,
    "asm/cmd/asm/main.go": (
        'package main\n\nfunc answer() int64\n\nfunc main() { print(answer(), "\\n") }\n'
    ),
    "asm/cmd/asm/asm_amd64.s": (
        '#include "textflag.h"\n#include "../../defs/defs.h"\n\n'
        "TEXT \u00b7answer(SB), NOSPLIT, $0-8\n\tMOVQ $(ANSWER*10+TAIL), ret+0(FP)\n\tRET\n"
    ),
    "asm/cmd/asm/asm_arm64.s": (
        '#include "textflag.h"\n#include "../../defs/defs.h"\n\n'
        "TEXT \u00b7answer(SB), NOSPLIT, $0-8\n\tMOVD $(ANSWER*10+TAIL), R0\n"
        "\tMOVD R0, ret+0(FP)\n\tRET\n"
    ),
    # Another module inside, a folder that go.mod ignores, a work space, and one that is named.
    "nested/go.mod": "module example.org/nested\n\ngo 1.25\n\nignore (\n\t./ignored\n)\n",
    "nested/go.work": "go 1.25\n\nuse (\n\t.\n\t./tools\n)\n",
    "nested/main.go": HELLO,
    "nested/ignored/broken/main.go": "no Go\n",
    "nested/testdata/named/main.go": HELLO,
    "nested/testdata/broken/main.go": "no Go\n",
    "nested/tools/go.mod": "module example.org/nested/tools\n\ngo 1.24\n",
    "nested/tools/gen/main.go": HELLO,
    # A folder of the module's own in the place of a published module.
    "replaced/go.mod": (
        "module example.org/replaced\n\ngo 1.24\n\nrequire example.org/lib v0.0.0\n\n"
        "replace example.org/lib => ./internal/lib\n"
    ),
    "replaced/main.go": (
        'package main\n\nimport "example.org/lib"\n\nfunc main() { print(lib.Name, "\\n") }\n'
    ),
    "replaced/internal/lib/go.mod": "module example.org/lib\n\ngo 1.24\n",
    "replaced/internal/lib/lib.go": 'package lib\n\nconst Name = "lib"\n',
    # A profile for one of two commands.
    "profiled/go.mod": "module example.org/profiled\n\ngo 1.24\n",
    "profiled/lib/lib.go": 'package lib\n\nfunc Say() { print("said\\n") }\n',
    **{
        f"profiled/cmd/{name}/main.go": (
            'package main\n\nimport "example.org/profiled/lib"\n\nfunc main() { lib.Say() }\n'
        )
        for name in ("fast", "slow")
    },
    "profiled/cmd/fast/default.pgo": "GO PREPROFILE V1\n",
}


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Files with their folders."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


@pytest.fixture(scope="module")
def shapes(orchestrate: Orchestrate, usable_lock: Path, workshop: Path) -> Orchestrate:
    """The project, with the repository's lock: what that pins is kept."""
    project = workshop / "shapes"
    project.mkdir()
    write(project, {**FILES, "sourcery.toml": SPEC})
    (project / "nested/testdata/link").symlink_to("nowhere")
    (project / "a-link").symlink_to("/nowhere")
    shutil.copyfile(usable_lock, project / "sourcery.lock")
    command = Orchestrate(project, orchestrate.store)
    said = command.run("lock")
    assert "left out: testdata/link (a link)" in said.stderr
    return command


@pytest.fixture(scope="module")
def built(shapes: Orchestrate) -> Built:
    out = shapes.project / "out"
    return Built(shapes.build(out), out)


def test_what_the_go_command_builds_is_built(built: Built, shapes: Orchestrate) -> None:
    assert built.ran.document["root"]["commands"] == {HOST: 10}
    device = Device(built.out, shapes.store)
    said = {"here": "hello", "noline": "vendored", "asm": "42", "named": "hello", "gen": "hello"}
    said |= {"replaced": "lib", "fast": "said", "slow": "said"}
    if HOST not in {"amd64", "arm64"}:
        del said["asm"]
    for name, words in said.items():
        done = device.run(name)
        assert (done.returncode, done.stderr) == (0, f"{words}\n"), name


def test_no_more_than_a_modules_archive_holds_is_on_the_stick(
    built: Built, shapes: Orchestrate
) -> None:
    with closing(Store(shapes.store)) as store:
        tree = store.load_tree(Digest.parse(built.ran.document["root"]["tree"]))
    paths = {entry.path for entry in tree.under("src/example.org").files()}
    # What the project makes, version control's data, what the spec leaves out, other modules.
    here = {path for path in paths if path.startswith("here/")}
    assert here == {"here/go.mod", "here/here/main.go"}
    assert "nested/testdata/broken/main.go" in paths
    assert "nested/tools/gen/main.go" in paths, "a source of its own"
    assert "replaced/vendor/example.org/lib/lib.go" in paths
    assert not any(path.startswith("replaced/internal/") for path in paths)
    files = {entry.path for entry in tree.under("project").files()}
    assert {"go.mod", "drafts/broken.go", "nested/tools/go.mod"} <= files
    made = {"sourcery.lock", "sourcery.toml", "out/result.json", ".git/HEAD", "here/.git"}
    assert not made & files


def test_what_a_build_leaves_changes_no_lock(built: Built, shapes: Orchestrate) -> None:
    assert built.ran.status == 0
    before = (shapes.project / "sourcery.lock").read_bytes()
    assert shapes.run("lock").document["changed"] is False
    assert (shapes.project / "sourcery.lock").read_bytes() == before
    again = shapes.build(built.out)
    assert again.executed() == []
    assert again.image == built.ran.image
    # A folder that go.mod names is pinned with the module.
    library = shapes.project / "replaced/internal/lib/lib.go"
    text = library.read_text()
    library.write_text(text.replace('"lib"', '"new"'))
    try:
        refused = shapes.build(built.out, status=2)
    finally:
        library.write_text(text)
    assert refused.error["summary"].startswith("replaced is not what the lock pins")


def test_a_real_module_without_a_go_line(
    orchestrate: Orchestrate, usable_lock: Path, place: Path
) -> None:
    module = "github.com/mitchellh/gox"
    source = f'[[source]]\nmodule = "{module}"\nversion = "v1.0.1"\ncommands = ["."]\n'
    spec = spec_text(architectures=[HOST], source=source)
    write(place, {"project/sourcery.toml": spec})
    shutil.copyfile(usable_lock, place / "project/sourcery.lock")
    command = Orchestrate(place / "project", orchestrate.store)
    command.run("lock")
    assert command.build(place / "out").document["root"]["commands"] == {HOST: 1}


# -- what cannot be built or written is refused before anything is built ---------------------------

ONE = table("m", "m", ["cmd/*"])
TWO = ONE + table("o", "o", ["..."])
GO_MOD = "module example.org/m\n\ngo 1.24\n"
USES = 'package main\n\nimport "example.org/dep"\n\nfunc main() { print(dep.Word) }\n'
OTHER = {"o/go.mod": "module example.org/o\n\ngo 1.24\n", "o/hi/main.go": HELLO}
MINE = '[[file]]\nsource = "mine"\ndestination = "/mine"\n'
REFUSED: dict[str, tuple[dict[str, str], str, str, str]] = {
    "stale vendor": (
        {
            "m/go.mod": f"{GO_MOD}\nrequire example.org/dep v1.0.1\n",
            "m/cmd/hi/main.go": USES,
            "m/vendor/modules.txt": "# example.org/dep v1.0.0\n## explicit\nexample.org/dep\n",
            "m/vendor/example.org/dep/dep.go": DEPENDENCY["vendor/example.org/dep/dep.go"],
        },
        ONE,
        "inconsistent vendoring in m",
        "run `go mod vendor` in m",
    ),
    "vendor without a package": (
        {
            "m/go.mod": "module example.org/m\n\nrequire example.org/dep v1.0.0\n",
            "m/cmd/hi/main.go": USES,
            "m/vendor/modules.txt": DEPENDENCY["vendor/modules.txt"],
        },
        ONE,
        "example.org/dep",
        "run `go mod vendor` in m",
    ),
    "no Go": ({"m/cmd/hi/main.go": "no Go\n"}, ONE, "cmd/hi/main.go", "mend its source"),
    "nothing to embed": (
        {
            "m/cmd/hi/main.go": 'package main\n\nimport _ "embed"\n\n//go:embed x.txt\n'
            "var x string\n\nfunc main() { print(x) }\n"
        },
        ONE,
        "pattern x.txt: no matching files found",
        "mend its source",
    ),
    "a newer Go": (
        {"m/go.mod": "module example.org/m\n\ngo 1.99\n", "m/vendor/modules.txt": ""},
        ONE,
        "requires go >= 1.99",
        "go.version",
    ),
    "replaced by what lies outside": (
        {
            "m/go.mod": f"{GO_MOD}\nrequire example.org/dep v0.0.0\n\n"
            "replace example.org/dep => ../dep\n",
            "m/cmd/hi/main.go": USES,
            "dep/go.mod": "module example.org/dep\n",
            "dep/dep.go": DEPENDENCY["vendor/example.org/dep/dep.go"],
        },
        ONE,
        "replaces example.org/dep with ../dep",
        "run `go mod vendor` in m",
    ),
    "a go.mod that is none": (
        {"m/go.mod": "module\n"},
        ONE,
        "the go command cannot read m/go.mod",
        "correct it",
    ),
    "another module": (
        {"m/go.mod": "module (\n\texample.org/n\n)\n"},
        ONE,
        "does not say `module example.org/m`",
        "correct the key module",
    ),
    "only for another system": (
        {"m/cmd/hi/main.go": f"//go:build windows\n\n{HELLO}"},
        ONE,
        "no command of example.org/m can be built",
        "correct the patterns",
    ),
    "one name twice": (OTHER, TWO, "two programs have the name 'hi'", "exclude one of them"),
    "the toolchain's name": (
        {"m/cmd/gofmt/main.go": HELLO},
        ONE,
        "two programs have the name 'gofmt'",
        "exclude one of them",
    ),
    "names that differ by case": (
        {"m/docs/a.txt": "", "m/docs/A.txt": ""},
        ONE,
        "upper from lower case",
        "rename the files",
    ),
    "a name that no archive holds": (
        {"m/docs/a:b.txt": ""},
        ONE,
        "cannot hold docs/a:b.txt",
        "`exclude` in the spec",
    ),
    "a file's name that FAT forbids": (
        {"mine/what?.txt": ""},
        ONE + MINE,
        "mine/what?.txt",
        "rename the files",
    ),
}


def project(folder: Path, case: str) -> Path:
    """The project of a case, with the repository's lock; gives its spec."""
    files, source, _, _ = REFUSED[case]
    start = {"m/go.mod": GO_MOD, "m/cmd/hi/main.go": HELLO}
    spec = spec_text(architectures=[HOST], source=source)
    write(folder, {**start, **files, "sourcery.toml": spec})
    return folder / "sourcery.toml"


@pytest.fixture(scope="module")
def store(orchestrate: Orchestrate) -> Iterator[Store]:
    """The shared store, opened once: what lies in it is looked through once."""
    with closing(Store(orchestrate.store)) as store:
        yield store


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_built_is_refused_when_it_is_locked(
    orchestrate: Orchestrate, store: Store, place: Path, case: str
) -> None:
    _, _, words, remedy = REFUSED[case]
    wanted = specs.load(project(place, case))
    with pytest.raises(InputError) as refused:
        resolve.lock(wanted, orchestrate.lock, store)
    assert words in refused.value.summary
    assert refused.value.subject
    assert remedy in refused.value.remedy
    assert "checkouts" not in refused.value.summary, "the person's own paths"


def test_a_refusal_leaves_the_lock_as_it_was(
    orchestrate: Orchestrate, usable_lock: Path, place: Path
) -> None:
    project(place, "stale vendor")
    shutil.copyfile(usable_lock, place / "sourcery.lock")
    ran = Orchestrate(place, orchestrate.store).run("lock", status=2)
    assert "inconsistent vendoring in m" in ran.error["summary"]
    assert (place / "sourcery.lock").read_bytes() == usable_lock.read_bytes()
