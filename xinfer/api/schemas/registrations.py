"""The bodies of the routes for models that users describe."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from xinfer.api.schemas.base import Body, Neutral, only
from xinfer.model.catalog.registration import MAX_TEXT


class RegisterBody(Body):
    """A model of one's own."""

    model: str = Field(
        min_length=1,
        max_length=MAX_TEXT,
        description="JSON text that describes the model: model_name, model_specs, …",
    )
    persist: bool = Field(False, description="Whether it is known after a restart of the server.")
    worker_ip: str | None = None

    unsupported: ClassVar[Mapping[str, Neutral]] = {"worker_ip": only("")}


class AutoRegisterBody(Body):
    """Files of the server, to be described."""

    model_path: str = Field(min_length=1, max_length=4096)
    model_family: str | None = Field(None, max_length=100)
