"""How many tokens a model was made for, by its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xinfer.model.inspect.config_shape import text_config
from xinfer.model.inspect.json_files import Listing, number, section

_POSITIONS = (
    *("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length"),
    *("model_max_length", "n_ctx", "max_seq_length", "max_target_positions"),
)
_ALREADY_SCALED = ("longrope", "su", "llama3", "mrope", "default")
"""Kinds of scaling whose models name the length after it."""
_UNLIMITED = 1 << 30
"""Tokenizers without a limit name a number beyond all use."""


def context_length(config: Mapping[str, Any], tokenizer: Mapping[str, Any]) -> int:
    """Tokens of prompt and answer together; 0 when unknown.

    What the tokenizer says counts only where the configuration is silent.
    """
    text = text_config(config)
    positions = number(text, *_POSITIONS) or number(config, *_POSITIONS)
    if not positions:
        limit = number(tokenizer, "model_max_length")
        return limit if limit < _UNLIMITED else 0
    scaled = positions
    for scaling in _scalings(text):
        scaled = max(scaled, _scaled(text, scaling, positions))
    return scaled


def encoder_length(
    config: Mapping[str, Any], tokenizer: Mapping[str, Any], files: Listing, folder: str = ""
) -> int:
    """Tokens of a text that is embedded or ranked; 0 when unknown."""
    positions = number(config, *_POSITIONS) or context_length(config, {})
    padding = config.get("pad_token_id")
    if _counts_from_padding(config) and type(padding) is int and 0 <= padding < positions:
        positions -= padding + 1
    limit = number(tokenizer, "model_max_length")
    told = number(files.json(f"{folder}sentence_bert_config.json"), "max_seq_length")
    limits = [one for one in (positions, limit, told) if 0 < one < _UNLIMITED]
    return min(limits, default=0)


def _counts_from_padding(config: Mapping[str, Any]) -> bool:
    """RoBERTa's positions begin behind the id of the padding."""
    return str(config.get("model_type", "")) in ("roberta", "xlm-roberta", "camembert", "mpnet")


def _scalings(text: Mapping[str, Any]) -> list[dict[str, Any]]:
    scaling = section(text, "rope_scaling", "rope_parameters")
    # One for each kind of layers, or one for all.
    return [one for one in scaling.values() if isinstance(one, dict)] or [scaling]


def _scaled(text: Mapping[str, Any], scaling: Mapping[str, Any], positions: int) -> int:
    kind = scaling.get("rope_type", scaling.get("type"))
    factor = scaling.get("factor")
    if kind in _ALREADY_SCALED or str(text.get("model_type", "")).startswith("gemma3"):
        return positions
    if not isinstance(factor, int | float) or not 1 < factor < 10_000:
        return positions
    return int((number(scaling, "original_max_position_embeddings") or positions) * factor)
