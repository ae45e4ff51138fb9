"""R5: what one streamed token costs the API process."""

from __future__ import annotations

from benchmarks.chat import chat_body, chat_target
from benchmarks.harness import load, running_server, running_yardstick
from benchmarks.plan import Streams
from benchmarks.report import Figure, Row, ratios
from benchmarks.settings import Settings

_STREAMS = (32, 128)
_TOKEN_INTERVAL = 0.02
_TOKENS = 250
_REPEATS = 5
_GOAL = 10.0


def measure(settings: Settings) -> Figure:
    """Streams at 50 tokens a second each, an event a token, beside a bare ASGI application that
    sends the same events at the same pace. Only the time in which all of them stream is counted.

    Raises:
        CannotMeasure: a process did not start, or answered wrongly.
    """
    ours: dict[int, list[float]] = {streams: [] for streams in _STREAMS}
    raw: dict[int, list[float]] = {streams: [] for streams in _STREAMS}
    with running_server() as server, running_yardstick(_TOKEN_INTERVAL) as (raw_port, raw_pid):
        server.wait_until_whole()
        uid = server.launch_echo(token_interval=_TOKEN_INTERVAL, concurrency=max(_STREAMS))
        api = server.processes()["api"].pid
        for _ in range(settings.repeats or _REPEATS):
            for streams in _STREAMS:
                raw[streams].append(_microseconds_a_token(raw_port, raw_pid, "raw", streams))
                ours[streams].append(_microseconds_a_token(server.port, api, uid, streams))
    rows = [Row(f"{streams} streams", "µs", ours[streams], _GOAL) for streams in _STREAMS]
    rows += [Row(f"bare ASGI, {streams} streams", "µs", raw[streams]) for streams in _STREAMS]
    rows += [
        Row(f"times bare ASGI, {streams} streams", "×", ratios(ours[streams], raw[streams]))
        for streams in _STREAMS
    ]
    return Figure("R5", "API process: processor time of a streamed token", rows)


def _microseconds_a_token(port: int, pid: int, model: str, streams: int) -> float:
    target = chat_target(port, connections=streams, watch={"server": pid})
    body = chat_body(model, stream=True, max_tokens=_TOKENS, ignore_eos=True)
    outcome = load(Streams(target=target, body=body, tokens=_TOKENS))
    return outcome.processor["server"] / outcome.items * 1e6
