"""Which size, format and quantisation of a model is taken where the launch leaves it open."""

from __future__ import annotations

from xinfer.model.catalog.words import GGUF
from xinfer.types.model import ModelSpec

_GGUF_ORDER = (
    "Q4_K_M", "Q4_K_S", "Q4_K_XL", "Q4_K", "MXFP4", "IQ4_NL", "IQ4_XS", "Q4_0", "Q4_1", "Q5_K_M",
    "Q5_K_S", "Q5_0", "Q5_1", "Q6_K", "Q8_0", "Q3_K_L", "Q3_K_M", "IQ3_M", "Q3_K_S", "IQ3_XS",
    "BF16", "F16", "F32", "Q2_K", "IQ2_M", "IQ2_XS", "IQ2_XXS", "IQ1_M", "IQ1_S",
)  # fmt: skip
"""From the usual balance of size and quality outwards."""
_FORMAT_ORDER = ("pytorch", "fp8", "awq", "gptq", "bnb", "fp4")
_BY_BITS = ("none", "Int8", "Int4", "Int3")


def by_size(model: ModelSpec) -> float:
    """The smallest comes first; those of unknown size are alike."""
    return model.size_in_billions or 0.0


def preference(model: ModelSpec, *, accelerated: bool) -> tuple[int, int]:
    """What comes first is preferred, of forms that fit.

    On processors that is a .gguf file, which reads the fewest bytes for each token; on
    accelerators the model as it was published, then what was made of it.
    """
    if model.format == GGUF:
        form = len(_FORMAT_ORDER) if accelerated else -1
        return form, _position(_GGUF_ORDER, model.quantization.removeprefix("UD-"))
    return _position(_FORMAT_ORDER, model.format), _position(_BY_BITS, model.quantization)


def _position(order: tuple[str, ...], word: str) -> int:
    lowered = word.lower()
    for number, each in enumerate(order):
        if each.lower() == lowered:
            return number
    return len(order)
