"""R6: what one request costs the API process."""

from __future__ import annotations

from benchmarks.chat import chat_body, chat_target
from benchmarks.harness import load, running_server, running_yardstick
from benchmarks.plan import Requests
from benchmarks.report import Figure, Row, ratios
from benchmarks.settings import Settings

_CONNECTIONS = (1, 32)
_WARMUP = 300
_REQUESTS = 2000
_REPEATS = 5
_GOAL = 400.0


def measure(settings: Settings) -> Figure:
    """Chat requests with answers of one token over kept connections, beside a bare ASGI
    application that parses them and answers the same.

    Raises:
        CannotMeasure: a process did not start, or answered wrongly.
    """
    ours: dict[int, list[float]] = {connections: [] for connections in _CONNECTIONS}
    raw: dict[int, list[float]] = {connections: [] for connections in _CONNECTIONS}
    with running_server() as server, running_yardstick() as (raw_port, raw_pid):
        server.wait_until_whole()
        uid = server.launch_echo()
        api = server.processes()["api"].pid
        for _ in range(settings.repeats or _REPEATS):
            for connections in _CONNECTIONS:
                raw[connections].append(_microseconds(raw_port, raw_pid, "raw", connections))
                ours[connections].append(_microseconds(server.port, api, uid, connections))
    rows = [Row(_named(count), "µs", ours[count], _GOAL) for count in _CONNECTIONS]
    rows += [Row(f"bare ASGI, {_named(count)}", "µs", raw[count]) for count in _CONNECTIONS]
    rows += [
        Row(f"times bare ASGI, {_named(count)}", "×", ratios(ours[count], raw[count]))
        for count in _CONNECTIONS
    ]
    return Figure("R6", "API process: processor time of a request", rows)


def _named(connections: int) -> str:
    return "1 connection" if connections == 1 else f"{connections} connections"


def _microseconds(port: int, pid: int, model: str, connections: int) -> float:
    target = chat_target(port, connections=connections, watch={"server": pid})
    body = chat_body(model, max_tokens=1)
    outcome = load(Requests(target=target, body=body, warmup=_WARMUP, count=_REQUESTS))
    return outcome.processor["server"] / outcome.items * 1e6
