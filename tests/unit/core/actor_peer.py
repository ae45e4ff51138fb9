"""A process with one actor, for the tests of the actor channel: `actor_peer.py TOKEN_HEX`."""

from __future__ import annotations

import asyncio
import sys

from xinfer.core.actors import create_pool, xo
from xinfer.errors import Conflict
from xinfer.settings import Settings


class Peer(xo.StatelessActor):
    async def echo(self, payload: bytes) -> bytes:
        return payload

    async def refuse(self, payload: bytes) -> bytes:
        raise Conflict("taken", code="special", retry_after=7.0, details={"by": "a"})

    async def hang(self, payload: bytes) -> bytes:
        await asyncio.Event().wait()
        return payload


async def main() -> None:
    pool = await create_pool("127.0.0.1", 0, bytes.fromhex(sys.argv[1]), Settings())
    await xo.create_actor(Peer, uid="peer", address=pool.external_address)
    print(pool.external_address, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await pool.stop()


asyncio.run(main())
