"""In what order the files of integration tests run, and which of them in one process.

Whoever is free takes the next file (pytest-xdist). So what takes longest begins first and the
shortest come last, or the end of the session is one process at work and the others idle.
`file_times.py` prints how long each took.
"""

from __future__ import annotations

# Their tests look at all processes and mounts of the machine, and at all containers of an engine.
TOGETHER = (
    *("test_build_docker.py", "test_engines_", "test_hostile.py", "test_rebuild.py"),
    *("test_native.py", "test_surroundings.py", "test_units.py"),
)
_ENGINES = "engines"
# The first makes the default image, which most others wait for where nothing is remembered yet. The
# next five have minutes of work without it; then what takes longest. A file that is not named here
# comes before the last ones, which take half a minute.
FIRST = (
    *("test_build.py", _ENGINES, "test_audit_known_bad.py", "test_clients.py", "test_faults.py"),
    *("test_inputs.py", "test_boot.py", "test_elsewhere.py", "test_bench.py", "test_userland.py"),
    *("test_interrupt.py", "test_audit.py", "test_commands.py", "test_changes.py", "test_run.py"),
)
LAST = ("test_sources.py", "test_write.py", "test_specs.py", "test_places.py")
# What of the engines' needs a build.
AFTER_THE_OTHER_ENGINES = ("test_build_docker.py", "test_native.py", "test_rebuild.py")


def file_of(nodeid: str) -> str:
    """The name of a test's file."""
    return nodeid.partition("::")[0].rpartition("/")[2]


def group(nodeid: str) -> str:
    """What of a test's file must run in one process: the file, or all that look at the machine."""
    name = file_of(nodeid)
    return _ENGINES if name.startswith(TOGETHER) else name


def rank(nodeid: str) -> tuple[int, int]:
    """Where a test's file comes among the files: what tests are sorted by, stably."""
    name, together = file_of(nodeid), group(nodeid)
    within = int(name in AFTER_THE_OTHER_ENGINES)
    if together in FIRST:
        return FIRST.index(together), within
    if together in LAST:
        return len(FIRST) + 1 + LAST.index(together), within
    return len(FIRST), within
