"""Catalogue entries in the incumbent's shape, for the registrations routes."""

from __future__ import annotations

from typing import Any

from xinfer.model.catalog.entries import Entry, Variant


def brief(entry: Entry) -> dict[str, Any]:
    """One line of the undetailed list."""
    return {"model_name": entry.name, "is_builtin": True}


def describe(entry: Entry) -> dict[str, Any]:
    """The whole family, one spec for each variant."""
    return {
        "version": 2,
        "model_name": entry.name,
        "model_type": entry.type,
        "model_family": entry.family,
        "model_description": entry.description,
        "model_lang": list(entry.languages),
        "model_ability": list(entry.abilities),
        "context_length": entry.context_length,
        "model_specs": [_describe_variant(variant) for variant in entry.variants],
        "is_builtin": True,
        "download_hubs": [],
    }


def _describe_variant(variant: Variant) -> dict[str, Any]:
    path = variant.path
    return {
        "model_format": variant.format,
        "model_size_in_billions": variant.size_in_billions,
        "quantization": variant.quantization,
        "model_id": None,
        "model_hub": "builtin",
        "model_uri": path.as_uri() if path else None,
        "model_revision": None,
        "cache_status": variant.cached,
    }
