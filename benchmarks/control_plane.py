"""SCALE: what the control plane of a large cluster costs, in a supervisor process of its own.

1,000 workers, simulated from here, report 10,000 replicas to it by real actor calls, and an API
process's end of the control link takes its snapshots. Only what workers would do of themselves is
not there.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil

from benchmarks.harness import CannotMeasure
from benchmarks.report import Figure, Row
from benchmarks.settings import Settings
from xinfer import __version__
from xinfer.core.actors import RemoteActor, create_pool
from xinfer.core.gateway import Control, RoutingTable
from xinfer.settings import Settings as ServerSettings
from xinfer.types.cluster import SUPERVISOR_ACTOR, Assignment, ReplicaReport, WorkerReport
from xinfer.types.control import Push
from xinfer.types.deployment import Deployment, DeploymentState, LaunchSpec, Snapshot
from xinfer.types.device import CPU, Device, DeviceShare, Holder
from xinfer.types.model import Abilities, Loaded, ModelSpec, Progress

_WORKERS, _ACCELERATORS, _ON_WORKER = 1000, 8, 10
_DEPLOYMENTS = 500
_REPLICAS = _WORKERS * _ON_WORKER // _DEPLOYMENTS
_HEARTBEATS = 5  # of each worker
_AT_ONCE = 32
_CHANGES = 10
_WITHIN = 300.0
_GIB, _MIB = 1 << 30, 1 << 20
_QUEUE = 5 * _REPLICAS
_MICROSECONDS, _MILLISECONDS = 1e6, 1e3


def measure(settings: Settings) -> Figure:
    """Heartbeats, one replica's changes of state, and the supervisor's memory.

    Raises:
        CannotMeasure: the supervisor did not start, or does not come to know what is reported.
    """
    token = os.urandom(32)
    with tempfile.TemporaryDirectory(prefix="xinfer-scale-") as directory:
        with _supervisor(Path(directory), token) as (address, _):
            asyncio.run(_bring(address, token))
        with _supervisor(Path(directory), token) as (address, pid):
            control = f"unix:{directory}/control.sock"
            rows = asyncio.run(_measure(address, control, token, psutil.Process(pid)))
    return Figure("SCALE", "a supervisor of 1,000 workers and 10,000 replicas", rows)


@contextmanager
def _supervisor(directory: Path, token: bytes) -> Iterator[tuple[str, int]]:
    """One that takes the place of another: its actor's address, and its pid."""
    process = subprocess.Popen(
        [sys.executable, "-m", "xinfer.core.supervisor"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # Between two rounds of the plan nothing is to be measured but what is asked for.
        env={
            **os.environ,
            "XINFERENCE_HOME": str(directory / "home"),
            "XINFERENCE_HEARTBEAT_INTERVAL": "60",
            "XINFERENCE_HEARTBEAT_TIMEOUT": "600",
            "XINFERENCE_MASS_LOSS_TIMEOUT": "600",
        },
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        config = {
            "control": f"unix:{directory}/control.sock",
            "control_token": token.hex(),
            "cluster_token": token.hex(),
            "host": "127.0.0.1",
            "port": 0,
            "restarted": True,
        }
        process.stdin.write(json.dumps(config).encode() + b"\n")
        process.stdin.flush()
        ready = process.stdout.readline()
        if not ready.startswith(b"ready "):
            raise CannotMeasure("The supervisor did not start.")
        yield json.loads(ready.removeprefix(b"ready "))["address"], process.pid
    finally:
        process.kill()
        process.communicate()


async def _bring(address: str, token: bytes) -> None:
    """Make every deployment known, so that the store has it."""
    pool = await create_pool("127.0.0.1", 0, token, ServerSettings())
    try:
        actor = RemoteActor(address, SUPERVISOR_ACTOR, 60.0)
        await _report(actor, [_worker(n, sequence=1) for n in range(_WORKERS)])
    finally:
        await pool.stop()


async def _measure(
    address: str, control_address: str, token: bytes, supervisor: psutil.Process
) -> list[Row]:
    server_settings = ServerSettings()
    pool = await create_pool("127.0.0.1", 0, token, server_settings)
    table = RoutingTable()
    control = Control(control_address, token, table, server_settings)
    control.start()
    try:
        actor = RemoteActor(address, SUPERVISOR_ACTOR, 60.0)
        began = time.monotonic()
        await _report(actor, [_worker(n, sequence=1) for n in range(_WORKERS)])
        await table.wait_for(_is_whole, _WITHIN)
        joined = time.monotonic() - began
        heartbeats, rates = await _heartbeats(actor, supervisor)
        changed, seen = await _changes(actor, table, supervisor)
        assert table.snapshot is not None
        encoded = msgspec.msgpack.encode(Push(table.snapshot))
        memory = supervisor.memory_full_info()
        return [
            Row("a new supervisor takes over all workers", "s", [joined]),
            Row("heartbeats taken, with both processes on these cores", "/s", rates),
            Row("a heartbeat: supervisor", "µs", heartbeats),
            Row("a replica's change: until an API process knows", "ms", seen),
            Row("a replica's change: supervisor, all included", "ms", changed),
            Row("a snapshot", "MiB", [len(encoded) / _MIB]),
            Row("a snapshot: decoding it in an API process", "ms", _decoding(encoded)),
            Row("the supervisor's memory", "MiB", [memory.pss / _MIB]),
        ]
    finally:
        await control.close()
        await pool.stop()


async def _report(actor: RemoteActor, reports: Sequence[bytes]) -> None:
    """Send them all, as many at once as a supervisor's machine may find in its sockets."""
    left = iter(reports)

    async def send() -> None:
        for payload in left:
            await actor.call("report", payload)

    await asyncio.gather(*(send() for _ in range(_AT_ONCE)))


async def _heartbeats(
    actor: RemoteActor, supervisor: psutil.Process
) -> tuple[list[float], list[float]]:
    """Processor time of one, in µs; and how many pass in a second."""
    costs, rates = [], []
    for beat in range(_HEARTBEATS):
        reports = [_worker(n, sequence=2 + beat) for n in range(_WORKERS)]
        before, began = _processor(supervisor), time.monotonic()
        await _report(actor, reports)
        rates.append(_WORKERS / (time.monotonic() - began))
        costs.append((_processor(supervisor) - before) / _WORKERS * _MICROSECONDS)
    return costs, rates


async def _changes(
    actor: RemoteActor, table: RoutingTable, supervisor: psutil.Process
) -> tuple[list[float], list[float]]:
    """Of one worker's report that a replica drains, or serves again: processor time of all that
    comes of it, and the time until an API process has its snapshot, in ms."""
    costs, times = [], []
    for number in range(_CHANGES):
        assert table.snapshot is not None
        known = table.snapshot.version
        pid = 2 + number
        payload = _worker(0, sequence=100 + number, pid=pid)
        before, began = _processor(supervisor), time.monotonic()
        await actor.call("report", payload)
        await table.wait_for(lambda now, known=known: now.version > known or None, _WITHIN)  # type: ignore[misc]
        times.append((time.monotonic() - began) * _MILLISECONDS)
        await asyncio.sleep(0.2)  # what it still does of this change is to be counted
        costs.append((_processor(supervisor) - before) * _MILLISECONDS)
    return costs, times


def _decoding(encoded: bytes) -> list[float]:
    decoder = msgspec.msgpack.Decoder(Push)
    found = []
    for _ in range(5):
        began = time.process_time()
        decoder.decode(encoded)
        found.append((time.process_time() - began) * _MILLISECONDS)
    return found


def _is_whole(snapshot: Snapshot) -> bool | None:
    """Every replica is there, by the word of its worker."""
    statuses = snapshot.deployments.values()
    ready = sum(one.state is DeploymentState.READY for each in statuses for one in each.replicas)
    return ready == _WORKERS * _ON_WORKER or None


def _processor(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _worker(number: int, *, sequence: int, pid: int = 1) -> bytes:
    """A worker's report; `pid` is that of its first replica."""
    replicas = tuple(
        _replica(number * _ON_WORKER + n, pid if n == 0 else 1) for n in range(_ON_WORKER)
    )
    accelerators = tuple(_accelerator(index, replicas) for index in range(_ACCELERATORS))
    main = Device(
        kind=CPU, index=0, name="CPU", memory_total=512 * _GIB, memory_free=400 * _GIB, cores=64
    )
    report = WorkerReport(
        worker_id=f"w{number:04}",
        address=f"127.0.0.1:{number + 1}",
        version=__version__,
        sequence=sequence,
        replicas=replicas,
        devices=(*accelerators, main),
        engines={"llama-cpp-python": ("cuda",)},
    )
    return msgspec.msgpack.encode(report)


def _accelerator(index: int, replicas: Sequence[ReplicaReport]) -> Device:
    held = tuple(
        Holder(1, 20 * _GIB, each.assignment.replica_id)
        for each in replicas
        if each.assignment.devices[0].index == index
    )
    used = sum(each.memory for each in held)
    return Device(
        kind="cuda",
        index=index,
        name="NVIDIA H100 80GB HBM3",
        memory_total=80 * _GIB,
        memory_used=used,
        memory_free=80 * _GIB - used,
        holders=held,
    )


def _replica(number: int, pid: int) -> ReplicaReport:
    """The copies of a deployment are on as many workers."""
    ordinal, model = divmod(number, _DEPLOYMENTS)
    uid = f"model-{model}"
    deployment = Deployment(
        uid=uid,
        generation=1,
        created=1_700_000_000,
        spec=LaunchSpec(model_name=uid, replica=_REPLICAS),
        model=ModelSpec(name=uid, format="ggufv2", abilities=("generate", "chat")),
        engine="llama-cpp-python",
        options={"n_ctx": 8192},
        replicas=_REPLICAS,
        max_queue=_QUEUE,
    )
    return ReplicaReport(
        assignment=Assignment(
            replica_id=f"{uid}-{ordinal}-0123abcd",
            ordinal=ordinal,
            deployment=deployment,
            max_queue=_QUEUE // _REPLICAS,
            devices=(DeviceShare("cuda", number % _ACCELERATORS, 20 * _GIB),),
        ),
        state=DeploymentState.READY,
        pid=pid,
        address=f"tcp:10.0.0.1:{number}",
        progress=Progress(1.0, "loading"),
        loaded=Loaded(context_length=8192, concurrency=16, abilities=Abilities()),
    )
