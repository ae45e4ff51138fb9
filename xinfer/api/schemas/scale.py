"""The bodies of the routes that change what a model runs on."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from xinfer.api.schemas.base import Body, Neutral, only
from xinfer.api.schemas.launch import ReplicaPlace, place_of
from xinfer.errors import InvalidRequest
from xinfer.types.deployment import Place


class ScaleBody(Body):
    """What a running model is to have; what is left out stays as it is."""

    replica: int | None = Field(None, ge=1, le=1024, description="Replicas in all.")
    max_queue: int | None = Field(
        None, ge=0, le=10**6, description="Requests that may wait for a slot, in all replicas."
    )
    request_limits: int | None = Field(
        None,
        ge=0,
        le=10**6,
        description="Requests at once in all replicas, running and waiting; 0 for no limit.",
    )
    keep_alive: int | float | str | None = None

    unsupported: ClassVar[Mapping[str, Neutral]] = {
        "keep_alive": only(-1, "-1"),
    }

    def check_changes(self) -> None:
        """Raises:
        InvalidRequest: there is nothing in it that can be changed.
        """
        changes = (self.replica, self.max_queue, self.request_limits, self.keep_alive)
        if all(change is None for change in changes):
            unknown = ", ".join(self.ignored_fields())
            raise InvalidRequest(
                "Nothing to change: give `replica`, `max_queue` or `request_limits`."
                + (f" Not known: {unknown}." if unknown else "")
            )


class ReplicasBody(Body):
    """Replicas to add to a model that runs."""

    replica: int = Field(1, ge=1, le=1024, description="How many.")
    replica_config: ReplicaPlace | list[ReplicaPlace] | None = Field(
        None, description="The place of the new replica, or one for each of several."
    )
    n_gpu: int | str | None = Field(
        None,
        description='Accelerators of each, "auto" for what there is, 0 for none; left out, as in '
        "the launch.",
    )
    model_engine: str | None = None

    unsupported: ClassVar[Mapping[str, Neutral]] = {
        # All replicas of a model run on one engine.
        "model_engine": only(),
    }

    def places(self) -> tuple[Place, ...]:
        """One for each new replica; none where they go where the launch said.

        Raises:
            InvalidRequest: `n_gpu` and `replica_config` are both given.
        """
        config: Any = self.replica_config
        if config is not None:
            if self.n_gpu is not None:
                raise InvalidRequest(
                    "n_gpu goes into the devices of replica_config when that is given.",
                    param="n_gpu",
                )
            return tuple(map(place_of, config if isinstance(config, list) else [config]))
        if self.n_gpu is None:
            return ()
        return (Place(n_gpu=self.n_gpu or None),) * self.replica
