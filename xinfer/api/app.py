"""The application: what answers, and in which order a request meets it."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from xinfer import __version__
from xinfer.api import errors, page
from xinfer.api.auth.keys import Keys
from xinfer.api.auth.middleware import RequireKey
from xinfer.api.auth.policy import Policy
from xinfer.api.fetch import Fetcher
from xinfer.api.lifetime import Drain
from xinfer.api.metrics import Metrics
from xinfer.api.middleware.body_limit import BodyLimit
from xinfer.api.middleware.context import RequestContext
from xinfer.api.middleware.root_path import RootPath
from xinfer.api.render.deployments import ModelList
from xinfer.api.routes import ROUTERS
from xinfer.api.schemas.answers import ERROR_ANSWERS
from xinfer.api.services import Services
from xinfer.api.tracing import Tracing
from xinfer.core.gateway import Control, Gateway
from xinfer.settings import Settings


def create_app(
    gateway: Gateway,
    control: Control,
    settings: Settings,
    *,
    drain: Drain | None = None,
    metrics_dir: str | None = None,
    tracing: Tracing | None = None,
    supervisor: str = "",
    fetcher: Fetcher | None = None,
) -> FastAPI:
    """The ASGI application of one API process.

    Args:
        gateway: the way to the models.
        control: the way to the supervisor.
        settings: limits, timeouts, the key.
        drain: shared with whoever stops the process; a new one by default.
        metrics_dir: where several processes keep their metrics together.
        tracing: where spans of requests go; closed by the caller.
        supervisor: where the supervisor's actor listens.
        fetcher: what requests name by URL is fetched by; one by the settings by default.
    """
    services = Services(
        gateway=gateway,
        control=control,
        settings=settings,
        drain=drain or Drain(),
        metrics=Metrics(metrics_dir),
        model_list=ModelList(gateway.table),
        fetcher=fetcher or Fetcher(settings),
        tracing=tracing,
        supervisor=supervisor,
    )
    app = FastAPI(
        title="xinfer",
        version=__version__,
        description="Models over HTTP: OpenAI's API, and Xinference's to manage them.",
        docs_url=None,
        redoc_url=None,
        responses=ERROR_ANSWERS,
        redirect_slashes=False,
        servers=[{"url": settings.prefix}] if settings.prefix else None,
    )
    app.state.services = services
    for router in ROUTERS:
        app.include_router(router)
    page.install(app)
    errors.install(app)
    # The last one added is the first that a request meets.
    app.add_middleware(
        BodyLimit,
        limit=settings.max_json_bytes,
        limit_form=settings.max_form_bytes,
        limit_held=settings.max_held_bytes,
    )
    app.add_middleware(RequireKey, keys=Keys(settings), policy=Policy(settings))
    if settings.cors_origins:
        origins = [origin.strip() for origin in settings.cors_origins.split(",")]
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=[
                "X-Request-Id",
                "X-Ignored-Fields",
                "X-Truncated-Inputs",
                "Retry-After",
            ],
        )
    app.add_middleware(RequestContext, services=services)
    if settings.prefix:
        app.add_middleware(RootPath, prefix=settings.prefix)
    return app
