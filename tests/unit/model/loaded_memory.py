"""Loads one model, prints the memory that this takes of the process, and ends at once.

Arguments: engine, path, options as JSON. Printed: bytes that the process grew by.
"""

from __future__ import annotations

import json
import os
import sys

from xinfer.model.engine import find_engine, parse_options
from xinfer.types.model import ModelSpec


def resident() -> int:
    """Bytes of this process that are in memory, mapped files included."""
    with open("/proc/self/smaps_rollup") as lines:
        for line in lines:
            if line.startswith("Rss:"):
                return int(line.split()[1]) * 1024
    raise AssertionError("the kernel tells no memory of a process")


def main() -> None:
    engine, path, options = sys.argv[1:]
    kind = find_engine(engine)[1]
    spec = ModelSpec(name="m", format="ggufv2", path=path)
    loading = kind(spec, parse_options(kind, engine, json.loads(options)))
    before = resident()
    loading.load(lambda _: None)
    print(resident() - before, flush=True)
    os._exit(0)


main()
