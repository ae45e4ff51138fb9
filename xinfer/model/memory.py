"""What a model takes in memory, before it is loaded: weights, KV cache and buffers."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from xinfer.model.inspect.ggml import TENSOR_TYPES
from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.inspect.gguf_shape import gguf_shape
from xinfer.types.model import Memory, ModelSpec
from xinfer.types.shape import LayerCache, ModelShape

RESERVE = 1 << 30
"""Bytes of each accelerator that are left for buffers of the computation and for others."""

_CELLS = 256  # llama.cpp rounds each sequence's share of the cache up to this
_TYPES = {name.lower(): number for number, (name, _, _) in TENSOR_TYPES.items()}
_FLOAT = 4  # bytes of each element that is being computed, and of a state
_UNQUANTIZED = 16.0
_BITS = {
    **{"F32": 32.0, "F16": 16.0, "BF16": 16.0, "NONE": 16.0},
    **{"Q8_0": 8.5, "Q6_K": 6.6, "Q5_0": 5.6, "Q5_1": 6.1, "Q5_K_S": 5.6, "Q5_K_M": 5.8},
    **{"Q4_0": 4.7, "Q4_1": 5.2, "Q4_K_S": 4.7, "Q4_K_M": 5.0, "IQ4_XS": 4.5, "IQ4_NL": 4.7},
    **{"Q3_K_S": 3.7, "Q3_K_M": 4.1, "Q3_K_L": 4.5, "Q2_K": 3.4, "MXFP4": 4.5, "MXFP4_MOE": 4.5},
    **{"FP8": 8.5, "FP4": 5.0},
}
"""Bits of a weight by the quantisation, with what is stored beside it; of models of usual sizes,
whose embeddings are quantised less."""
_WIDTH_OF_NAME = re.compile(r"(?:I?Q|INT|TQ)?(\d)(?:-?BITS?)?(?=\D|$)")
_SCALES = 1.0
"""Bits of a weight that scales and zeros take, where only its width is known."""
_DEFAULTS = {"gptq": "INT4", "awq": "INT4", "fp8": "FP8", "fp4": "FP4", "bnb": "INT4"}
"""Format → quantisation, where none is named."""
_VOCABULARY = 128_000


def type_number(name: str) -> int:
    """ggml's number of a type, by its name in lower case."""
    return _TYPES[name]


def type_bytes(number: int) -> float:
    """Bytes of an element of one of ggml's types."""
    _, elements, size = TENSOR_TYPES[number]
    return size / elements


def rounded(cells: int) -> int:
    """What llama.cpp makes of a wish for a cache of so many tokens."""
    return -(-cells // _CELLS) * _CELLS


def cache_bytes(
    shape: ModelShape,
    tokens: int,
    *,
    sequences: int = 1,
    key_bytes: float = 2,
    value_bytes: float = 2,
    ahead: int | None = 0,
) -> list[int]:
    """Bytes that each layer keeps.

    Args:
        tokens: of all sequences together.
        sequences: how many there may be at once.
        key_bytes: of an element of the keys.
        value_bytes: of an element of the values.
        ahead: tokens of a sequence that are kept beyond a layer's window; None where the engine
            keeps all, whatever the window.
    """
    sizes: list[int] = []
    for cache in shape.caches:
        size = _layer_bytes(cache, tokens, sequences, key_bytes, value_bytes, ahead)
        sizes += [int(size)] * cache.layers
    return sizes


def _layer_bytes(
    cache: LayerCache, tokens: int, sequences: int, key: float, value: float, ahead: int | None
) -> float:
    if cache.window and ahead is not None:
        tokens = min(tokens, sequences * (cache.window + ahead))
    elements = cache.key * key + cache.value * value
    return tokens * elements + sequences * cache.state * _FLOAT


def buffer_bytes(
    shape: ModelShape | None,
    tokens: int,
    *,
    outputs: int,
    attended: int = 0,
    flash: bool = True,
) -> int:
    """Bytes that computing so many tokens at once takes: the logits, what lives at once in the
    largest part of a layer, and who attends to whom.

    Args:
        outputs: tokens of which the logits are computed.
        attended: tokens that each of them attends to.
        flash: whether attention is computed in small pieces, instead of all heads' at once.
    """
    if shape is None:
        return 0
    inner = shape.intermediate * max(shape.active_experts, 1)
    scores = attended * (1 if flash else 1 + shape.heads)
    return _FLOAT * (outputs * shape.vocab + tokens * (4 * shape.hidden + 2 * inner + scores))


def scan_bytes(shape: ModelShape | None, tokens: int) -> int:
    """Bytes that the states of so many tokens take, where a layer holds all of them at once: what
    goes into them, and what comes out."""
    state = max((cache.state for cache in shape.caches), default=0) if shape else 0
    return _FLOAT * 2 * tokens * state


def quantized_bytes(model: ModelSpec, bits: int, width: int) -> int:
    """Bytes of the weights when those of the layers are quantised while they are loaded, and
    embeddings are not; 0 where the model's size is not known.

    Args:
        bits: of a quantised weight.
        width: bytes of another one.
    """
    if not model.size_in_billions:
        return 0
    weights = model.size_in_billions * 1e9
    shape = model.shape or guessed_shape(model.size_in_billions)
    embeddings = shape.vocab * shape.hidden * (1 if shape.tied_embeddings else 2)
    return int((weights - embeddings) * bits / 8 + embeddings * width)


def weight_bits(quantization: str) -> float:
    """Bits that a weight takes on average, as the name of the quantisation tells; 16 where it tells
    nothing."""
    name = quantization.upper().removeprefix("UD-")
    if name in _BITS:
        return _BITS[name]
    width = _WIDTH_OF_NAME.match(name)
    return int(width[1]) + _SCALES if width else _UNQUANTIZED


def guessed_shape(size_in_billions: float) -> ModelShape:
    """The shape of a model of which only the size is known: as that of early Llama models, whose
    caches are larger than others'."""
    # 12 weights for each layer and square of the width, and layers of a head 128 wide each.
    head = 128
    layers = max(1, round((size_in_billions * 1e9 / 12 / head**2) ** (1 / 3)))
    hidden = layers * head
    return ModelShape(
        layers=layers,
        hidden=hidden,
        intermediate=4 * hidden,
        heads=layers,
        kv_heads=layers,
        head_dim=head,
        vocab=_VOCABULARY,
        caches=(LayerCache(layers=layers, key=hidden, value=hidden),),
    )


def weight_bytes(model: ModelSpec) -> int:
    """Bytes of the files, or else what so many weights of this quantisation take, with an embedding
    that is not quantised; 0 if neither is known."""
    if model.size_bytes or not model.size_in_billions:
        return model.size_bytes
    named = model.quantization.lower() not in ("", "none")
    bits = weight_bits(model.quantization if named else _DEFAULTS.get(model.format, "none"))
    quantized = model.size_in_billions * 1e9 * bits
    if model.format != "ggufv2":  # whose figures are of whole files
        shape = model.shape or guessed_shape(model.size_in_billions)
        quantized += shape.vocab * shape.hidden * (_UNQUANTIZED - bits)
    return int(quantized / 8)


def estimate(
    model: ModelSpec,
    context: int,
    concurrency: int = 1,
    *,
    kv_bytes: float = 2,
    tokens_at_once: int = 2048,
    ahead: int | None = 0,
    flash: bool = True,
) -> Memory:
    """What one replica takes on any engine that keeps the weights as they are.

    By the model's shape, or else, more than is needed, by its size alone.

    Args:
        context: tokens of one request.
        concurrency: requests of that length at once.
        kv_bytes: of an element of the KV cache.
        tokens_at_once: that are computed in one step.
        ahead: as of `cache_bytes`.
        flash: as of `buffer_bytes`; of attention in small pieces nothing is counted.
    """
    shape = model.shape
    if shape is None and model.size_in_billions:
        shape = guessed_shape(model.size_in_billions)
    cache = 0
    if shape is not None and model.type == "LLM":
        cache = sum(
            cache_bytes(
                shape,
                context * concurrency,
                sequences=concurrency,
                key_bytes=kv_bytes,
                value_bytes=kv_bytes,
                ahead=ahead,
            )
        )
    buffers = buffer_bytes(
        shape,
        min(tokens_at_once, context * concurrency),
        outputs=2 * concurrency,
        attended=0 if flash else context,
        flash=flash,
    )
    return Memory(
        weights=weight_bytes(model),
        kv_cache=cache,
        overhead=buffers,
        accelerator_overhead=RESERVE + buffers,
        divides=True,
    )


def estimate_on_torch(
    model: ModelSpec, tokens: int, *, device: str, dtype: str, accelerated: bool
) -> Memory:
    """What one replica takes that PyTorch computes as a whole on one device.

    Args:
        tokens: that are computed at once.
        device: the option of the launch; auto is an accelerator where there is one.
        dtype: the option; auto is float32 on processors, elsewhere that of the files.
        accelerated: whether PyTorch can compute on an accelerator here.
    """
    if dtype == "auto" and (device == "cpu" or not accelerated):
        dtype = "float32"
    width = {"auto": 0, "float32": 4}.get(dtype, 2)
    memory = estimate(model, context=tokens, tokens_at_once=tokens)
    return msgspec.structs.replace(
        memory,
        weights=int(width * 1e9 * (model.size_in_billions or 0)) or memory.weights,
        divides=False,
        processors_only=device == "cpu",
    )


def estimate_gguf(
    parts: Sequence[GgufMetadata],
    *,
    kv_cache: int,
    ubatch: int,
    attended: int,
    gpu_layers: int,
    flash: bool = True,
    adapters: int = 0,
    divides: bool = True,
) -> Memory:
    """What one replica takes on an engine on llama.cpp.

    Args:
        parts: headers of all the files that are loaded, the model's first in front.
        kv_cache: bytes of the whole cache.
        ubatch: tokens computed at once.
        attended: tokens that each of them attends to.
        flash: as of `buffer_bytes`.
        gpu_layers: layers that may be kept on accelerators; -1 is as many as fit.
        adapters: bytes of its LoRA adapters.
        divides: whether it may be divided over several accelerators.
    """
    return Memory(
        weights=sum(part.file_size for part in parts) + adapters,
        kv_cache=kv_cache,
        overhead=buffer_bytes(
            gguf_shape(parts[0]), ubatch, outputs=ubatch, attended=attended, flash=flash
        ),
        accelerator_overhead=RESERVE,
        divides=divides,
        spills=True,
        processors_only=gpu_layers == 0,
    )
