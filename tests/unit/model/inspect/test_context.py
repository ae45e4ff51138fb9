"""How many tokens a model was made for."""

from __future__ import annotations

from typing import Any

import pytest

from xinfer.model.inspect.context import context_length


@pytest.mark.parametrize(
    ("config", "length"),
    [
        ({"max_position_embeddings": 4096}, 4096),
        ({"n_positions": 1024}, 1024),
        ({"seq_length": 8192}, 8192),
        (
            {
                "max_position_embeddings": 32768,
                "rope_scaling": {
                    "type": "yarn",
                    "factor": 4.0,
                    "original_max_position_embeddings": 32768,
                },
            },
            131072,
        ),
        (
            {
                "max_position_embeddings": 163840,
                "rope_scaling": {
                    "type": "yarn",
                    "factor": 40,
                    "original_max_position_embeddings": 4096,
                },
            },
            163840,
        ),
        (
            {"max_position_embeddings": 2048, "rope_scaling": {"type": "linear", "factor": 2.0}},
            4096,
        ),
        (
            {
                "max_position_embeddings": 131072,
                "rope_scaling": {"rope_type": "llama3", "factor": 8},
            },
            131072,
        ),
        (
            {
                "max_position_embeddings": 32768,
                "rope_parameters": {
                    "full_attention": {"rope_type": "yarn", "factor": 2.0},
                    "sliding_attention": {"rope_type": "default"},
                },
            },
            65536,
        ),
        ({"max_position_embeddings": 100, "rope_scaling": {"type": "yarn", "factor": "x"}}, 100),
        ({"max_position_embeddings": 100, "rope_scaling": {"factor": float("nan")}}, 100),
        ({"text_config": {"max_position_embeddings": 77}, "max_position_embeddings": 5}, 77),
        ({}, 0),
    ],
)
def test_context(config: dict[str, Any], length: int) -> None:
    assert context_length(config, {}) == length


def test_the_tokenizers_limit_counts_where_the_configuration_is_silent() -> None:
    assert context_length({}, {"model_max_length": 2048}) == 2048
    assert context_length({"max_position_embeddings": 9000}, {"model_max_length": 2048}) == 9000
    assert context_length({}, {"model_max_length": 1000000000000000019884624838656}) == 0
