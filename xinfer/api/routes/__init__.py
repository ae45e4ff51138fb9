"""The routes, one file for each family."""

from fastapi import APIRouter

from xinfer.api.routes import (
    audio,
    autostart,
    cache,
    chat,
    cluster,
    completions,
    embeddings,
    engines,
    health,
    images,
    launch,
    messages,
    models,
    progress,
    registrations,
    rerank,
    responses,
    scale,
    tokens,
    virtualenvs,
    workers,
)

ROUTERS: tuple[APIRouter, ...] = (
    chat.router,
    completions.router,
    messages.router,
    responses.router,
    embeddings.router,
    rerank.router,
    images.router,
    audio.router,
    embeddings.tokens,
    tokens.router,
    health.router,
    registrations.router,
    engines.router,
    models.router,
    progress.router,
    images.files,
    launch.router,
    scale.router,
    autostart.router,
    cache.router,
    cluster.router,
    virtualenvs.router,
    workers.router,
)
"""In the order in which they are matched; what is called most comes first."""
