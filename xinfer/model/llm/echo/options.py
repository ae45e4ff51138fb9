"""What a launch of the echo engine can set."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from xinfer.model.engine import EngineOptions

Seconds = Annotated[float, Meta(ge=0.0, le=86_400.0)]


class EchoOptions(EngineOptions, frozen=True, kw_only=True):
    """Pace, size and faults of an echo. Durations are in seconds."""

    token_interval: Seconds = 0.0
    """Time between steps; 0 is as fast as the event loop allows."""
    tokens_per_step: Annotated[int, Meta(ge=1, le=65_536)] = 1
    """Tokens of each running request that one step makes."""
    prefill_seconds: Seconds = 0.0
    """Time between taking a request and its first token."""
    concurrency: Annotated[int, Meta(ge=1, le=65_536)] = 64
    """Requests that run at once."""
    context_length: Annotated[int, Meta(ge=2, le=1 << 20)] = 4096
    """Tokens (bytes) of prompt and output together."""
    load_seconds: Seconds = 0.0
    """Time that loading takes."""
    fail_on_load: str = ""
    """When set, loading fails with this message."""
    oom_on_load: bool = False
    """Loading fails as for a model that does not fit into memory."""
    die_on_load: Annotated[int, Meta(ge=-64, le=255)] | None = None
    """Loading ends the process: an exit code, or a signal as a negative number (-9: SIGKILL)."""
    commands: bool = False
    """Carry out prompts such as `!die 5`; see `xinfer.model.llm.echo.command`."""
