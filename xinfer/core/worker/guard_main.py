"""The guard's program: outlives its worker by a moment, to kill what that left behind.

Run as a file by a bare interpreter, so it imports nothing of xinfer and stays small. Lines on
stdin: `+PID` and `-PID` add and remove a process group. When stdin ends, every group still
listed is killed.
"""

import os
import signal
import sys


def main() -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        if line.startswith("+"):
            groups.add(int(line[1:]))
        else:
            groups.discard(int(line[1:]))
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except OSError as error:
            print(f"guard: process group {group}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
