"""Who is asked what a launch comes to."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core.supervisor.support import FakeWorkers, run, unreachable
from xinfer.core.supervisor.observed import ObservedWorker
from xinfer.core.supervisor.resolving import Resolver
from xinfer.errors import InvalidRequest, NotFound, XinferError
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.host import Host
from xinfer.model.catalog.resolve import Resolved
from xinfer.model.catalog.schema import Entry
from xinfer.types.deployment import LaunchSpec
from xinfer.types.model import ModelSpec

MODEL = ModelSpec(name="m")
NOTHING_HERE = InvalidRequest("No engine here can run it.")
NO_ENGINE = InvalidRequest("There is no engine 'parrot'.", param="model_engine")
NO_FILE = NotFound("There is no such file.")


def on(engine: str) -> Resolved:
    return Resolved(MODEL, engine, {})


def worker(name: str, *engines: str, **labels: str) -> ObservedWorker:
    return ObservedWorker(name, f"{name}:1", (), {engine: () for engine in engines}, labels)


class Cluster:
    """This machine has the engine `echo`; workers answer as told."""

    def __init__(self, here: Resolved | XinferError, **answers: Resolved | XinferError) -> None:
        self.workers = FakeWorkers()
        self.workers.resolving = {f"{name}:1": each for name, each in answers.items()}
        self._here = here

    def resolve(self, *workers: ObservedWorker, **fields: Any) -> Resolved:
        spec = LaunchSpec(**{"model_name": "m", **fields})
        found: list[Resolved] = []

        async def main() -> None:
            resolver = Resolver(self._resolve_here, self.workers, installed=lambda: {"echo"})
            found.append(await resolver.resolve(spec, workers))

        run(main)
        return found[0]

    @property
    def asked(self) -> list[str]:
        return self.workers.asked

    def _resolve_here(self, spec: LaunchSpec, host: Host) -> Resolved:
        if isinstance(self._here, XinferError):
            raise self._here
        return self._here


def test_what_this_machine_resolves_and_a_worker_runs_is_asked_of_nobody() -> None:
    cluster = Cluster(on("echo"))
    assert cluster.resolve(worker("a", "echo", "parrot")) == on("echo")
    assert cluster.resolve() == on("echo")
    assert cluster.asked == []


def test_an_engine_that_only_a_worker_has_is_found_there() -> None:
    cluster = Cluster(NOTHING_HERE, b=on("parrot"))
    assert cluster.resolve(worker("a", "echo"), worker("b", "echo", "parrot")) == on("parrot")
    assert cluster.asked == ["b:1"]


def test_a_worker_is_told_what_was_registered_by_the_name() -> None:
    entry = Entry(name="Own", type="LLM", variants=(), builtin=False)
    workers = FakeWorkers()
    workers.resolving = {"b:1": on("parrot")}

    def refuse(spec: LaunchSpec, host: Host) -> Resolved:
        raise NOTHING_HERE

    async def main() -> None:
        resolver = Resolver(
            refuse, workers, registered=Catalogue([entry]).custom, installed=lambda: {"echo"}
        )
        for name in ("own", "other"):
            await resolver.resolve(LaunchSpec(model_name=name), [worker("b", "parrot")])

    run(main)
    assert [each.registered for each in workers.questions] == [entry, None]


def test_an_engine_that_only_this_machine_has_is_not_taken() -> None:
    cluster = Cluster(on("echo"), b=on("parrot"))
    assert cluster.resolve(worker("b", "parrot")) == on("parrot")


def test_where_no_worker_knows_better_this_machine_has_the_last_word() -> None:
    cluster = Cluster(on("echo"), b=NOTHING_HERE)
    assert cluster.resolve(worker("b", "parrot")) == on("echo")
    with pytest.raises(InvalidRequest, match="No engine here"):
        Cluster(NOTHING_HERE).resolve(worker("a", "echo"))


def test_the_refusal_is_that_of_a_worker_with_the_engine_that_was_asked_for() -> None:
    refusal = InvalidRequest("Engine parrot has no option 'x'.", param="x")
    cluster = Cluster(NO_ENGINE, b=refusal, c=InvalidRequest("no parrot"))
    workers = worker("b", "parrot"), worker("c", "other")
    with pytest.raises(InvalidRequest, match="no option 'x'"):
        cluster.resolve(*workers, model_engine="Parrot")
    assert cluster.asked == ["b:1", "c:1"]
    with pytest.raises(InvalidRequest, match="There is no engine"):
        cluster.resolve(*workers)


def test_of_workers_that_are_alike_one_is_asked() -> None:
    cluster = Cluster(NOTHING_HERE, a=on("parrot"), b=on("parrot"))
    cluster.resolve(worker("a", "parrot"), worker("b", "parrot"))
    assert len(cluster.asked) == 1


@pytest.mark.parametrize("fields", [{"worker_ip": "a"}, {"worker_labels": {"rack": "1"}}])
def test_workers_on_which_the_launch_may_not_run_are_not_asked(fields: dict[str, Any]) -> None:
    cluster = Cluster(NOTHING_HERE, a=on("parrot"), b=on("better"))
    workers = worker("a", "parrot", rack="1"), worker("b", "better", rack="2")
    assert cluster.resolve(*workers, **fields) == on("parrot")
    assert cluster.asked == ["a:1"]


def test_a_worker_that_cannot_be_reached_is_passed_over() -> None:
    cluster = Cluster(NOTHING_HERE, a=unreachable(), b=on("other"))
    assert cluster.resolve(worker("a", "parrot"), worker("b", "other")) == on("other")


def test_a_file_may_be_on_workers_alone_and_a_name_is_unknown_to_all() -> None:
    cluster = Cluster(NO_FILE, a=on("echo"))
    assert cluster.resolve(worker("a", "echo"), model_name="/m.gguf") == on("echo")
    assert cluster.resolve(worker("a", "echo"), model_path="/m") == on("echo")
    with pytest.raises(NotFound):
        cluster.resolve(worker("a", "echo"))
