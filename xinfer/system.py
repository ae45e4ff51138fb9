"""Calls that differ between platforms, behind one door. Stdlib only: the launcher imports it.

Linux is tested. On macOS what only Linux has (the subreaper) is absent and says so by
its return value; on Windows process groups become process trees.
"""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
from typing import Any

_LINUX_ACCELERATORS = {"/dev/nvidia0": "an NVIDIA GPU", "/dev/kfd": "an AMD GPU"}

if sys.platform == "linux":
    import ctypes

    _PR_SET_CHILD_SUBREAPER = 36

    def _prctl(option: int, value: int) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))


def become_subreaper() -> bool:
    """Make this process adopt orphaned descendants, which it then has to wait for.

    Returns:
        False where the platform has no such thing.
    """
    if sys.platform == "linux":
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        return True
    return False


def stop_signals() -> list[signal.Signals]:
    """Signals that ask a server to stop. A closed terminal is one, unless `nohup` hid it."""
    asked = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        asked.append(signal.SIGHUP)
    return asked


def own_session() -> dict[str, Any]:
    """Arguments for `subprocess` that put a child in a session and process group of its own.

    Ctrl-C at our terminal then does not reach it, and its pid names its group.
    """
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def write_all(fd: int, data: bytes) -> None:
    """Write all of it, however little a pipe takes at a time. Blocks.

    `sys.stdout.buffer` does not where PYTHONUNBUFFERED is set: it drops what a signal, or a full
    pipe, left unwritten.
    """
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def kill_group(pid: int) -> None:
    """Kill a process started with `own_session` and all of its group; no error when none is left.

    A group outlives its leader, and its number is not given away while it has members: it may be
    killed when the leader has already been waited for, if at once.
    """
    if sys.platform == "win32":
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(pid)], capture_output=True, check=False)
        return
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    except PermissionError:
        # macOS answers so when all that is left of the group are zombies.
        if sys.platform != "darwin":
            raise


def describe_exit(status: int) -> str:
    """A subprocess's return code in words, with the likely cause where there is one."""
    if status >= 0:
        return f"exited with code {status}"
    number = -status
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"was killed by signal {number}"
    cause = _LIKELY_CAUSES.get(name)
    return f"was killed by signal {number} ({name})" + (f", {cause}" if cause else "")


_LIKELY_CAUSES = {
    "SIGKILL": "perhaps because the machine ran out of memory",
    "SIGSEGV": "a crash in native code",
    "SIGBUS": "a crash in native code, or a mapped file that was cut short",
    "SIGILL": "an instruction this processor does not have",
    "SIGABRT": "native code gave up",
    "SIGFPE": "a crash in native code",
}


def raise_open_files_limit() -> int:
    """Raise the soft limit of open files to the hard one.

    Returns:
        The limit that holds now; 0 where the platform has none.
    """
    if sys.platform == "win32":
        return 0
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Not every system takes "infinity" as the soft limit.
    wanted = max(soft, 1 << 16) if hard == resource.RLIM_INFINITY else hard
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def try_lock(descriptor: int) -> bool:
    """Lock an open file for this process alone, until it closes the file or ends.

    Returns:
        False when another process has locked it.
    """
    if sys.platform == "win32":
        import msvcrt

        # A locked byte cannot be read by others: one that is beyond what is ever written.
        os.lseek(descriptor, 1 << 30, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


MOST_THREADS = 16
"""Beyond this, more threads cost more in waiting for each other than they bring."""


def computing_threads() -> int:
    """Threads that a model computes with where nothing else is said."""
    return min(usable_cores(), MOST_THREADS)


def usable_cores() -> int:
    """Processor cores that this process may run on."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def next_ended_child() -> int | None:
    """Pid of a child, adopted ones too, that has ended and is still to be waited for."""
    if sys.platform == "win32":
        return None
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return found.si_pid if found is not None else None


def accelerator() -> str | None:
    """An accelerator that this machine seems to have, in words; no driver is asked."""
    if sys.platform == "linux":
        for device, words in _LINUX_ACCELERATORS.items():
            if os.path.exists(device):
                return words
    elif sys.platform == "darwin" and platform.machine() == "arm64":
        return "Apple's GPU"
    return None
