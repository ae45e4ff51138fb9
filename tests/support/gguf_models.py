"""Tiny GGUF models for tests, made in milliseconds with numpy and `gguf` alone.

`random_llama` computes like a real model and says nonsense; `script_model` says exactly what it
is told to, whatever the prompt: its attention and feed-forward are zero, its embeddings one-hot,
its output matrix a map from each token to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

END, START, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTROL = [END, START, STOP]
USER_DEFINED = ["<think>", "</think>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Each word becomes a chain of merges; 你 is cut inside a character. Those of the second line are
# cut differently by the different kinds of pre-tokenizer.
WORDS = ["the", " the", " world", "Hello", " is", "def", "  ", "你"]
WORDS += ["1234", " 12", "'LL", "'ll", "\n\n", ".\n", " ((", "e\u0301e", "a.b"]

Array = NDArray[np.float32]


def byte_alphabet() -> list[str]:
    """GPT-2's printable character for each byte."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = iter(range(256, 512))
    return [chr(byte) if byte in kept else chr(next(moved)) for byte in range(256)]


ALPHABET = byte_alphabet()


def as_token(data: bytes) -> str:
    return "".join(ALPHABET[byte] for byte in data)


@dataclass(frozen=True)
class Vocabulary:
    """What a file says of its tokenizer: `kind` is gpt2 (byte-level) or llama (SentencePiece)."""

    kind: str
    tokens: list[str]
    types: list[int]
    merges: list[str]
    scores: list[float]


def byte_level(pieces: Sequence[bytes] = ()) -> Vocabulary:
    """Bytes, the prefixes of WORDS, specials, then `pieces`."""
    tokens, merges = list(ALPHABET), []
    for word in WORDS:
        data = word.encode()
        for end in range(2, len(data) + (0 if word == "你" else 1)):
            token = as_token(data[:end])
            if token not in tokens:
                tokens.append(token)
                merges.append(f"{as_token(data[: end - 1])} {as_token(data[end - 1 : end])}")
    types = [int(gguf.TokenType.NORMAL)] * len(tokens)
    for extra, kind in (
        (CONTROL, gguf.TokenType.CONTROL),
        (USER_DEFINED, gguf.TokenType.USER_DEFINED),
    ):
        tokens += extra
        types += [int(kind)] * len(extra)
    for piece in pieces:
        if as_token(piece) not in tokens:
            tokens.append(as_token(piece))
            types.append(int(gguf.TokenType.NORMAL))
    return Vocabulary("gpt2", tokens, types, merges, [])


def sentencepiece() -> Vocabulary:
    """Specials, bytes as <0xNN>, then characters and the prefixes of WORDS, the best first."""
    tokens = ["<unk>", *CONTROL]
    types = [int(gguf.TokenType.UNKNOWN)] + [int(gguf.TokenType.CONTROL)] * len(CONTROL)
    tokens += [f"<0x{byte:02X}>" for byte in range(256)]
    types += [int(gguf.TokenType.BYTE)] * 256
    words = [word.replace(" ", "▁") for word in WORDS]
    prefixes = [word[:end] for word in words for end in range(2, len(word) + 1)]
    pieces = dict.fromkeys([*prefixes, *"".join(words), *(chr(code) for code in range(33, 127))])
    scores = [0.0] * len(tokens) + [-float(rank) for rank in range(len(pieces))]
    types += [int(gguf.TokenType.NORMAL)] * len(pieces)
    return Vocabulary("llama", [*tokens, *pieces], types, [], scores)


class _Llama:
    """Writes one file; `width` is a multiple of 32 and heads are 32 wide."""

    def __init__(
        self,
        path: Path,
        vocabulary: Vocabulary,
        *,
        width: int,
        layers: int,
        feed_forward: int,
        context: int,
        pre: str | None,
        template: str | None,
        add_bos: bool = False,
        extra: Mapping[str, float] | None = None,
    ) -> None:
        heads = width // 32
        tokens = vocabulary.tokens
        self.path = path
        writer = self.writer = gguf.GGUFWriter(path, "llama")
        writer.add_type("model")
        writer.add_name(path.stem)
        writer.add_file_type(gguf.LlamaFileType.ALL_F32)
        writer.add_vocab_size(len(tokens))
        writer.add_context_length(context)
        writer.add_embedding_length(width)
        writer.add_block_count(layers)
        writer.add_feed_forward_length(feed_forward)
        writer.add_head_count(heads)
        writer.add_head_count_kv(heads)
        writer.add_rope_dimension_count(32)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_tokenizer_model(vocabulary.kind)
        if pre is not None:
            writer.add_tokenizer_pre(pre)
        writer.add_token_list(tokens)
        writer.add_token_types(vocabulary.types)
        if vocabulary.merges:
            writer.add_token_merges(vocabulary.merges)
        if vocabulary.scores:
            writer.add_token_scores(vocabulary.scores)
            writer.add_unk_token_id(0)
        writer.add_bos_token_id(tokens.index(END))
        writer.add_eos_token_id(tokens.index(STOP))
        writer.add_add_bos_token(add_bos)
        for key, value in (extra or {}).items():
            writer.add_float32(key, value)
        if template is not None:
            writer.add_chat_template(template)

    def tensor(self, name: str, values: Array) -> None:
        self.writer.add_tensor(f"{name}.weight", np.ascontiguousarray(values, dtype=np.float32))

    def close(self) -> Path:
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()
        return self.path


def random_llama(
    path: Path,
    *,
    seed: int = 0,
    width: int = 64,
    layers: int = 2,
    context: int = 2048,
    vocabulary: Vocabulary | None = None,
    pre: str | None = "qwen2",
    template: str | None = CHAT_TEMPLATE,
    add_bos: bool = False,
    extra: Mapping[str, float] | None = None,
) -> Path:
    """A model with random weights; by greedy decoding it emits no special token.

    Args:
        extra: more metadata, as 32-bit floats.
    """
    vocabulary = vocabulary or byte_level()
    tokens = vocabulary.tokens
    model = _Llama(
        path,
        vocabulary,
        width=width,
        layers=layers,
        feed_forward=2 * width,
        context=context,
        pre=pre,
        template=template,
        add_bos=add_bos,
        extra=extra,
    )
    random = np.random.default_rng(seed)

    def weights(rows: int, columns: int, scale: float = 1.0) -> Array:
        values = random.standard_normal((rows, columns), dtype=np.float32)
        return values * np.float32(scale / np.sqrt(columns))

    model.tensor("token_embd", weights(len(tokens), width, np.sqrt(width)))
    for layer in range(layers):
        block = f"blk.{layer}."
        for name in ("attn_norm", "ffn_norm"):
            model.tensor(block + name, np.ones(width, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            model.tensor(block + name, weights(width, width))
        for name in ("ffn_gate", "ffn_up"):
            model.tensor(block + name, weights(2 * width, width))
        model.tensor(block + "ffn_down", weights(width, 2 * width))
    model.tensor("output_norm", np.ones(width, np.float32))
    output = weights(len(tokens), width, 3.0)
    for token in CONTROL + USER_DEFINED:
        if token in tokens:
            output[tokens.index(token)] = 0.0
    model.tensor("output", output)
    return model.close()


def script_model(
    path: Path,
    pieces: Sequence[bytes],
    *,
    context: int = 2048,
    template: str | None = CHAT_TEMPLATE,
) -> Path:
    """A model that answers any prompt with `pieces`, a token each, and then ends its turn.

    A piece follows from the one before it alone, so all of them are different.
    """
    if len(set(pieces)) != len(pieces):
        raise ValueError("the pieces of a script must be different")
    vocabulary = byte_level(pieces)
    tokens = vocabulary.tokens
    width = -(-len(tokens) // 32) * 32
    model = _Llama(
        path,
        vocabulary,
        width=width,
        layers=1,
        feed_forward=32,
        context=context,
        pre="qwen2",
        template=template,
    )
    chain = [tokens.index(as_token(piece)) for piece in pieces] + [tokens.index(STOP)]
    following = dict(pairwise(chain))
    output = np.zeros((len(tokens), width), np.float32)
    for token in range(len(tokens)):
        output[following.get(token, chain[0]), token] = 4.0
    model.tensor("token_embd", np.eye(len(tokens), width, dtype=np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        model.tensor(f"blk.0.{name}", np.zeros((width, width), np.float32))
    for name, shape in (
        ("ffn_gate", (32, width)),
        ("ffn_up", (32, width)),
        ("ffn_down", (width, 32)),
    ):
        model.tensor(f"blk.0.{name}", np.zeros(shape, np.float32))
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        model.tensor(name, np.ones(width, np.float32))
    model.tensor("output", output)
    return model.close()
