"""The embedding and rerank models of the benchmarks: 22M random parameters, made within seconds."""

from __future__ import annotations

import itertools
import os
import random
import string
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import gguf
import numpy as np
from numpy.typing import NDArray

CONTEXT = 512
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_WORDS = ["".join(letters) for letters in itertools.product(string.ascii_lowercase, repeat=2)]
# Part of the file's name: raise it when the file is made differently.
_VERSION = 1


class Shape(NamedTuple):
    """Sizes of a BERT."""

    width: int
    layers: int
    feed_forward: int
    heads: int


_SHAPE = Shape(width=384, layers=12, feed_forward=1536, heads=12)
"""That of MiniLM with 12 layers, which many embedding and rerank models have."""


def encoder_path(kind: str) -> Path:
    """The file, made when it is not in the user's cache (`$XINFER_BENCH_MODELS`).

    Args:
        kind: embedding or rerank.
    """
    cache = os.environ.get("XINFER_BENCH_MODELS", "~/.cache/xinfer/benchmarks")
    folder = Path(cache).expanduser()
    path = folder / f"random-bert-22m-{kind}-q8_0-v{_VERSION}.gguf"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as making:
            write(Path(making) / path.name, kind, _SHAPE).rename(path)
    return path


def write(path: Path, kind: str, shape: Shape) -> Path:
    """A random BERT that knows words of two letters."""
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_type("model")
    writer.add_name(path.stem)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_head_count(shape.heads)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    rank = kind == "rerank"
    writer.add_pooling_type(gguf.PoolingType.RANK if rank else gguf.PoolingType.MEAN)
    if rank:
        writer.add_classifier_output_labels(["relevance"])
    _add_vocabulary(writer)
    for name, values in _tensors(shape, rank):
        if values.ndim == 2 and name != "position_embd.weight" and name != "token_types.weight":
            kept = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(values, kept), raw_dtype=kept)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def text(words: int, seed: int) -> str:
    """A text of so many tokens, without those that stand around it."""
    return " ".join(random.Random(seed).choices(_WORDS, k=words))


def _add_vocabulary(writer: gguf.GGUFWriter) -> None:
    pieces = [*_SPECIAL, *(f"▁{word}" for word in _WORDS)]
    control, normal = int(gguf.TokenType.CONTROL), int(gguf.TokenType.NORMAL)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_vocab_size(len(pieces))
    writer.add_token_list(pieces)
    writer.add_token_types([control if piece in _SPECIAL else normal for piece in pieces])
    writer.add_token_type_count(2)
    pad, unknown, begin, end = range(len(_SPECIAL))
    writer.add_pad_token_id(pad)
    writer.add_unk_token_id(unknown)
    writer.add_mask_token_id(pad)
    writer.add_bos_token_id(begin)
    writer.add_sep_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_sep_token(True)


def _tensors(shape: Shape, rank: bool) -> Iterator[tuple[str, NDArray[np.float32]]]:
    rng = np.random.default_rng(0)
    width, inner = shape.width, shape.feed_forward

    def matrix(name: str, rows: int, columns: int) -> tuple[str, NDArray[np.float32]]:
        values = rng.standard_normal((rows, columns), dtype=np.float32)
        return f"{name}.weight", values / np.float32(np.sqrt(columns))

    def norm(name: str) -> Iterator[tuple[str, NDArray[np.float32]]]:
        yield f"{name}.weight", np.ones(width, np.float32)
        yield f"{name}.bias", np.zeros(width, np.float32)

    yield matrix("token_embd", len(_SPECIAL) + len(_WORDS), width)
    yield matrix("position_embd", CONTEXT, width)
    yield matrix("token_types", 2, width)
    yield from norm("token_embd_norm")
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        for name, rows, columns in (
            ("attn_q", width, width),
            ("attn_k", width, width),
            ("attn_v", width, width),
            ("attn_output", width, width),
            ("ffn_up", inner, width),
            ("ffn_down", width, inner),
        ):
            yield matrix(block + name, rows, columns)
            yield f"{block}{name}.bias", np.zeros(rows, np.float32)
        yield from norm(f"{block}attn_output_norm")
        yield from norm(f"{block}layer_output_norm")
    if rank:
        yield matrix("cls", width, width)
        yield "cls.bias", np.zeros(width, np.float32)
        yield matrix("cls.output", 1, width)
        yield "cls.output.bias", np.zeros(1, np.float32)
