"""Write GGUF files of the Llama architecture, in seconds, with numpy and `gguf` alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import gguf
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def byte_alphabet() -> list[str]:
    """GPT-2's printable character for each byte."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = iter(range(256, 512))
    return [chr(byte) if byte in kept else chr(next(moved)) for byte in range(256)]


ALPHABET = byte_alphabet()


def as_token(data: bytes) -> str:
    """How a byte-level vocabulary writes these bytes."""
    return "".join(ALPHABET[byte] for byte in data)


@dataclass(frozen=True)
class Vocabulary:
    """What a file says of its tokenizer: `kind` is gpt2 (byte-level) or llama (SentencePiece)."""

    kind: str
    tokens: list[str]
    types: list[int]
    merges: list[str]
    scores: list[float]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Sizes of a model; a head is `width // heads` wide."""

    width: int
    layers: int
    feed_forward: int
    heads: int
    kv_heads: int
    context: int


class LlamaFile:
    """One file being written; it is whole when the block that it is entered for ends.

    Args:
        weights: how matrices are kept; vectors are 32-bit floats.
        bos: the token that begins a text, as the vocabulary writes it.
        eos: the token that ends one.
        extra: more metadata, as 32-bit floats.
    """

    def __init__(
        self,
        path: Path,
        vocabulary: Vocabulary,
        shape: Shape,
        *,
        bos: str,
        eos: str,
        weights: gguf.GGMLQuantizationType = gguf.GGMLQuantizationType.F32,
        pre: str | None = "qwen2",
        template: str | None = None,
        add_bos: bool = False,
        extra: Mapping[str, float] | None = None,
    ) -> None:
        self.vocabulary = vocabulary
        self.shape = shape
        self._weights = weights
        tokens = vocabulary.tokens
        writer = self._writer = gguf.GGUFWriter(path, "llama")
        writer.add_type("model")
        writer.add_name(path.stem)
        writer.add_file_type(_FILE_TYPES[weights])
        writer.add_vocab_size(len(tokens))
        writer.add_context_length(shape.context)
        writer.add_embedding_length(shape.width)
        writer.add_block_count(shape.layers)
        writer.add_feed_forward_length(shape.feed_forward)
        writer.add_head_count(shape.heads)
        writer.add_head_count_kv(shape.kv_heads)
        writer.add_rope_dimension_count(shape.width // shape.heads)
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
        writer.add_bos_token_id(tokens.index(bos))
        writer.add_eos_token_id(tokens.index(eos))
        writer.add_add_bos_token(add_bos)
        for key, value in (extra or {}).items():
            writer.add_float32(key, value)
        if template is not None:
            writer.add_chat_template(template)

    def __enter__(self) -> LlamaFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._writer.write_header_to_file()
            self._writer.write_kv_data_to_file()
            self._writer.write_tensors_to_file()
        self._writer.close()

    def tensor(self, name: str, values: Array) -> None:
        """Add `name`.weight; a matrix is (outputs, inputs)."""
        data = np.ascontiguousarray(values, dtype=np.float32)
        name = f"{name}.weight"
        if data.ndim == 1 or self._weights == gguf.GGMLQuantizationType.F32:
            self._writer.add_tensor(name, data)
        else:
            quantized = gguf.quants.quantize(data, self._weights)
            self._writer.add_tensor(name, quantized, raw_dtype=self._weights)

    def random_tensors(self, seed: int, silent: Iterable[int], *, attention: float = 1.0) -> None:
        """All tensors, at random; by greedy decoding, tokens in `silent` are never emitted.

        Args:
            attention: how sharply the model attends. From about 3 on, single tokens far back
                decide what it says, as with a trained model; at 1 it heeds all of them alike.
        """
        shape, tokens = self.shape, len(self.vocabulary.tokens)
        width, wide = shape.width, shape.feed_forward
        kv_width = width // shape.heads * shape.kv_heads
        random = np.random.default_rng(seed)

        def weights(rows: int, columns: int, scale: float = 1.0) -> Array:
            values = random.standard_normal((rows, columns), dtype=np.float32)
            scaled: Array = values * np.float32(scale / np.sqrt(columns))
            return scaled

        self.tensor("token_embd", weights(tokens, width, np.sqrt(width)))
        for layer in range(shape.layers):
            block = f"blk.{layer}."
            for name in ("attn_norm", "ffn_norm"):
                self.tensor(block + name, np.ones(width, np.float32))
            self.tensor(block + "attn_q", weights(width, width, attention))
            self.tensor(block + "attn_k", weights(kv_width, width, attention))
            self.tensor(block + "attn_v", weights(kv_width, width))
            self.tensor(block + "attn_output", weights(width, width))
            self.tensor(block + "ffn_gate", weights(wide, width))
            self.tensor(block + "ffn_up", weights(wide, width))
            self.tensor(block + "ffn_down", weights(width, wide))
        self.tensor("output_norm", np.ones(width, np.float32))
        output = weights(tokens, width, 3.0)
        output[list(silent)] = 0.0
        self.tensor("output", output)


_FILE_TYPES = {
    gguf.GGMLQuantizationType.F32: gguf.LlamaFileType.ALL_F32,
    gguf.GGMLQuantizationType.Q8_0: gguf.LlamaFileType.MOSTLY_Q8_0,
}
