"""The body of a declaration."""

from typing import Any

import msgspec
from pydantic import Field, model_validator

from xinfer.api.schemas.base import Body
from xinfer.api.schemas.launch import LaunchBody
from xinfer.core.supervisor.uids import default_uid
from xinfer.errors import InvalidRequest
from xinfer.types.declaration import API, Declaration

MASK = "******"
"""Stands for secrets in answers."""
_OWN = ("enabled", "priority", "max_retries", "retry_interval_seconds")


class AutostartBody(Body):
    """A launch to make at each start of the server, in `launch` or beside the other fields."""

    enabled: bool = Field(
        True, description="Otherwise the model is not started, however it was launched before."
    )
    priority: int = Field(100, ge=-(10**6), le=10**6, description="The smallest is launched first.")
    max_retries: int | None = Field(
        3, ge=0, le=10**6, description="Further attempts where a launch is refused; null: no end."
    )
    retry_interval_seconds: float = Field(30.0, ge=1, le=86400)
    launch: LaunchBody = Field(description="The body of POST /v1/models.")

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        """Launch fields that stand beside the others are those of `launch`."""
        if not isinstance(data, dict) or "launch" in data:
            return data
        launch = {key: value for key, value in data.items() if key not in _OWN}
        return {**{key: data[key] for key in _OWN if key in data}, "launch": launch}

    def declaration(self) -> Declaration:
        """As the control plane hears of it.

        Raises:
            InvalidRequest: what a launch raises for its body, or a secret that is only a mask.
        """
        if _has_mask(self.launch.model_dump(exclude_unset=True)):
            raise InvalidRequest(
                f"`launch` has {MASK}, which stands for a secret in answers. Give the secret.",
                param="launch",
            )
        self.launch.check_supported()
        spec = self.launch.spec()
        uid = spec.model_uid or default_uid(spec.model_name, ())
        return Declaration(
            spec=msgspec.structs.replace(spec, model_uid=uid, declared=API),
            enabled=self.enabled,
            priority=self.priority,
            max_retries=self.max_retries,
            retry_interval=self.retry_interval_seconds,
        )


def _has_mask(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_mask(each) for each in value.values())
    return any(map(_has_mask, value)) if isinstance(value, list) else value == MASK
