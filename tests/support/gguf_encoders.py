"""Tiny embedding and rerank models: their GGUF files, and what they compute, in numpy alone.

The forward passes are written from the architectures' definitions, with the whole of one text at
once: no batch, no mask, no cache. They are what an engine has to agree with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from tests.support.gguf_models import CONTROL, USER_DEFINED, byte_level

Array = NDArray[np.float32]

PAD, UNKNOWN, CLS, SEP = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
SPECIAL = [PAD, UNKNOWN, CLS, SEP]
WORDS = ["the", "cat", "sat", "on", "mat", "dog", "run", "red", "blue", "where", "is", "sun"]
ENDINGS = ["s", "ning", "ny"]
PIECES = [*SPECIAL, *(f"▁{word}" for word in WORDS), *ENDINGS]
"""A piece that begins a word is marked; of the words that they make, some are not in WORDS."""


class _Weights:
    """Random weights by name, of a model `width` wide."""

    def __init__(self, seed: int, width: int) -> None:
        self._random = np.random.default_rng(seed)
        self.width = width
        self.values: dict[str, Array] = {}

    def __getitem__(self, name: str) -> Array:
        return self.values[name]

    def matrix(self, name: str, rows: int, columns: int, scale: float = 1.0) -> None:
        values = self._random.standard_normal((rows, columns), dtype=np.float32)
        self.values[f"{name}.weight"] = values * np.float32(scale / np.sqrt(columns))

    def vector(self, name: str, around: float = 0.0, size: int | None = None) -> None:
        values = self._random.standard_normal(size or self.width, dtype=np.float32)
        self.values[name] = np.float32(around) + np.float32(0.1) * values

    def linear(self, name: str, x: Array) -> Array:
        return x @ self[f"{name}.weight"].T + self.values.get(f"{name}.bias", np.float32(0))


@dataclass
class Bert:
    """An encoder as BERT's paper has it, with GELU in its tanh form.

    `labels` gives it a head for classification: dense, tanh, projection.
    """

    seed: int = 0
    width: int = 64
    heads: int = 4
    layers: int = 2
    context: int = 128
    labels: Sequence[str] | None = None
    eps: float = 1e-12
    weights: _Weights = field(init=False)

    def __post_init__(self) -> None:
        width = self.width
        weights = self.weights = _Weights(self.seed, width)
        weights.matrix("token_embd", len(PIECES), width, np.sqrt(width))
        weights.matrix("position_embd", self.context, width, 0.3 * np.sqrt(width))
        weights.matrix("token_types", 2, width, 0.3 * np.sqrt(width))
        self._norm("token_embd_norm")
        for layer in range(self.layers):
            block = f"blk.{layer}."
            for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
                weights.matrix(block + name, width, width)
                weights.vector(f"{block}{name}.bias")
            weights.matrix(f"{block}ffn_up", 2 * width, width)
            weights.vector(f"{block}ffn_up.bias", size=2 * width)
            weights.matrix(f"{block}ffn_down", width, 2 * width)
            weights.vector(f"{block}ffn_down.bias")
            self._norm(f"{block}attn_output_norm")
            self._norm(f"{block}layer_output_norm")
        if self.labels is not None:
            weights.matrix("cls", width, width)
            weights.vector("cls.bias")
            weights.matrix("cls.output", len(self.labels), width, 3.0)
            weights.vector("cls.output.bias", size=len(self.labels))

    def _norm(self, name: str) -> None:
        self.weights.vector(f"{name}.weight", around=1.0)
        self.weights.vector(f"{name}.bias")

    def write(
        self,
        path: Path,
        pooling: gguf.PoolingType | None,
        *,
        add_eos: bool = False,
        bos: int | None = PIECES.index(CLS),
    ) -> Path:
        writer = gguf.GGUFWriter(path, "bert")
        _header(writer, path, self.width, self.layers, self.heads, self.context, pooling)
        writer.add_feed_forward_length(2 * self.width)
        writer.add_layer_norm_eps(self.eps)
        writer.add_causal_attention(False)
        if self.labels is not None:
            writer.add_classifier_output_labels(self.labels)
        writer.add_tokenizer_model("bert")
        writer.add_tokenizer_pre("default")
        writer.add_vocab_size(len(PIECES))
        writer.add_token_list(PIECES)
        control, normal = int(gguf.TokenType.CONTROL), int(gguf.TokenType.NORMAL)
        writer.add_token_types([control if piece in SPECIAL else normal for piece in PIECES])
        writer.add_token_type_count(2)
        writer.add_pad_token_id(PIECES.index(PAD))
        writer.add_unk_token_id(PIECES.index(UNKNOWN))
        writer.add_mask_token_id(PIECES.index(PAD))
        if bos is not None:
            writer.add_bos_token_id(bos)
        writer.add_sep_token_id(PIECES.index(SEP))
        writer.add_eos_token_id(PIECES.index(SEP))
        writer.add_add_bos_token(True)
        writer.add_add_eos_token(add_eos)
        writer.add_add_sep_token(True)
        return _write(writer, path, self.weights)

    def hidden(self, ids: Sequence[int]) -> Array:
        """The last layer's output as (tokens, width)."""
        weights = self.weights
        x = weights["token_embd.weight"][ids] + weights["position_embd.weight"][: len(ids)]
        x = self._normalised("token_embd_norm", x + weights["token_types.weight"][0])
        for layer in range(self.layers):
            block = f"blk.{layer}."
            query, key, value = (
                _heads(weights.linear(f"{block}attn_{name}", x), self.heads) for name in "qkv"
            )
            mixed = weights.linear(f"{block}attn_output", _attention(query, key, value))
            x = self._normalised(f"{block}attn_output_norm", x + mixed)
            inner = _gelu(weights.linear(f"{block}ffn_up", x))
            x = x + weights.linear(f"{block}ffn_down", inner)
            x = self._normalised(f"{block}layer_output_norm", x)
        return x

    def scores(self, ids: Sequence[int]) -> Array:
        """The head's output as (labels,)."""
        first = self.hidden(ids)[0]
        return self.weights.linear("cls.output", np.tanh(self.weights.linear("cls", first)))

    def _normalised(self, name: str, x: Array) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(self.eps))
        return centred / scale * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


@dataclass
class Decoder:
    """A language model as Llama is: it looks backwards only.

    `labels` gives it a linear head on the last token, and its scores are probabilities: so does
    Qwen3, which norms queries and keys besides.
    """

    seed: int = 0
    width: int = 64
    heads: int = 2
    layers: int = 2
    context: int = 512
    labels: Sequence[str] | None = None
    eps: float = 1e-5
    weights: _Weights = field(init=False)

    def __post_init__(self) -> None:
        width = self.width
        self.vocabulary = byte_level()
        self.head_width = width // self.heads
        weights = self.weights = _Weights(self.seed, width)
        weights.matrix("token_embd", len(self.vocabulary.tokens), width, np.sqrt(width))
        for layer in range(self.layers):
            block = f"blk.{layer}."
            for name in ("attn_norm", "ffn_norm"):
                weights.vector(f"{block}{name}.weight", around=1.0)
            for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
                weights.matrix(block + name, width, width)
            if self.labels is not None:
                for name in ("attn_q_norm", "attn_k_norm"):
                    weights.vector(f"{block}{name}.weight", 1.0, self.head_width)
            for name in ("ffn_gate", "ffn_up"):
                weights.matrix(block + name, 2 * width, width)
            weights.matrix(f"{block}ffn_down", width, 2 * width)
        weights.vector("output_norm.weight", around=1.0)
        weights.matrix("output", len(self.vocabulary.tokens), width)
        if self.labels is not None:
            weights.matrix("cls.output", len(self.labels), width, 3.0)

    def write(
        self, path: Path, pooling: gguf.PoolingType | None, *, template: str | None = None
    ) -> Path:
        """
        Args:
            template: for reranking.
        """
        tokens = self.vocabulary.tokens
        writer = gguf.GGUFWriter(path, "llama" if self.labels is None else "qwen3")
        _header(writer, path, self.width, self.layers, self.heads, self.context, pooling)
        writer.add_feed_forward_length(2 * self.width)
        writer.add_head_count_kv(self.heads)
        writer.add_key_length(self.head_width)
        writer.add_value_length(self.head_width)
        writer.add_rope_dimension_count(self.head_width)
        writer.add_rope_freq_base(10000.0)
        writer.add_layer_norm_rms_eps(self.eps)
        if self.labels is not None:
            writer.add_classifier_output_labels(self.labels)
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("qwen2")
        writer.add_vocab_size(len(tokens))
        writer.add_token_list(tokens)
        writer.add_token_types(self.vocabulary.types)
        writer.add_token_merges(self.vocabulary.merges)
        writer.add_bos_token_id(tokens.index(CONTROL[0]))
        writer.add_eos_token_id(tokens.index(CONTROL[2]))
        writer.add_add_bos_token(False)
        writer.add_add_eos_token(True)
        if template is not None:
            writer.add_string("tokenizer.chat_template.rerank", template)
        return _write(writer, path, self.weights)

    def hidden(self, ids: Sequence[int]) -> Array:
        """The last layer's normed output as (tokens, width)."""
        weights = self.weights
        x = weights["token_embd.weight"][ids]
        for layer in range(self.layers):
            block = f"blk.{layer}."
            normed = self._normalised(f"{block}attn_norm", x)
            query, key, value = (
                _heads(weights.linear(f"{block}attn_{name}", normed), self.heads) for name in "qkv"
            )
            if self.labels is not None:
                query = self._normalised(f"{block}attn_q_norm", query)
                key = self._normalised(f"{block}attn_k_norm", key)
            attended = _attention(self._rotated(query), self._rotated(key), value, causal=True)
            x = x + weights.linear(f"{block}attn_output", attended)
            normed = self._normalised(f"{block}ffn_norm", x)
            gate = weights.linear(f"{block}ffn_gate", normed)
            inner = gate / (1 + np.exp(-gate)) * weights.linear(f"{block}ffn_up", normed)
            x = x + weights.linear(f"{block}ffn_down", inner)
        return self._normalised("output_norm", x)

    def scores(self, ids: Sequence[int]) -> Array:
        """The labels' probabilities as (labels,)."""
        return _softmax(self.weights.linear("cls.output", self.hidden(ids)[-1]))

    def _normalised(self, name: str, x: Array) -> Array:
        scale = np.sqrt((x**2).mean(axis=-1, keepdims=True) + np.float32(self.eps))
        return x / scale * self.weights[f"{name}.weight"]

    def _rotated(self, x: Array) -> Array:
        """Rotary positions: Llama's files pair neighbours, Qwen's the two halves of a head."""
        half = self.head_width // 2
        angles = np.arange(x.shape[1])[:, None] * 10000.0 ** (-np.arange(half) / half)
        cosine, sine = np.cos(angles), np.sin(angles)
        rotated = np.empty_like(x)
        neighbours = self.labels is None
        one = np.s_[..., 0::2] if neighbours else np.s_[..., :half]
        other = np.s_[..., 1::2] if neighbours else np.s_[..., half:]
        rotated[one] = x[one] * cosine - x[other] * sine
        rotated[other] = x[one] * sine + x[other] * cosine
        return rotated


def piece_ids(*pieces: str) -> list[int]:
    """Ids of BERT's pieces."""
    return [PIECES.index(piece) for piece in pieces]


def normalised(vector: Array) -> Array:
    return vector / np.linalg.norm(vector)


def decoder_specials() -> list[str]:
    """Tokens of `Decoder` that are recognised in a text."""
    return [*CONTROL, *USER_DEFINED]


def _header(
    writer: gguf.GGUFWriter,
    path: Path,
    width: int,
    layers: int,
    heads: int,
    context: int,
    pooling: gguf.PoolingType | None,
) -> None:
    writer.add_type("model")
    writer.add_name(path.stem)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_head_count(heads)
    if pooling is not None:
        writer.add_pooling_type(pooling)


def _write(writer: gguf.GGUFWriter, path: Path, weights: _Weights) -> Path:
    for name, values in weights.values.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _heads(x: Array, heads: int) -> Array:
    """(tokens, width) as (heads, tokens, width of a head)."""
    return x.reshape(len(x), heads, -1).transpose(1, 0, 2)


def _attention(query: Array, key: Array, value: Array, *, causal: bool = False) -> Array:
    """Of (heads, tokens, width of a head), as (tokens, width)."""
    weights = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(query.shape[-1]))
    if causal:
        weights = np.where(np.tri(query.shape[1], dtype=bool), weights, np.float32(-np.inf))
    mixed: Array = (_softmax(weights) @ value).transpose(1, 0, 2)
    return mixed.reshape(query.shape[1], -1)


def _softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    probabilities: Array = powers / powers.sum(axis=-1, keepdims=True)
    return probabilities


def _gelu(x: Array) -> Array:
    """In half precision on both sides: ggml looks it up in a table of so many values."""
    x = x.astype(np.float16).astype(np.float32)
    inner = np.float32(np.sqrt(2 / np.pi)) * (x + np.float32(0.044715) * x**3)
    y = np.float32(0.5) * x * (1 + np.tanh(inner))
    return y.astype(np.float16).astype(np.float32)
