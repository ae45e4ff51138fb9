"""What the supervisor asks a worker of a launch."""

from __future__ import annotations

from typing import Any

import msgspec

from xinfer.model.catalog.host import Host
from xinfer.model.catalog.schema import Entry
from xinfer.types.deployment import LaunchSpec

EngineAnswers = dict[str, list[dict[str, Any]] | str]
"""By engine: the forms of a model that it runs, or why it runs none."""


class ResolveLaunch(msgspec.Struct, frozen=True):
    """What a launch comes to on the worker's machine. The answer is a `Resolved`."""

    spec: LaunchSpec
    host: Host
    """What the worker can give, by what it has reported."""
    registered: Entry | None = None
    """What a user has registered by the launch's name, which workers do not know."""
