"""System calls without privileges: what they do, and what their errors say."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from containers.architecture import LINUX, host
from containers.host import system

ROOT = Path(__file__).resolve().parents[4]


CALLS = LINUX[host()]


def python(program: str) -> subprocess.CompletedProcess[str]:
    """What a Python of its own does: most of these calls change the process that makes them."""
    return subprocess.run(
        [sys.executable, "-c", f"from containers.host import system\n{program}"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        text=True,
    )


def test_a_refused_mount_says_what_was_to_be_mounted_and_where(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"mount tmpfs on {tmp_path}/none: ") as caught:
        system.mount("tmpfs", tmp_path / "none", "tmpfs", system.MS_NOSUID)
    assert caught.value.errno in {errno.EPERM, errno.ENOENT}
    with pytest.raises(OSError, match=f"mount /nowhere on {tmp_path}/none: "):
        system.mount("/nowhere", str(tmp_path / "none"), "", system.MS_BIND)


def test_the_other_refusals_say_what_was_tried(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="umount: ") as caught:
        system.detach(tmp_path)
    assert caught.value.errno in {errno.EPERM, errno.EINVAL}
    with pytest.raises(OSError, match="pivot_root: "):
        system.pivot_root(tmp_path / "none", tmp_path / "none", CALLS.pivot_root)
    with pytest.raises(OSError, match="prctl 12345: "):
        system.prctl(12345, 0)
    with pytest.raises(OSError, match="rt_sigaction: "):
        system.reset_signal(signal.SIGKILL, CALLS.rt_sigaction)
    # Longer than any may be, also for one who may set them.
    with pytest.raises(OSError, match="setdomainname: ") as caught:
        system.set_domain_name("d" * 100)
    assert caught.value.errno in {errno.EPERM, errno.EINVAL}
    with pytest.raises(OSError, match="unshare 0x1: "):
        system.unshare(1)
    with pytest.raises(OSError, match="unshare all of it: "):
        system.unshare(1, "all of it")


def test_the_domain_name_is_the_kernel_s() -> None:
    assert system.domain_name() == Path("/proc/sys/kernel/domainname").read_text().strip("\n")


def test_an_attribute_of_the_process_is_set() -> None:
    done = python(
        "system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)\nprint(open('/proc/self/status').read())"
    )
    assert "NoNewPrivs:\t1" in done.stdout


def test_a_personality_is_added_and_taken_back() -> None:
    done = python(
        """
import os
def release(): return os.uname().release.split(".")[0]
own = release()
try:
    before = system.add_personality(system.UNAME26)
except OSError as error:
    print("refused", str(error).startswith("[Errno 1] personality: "))
else:
    old = release()
    system.set_personality(before)
    print(old, release() == own)
"""
    )
    # A filter around this process may refuse it.
    assert done.stdout in {"2 True\n", "refused True\n"}, done.stderr


def test_a_user_namespace_is_made() -> None:
    done = python(
        "import os\nbefore = os.readlink('/proc/self/ns/user')\n"
        "system.unshare(system.CLONE_NEWUSER)\nprint(before != os.readlink('/proc/self/ns/user'))"
    )
    if "PermissionError" in done.stderr or "No space left" in done.stderr:
        pytest.skip("no user namespaces here")
    assert done.stdout == "True\n"


@pytest.mark.parametrize("number", [signal.SIGPIPE, 33])
def test_a_signal_gets_its_default_action_back(number: int) -> None:
    """Number 33 is one that glibc keeps for itself, and so does not let anybody set."""
    reset = f"system.reset_signal({number}, {CALLS.rt_sigaction})"
    done = python(f"import os\n{reset}\nos.kill(os.getpid(), {number})")
    assert done.returncode == -number


def test_a_session_keyring_is_new_or_refused() -> None:
    # Where the kernel has no keyrings, or a filter keeps them from us, it says so.
    done = python(f"system.join_session_keyring({CALLS.keyctl})\nprint('joined')")
    assert done.stdout == "joined\n" or "an empty session keyring: " in done.stderr
