"""Prometheus metrics of the API.

With several API processes each writes its values to files in one directory, and whichever is
scraped adds them up. The client library looks for `PROMETHEUS_MULTIPROC_DIR` when it is imported,
so the process sets it before it imports this module.
"""

from __future__ import annotations

import re
import time
from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from xinfer.core.gateway import RoutingTable
from xinfer.types.event import Usage
from xinfer.types.link import Inspected

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_GAP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_PID = re.compile(r"_(\d+)\.db$")

# A creation time beside each series would double the exposition.
disable_created_metrics()  # type: ignore[no-untyped-call]

Engines = Mapping[str, Mapping[str, Inspected]]
"""What the replicas of each model said of themselves."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The instruments, and their text. Labels are routes, known models and error codes only."""

    def __init__(self, table: RoutingTable, directory: str | None = None) -> None:
        self._table = table
        self._directory = directory
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "xinfer_requests_total",
            "Answered requests.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.errors = Counter(
            "xinfer_errors_total", "Requests that ended with an error.", ["code"], registry=registry
        )
        self.in_flight = Gauge(
            "xinfer_requests_in_flight",
            "Requests being answered.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._tokens = Counter(
            "xinfer_tokens_total",
            "Tokens of finished requests.",
            ["model", "kind"],
            registry=registry,
        )
        self._first = Histogram(
            "xinfer_time_to_first_token_seconds",
            "From a streaming request's arrival to its first text.",
            ["model"],
            registry=registry,
            buckets=_SECONDS,
        )
        self._gap = Histogram(
            "xinfer_inter_token_seconds",
            "Mean time between the output tokens of a stream.",
            ["model"],
            registry=registry,
            buckets=_GAP_SECONDS,
        )
        self._stall = Histogram(
            "xinfer_longest_stall_seconds",
            "Longest time between two pieces of a stream.",
            ["model"],
            registry=registry,
            buckets=_SECONDS,
        )

    def count_usage(self, model: str, usage: Usage) -> None:
        self._tokens.labels(model, "prompt").inc(usage.prompt_tokens)
        self._tokens.labels(model, "cached").inc(usage.cached_tokens)
        self._tokens.labels(model, "completion").inc(usage.completion_tokens)

    def stream(self, model: str, arrived: float) -> StreamMeter:
        return StreamMeter(self, model, arrived)

    def observe_stream(
        self, model: str, first: float | None, stall: float, span: float, usage: Usage
    ) -> None:
        """One finished stream; times in seconds."""
        self.count_usage(model, usage)
        if first is None:
            return
        self._first.labels(model).observe(first)
        self._stall.labels(model).observe(stall)
        if usage.completion_tokens > 1:
            self._gap.labels(model).observe(span / (usage.completion_tokens - 1))

    def render(self, engines: Engines) -> bytes:
        """The exposition of this process, or of all where they share a directory."""
        registry = self._registry
        if self._directory is not None:
            _forget_dead(self._directory)
            registry = CollectorRegistry()
            MultiProcessCollector(registry, self._directory)  # type: ignore[no-untyped-call]
        scrape = CollectorRegistry()
        scrape.register(_Deployments(self._table, engines))
        return generate_latest(registry) + generate_latest(scrape)


class StreamMeter:
    """Times one stream; cheap for each batch, its figures are entered once at the end."""

    __slots__ = ("_arrived", "_began", "_last", "_metrics", "_model", "_stall")

    def __init__(self, metrics: Metrics, model: str, arrived: float) -> None:
        self._metrics = metrics
        self._model = model
        self._arrived = arrived
        self._began: float | None = None
        self._last = 0.0
        self._stall = 0.0

    def tick(self) -> None:
        """A batch of output has come."""
        now = time.monotonic()
        if self._began is None:
            self._began = now
        elif now - self._last > self._stall:
            self._stall = now - self._last
        self._last = now

    def finish(self, usage: Usage) -> None:
        began = self._began
        first = None if began is None else began - self._arrived
        span = 0.0 if began is None else self._last - began
        self._metrics.observe_stream(self._model, first, self._stall, span, usage)


class _Deployments(Collector):
    """What the routing table and the engines know, as of this scrape."""

    def __init__(self, table: RoutingTable, engines: Engines) -> None:
        self._table = table
        self._engines = engines

    def collect(self) -> Iterable[Metric]:
        replicas = GaugeMetricFamily(
            "xinfer_replicas", "Replicas by state.", labels=["model", "state"]
        )
        restarts = GaugeMetricFamily(
            "xinfer_replica_restarts", "Restarts of a model's replicas.", labels=["model"]
        )
        requests = GaugeMetricFamily(
            "xinfer_replica_requests",
            "Requests a model's replicas hold.",
            labels=["model", "state"],
        )
        capacity = GaugeMetricFamily(
            "xinfer_replica_capacity", "Requests a model's replicas can hold.", labels=["model"]
        )
        for status in self._table.deployments():
            uid = status.deployment.uid
            states = Tally(one.state.value for one in status.replicas)
            for state, count in sorted(states.items()):
                replicas.add_metric([uid, state], count)
            restarts.add_metric([uid], sum(one.restarts for one in status.replicas))
            loads = [answer.load for answer in self._engines.get(uid, {}).values()]
            requests.add_metric([uid, "running"], sum(load.running for load in loads))
            requests.add_metric([uid, "waiting"], sum(load.waiting for load in loads))
            capacity.add_metric([uid], sum(load.capacity for load in loads))
        control = GaugeMetricFamily(
            "xinfer_control_connected", "Whether the control plane is there."
        )
        control.add_metric([], float(self._table.connected))
        return (replicas, restarts, requests, capacity, control)


def _forget_dead(directory: str) -> None:
    """Drop the gauges of processes that are no more; their counters stay in the sums."""
    for file in Path(directory).glob("gauge_live*.db"):
        found = _PID.search(file.name)
        if found and not psutil.pid_exists(int(found[1])):
            file.unlink(missing_ok=True)  # another API process may be scraped just now
