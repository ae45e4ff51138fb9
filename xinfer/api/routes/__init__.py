"""The routes, one file for each family."""

from fastapi import APIRouter

from xinfer.api.routes import (
    autostart,
    cache,
    chat,
    cluster,
    completions,
    embeddings,
    health,
    launch,
    models,
    registrations,
    rerank,
    scale,
    workers,
)

ROUTERS: tuple[APIRouter, ...] = (
    chat.router,
    completions.router,
    embeddings.router,
    rerank.router,
    embeddings.tokens,
    health.router,
    registrations.router,
    models.router,
    launch.router,
    scale.router,
    autostart.router,
    cache.router,
    cluster.router,
    workers.router,
)
"""In the order in which they are matched; what is called most comes first."""
