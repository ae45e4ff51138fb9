"""What the routes work with, once for each application."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from xinfer.api.fetch import Fetcher
from xinfer.api.lifetime import Drain
from xinfer.api.metrics import Metrics
from xinfer.api.render.deployments import ModelList
from xinfer.api.tracing import Tracing
from xinfer.core.gateway import Control, Gateway, RoutingTable
from xinfer.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Services:
    """Held in `app.state.services`."""

    gateway: Gateway
    control: Control
    settings: Settings
    drain: Drain
    metrics: Metrics
    model_list: ModelList
    fetcher: Fetcher
    tracing: Tracing | None = None
    supervisor: str = ""
    """Where its actor listens, as host:port; the host may be 0.0.0.0 or ::."""

    @property
    def table(self) -> RoutingTable:
        return self.gateway.table

    @property
    def draining(self) -> bool:
        """Whether this process or the whole server is on its way out."""
        snapshot = self.table.snapshot
        return self.drain.begun or (snapshot is not None and snapshot.draining)


def services(request: Request) -> Services:
    """The services of the application that got this request."""
    found: Services = request.app.state.services
    return found
