"""The language model of the benchmarks: 70M random parameters, made here within seconds."""

from __future__ import annotations

import itertools
import os
import random
import string
import tempfile
from pathlib import Path

import gguf

from tools.gguf_llama import ALPHABET, LlamaFile, Shape, Vocabulary, as_token

CONTEXT = 32768
_VOCABULARY = 32000
_SHAPE = Shape(width=512, layers=12, feed_forward=1536, heads=8, kv_heads=4, context=CONTEXT)
# Part of the file's name: raise it when the file is made differently.
_VERSION = 1
_END = "<|endoftext|>"
_LETTERS = string.ascii_lowercase
_SYLLABLES = ["".join(pair) for pair in itertools.product(_LETTERS, repeat=2)]


def model_path() -> Path:
    """The file, made when it is not in the user's cache (`$XINFER_BENCH_MODELS`)."""
    cache = os.environ.get("XINFER_BENCH_MODELS", "~/.cache/xinfer/benchmarks")
    folder = Path(cache).expanduser()
    path = folder / f"random-llama-70m-q8_0-v{_VERSION}.gguf"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as making:
            write(Path(making) / path.name, vocabulary(_VOCABULARY), _SHAPE).rename(path)
    return path


def vocabulary(size: int) -> Vocabulary:
    """Byte-level: bytes, then syllables of two letters, each alone and after a space, then words
    of a space and two syllables until there are `size` tokens."""
    tokens, merges = [*ALPHABET, _END], []

    def merge(left: str, right: str) -> None:
        tokens.append(as_token((left + right).encode()))
        merges.append(f"{as_token(left.encode())} {as_token(right.encode())}")

    for syllable in _SYLLABLES:
        merge(*syllable)
    for syllable in _SYLLABLES:
        merge(" ", syllable)
    for first, second in itertools.product(_SYLLABLES, repeat=2):
        if len(tokens) == size:
            break
        merge(f" {first}", second)
    types = [int(gguf.TokenType.NORMAL)] * len(tokens)
    types[tokens.index(_END)] = int(gguf.TokenType.CONTROL)
    return Vocabulary("gpt2", tokens, types, merges, [])


def write(path: Path, words: Vocabulary, shape: Shape) -> Path:
    """A random model that says nothing but letters, so that each of its tokens is text at once."""
    weights = gguf.GGMLQuantizationType.Q8_0
    with LlamaFile(path, words, shape, bos=_END, eos=_END, weights=weights) as file:
        file.random_tensors(0, silent=range(len(ALPHABET) + 1))
    return path


def prompts(count: int, *, tokens: int, seed: int) -> list[str]:
    """Texts of exactly so many tokens of this model, all different from the first token on."""
    chosen = random.Random(seed)
    beginnings = chosen.sample(_SYLLABLES, count)
    return [" ".join([first, *chosen.choices(_SYLLABLES, k=tokens - 1)]) for first in beginnings]
