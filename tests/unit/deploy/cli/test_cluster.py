"""What workers, drain and stop-cluster print and do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from click.testing import Result

WORKERS = [
    {
        "work-ip": "10.0.0.2:4001",
        "models": {"m-0-ab": {}, "m-1-cd": {}},
        "state": "READY",
        "labels": {"rack": "3", "gpu": "a100"},
        "version": "1.2.3",
    },
    {
        "work-ip": "10.0.0.3:4002",
        "models": {},
        "state": "LEAVING",
        "labels": {},
        "version": "1.2.3",
    },
]


def test_workers_are_a_table_with_their_labels(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on("GET /v1/workers", WORKERS)
    result = xinference("workers")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "Address        State    Replicas  Labels            Version",
        "-------------  -------  --------  ----------------  -------",
        "10.0.0.2:4001  READY           2  gpu=a100, rack=3  1.2.3",
        "10.0.0.3:4002  LEAVING         0                    1.2.3",
    ]
    assert json.loads(xinference("workers", "--format", "json").stdout) == WORKERS


def test_without_workers_it_says_how_to_start_one(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on("GET /v1/workers", [])
    result = xinference("workers")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "xinference-worker -e" in result.stderr


def test_drain_names_the_worker_to_the_server(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on("POST /v1/workers/10.0.0.2%3A4001/drain", {})
    assert xinference("drain", "--worker", "10.0.0.2:4001").exit_code == 0
    server.on("POST /v1/workers/x/drain", server.failure(404, "There is no worker 'x'."))
    refused = xinference("drain", "--worker", "x")
    assert refused.exit_code == 1
    assert "There is no worker 'x'." in refused.stderr


def test_stop_cluster_asks_before_it_stops(server: Any, xinference: Callable[..., Result]) -> None:
    server.on("GET /v1/workers", WORKERS)
    server.on("DELETE /v1/clusters", {"result": True})
    for answer, stops in (("n\n", 0), ("", 0), ("y\n", 1)):
        result = xinference("stop-cluster", stdin=answer)
        assert "all models on its 2 worker(s)" in result.stdout
        assert result.exit_code == (0 if stops else 1)
        assert len(server.bodies("DELETE /v1/clusters")) == stops


def test_stop_cluster_does_not_ask_with_check(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on("DELETE /v1/clusters", {"result": True})
    result = xinference("stop-cluster", "--check")
    assert (result.exit_code, result.stdout) == (0, "")
    assert len(server.bodies("DELETE /v1/clusters")) == 1
