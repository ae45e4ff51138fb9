"""Processor time that another process has used."""

from __future__ import annotations

import ctypes
import sys
import time

import psutil


def processor_seconds(pid: int) -> float:
    """Processor seconds of all threads of a process, ended ones too, since it began.

    To the nanosecond on Linux; elsewhere as fine as the system's accounting, often 10 ms.

    Raises:
        ProcessLookupError, psutil.NoSuchProcess: there is no such process.
    """
    if sys.platform != "linux":
        times = psutil.Process(pid).cpu_times()
        return times.user + times.system
    clock = ctypes.c_int()
    status = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if status != 0:
        raise ProcessLookupError(status, f"the processor clock of process {pid} cannot be read")
    return time.clock_gettime(clock.value)
