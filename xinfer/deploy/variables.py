"""Variables of the environment that look like settings and are none. Stdlib only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields

from xinfer.settings import Settings

_PREFIX = "XINFERENCE_"
REPLACED = {
    "SSE_PING_ATTEMPTS_SECONDS": "XINFERENCE_SSE_PING_INTERVAL",
    "HEALTH_CHECK_INTERVAL": "XINFERENCE_HEARTBEAT_INTERVAL",
    "HEALTH_CHECK_TIMEOUT": "XINFERENCE_HEARTBEAT_TIMEOUT",
    "MODEL_ACTOR_AUTO_RECOVER_LIMIT": "XINFERENCE_RESTART_LIMIT",
    "LOG_MAX_BYTES": "XINFERENCE_LOG_FILE_BYTES",
    "LOG_BACKUP_COUNT": "XINFERENCE_LOG_FILES",
    "OTLP_BASE_ENDPOINT": "XINFERENCE_OTLP_ENDPOINT",
    "AUTH_ADVANCED": "XINFERENCE_API_KEY",
}
"""Xinference's variables, without their prefix, to what has their place here."""


def without_effect(environment: Mapping[str, str]) -> Iterator[str]:
    """What to say of variables with our prefix that nothing reads; those that stand for nothing
    here, as Kubernetes makes some for a service of this name, share a line."""
    known = {spec.metadata["env"].removeprefix(_PREFIX) for spec in fields(Settings)}
    others = []
    for name in sorted(environment):
        ending = name.removeprefix(_PREFIX)
        if not name.startswith(_PREFIX) or ending in known or not environment[name]:
            continue
        if ending in REPLACED:
            yield f"{name} has no effect here; {REPLACED[ending]} has its place"
            continue
        from difflib import get_close_matches  # costs memory, which a server is to spare

        if near := get_close_matches(ending, known, 1, 0.8):
            yield f"{name} is no setting; did you mean {_PREFIX}{near[0]}?"
        else:
            others.append(name)
    if others:
        yield f"Without effect, since they are no settings: {', '.join(others)}"
