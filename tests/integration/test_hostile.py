"""Hostile actions."""

import json
import os
import tempfile
import time
from pathlib import Path

import pytest

from containers.action import Mount
from containers.policy import Policy
from containers.sandbox import SandboxEngine
from reproducibility.manifest import merge
from tests.integration.engine_fixtures import _GO, ENGINES, Bench, Builder
from tests.integration.hostile.assault import PROGRAM, Assault
from tests.integration.hostile.machine import Machine


def compile_program(builder):
    source = builder.store.put_tree(PROGRAM)
    return builder.action(
        *("/bootstrap/bin/go", "build", "-trimpath", "-ldflags=-s -w", "-o", "/work/hostile", "."),
        environment=tuple(_GO.items()),
        directory="/program",
        mounts=(Mount("/program", source),),
        outputs=("hostile",),
    )


@pytest.fixture(scope="session")
def hostile(request, builder, engine_folder):
    if any(e.path == "bin/hostile" for e in builder.root.files()):
        return builder
    store, root = request.getfixturevalue("whole_root")
    with SandboxEngine(engine_folder / "scratch") as engine:
        outcome = Bench(engine, builder, engine_folder).run(compile_program(Builder(store, root)))
    assert outcome.exit_status == 0, outcome.stderr.read_text()
    made = store.put_tree(outcome.outputs).renamed(lambda _: "bin/hostile")
    return Builder(store, merge([("root", builder.root), ("h", made)]))


import subprocess


@pytest.mark.parametrize("name", ENGINES)
def test_explore(name, engines, hostile, tmp_path, engine_folder):
    subprocess.run(
        ["go", "build", "-o", "/tmp/hostile-bin", "."], cwd=PROGRAM, check=True
    ) if not Path("/tmp/hostile-bin").exists() else None
    names = subprocess.run(
        ["/tmp/hostile-bin", "names"], capture_output=True, text=True
    ).stdout.split()
    parts = {"memory-part", "child", "child-writer", "child-swapper", "end-fork-link"}
    names = [n for n in names if n not in parts]
    alone = [
        n
        for n in names
        if n.startswith(("memory-", "disk-", "end-", "out-", "terminal-escapes"))
        and n not in ("memory-layout", "memory-policy")
    ]
    batch = [n for n in names if n not in alone and not n.startswith("left-")]
    left = [n for n in names if n.startswith("left-")]
    f = Path(tempfile.mkdtemp(dir=engine_folder))
    f.chmod(0o755)
    who = "root" if os.geteuid() == 0 else "user"
    only = os.environ.get("ONLY", "")
    with Machine(f) as machine:
        machine.tell_of_devices()
        a = Assault(engines[name], hostile, machine, tmp_path)
        t = time.monotonic()
        found = {}
        if not only:
            found = a.batch(batch)
            print("batch", time.monotonic() - t)
        print(machine.harm())
        if not only:
            found |= a.batch(left)
        t = time.monotonic()
        for n in alone:
            if only and only not in n:
                continue
            s = time.monotonic()
            try:
                found[n] = a._alone(n)
            except Exception as e:
                import traceback

                traceback.print_exc()
                from tests.integration.hostile.assault import Came

                found[n] = Came(True, f"EXC {type(e)} {str(e)[:300]}")
            if time.monotonic() - s > 1.5:
                print(n, time.monotonic() - s)
        print("alone", time.monotonic() - t)
        print(machine.harm())
    Path(f"/tmp/explore-{name}-{who}.json").write_text(
        json.dumps({k: [v.possible, v.detail] for k, v in found.items()}, indent=1)
    )
    print(engines[name].enforcement(Policy()))
