"""R7: the echo engine through the whole stack, beside a bare ASGI application that echoes."""

from __future__ import annotations

import statistics

from benchmarks.chat import PROMPT, chat_body, chat_target
from benchmarks.harness import load, running_server, running_yardstick
from benchmarks.plan import Outcome, Requests
from benchmarks.report import Figure, Row, ratios
from benchmarks.settings import Settings

_CONNECTIONS = (1, 32)
_WARMUP = 300
_REQUESTS = 3000
_REPEATS = 5
_GOAL = 4.0


def measure(settings: Settings) -> Figure:
    """Whole answers, made in one step of the engine, over kept connections.

    Raises:
        CannotMeasure: a process did not start, or answered wrongly.
    """
    ours: dict[int, list[Outcome]] = {connections: [] for connections in _CONNECTIONS}
    raw: dict[int, list[Outcome]] = {connections: [] for connections in _CONNECTIONS}
    with running_server() as server, running_yardstick() as (raw_port, raw_pid):
        server.wait_until_whole()
        uid = server.launch_echo(tokens_per_step=len(PROMPT) + 1)
        found = server.processes()
        watch = {role: found[role].pid for role in ("api", "replica")}
        for _ in range(settings.repeats or _REPEATS):
            for connections in _CONNECTIONS:
                raw[connections].append(_load(raw_port, {"bare ASGI": raw_pid}, "raw", connections))
                ours[connections].append(_load(server.port, watch, uid, connections))
    rows = []
    for count in _CONNECTIONS:
        named = "1 connection" if count == 1 else f"{count} connections"
        mine, bare = ours[count], raw[count]
        slower = ratios([_rate(outcome) for outcome in bare], [_rate(outcome) for outcome in mine])
        rows += [
            Row(f"{named}: times slower", "×", slower, _GOAL),
            Row(f"{named}: requests", "/s", [_rate(outcome) for outcome in mine]),
            Row(f"{named}: requests, bare ASGI", "/s", [_rate(outcome) for outcome in bare]),
            *(
                Row(f"{named}: processor of {role}", "µs", [_cost(o, role) for o in outcomes])
                for outcomes in (mine, bare)
                for role in outcomes[0].processor
            ),
        ]
        if count == 1:
            rows += [
                Row(f"{named}: latency, p50", "ms", [_p50(outcome) for outcome in mine]),
                Row(f"{named}: latency, p50, bare ASGI", "ms", [_p50(outcome) for outcome in bare]),
            ]
    return Figure("R7", "Echo through the whole stack, beside a bare ASGI application", rows)


def _load(port: int, watch: dict[str, int], model: str, connections: int) -> Outcome:
    target = chat_target(port, connections=connections, watch=watch)
    return load(Requests(target=target, body=chat_body(model), warmup=_WARMUP, count=_REQUESTS))


def _rate(outcome: Outcome) -> float:
    return outcome.items / outcome.seconds


def _cost(outcome: Outcome, role: str) -> float:
    return outcome.processor[role] / outcome.items * 1e6


def _p50(outcome: Outcome) -> float:
    return statistics.median(outcome.latencies) * 1e3
