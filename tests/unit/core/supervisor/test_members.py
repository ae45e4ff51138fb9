"""The cluster's machines: who is there, and who is asked to leave."""

from __future__ import annotations

import pytest

from tests.unit.core.supervisor.support import (
    FakeWorkers,
    cluster_state,
    report,
    run,
    unreachable,
)
from xinfer.core.supervisor.members import Members
from xinfer.errors import Conflict, NotFound, Unavailable
from xinfer.types.cluster import CachedModel, RemoveEnvironments, VirtualEnvironment

ONE, TWO = "10.0.0.1:1", "10.0.0.2:2"


class Cluster:
    """Two workers, and what they are told."""

    def __init__(self, *, second_leaves: bool = False) -> None:
        self.state = cluster_state()
        self.workers = FakeWorkers()
        self.members = Members(self.state, self.workers, lambda: 1000.0)
        self.state.apply(report(worker_id="w1", address=ONE), 990.0)
        if second_leaves:
            busy = report(worker_id="w2", address=TWO, leaving=True)
            # It has not gone yet: something of it still runs.
            self.state.apply(report(worker_id="w2", address=TWO), 990.0)
            worker = self.state.workers.find("w2")
            assert worker is not None
            worker.report = busy
        else:
            self.state.apply(report(worker_id="w2", address=TWO), 995.0)


def test_nodes_are_the_workers_with_the_age_of_their_last_word() -> None:
    async def main() -> None:
        nodes = Cluster().members.nodes()
        assert [(node.address, node.age) for node in nodes] == [(ONE, 10.0), (TWO, 5.0)]

    run(main)


def test_a_worker_is_drained_when_another_takes_models() -> None:
    async def main() -> None:
        cluster = Cluster()
        await cluster.members.drain(ONE)
        assert cluster.workers.dismissed == [ONE]

    run(main)


def test_a_worker_is_drained_by_its_host_where_it_is_the_only_one_there() -> None:
    async def main() -> None:
        cluster = Cluster()
        await cluster.members.drain(ONE.rpartition(":")[0])
        assert cluster.workers.dismissed == [ONE]
        cluster.state.apply(report(worker_id="w3", address=f"{ONE}9"), 995.0)
        with pytest.raises(Conflict, match=f"{ONE}, {ONE}9. Name one") as caught:
            await cluster.members.drain(ONE.rpartition(":")[0])
        assert caught.value.code == "ambiguous"

    run(main)


def test_the_last_worker_that_takes_models_is_not_drained() -> None:
    async def main() -> None:
        cluster = Cluster(second_leaves=True)
        with pytest.raises(Conflict, match=r"xinference stop-cluster"):
            await cluster.members.drain(ONE)
        await cluster.members.drain(TWO)  # it leaves already: asked once more
        assert cluster.workers.dismissed == [TWO]

    run(main)


def test_an_unknown_worker_is_answered_with_those_there_are() -> None:
    async def main() -> None:
        with pytest.raises(NotFound, match=f"Connected: {ONE}, {TWO}"):
            await Cluster().members.drain("10.0.0.3:3")

    run(main)


def test_a_worker_that_cannot_be_told_is_no_success() -> None:
    async def main() -> None:
        cluster = Cluster()
        cluster.workers.failing["leave"] = unreachable()
        with pytest.raises(Unavailable):
            await cluster.members.drain(ONE)

    run(main)


def test_all_are_dismissed_and_who_cannot_be_told_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        cluster = Cluster()
        await cluster.members.dismiss()
        assert sorted(cluster.workers.dismissed) == [ONE, TWO]
        cluster.workers.failing["leave"] = unreachable()
        await cluster.members.dismiss()

    run(main)
    assert f"Worker {ONE} was not told to leave" in caplog.text


def test_stopping_is_asked_for_once_and_stays_so() -> None:
    async def main() -> None:
        members = Cluster().members
        assert not members.stop_asked.is_set()
        members.stop()
        assert members.stop_asked.is_set()

    run(main)


def cached(worker: str, version: str) -> CachedModel:
    return CachedModel(
        worker=worker,
        model_name="m",
        model_type="LLM",
        model_format="pytorch",
        model_size_in_billions=None,
        quantization="none",
        model_version=version,
        hub="huggingface",
        repo="owner/name",
        commit="c",
        path="/cache",
        files=("a",),
        size_bytes=1,
        last_used=1,
    )


def test_caches_of_all_workers_are_listed_and_of_one_by_its_host() -> None:
    async def main() -> None:
        cluster = Cluster()
        for address in (ONE, TWO):
            cluster.workers.caches[address] = [cached(address, "v")]
        assert [each.worker for each in await cluster.members.cached(None)] == [ONE, TWO]
        assert [each.worker for each in await cluster.members.cached("10.0.0.2")] == [TWO]
        assert [each.worker for each in await cluster.members.cached(ONE)] == [ONE]
        with pytest.raises(NotFound, match=f"Connected: {ONE}, {TWO}"):
            await cluster.members.cached("10.0.0.3")

    run(main)


def test_a_worker_that_does_not_answer_is_left_out_of_the_list() -> None:
    async def main() -> None:
        cluster = Cluster()
        cluster.workers.caches[TWO] = [cached(TWO, "v")]
        cluster.workers.failing[f"cached at {ONE}"] = unreachable()
        assert [each.worker for each in await cluster.members.cached(None)] == [TWO]

    run(main)


def test_a_model_is_removed_from_all_workers_that_have_it() -> None:
    async def main() -> None:
        cluster = Cluster()
        for address in (ONE, TWO):
            cluster.workers.caches[address] = [cached(address, "v"), cached(address, "w")]
        assert await cluster.members.remove_cached("v", None) == 2
        assert await cluster.members.remove_cached("w", "10.0.0.1") == 1
        assert [each.worker for each in await cluster.members.cached(None)] == [TWO]
        with pytest.raises(NotFound, match="xinference cached"):
            await cluster.members.remove_cached("v", None)

    run(main)


def environment(*models: str) -> VirtualEnvironment:
    return VirtualEnvironment(
        path="/v/1", packages=("p",), python_version="3.11.7", models=models, engines=("echo",)
    )


def test_virtual_environments_are_told_by_worker_and_model() -> None:
    async def main() -> None:
        cluster = Cluster()
        cluster.workers.virtual = {ONE: [environment("a", "b")], TWO: [environment("a")]}
        members = cluster.members
        found = await members.environments()
        assert [(one.worker, one.model_name) for one in found] == [
            (ONE, "a"), (ONE, "b"), (TWO, "a"),
        ]  # fmt: skip
        assert [one.worker for one in await members.environments("b")] == [ONE]
        assert [one.worker for one in await members.environments(worker="10.0.0.2")] == [TWO]
        assert await members.environments(engine="vllm") == []

    run(main)


def test_a_models_virtual_environments_go_from_all_workers_or_from_one() -> None:
    async def main() -> None:
        cluster = Cluster()
        cluster.workers.virtual = {ONE: [environment("a")], TWO: [environment("a")]}
        request = RemoveEnvironments(model_name="a")
        assert await cluster.members.remove_environments(request, ONE)
        assert [one.worker for one in await cluster.members.environments()] == [TWO]
        assert await cluster.members.remove_environments(request, None)
        assert not await cluster.members.remove_environments(request, None)

    run(main)
