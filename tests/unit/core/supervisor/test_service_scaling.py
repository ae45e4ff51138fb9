"""More replicas or fewer of what is wanted, and other bounds on its requests."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core.supervisor.desk import Desk
from tests.unit.core.supervisor.support import (
    GIB,
    report,
    run,
)
from xinfer.errors import InvalidRequest, NotFound, Unavailable
from xinfer.types.deployment import Place
from xinfer.types.model import Memory


def test_scale_changes_what_is_wanted_and_keeps_it() -> None:
    async def main() -> None:
        desk = Desk()
        await desk.launch("m", replica=2, max_queue=10)
        generation = desk.state.desired["m"].generation
        assert await desk.service.scale("m", 3) == 3
        assert await desk.service.scale("m", max_queue=4) == 3
        assert await desk.service.scale("m", request_limits=8) == 3
        wanted = desk.state.desired["m"]
        assert (wanted.replicas, wanted.max_queue, wanted.request_limits) == (3, 4, 8)
        assert wanted.generation == generation
        assert await desk.store.load() == [wanted]
        changes = desk.changes
        assert await desk.service.scale("m", 3, 4, 8) == 3
        assert desk.changes == changes
        await desk.service.scale("m", request_limits=0)
        assert desk.state.desired["m"].request_limits is None
        for asked, made in ((0, None), (5, 5)):
            uid = await desk.launch(f"n{asked}", request_limits=asked)
            assert desk.state.desired[uid].request_limits == made

    run(main)


@pytest.mark.parametrize(
    ("numbers", "param"),
    [((0, None), "replica"), ((257, None), "replica"), ((True, None), "replica"),
     ((None, -1), "max_queue"), ((2, 1.5), "max_queue"), ((None, None, -1), "request_limits")],
)  # fmt: skip
def test_a_bad_scale_changes_nothing(numbers: tuple[Any, ...], param: str) -> None:
    async def main() -> None:
        desk = Desk()
        await desk.launch("m")
        before = desk.state.desired["m"]
        with pytest.raises(InvalidRequest) as caught:
            await desk.service.scale("m", *numbers)
        assert caught.value.param == param
        assert desk.state.desired["m"] == before
        with pytest.raises(NotFound):
            await desk.service.scale("n", 2)

    run(main)


def test_a_model_grows_only_where_there_is_room() -> None:
    async def main() -> None:
        desk = Desk()
        desk.memory = Memory(weights=5 * GIB)
        desk.state.apply(report(), 1000.0)  # 12 GiB are free
        await desk.launch("m")
        assert await desk.service.scale("m", 2) == 2
        with pytest.raises(Unavailable, match="Of 3 replicas 2 would fit") as caught:
            await desk.service.scale("m", 3)
        assert caught.value.code == "no_capacity"
        assert desk.state.desired["m"].replicas == 2
        assert await desk.service.scale("m", 1) == 1

    run(main)


def test_replicas_added_where_each_had_a_place_may_run_anywhere() -> None:
    async def main() -> None:
        desk = Desk()
        own = (Place(worker="a"), Place(worker="b"))
        await desk.launch("m", replica=2, replica_config=own)
        await desk.service.scale("m", 3)
        assert desk.state.desired["m"].places == (*own, Place())
        await desk.launch("n", n_gpu=None)
        await desk.service.scale("n", 2)
        assert desk.state.desired["n"].places == (Place(n_gpu=None),)

    run(main)


def test_one_replica_is_added_in_its_place_and_one_is_removed() -> None:
    async def main() -> None:
        desk = Desk()
        await desk.launch("m", replica=2)
        place = Place(worker="a", replica_uid="mine")
        assert await desk.service.add_replicas("m", places=(place,)) == (2,)
        assert desk.state.desired["m"].places == (Place(), Place(), place)
        assert await desk.service.remove_replica("m", 0) == 2
        wanted = desk.state.desired["m"]
        assert wanted.ordinals == (1, 2)
        assert await desk.store.load() == [wanted]
        with pytest.raises(NotFound, match="no replica 0"):
            await desk.service.remove_replica("m", 0)
        with pytest.raises(NotFound):
            await desk.service.add_replicas("n")

    run(main)


def test_without_its_last_replica_a_model_is_terminated() -> None:
    async def main() -> None:
        desk = Desk()
        await desk.launch("m")
        assert await desk.service.remove_replica("m", 0) == 0
        assert desk.state.desired == {}
        assert await desk.store.load() == []

    run(main)


def test_a_replica_is_added_only_where_there_is_room() -> None:
    async def main() -> None:
        desk = Desk()
        desk.memory = Memory(weights=7 * GIB)
        desk.state.apply(report(), 1000.0)  # 12 GiB are free
        await desk.launch("m")
        with pytest.raises(Unavailable, match="Of 2 replicas 1 would fit"):
            await desk.service.add_replicas("m")
        assert desk.state.desired["m"].replicas == 1

    run(main)
