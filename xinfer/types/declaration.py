"""Declarations: models that a server is to have whenever it is started."""

from __future__ import annotations

import msgspec

from xinfer.types.deployment import LaunchSpec

FILE, API = "file", "api"
"""Where a declaration comes from; `LaunchSpec.declared` of what is launched by it."""


class Declaration(msgspec.Struct, frozen=True, kw_only=True):
    """A launch that is made at each start of the server, and now where the model is not there."""

    spec: LaunchSpec
    """Names its uid, and by `declared` where the declaration comes from."""
    enabled: bool = True
    """Otherwise the model is not started with the server, however it was launched before."""
    priority: int = 100
    """The smallest is launched first."""
    max_retries: int | None = None
    """Further attempts at a launch that is refused; None for no end of them."""
    retry_interval: float = 30.0
    """Seconds between two attempts."""

    @property
    def uid(self) -> str:
        assert self.spec.model_uid is not None
        return self.spec.model_uid


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """A declaration, and what has come of it since the server's start."""

    declaration: Declaration
    due: bool = False
    """Its launch is still to be accepted; afterwards the deployment tells more."""
    attempts: int = 0
    error: str = ""
    """Why the last attempt was refused."""
    last_attempt: float | None = None
    """Unix seconds."""
    last_started: float | None = None
    """Unix seconds at which its launch was accepted."""
