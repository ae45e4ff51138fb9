"""Whether there is room for one more deployment, before it is wanted. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from xinfer.core.supervisor.keeping import kept_replicas
from xinfer.core.supervisor.observed import Observed, SlotKey
from xinfer.core.supervisor.placement import Refusal, without
from xinfer.core.supervisor.planner import PlanPolicy, has_given_up, plan
from xinfer.types.deployment import Deployment


class Lack(NamedTuple):
    """Why the first replica that has no place has none, and how many have one."""

    refusal: Refusal
    placed: int


def find_lack(
    desired: Mapping[str, Deployment], observed: Observed, new: Deployment, policy: PlanPolicy
) -> Lack | None:
    """What the plan would say of the new deployment once all that leaves has left.

    What is wanted already comes first, also where it waits to be started again. None when all
    replicas have a place, or when no worker is there to judge by.
    """
    wanted = {**desired, new.uid: new}
    kept = kept_replicas(wanted, observed)
    leaving = {each.replica_id for each in observed.replicas} - kept
    settled = msgspec.structs.replace(
        observed,
        workers=tuple(without(worker, leaving) for worker in observed.workers),
        replicas=tuple(each for each in observed.replicas if each.replica_id in kept),
        histories={
            slot: history
            for slot, history in observed.histories.items()
            if has_given_up(history, policy)
        },
        stops={},
    )
    refusals = plan(wanted, settled, 0.0, policy).refusals
    slots = [SlotKey(new.uid, new.generation, ordinal) for ordinal in new.ordinals]
    refused = [refusals[slot] for slot in slots if slot in refusals]
    return Lack(refused[0], len(slots) - len(refused)) if refused else None
