"""Catalogue entries in Xinference's shape, for the registrations routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xinfer.model.catalog.schema import GGUF, HUBS, Entry, Repository, Variant, template_source
from xinfer.types.model import ModelSpec

IsCached = Callable[[ModelSpec], bool]
"""Whether nothing has to be downloaded before a model can be loaded."""


def brief(entry: Entry) -> dict[str, Any]:
    """One line of the undetailed list."""
    return {"model_name": entry.name, "is_builtin": entry.builtin}


def describe(entry: Entry, is_cached: IsCached) -> dict[str, Any]:
    """All that is known of a model, with one spec for each variant and quantisation, on the hub
    that is asked first. Blocks: it looks for files on this machine."""
    return {
        "version": 2,
        "model_name": entry.name,
        "model_type": entry.type,
        "model_family": entry.family or entry.name,
        "model_description": entry.description,
        "model_ability": list(entry.abilities),
        **_OF_TYPE[entry.type](entry),
        "model_specs": [
            spec for variant in entry.variants for spec in _specs(entry, variant, is_cached)
        ],
        "is_builtin": entry.builtin,
        "download_hubs": _hubs(entry),
    }


def prompt(entry: Entry) -> dict[str, Any]:
    """What the model's prompts are made with, where that is not left to its files."""
    template = entry.chat_template or (template_source(entry.template) if entry.template else None)
    return {
        "chat_template": template,
        "stop": list(entry.stop),
        "stop_token_ids": list(entry.stop_token_ids),
    }


def size_text(size: float | None) -> int | str | None:
    """A size as launches take it: 7, or "1_8" for 1.8."""
    if size is None:
        return None
    return int(size) if size == int(size) else f"{size:g}".replace(".", "_")


def _llm(entry: Entry) -> dict[str, Any]:
    return {
        "model_lang": list(entry.languages),
        "context_length": entry.context_length or None,
        "architectures": list(entry.architectures),
        **prompt(entry),
    }


def _embedding(entry: Entry) -> dict[str, Any]:
    return {
        "language": list(entry.languages),
        "dimensions": entry.dimensions or None,
        "max_tokens": entry.context_length or None,
    }


def _rerank(entry: Entry) -> dict[str, Any]:
    return {
        "language": list(entry.languages),
        "type": entry.kind or "unknown",
        "max_tokens": entry.context_length or None,
    }


def _image(entry: Entry) -> dict[str, Any]:
    return {**_only_place(entry), "controlnet": None}


def _audio(entry: Entry) -> dict[str, Any]:
    return {**_only_place(entry), "multilingual": entry.multilingual}


_OF_TYPE: dict[str, Callable[[Entry], dict[str, Any]]] = {
    "LLM": _llm,
    "embedding": _embedding,
    "rerank": _rerank,
    "image": _image,
    "audio": _audio,
}


def _only_place(entry: Entry) -> dict[str, Any]:
    """Where a model is that has one variant, beside its other fields."""
    variant = entry.variants[0]
    return _place(variant, entry.models_of(variant)[0])


def _specs(entry: Entry, variant: Variant, is_cached: IsCached) -> list[dict[str, Any]]:
    return [
        {
            "model_format": model.format,
            "model_size_in_billions": size_text(model.size_in_billions),
            "activated_size_in_billions": size_text(variant.activated),
            "quantization": model.quantization,
            **_place(variant, model),
            **_files(variant, model),
            "cache_status": is_cached(model),
        }
        for model in entry.models_of(variant)
    ]


def _place(variant: Variant, model: ModelSpec) -> dict[str, Any]:
    path = variant.local_path
    return {
        "model_id": model.model_id or None,
        "model_hub": model.hub,
        "model_uri": path.as_uri() if path else None,
        "model_revision": model.revision,
    }


def _files(variant: Variant, model: ModelSpec) -> dict[str, Any]:
    if variant.format not in (GGUF, "onnx") or not model.sources:
        return {}
    there: Repository = dict(variant.repositories())[model.hub]
    count = (there.parts or {}).get(model.quantization, 0)
    return {
        "model_file_name_template": there.file or None,
        "model_file_name_split_template": (there.split_file or None) if count else None,
        "quantization_parts": {
            model.quantization: [f"{one:05d}-of-{count:05d}" for one in range(1, count + 1)]
        }
        if count
        else None,
        "multimodal_projectors": list(there.projectors or ()) or None,
    }


def _hubs(entry: Entry) -> list[str]:
    there = {hub for variant in entry.variants for hub, _ in variant.repositories()}
    return [hub for hub in HUBS.values() if hub in there]
