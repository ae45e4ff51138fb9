"""A process with one fake replica that never leaves, and its guard; prints their pids."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from xinfer.core.worker.links import UnixLinks
from xinfer.core.worker.replicas import Replicas
from xinfer.settings import Settings
from xinfer.types.cluster import Assignment
from xinfer.types.deployment import Deployment, DeploymentState, LaunchSpec
from xinfer.types.model import ModelSpec


async def main(home: Path) -> None:
    fake = (sys.executable, "-ISE", str(Path(__file__).with_name("fake_replica.py")))
    changed = asyncio.Event()
    replicas = Replicas(Settings(home=str(home)), UnixLinks(str(home)), changed.set, command=fake)
    replicas.link_token = bytes(32)
    deployment = Deployment(
        uid="m",
        generation=1,
        created=0,
        spec=LaunchSpec(model_name="m"),
        model=ModelSpec(name="m"),
        engine="fake",
        options={"do": "never leave"},
        replicas=1,
        max_queue=1,
    )
    replicas.start(Assignment(replica_id="r", ordinal=0, deployment=deployment, max_queue=1))
    while replicas.reports()[0].state is not DeploymentState.READY:
        changed.clear()
        await changed.wait()
    # What it prints comes by another pipe than its state, and may come later.
    while not (line := "".join(replicas.log("r", 1))).startswith("grandchild"):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    pids = {
        "replica": replicas.reports()[0].pid,
        "grandchild": int(line.split()[1]),
        "guard": replicas._guard.pid,
    }
    print(json.dumps(pids), flush=True)
    await asyncio.Event().wait()


asyncio.run(main(Path(sys.argv[1])))
