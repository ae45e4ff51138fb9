"""Tiny GGUF models for tests, made in milliseconds with numpy and `gguf` alone.

`random_llama` computes like a real model and says nonsense; `script_model` says exactly what it
is told to, whatever the prompt: its attention and feed-forward are zero, its embeddings one-hot,
its output matrix a map from each token to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import gguf
import numpy as np

from tools.gguf_llama import ALPHABET, LlamaFile, Shape, Vocabulary, as_token

END, START, STOP = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTROL = [END, START, STOP]
USER_DEFINED = ["<think>", "</think>"]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HEAD_WIDTH = 32
# Each word becomes a chain of merges; 你 is cut inside a character. Those of the second line are
# cut differently by the different kinds of pre-tokenizer.
WORDS = ["the", " the", " world", "Hello", " is", "def", "  ", "你"]
WORDS += ["1234", " 12", "'LL", "'ll", "\n\n", ".\n", " ((", "e\u0301e", "a.b"]


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
    attention: float = 1.0,
    extra: Mapping[str, float] | None = None,
) -> Path:
    """A model with random weights; by greedy decoding it emits no special token.

    Args:
        width: a multiple of HEAD_WIDTH.
        attention: as of `LlamaFile.random_tensors`.
        extra: more metadata, as 32-bit floats.
    """
    vocabulary = vocabulary or byte_level()
    heads = width // HEAD_WIDTH
    shape = Shape(
        width=width,
        layers=layers,
        feed_forward=2 * width,
        heads=heads,
        kv_heads=heads,
        context=context,
    )
    file = LlamaFile(
        path,
        vocabulary,
        shape,
        bos=END,
        eos=STOP,
        pre=pre,
        template=template,
        add_bos=add_bos,
        extra=extra,
    )
    tokens = vocabulary.tokens
    silent = [tokens.index(token) for token in CONTROL + USER_DEFINED if token in tokens]
    with file:
        file.random_tensors(seed, silent, attention=attention)
    return path


def random_lora(path: Path, base: Path, *, seed: int = 1, rank: int = 4) -> Path:
    """A LoRA adapter for a model of `random_llama`, which makes it say something else."""
    fields = gguf.GGUFReader(base).fields
    width = int(fields["llama.embedding_length"].contents())
    layers = int(fields["llama.block_count"].contents())
    random = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    for layer in range(layers):
        for name, rows, columns in (("attn_v", width, width), ("ffn_down", width, 2 * width)):
            tensor = f"blk.{layer}.{name}.weight.lora_"
            for letter, shape in (("a", (rank, columns)), ("b", (rows, rank))):
                values = random.standard_normal(shape, dtype=np.float32)
                writer.add_tensor(tensor + letter, values / np.float32(np.sqrt(shape[1])))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


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
    heads = -(-len(tokens) // HEAD_WIDTH)
    width = heads * HEAD_WIDTH
    shape = Shape(
        width=width, layers=1, feed_forward=32, heads=heads, kv_heads=heads, context=context
    )
    chain = [tokens.index(as_token(piece)) for piece in pieces] + [tokens.index(STOP)]
    following = dict(pairwise(chain))
    output = np.zeros((len(tokens), width), np.float32)
    for token in range(len(tokens)):
        output[following.get(token, chain[0]), token] = 4.0
    with LlamaFile(path, vocabulary, shape, bos=END, eos=STOP, template=template) as file:
        file.tensor("token_embd", np.eye(len(tokens), width, dtype=np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            file.tensor(f"blk.0.{name}", np.zeros((width, width), np.float32))
        for name, size in (
            ("ffn_gate", (32, width)),
            ("ffn_up", (32, width)),
            ("ffn_down", (width, 32)),
        ):
            file.tensor(f"blk.0.{name}", np.zeros(size, np.float32))
        for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
            file.tensor(name, np.ones(width, np.float32))
        file.tensor("output", output)
    return path
