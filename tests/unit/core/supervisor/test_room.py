"""Whether one more deployment fits, before it is wanted."""

from __future__ import annotations

import msgspec

from tests.unit.core.supervisor.support import (
    CRASH,
    DRAINING,
    ENGINES,
    GIB,
    POLICY,
    PROCESSORS,
    READY,
    deployment,
)
from xinfer.core.supervisor.observed import (
    FailedStart,
    Observed,
    ObservedReplica,
    ObservedWorker,
    SlotHistory,
    SlotKey,
)
from xinfer.core.supervisor.room import Lack, find_lack
from xinfer.types.deployment import Deployment, DeploymentState
from xinfer.types.device import Device, DeviceShare, Holder
from xinfer.types.model import Memory

HISTORY = SlotHistory(starts=1, failures=(FailedStart(999.0, CRASH),))


def sized(uid: str, gib: int, *, replicas: int = 1, generation: int = 1) -> Deployment:
    made = deployment(uid, replicas=replicas, generation=generation)
    return msgspec.structs.replace(made, memory=Memory(weights=gib * GIB))


def living(uid: str, gib: int, state: DeploymentState = READY) -> ObservedReplica:
    shares = (DeviceShare("cpu", 0, gib * GIB),)
    return ObservedReplica(f"{uid}-0", SlotKey(uid, 1, 0), "w1", state, shares)


def lack(
    new: Deployment,
    *wanted: Deployment,
    replicas: tuple[ObservedReplica, ...] = (),
    histories: dict[SlotKey, SlotHistory] | None = None,
    device: Device = PROCESSORS,
    stops: dict[str, float] | None = None,
) -> Lack | None:
    """On one worker with 12 GiB free."""
    observed = Observed(
        workers=(ObservedWorker("w1", "h:1", (device,), ENGINES),),
        replicas=replicas,
        histories=histories or {},
        stops=stops or {},
    )
    return find_lack({each.uid: each for each in wanted}, observed, new, POLICY)


def test_what_fits_lacks_nothing() -> None:
    assert lack(sized("m", 12)) is None
    assert lack(sized("m", 4, replicas=3)) is None


def test_it_is_told_how_many_replicas_would_fit() -> None:
    found = lack(sized("m", 5, replicas=4))
    assert found is not None
    assert found.placed == 2
    assert found.refusal.message.startswith("No available slot found for the model m:")


def test_what_is_wanted_already_comes_first_also_while_it_waits_to_be_started_again() -> None:
    assert lack(sized("m", 6), sized("a", 6)) is None
    assert lack(sized("m", 7), sized("a", 6)) is not None
    crashed = {SlotKey("a", 1, 0): HISTORY}
    assert lack(sized("m", 7), sized("a", 6), histories=crashed) is not None


def test_what_was_given_up_needs_no_room() -> None:
    failures = tuple(FailedStart(999.0, CRASH) for _ in range(POLICY.limit))
    given_up = {SlotKey("a", 1, 0): SlotHistory(starts=3, failures=failures)}
    assert lack(sized("m", 12), sized("a", 6), histories=given_up) is None


def test_what_leaves_makes_room() -> None:
    holder = (Holder(1, 9 * GIB, "old-0"),)
    device = msgspec.structs.replace(PROCESSORS, memory_free=3 * GIB, holders=holder)
    leaving = living("old", 9, DRAINING)
    assert lack(sized("m", 12), replicas=(leaving,), device=device) is None
    assert lack(sized("m", 13), replicas=(leaving,), device=device) is not None
    told = living("old", 9)
    stops = {"old-0": 1.0}
    wanted = sized("old", 9)
    assert lack(sized("m", 12), replicas=(told,), device=device, stops=stops) is None
    assert lack(sized("m", 4), wanted, replicas=(told,), device=device) is not None


def test_a_launch_anew_takes_the_place_of_the_one_before() -> None:
    device = msgspec.structs.replace(
        PROCESSORS, memory_free=3 * GIB, holders=(Holder(1, 9 * GIB, "m-0"),)
    )
    old = living("m", 9)
    again = sized("m", 12, generation=2)
    assert lack(again, sized("m", 9), replicas=(old,), device=device) is None


def test_without_a_worker_nothing_is_refused() -> None:
    assert find_lack({}, Observed(), sized("m", 500), POLICY) is None
