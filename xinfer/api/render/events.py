"""Events as the routes tell them: Xinference's shape for a model's, ours for the cluster's."""

from __future__ import annotations

from typing import Any


def model_event(event: dict[str, Any]) -> dict[str, Any]:
    """One entry of /v1/models/{uid}/events, of a `ClusterEvent` in builtins."""
    return {
        "event_type": event["level"],
        "event_ts": int(event["at"]),
        "event_content": event["text"],
    }


def cluster_event(event: dict[str, Any]) -> dict[str, Any]:
    """One entry of /v1/cluster/events."""
    return {
        **model_event(event),
        "model_uid": event["model"] or None,
        "worker_address": event["worker"] or None,
    }
