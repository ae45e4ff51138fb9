"""Prometheus metrics of the cluster, as the routing table, workers and engines have them."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from xinfer import __version__
from xinfer.core.gateway import RoutingTable
from xinfer.types.control import Node
from xinfer.types.deployment import DeploymentState
from xinfer.types.device import CPU
from xinfer.types.link import Inspected

Engines = Mapping[str, Mapping[str, Inspected]]
"""What the replicas of each model said of themselves, by replica id."""


class ClusterCollector(Collector):
    """One scrape's view: nothing is kept, so what has gone leaves no series behind.

    Args:
        nodes: the workers.
    """

    def __init__(self, table: RoutingTable, engines: Engines, nodes: Sequence[Node]) -> None:
        self._table = table
        self._engines = engines
        self._nodes = nodes

    def collect(self) -> Iterable[Metric]:
        yield from self._cluster()
        yield from self._workers()
        yield from self._devices()
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
            worker = node.address
            cpu.add_metric([worker], node.cpu_usage)
            cores.add_metric([worker], node.cpu_count)
            memory.add_metric([worker, "used"], node.memory_used)
            memory.add_metric([worker, "available"], node.memory_available)
            memory.add_metric([worker, "total"], node.memory_total)
            age.add_metric([worker], node.age)
        return cpu, cores, memory, age

    def _devices(self) -> Iterable[Metric]:
        memory = GaugeMetricFamily(
            "xinfer_device_memory_bytes",
            "Memory of an accelerator, whoever holds it.",
            labels=["worker", "device", "kind"],
        )
        utilisation = GaugeMetricFamily(
            "xinfer_device_utilization",
            "Share of the time in which an accelerator computes, where its driver tells.",
            labels=["worker", "device"],
        )
        held = GaugeMetricFamily(
            "xinfer_model_memory_bytes",
            "Memory that a model's replicas hold on a device.",
            labels=["model", "worker", "device"],
        )
        models = {
            replica.replica_id: status.deployment.uid
            for status in self._table.deployments()
            for replica in status.replicas
        }
        for node in self._nodes:
            for device in node.devices:
                place = [node.address, device.label]
                if device.kind != CPU:  # main memory is the node's
                    memory.add_metric([*place, "used"], device.memory_used)
                    memory.add_metric([*place, "free"], device.memory_free)
                    memory.add_metric([*place, "total"], device.memory_total)
                    if device.utilisation is not None:
                        utilisation.add_metric(place, device.utilisation)
                by_model: Tally[str] = Tally()
                for holder in device.holders:
                    if holder.replica_id in models:
                        by_model[models[holder.replica_id]] += holder.memory
                for model, amount in sorted(by_model.items()):
                    held.add_metric([model, *place], amount)
        return memory, utilisation, held

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
