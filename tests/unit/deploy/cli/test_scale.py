"""What scale and ps print and do."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import Result

from xinfer.deploy.cli import follow

INSTANCES = "GET /v1/models/instances"


def replica(number: int, state: str = "READY", **fields: Any) -> dict[str, Any]:
    return {
        "replica_id": number,
        "state": state,
        "worker_address": "10.0.0.2:9978",
        "devices": {"cpu:0": 1 << 30},
        "restarts": 0,
        "error_message": None,
        "info": "",
        **fields,
    }


def instance(*replicas: dict[str, Any], wanted: int | None = None, **fields: Any) -> dict[str, Any]:
    return {
        "model_uid": "m",
        "status": "READY",
        "state": "READY",
        "replica": len(replicas) if wanted is None else wanted,
        "max_queue": 100,
        "replica_statuses": list(replicas),
        **fields,
    }


@pytest.fixture(autouse=True)
def _poll_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_INTERVAL", 0)


@pytest.mark.parametrize("named", [["m"], ["--model-uid", "m"]])
def test_scale_waits_until_every_replica_is_ready(
    server: Any, xinference: Callable[..., Result], named: list[str]
) -> None:
    server.on("PATCH /v1/models/m", instance(replica(0), replica(1, "PENDING")))
    server.on("GET /v1/models/m/progress", {"progress": 0.5, "stage": "loading"})
    loading = instance(replica(0), replica(1, "LOADING"))
    server.on(INSTANCES, [loading], [instance(replica(0), replica(1))])
    result = xinference("scale", *named, "--replica", "2")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "m: 2 replica(s), 100 requests may wait\n"
    assert "50% loading" in result.stderr
    assert server.bodies("PATCH /v1/models/m") == [{"replica": 2}]
    assert len([each for each in server.requests if each.route == INSTANCES]) == 2


def test_scale_without_waiting_asks_for_nothing_more(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on("PATCH /v1/models/m", instance(replica(0)))
    result = xinference("scale", "m", "--max-queue", "0", "--no-wait")
    assert result.exit_code == 0, result.stderr
    assert server.bodies("PATCH /v1/models/m") == [{"max_queue": 0}]
    assert all(each.route != INSTANCES for each in server.requests)


def test_scale_tells_of_a_limit_on_requests(server: Any, xinference: Callable[..., Result]) -> None:
    server.on("PATCH /v1/models/m", instance(replica(0), request_limits=5))
    result = xinference("scale", "m", "--request-limits", "5", "--no-wait")
    assert result.stdout == "m: 1 replica(s), 100 requests may wait, at most 5 at once\n"
    assert server.bodies("PATCH /v1/models/m") == [{"request_limits": 5}]


def test_scale_fails_with_the_reason_of_a_replica_that_failed(
    server: Any, xinference: Callable[..., Result]
) -> None:
    broken = instance(replica(0), replica(1, "ERROR", error_message="It broke."))
    server.on("PATCH /v1/models/m", broken)
    server.on(INSTANCES, [broken])
    server.on("GET /v1/models/m/logs", {"replicas": []})
    result = xinference("scale", "m", "-r", "2")
    assert result.exit_code == 1
    assert "It broke." in result.stderr


def test_scale_without_a_number_or_a_model_is_wrong_usage(
    server: Any, xinference: Callable[..., Result]
) -> None:
    assert xinference("scale", "m").exit_code == 2
    assert xinference("scale", "-r", "2").exit_code == 2
    assert xinference("scale", "m", "--model-uid", "m", "-r", "2").exit_code == 2
    assert server.bodies("PATCH /v1/models/m") == []


def test_ps_shows_what_runs_where_and_why_the_rest_does_not(
    server: Any, xinference: Callable[..., Result]
) -> None:
    waiting = "Waiting for its turn."
    replicas = [
        replica(0, running=2, waiting=1, restarts=3),
        replica(1, running=1, waiting=0),
        replica(2, "PENDING", worker_address="", devices={}, info=waiting),
        replica(4, "PENDING", worker_address="", devices={}, info=waiting),
    ]
    gone = instance(
        replica(0, "ERROR", error_message="It broke.", info="Failed; not started again."),
        model_uid="gone",
        state="ERROR",
    )
    server.on(INSTANCES, [instance(*replicas), gone])
    server.on("GET /v1/models/m/replicas", replicas)
    result = xinference("ps")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        "UID   State  Ready  Devices              Memory   Running  Waiting  Restarts",
        "----  -----  -----  -------------------  -------  -------  -------  --------",
        "m     READY  2/4    10.0.0.2 cpu:0 (2x)  2.0 GiB        3  1/100           3",
        "gone  ERROR  0/1    10.0.0.2 cpu:0       1.0 GiB        0  0/100           0",
        "m, replica 2, 4: Waiting for its turn.",
        "gone, replica 0: It broke.",
    ]


def test_ps_as_json_is_all_that_the_server_says(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on(INSTANCES, [instance(replica(0))], [])
    server.on("GET /v1/models/m/replicas", [replica(0, running=1)])
    (shown,) = json.loads(xinference("ps", "--format", "json").stdout)
    assert shown == instance(replica(0, running=1))
    assert json.loads(xinference("ps", "--format", "json").stdout) == []


def test_ps_without_models_says_how_to_launch_one(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on(INSTANCES, [])
    result = xinference("ps")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "xinference launch -n" in result.stderr
