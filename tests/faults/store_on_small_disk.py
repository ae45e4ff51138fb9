"""Run by a test in a mount namespace of its own: a store on a disk that fills up, then becomes
read-only. Prints one JSON line of what was refused and what was kept."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.unit.core.supervisor.support import deployment
from xinfer.core.supervisor.store import Store, open_store
from xinfer.errors import Unavailable


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


async def refusal(store: Store, uid: str) -> str:
    """Launch until the disk takes no more; why not."""
    for number in range(1000):
        try:
            await store.put(deployment(f"{uid}-{number}", replicas=1))
        except Unavailable as error:
            return error.message
    raise AssertionError("the disk is larger than was thought")


async def main(home: Path) -> dict[str, object]:
    mount("-t", "tmpfs", "-o", "size=512k", "tmpfs", str(home))
    store = open_store(home, restore=True)
    await store.put(deployment("first"))
    ballast = home / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    full = await refusal(store, "full")
    kept = len(await store.load())
    await store.close()
    on_full = open_store(home, restore=True)  # the supervisor is started again meanwhile
    kept_on_full = len(await on_full.load())
    ballast.unlink()
    await on_full.put(deployment("after"))
    uids = {each.uid for each in await on_full.load()}
    await on_full.close()
    mount("-o", "remount,ro", str(home))
    read_only = open_store(home, restore=True)
    uids_read_only = {each.uid for each in await read_only.load()}
    refused_read_only = await refusal(read_only, "read-only")
    await read_only.close()
    return {
        "full": full,
        "kept": [kept, kept_on_full],
        "first and after": sorted({"first", "after"} & uids),
        "same on a read-only disk": uids_read_only == uids,
        "refused on a read-only disk": refused_read_only,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(Path(sys.argv[1])))))
