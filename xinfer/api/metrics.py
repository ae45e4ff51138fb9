"""Prometheus metrics of requests.

With several API processes each writes its values to files in one directory, and whichever is
scraped adds them up. The client library looks for `PROMETHEUS_MULTIPROC_DIR` when it is imported,
so the process sets it before it imports this module.
"""

from __future__ import annotations

import re
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
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from xinfer.api.record import InferenceRecord

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LONG_SECONDS = (*_SECONDS, 120, 300, 600)
_GAP_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_PID = re.compile(r"_(\d+)\.db$")

# A creation time beside each series would double the exposition.
disable_created_metrics()  # type: ignore[no-untyped-call]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """The instruments, and their text. Labels are routes, known models and error codes only."""

    def __init__(self, directory: str | None = None) -> None:
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
        self._duration = Histogram(
            "xinfer_request_duration_seconds",
            "From an inference request's arrival to the end of its answer.",
            ["model"],
            registry=registry,
            buckets=_LONG_SECONDS,
        )
        self._waited = Histogram(
            "xinfer_queue_wait_seconds",
            "Time of an answered request in a replica's waiting room.",
            ["model"],
            registry=registry,
            buckets=_LONG_SECONDS,
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
            "Mean time between the output tokens of a streamed answer.",
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

        self._inputs = Counter(
            "xinfer_inputs_total",
            "Texts that vectors or scores were made of.",
            ["model"],
            registry=registry,
        )
        self._truncated = Counter(
            "xinfer_truncated_inputs_total",
            "Texts that were cut short for it.",
            ["model"],
            registry=registry,
        )

    def observe(self, record: InferenceRecord, seconds: float) -> None:
        """An inference request has ended, however it did, `seconds` after it came."""
        model, usage = record.model, record.usage
        self._duration.labels(model).observe(seconds)
        for waited in record.waits:
            self._waited.labels(model).observe(waited)
        if record.reasons:
            self._tokens.labels(model, "prompt").inc(usage.prompt_tokens)
            self._tokens.labels(model, "cached").inc(usage.cached_tokens)
            self._tokens.labels(model, "completion").inc(usage.completion_tokens)
        if record.inputs:
            self._inputs.labels(model).inc(record.inputs)
            self._truncated.labels(model).inc(record.truncated)
        if record.first is not None:
            self._first.labels(model).observe(record.first)
            self._stall.labels(model).observe(record.stall)
        for gap in record.gaps:
            self._gap.labels(model).observe(gap)

    def render(self, cluster: Collector) -> bytes:
        """The exposition of this process, or of all where they share a directory, and what
        `cluster` collects."""
        registry = self._registry
        if self._directory is not None:
            _forget_dead(self._directory)
            registry = CollectorRegistry()
            MultiProcessCollector(registry, self._directory)  # type: ignore[no-untyped-call]
        scrape = CollectorRegistry()
        scrape.register(cluster)
        return generate_latest(registry) + generate_latest(scrape)


def _forget_dead(directory: str) -> None:
    """Drop the gauges of processes that are no more; their counters stay in the sums."""
    for file in Path(directory).glob("gauge_live*.db"):
        found = _PID.search(file.name)
        if found and not psutil.pid_exists(int(found[1])):
            file.unlink(missing_ok=True)  # another API process may be scraped just now
