"""What /metrics says: of requests, of the cluster, and that its labels are bounded."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.unit.api.fakes import Api, deployment
from tests.unit.api.test_encode import ROWS, VECTORS, encoding
from xinfer.api.cluster_metrics import ClusterCollector
from xinfer.api.metrics import Metrics
from xinfer.core.gateway import RoutingTable
from xinfer.errors import EngineFailed, NotFound, Unavailable
from xinfer.types.control import Node, ReadNodes
from xinfer.types.deployment import DeploymentState
from xinfer.types.device import CPU, Device, Holder
from xinfer.types.link import Inspected, Load
from xinfer.types.model import EngineStats

NODE = Node(
    address="10.0.0.1:4000",
    age=1.5,
    cpu_count=8,
    cpu_usage=0.25,
    memory_total=100,
    memory_available=60,
    memory_used=40,
)


async def scrape(api: Api) -> dict[str, float]:
    """Values by series, as written in the exposition."""
    text = (await api.http.get("/metrics")).text
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return {series: float(value) for series, _, value in (line.rpartition(" ") for line in lines)}


@pytest.mark.anyio
async def test_requests_errors_and_tokens_are_counted() -> None:
    api = Api()
    await api.chat()
    await api.chat(stream=True)
    await api.complete(prompt=["a", "b"], stream=True)
    api.gateway.scripts = [EngineFailed("It broke.")]
    await api.chat()
    seen = await scrape(api)
    route = 'method="POST",route="/v1/chat/completions"'
    assert seen[f'xinfer_requests_total{{{route},status="200"}}'] == 2
    assert seen[f'xinfer_requests_total{{{route},status="500"}}'] == 1
    assert seen['xinfer_errors_total{code="engine_error"}'] == 1
    for kind, tokens in (("prompt", 20), ("cached", 4), ("completion", 8)):
        assert seen[f'xinfer_tokens_total{{kind="{kind}",model="echo"}}'] == tokens
    assert seen["xinfer_requests_in_flight"] == 1


@pytest.mark.anyio
async def test_times_of_requests_are_measured_also_of_those_that_fail() -> None:
    api = Api()
    await api.chat()
    await api.complete(prompt=["a", "b"], stream=True)
    api.gateway.scripts = [EngineFailed("It broke.")]
    await api.chat()
    seen = await scrape(api)

    def count(name: str) -> float:
        return seen[f'xinfer_{name}_seconds_count{{model="echo"}}']

    assert count("request_duration") == 3
    assert count("queue_wait") == 3  # of each of the choices that were made
    assert seen['xinfer_queue_wait_seconds_sum{model="echo"}'] == 0.75
    assert count("time_to_first_token") == 1  # of the stream, once
    assert count("inter_token") == 2  # each choice of the stream has its own


@pytest.mark.anyio
async def test_labels_name_only_what_there_is() -> None:
    api = Api()
    await api.chat(model="no-such-model-1")
    await api.http.get("/no/such/route")
    await api.http.request("BREW", "/livez")
    text = (await api.http.get("/metrics")).text
    assert 'xinfer_requests_total{method="GET",route="unknown",status="404"} 1.0' in text
    assert "no-such-model-1" not in text
    assert "/no/such/route" not in text
    assert "BREW" not in text


@pytest.mark.anyio
async def test_the_cluster_is_told_by_workers_deployments_and_replicas() -> None:
    api = Api(
        deployment("a", replicas=2),
        deployment("b", state=DeploymentState.ERROR, failure=EngineFailed("It broke.")),
    )
    api.control.nodes = [NODE]
    seen = await scrape(api)
    assert seen["xinfer_workers"] == 1
    assert seen["xinfer_control_connected"] == 1
    assert seen['xinfer_deployments{state="READY"}'] == 1
    assert seen['xinfer_deployments{state="ERROR"}'] == 1
    assert seen['xinfer_deployments{state="LOADING"}'] == 0
    assert seen['xinfer_replicas{model="a",state="READY"}'] == 2
    assert seen['xinfer_replica_restarts{model="a"}'] == 1
    assert seen['xinfer_replica_requests{model="a",state="running"}'] == 2
    assert seen['xinfer_replica_requests{model="a",state="waiting"}'] == 4
    assert seen['xinfer_replica_capacity{model="a"}'] == 40
    worker = 'worker="10.0.0.1:4000"'
    assert seen[f"xinfer_worker_cpu_usage{{{worker}}}"] == 0.25
    assert seen[f"xinfer_worker_cpus{{{worker}}}"] == 8
    assert seen[f'xinfer_worker_memory_bytes{{kind="used",{worker}}}'] == 40
    assert seen[f"xinfer_worker_report_age_seconds{{{worker}}}"] == 1.5


@pytest.mark.anyio
async def test_memory_is_told_by_worker_device_and_model() -> None:
    api = Api(deployment("a", replicas=2), deployment("b"))
    holders = (
        Holder(1, 10, "a-0-abc"),
        Holder(2, 20, "a-1-abc"),
        Holder(3, 5, "b-0-abc"),
        Holder(4, 7),
        Holder(5, 9, "of-long-ago"),
    )
    gpu = {"name": "H100", "memory_total": 100, "memory_used": 60, "memory_free": 40}
    devices = (
        Device(kind="cuda", index=1, utilisation=0.75, holders=holders, **gpu),
        Device(kind="rocm", index=0, **gpu),
        Device(kind=CPU, index=0, name="CPU", holders=(Holder(1, 3, "a-0-abc"),)),
    )
    api.control.nodes = [msgspec.structs.replace(NODE, devices=devices)]
    seen = await scrape(api)
    found = {
        series: value
        for series, value in seen.items()
        if series.startswith(("xinfer_device", "xinfer_model_memory"))
    }
    worker = 'worker="10.0.0.1:4000"'
    memory = {
        f'xinfer_device_memory_bytes{{device="{device}",kind="{kind}",{worker}}}': value
        for device in ("cuda:1", "rocm:0")
        for kind, value in (("used", 60), ("free", 40), ("total", 100))
    }
    held = {
        f'xinfer_model_memory_bytes{{device="{device}",model="{model}",{worker}}}': value
        for device, model, value in (("cuda:1", "a", 30), ("cuda:1", "b", 5), ("cpu:0", "a", 3))
    }
    busy = {f'xinfer_device_utilization{{device="cuda:1",{worker}}}': 0.75}
    assert found == memory | held | busy


@pytest.mark.anyio
async def test_engines_tell_their_tokens_by_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    api = Api(deployment("a", replicas=2))
    stats = EngineStats(prompt_tokens=7, cached_tokens=3, completion_tokens=11)

    async def inspect(uid: str) -> dict[str, Inspected]:
        return {f"{uid}-1-abc": Inspected(0, Load(0, 0, 1), stats)}

    monkeypatch.setattr(api.gateway, "inspect", inspect)
    seen = await scrape(api)
    tokens = {series: n for series, n in seen.items() if series.startswith("xinfer_engine_tokens")}
    assert tokens == {
        f'xinfer_engine_tokens_total{{kind="{kind}",model="a",replica="1"}}': value
        for kind, value in (("prompt", 7), ("cached", 3), ("completion", 11))
    }


@pytest.mark.anyio
async def test_what_does_not_answer_holds_up_no_scrape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xinfer.api.routes.loads._WITHIN", 0.05)
    api = Api()

    async def inspect(uid: str) -> dict[str, Inspected]:
        await asyncio.Event().wait()
        raise AssertionError

    def away(_: ReadNodes) -> None:
        raise Unavailable("Away.")

    monkeypatch.setattr(api.gateway, "inspect", inspect)
    api.control.handlers[ReadNodes] = away
    seen = await asyncio.wait_for(scrape(api), 5)
    assert seen['xinfer_replicas{model="echo",state="READY"}'] == 1
    assert not any(series.startswith("xinfer_worker_cpu") for series in seen)

    async def gone(uid: str) -> dict[str, Inspected]:
        raise NotFound("It has gone.")

    monkeypatch.setattr(api.gateway, "inspect", gone)
    assert (await scrape(api))['xinfer_replica_capacity{model="echo"}'] == 0


def test_gauges_of_dead_processes_are_forgotten_and_counters_kept(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    kept = [f"gauge_livesum_{os.getpid()}.db", f"counter_{ended.pid}.db"]
    for name in (f"gauge_livesum_{ended.pid}.db", *kept):
        (tmp_path / name).write_bytes(bytes(8))  # no values
    Metrics(str(tmp_path)).render(ClusterCollector(RoutingTable(), {}, []))
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(kept)


@pytest.mark.anyio
async def test_the_documentation_lists_every_metric_with_its_labels() -> None:
    api = Api(deployment("a"), deployment("embed", type="embedding", encode=VECTORS))
    api.gateway.encodings.append(encoding(ROWS, 7, 1))
    gpu = Device(
        kind="cuda", index=0, name="H100", utilisation=0.5, holders=(Holder(1, 1, "a-0-abc"),)
    )
    api.control.nodes = [msgspec.structs.replace(NODE, devices=(gpu,))]
    await api.chat(model="a", stream=True)
    await api.http.post("/v1/embeddings", json={"model": "embed", "input": ["a", "b"]})
    await api.http.get("/nowhere")
    text = (await api.http.get("/metrics")).text
    exposed = {}
    for kind in re.findall(r"^# TYPE (\w+) ", text, re.MULTILINE):
        series = re.search(rf"^{kind}(?:_count)?(?:{{(.*)}})? ", text, re.MULTILINE)
        assert series, kind
        exposed[kind] = set(re.findall(r'(\w+)="', series[1] or ""))
    page = (Path(__file__).parents[3] / "docs" / "observability.md").read_text()
    rows = re.findall(r"^\| `(xinfer_\w+)` \| \w+ \| (.*?) \|", page, re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows} == exposed
