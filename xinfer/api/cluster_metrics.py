"""Prometheus metrics of the cluster, as the routing table, workers and engines have them."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from xinfer import __version__
from xinfer.core.gateway import RoutingTable
from xinfer.types.deployment import DeploymentState
from xinfer.types.link import Inspected

Engines = Mapping[str, Mapping[str, Inspected]]
"""What the replicas of each model said of themselves, by replica id."""


class ClusterCollector(Collector):
    """One scrape's view: nothing is kept, so what has gone leaves no series behind.

    Args:
        nodes: the workers, as `xinfer.types.control.Node` in builtins.
    """

    def __init__(
        self, table: RoutingTable, engines: Engines, nodes: Sequence[Mapping[str, Any]]
    ) -> None:
        self._table = table
        self._engines = engines
        self._nodes = nodes

    def collect(self) -> Iterable[Metric]:
        yield from self._cluster()
        yield from self._workers()
        yield from self._replicas()

    def _cluster(self) -> Iterable[Metric]:
        build = GaugeMetricFamily("xinfer_build_info", "The version; always 1.", labels=["version"])
        build.add_metric([__version__], 1)
        control = GaugeMetricFamily(
            "xinfer_control_connected", "Whether the control plane is there."
        )
        control.add_metric([], float(self._table.connected))
        snapshot = self._table.snapshot
        workers = GaugeMetricFamily("xinfer_workers", "Workers that have joined and are not lost.")
        workers.add_metric([], snapshot.workers if snapshot else 0)
        deployments = GaugeMetricFamily(
            "xinfer_deployments", "Deployments by state; every state is there.", labels=["state"]
        )
        states = Tally(status.state for status in self._table.deployments())
        for state in DeploymentState:
            deployments.add_metric([state.value], states[state])
        return build, control, workers, deployments

    def _workers(self) -> Iterable[Metric]:
        cpu = GaugeMetricFamily(
            "xinfer_worker_cpu_usage", "Share of a node's processors in use.", labels=["worker"]
        )
        cores = GaugeMetricFamily(
            "xinfer_worker_cpus", "Processor cores that a worker may use.", labels=["worker"]
        )
        memory = GaugeMetricFamily(
            "xinfer_worker_memory_bytes", "A node's memory.", labels=["worker", "kind"]
        )
        age = GaugeMetricFamily(
            "xinfer_worker_report_age_seconds", "Since a worker's last report.", labels=["worker"]
        )
        for node in self._nodes:
            worker = node["address"]
            cpu.add_metric([worker], node["cpu_usage"])
            cores.add_metric([worker], node["cpu_count"])
            for kind in ("used", "available", "total"):
                memory.add_metric([worker, kind], node[f"memory_{kind}"])
            age.add_metric([worker], node["age"])
        return cpu, cores, memory, age

    def _replicas(self) -> Iterable[Metric]:
        replicas = GaugeMetricFamily(
            "xinfer_replicas", "Replicas by state.", labels=["model", "state"]
        )
        restarts = GaugeMetricFamily(
            "xinfer_replica_restarts",
            "Restarts of a model's replicas since it was launched.",
            labels=["model"],
        )
        requests = GaugeMetricFamily(
            "xinfer_replica_requests",
            "Requests that a model's replicas hold, in their engines or waiting rooms.",
            labels=["model", "state"],
        )
        capacity = GaugeMetricFamily(
            "xinfer_replica_capacity", "Requests a model's replicas can hold.", labels=["model"]
        )
        tokens = CounterMetricFamily(
            "xinfer_engine_tokens",
            "Tokens a replica's engine has computed, or found computed, since it was loaded.",
            labels=["model", "replica", "kind"],
        )
        for status in self._table.deployments():
            uid = status.deployment.uid
            states = Tally(one.state.value for one in status.replicas)
            for state, count in sorted(states.items()):
                replicas.add_metric([uid, state], count)
            restarts.add_metric([uid], sum(one.restarts for one in status.replicas))
            answers = self._engines.get(uid, {})
            loads = [answer.load for answer in answers.values()]
            requests.add_metric([uid, "running"], sum(load.running for load in loads))
            requests.add_metric([uid, "waiting"], sum(load.waiting for load in loads))
            capacity.add_metric([uid], sum(load.capacity for load in loads))
            for one in status.replicas:
                answer = answers.get(one.replica_id)
                if answer is not None:
                    # By ordinal, so that a restart is a counter that begins anew.
                    place, stats = [uid, str(one.ordinal)], answer.stats
                    tokens.add_metric([*place, "prompt"], stats.prompt_tokens)
                    tokens.add_metric([*place, "cached"], stats.cached_tokens)
                    tokens.add_metric([*place, "completion"], stats.completion_tokens)
        return replicas, restarts, requests, capacity, tokens
