"""Which worker and which of its devices a replica goes to. Pure: filters, candidates, scores."""

from xinfer.core.supervisor.placement.filters import may_run_on
from xinfer.core.supervisor.placement.need import need_of
from xinfer.core.supervisor.placement.placement import Placed, Placement, PlacementPolicy
from xinfer.core.supervisor.placement.places import check_place, places_of
from xinfer.core.supervisor.placement.refusal import PREFIX, Refusal
from xinfer.core.supervisor.placement.ways import without

__all__ = [
    "PREFIX",
    "Placed",
    "Placement",
    "PlacementPolicy",
    "Refusal",
    "check_place",
    "may_run_on",
    "need_of",
    "places_of",
    "without",
]
