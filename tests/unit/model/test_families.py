"""A tiny model in GGUF of each family, named by its path, launches on every engine for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import gguf
import pytest

from tests.support.gguf_encoders import Bert, Decoder
from tests.support.gguf_models import random_llama, sentencepiece
from tests.support.gguf_shapes import dense, gemma3, latent_attention, mamba
from tests.support.launching import answers, encodes, launched

pytestmark = pytest.mark.anyio

Make = Callable[[Path], Path]

MOE = {"experts": 4, "expert_feed_forward_length": 128}
DENSE: dict[str, dict[str, Any]] = {
    "baichuan": {"tied": False},
    "chatglm": {"fused": True, "bias": True, "gate": "within"},
    "ernie4_5": {},
    "exaone": {},
    "gemma": {},
    "gemma2": {"post_norms": True, "attention__sliding_window": 8},
    "glm4": {"post_norms": True, "gate": "within"},
    "granite": {"logit_scale": 1.0},
    "hunyuan-dense": {"head_norms": True},
    "internlm2": {"tied": False},
    "llama": {"experts": 4},
    "minicpm": {},
    "orion": {"norm_bias": True, "tied": False},
    "phi3": {"fused": True, "gate": "within"},
    "qwen2": {"bias": True},
    "qwen3": {"head_norms": True},
    "qwen3moe": {"head_norms": True, **MOE},
    "smollm3": {},
    "starcoder2": {"bias": True, "norm_bias": True, "gate": "none"},
    "xverse": {"tied": False},
}
LANGUAGE: dict[str, Make] = {
    "llama, bytes": random_llama,
    "llama, sentencepiece": partial(random_llama, vocabulary=sentencepiece(), pre=None),
    "gemma3": partial(gemma3, width=64, layers=6, heads=2, kv_heads=1, window=16),
    "mamba": partial(mamba, width=64, layers=2, state=16),
    "deepseek2": partial(latent_attention, width=64, layers=2, heads=2, latent=64),
    **{name: partial(dense, architecture=name, **shape) for name, shape in DENSE.items()},
}
MEAN, LAST, RANK = gguf.PoolingType.MEAN, gguf.PoolingType.LAST, gguf.PoolingType.RANK
EMBEDDING: dict[str, Make] = {
    "bert": partial(Bert().write, pooling=MEAN),
    "llama": partial(Decoder().write, pooling=LAST),
}
RERANK: dict[str, Make] = {"bert": partial(Bert(labels=["relevance"]).write, pooling=RANK)}
GGUF_ENGINES = ("llama-cpp-python", "xllamacpp")


@pytest.mark.parametrize("engine", GGUF_ENGINES)
@pytest.mark.parametrize("family", LANGUAGE)
async def test_a_language_model_in_gguf(family: str, engine: str, tmp_path: Path) -> None:
    path = LANGUAGE[family](tmp_path / "model.gguf")
    found = launched(path, engine, tmp_path, n_ctx=64, n_parallel=1)
    assert (found.model.type, found.model.format) == ("LLM", "ggufv2")
    await answers(found)


@pytest.mark.parametrize("engine", GGUF_ENGINES)
@pytest.mark.parametrize(
    ("kind", "family"),
    [*(("embedding", one) for one in EMBEDDING), *(("rerank", one) for one in RERANK)],
)
def test_an_encoder_in_gguf(kind: str, family: str, engine: str, tmp_path: Path) -> None:
    make = (EMBEDDING if kind == "embedding" else RERANK)[family]
    name = f"{engine.removesuffix('-python')}-{kind}"
    encodes(launched(make(tmp_path / "model.gguf"), name, tmp_path), kind)
