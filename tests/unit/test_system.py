"""Platform calls, as Linux has them."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from xinfer import system

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what only Linux has")

SLEEP = "import time; time.sleep(600)"


def run(code: str) -> str:
    """Output of a Python program; it must not fail."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    ).stdout.strip()


def test_a_child_with_its_own_session_leads_a_group() -> None:
    child = subprocess.Popen([sys.executable, "-c", SLEEP], **system.own_session())
    try:
        assert os.getpgid(child.pid) == os.getsid(child.pid) == child.pid
    finally:
        child.kill()
        child.wait()


def test_all_is_written_though_a_pipe_takes_a_part_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = bytearray()

    def some(fd: int, data: memoryview) -> int:
        taken.extend(data[:7])
        return min(7, len(data))

    monkeypatch.setattr(os, "write", some)
    system.write_all(1, bytes(range(100)))
    assert taken == bytes(range(100))


def test_killing_a_group_reaches_children_of_a_dead_leader() -> None:
    leader = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import subprocess, sys; "
            f"print(subprocess.Popen([sys.executable, '-c', {SLEEP!r}]).pid)",
        ],
        stdout=subprocess.PIPE,
        text=True,
        **system.own_session(),
    )
    assert leader.stdout is not None
    orphan = int(leader.stdout.readline())
    leader.stdout.close()
    leader.wait()
    assert psutil.pid_exists(orphan)
    system.kill_group(leader.pid)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(orphan).wait(5)


def test_killing_a_group_that_has_gone_is_no_error() -> None:
    child = subprocess.Popen(["true"], **system.own_session())
    child.wait()
    system.kill_group(child.pid)


SUBREAPER = """
import os, time
from xinfer import system

assert system.next_ended_child() is None
assert system.become_subreaper()
parent = os.getpid()
read, write = os.pipe()
child = os.fork()
if child == 0:
    if os.fork() == 0:
        os.write(write, str(os.getpid()).encode())
        while os.getppid() != parent:
            time.sleep(0.01)
    os._exit(0)
assert os.waitpid(child, 0)[0] == child
orphan = int(os.read(read, 20))
os.waitid(os.P_PID, orphan, os.WEXITED | os.WNOWAIT)
assert system.next_ended_child() == orphan
assert os.waitpid(orphan, 0)[0] == orphan
print("adopted")
"""


def test_a_subreaper_adopts_orphans_and_finds_them_when_they_end() -> None:
    assert run(SUBREAPER) == "adopted"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "exited with code 0"),
        (3, "exited with code 3"),
        (-9, "was killed by signal 9 (SIGKILL), perhaps because the machine ran out of memory"),
        (-11, "was killed by signal 11 (SIGSEGV), a crash in native code"),
        (-15, "was killed by signal 15 (SIGTERM)"),
        (-63, "was killed by signal 63"),
    ],
)
def test_an_exit_is_told_in_words(status: int, words: str) -> None:
    assert system.describe_exit(status) == words


def test_the_limit_of_open_files_is_raised_to_what_is_allowed() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    lower = min(hard, 512)
    printed = run(
        "import resource\n"
        "from xinfer import system\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (256, {lower}))\n"
        "print(system.raise_open_files_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))\n"
    )
    assert printed == f"{lower} {lower} {lower}"


def test_a_lock_is_had_once_until_its_file_is_closed(tmp_path: Path) -> None:
    first, second = (os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT) for _ in range(2))
    assert system.try_lock(first)
    assert not system.try_lock(second)
    os.close(first)
    assert system.try_lock(second)
    os.close(second)


def test_usable_cores_follow_the_affinity() -> None:
    assert (
        run(
            "import os\n"
            "from xinfer import system\n"
            "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
            "print(system.usable_cores())\n"
        )
        == "1"
    )


IMPORTS = """
import sys
before = set(sys.modules)
from xinfer import system
print({m.partition(".")[0] for m in set(sys.modules) - before} - sys.stdlib_module_names)
"""


def test_the_module_imports_only_the_standard_library() -> None:
    assert run(IMPORTS) == "{'xinfer'}"
