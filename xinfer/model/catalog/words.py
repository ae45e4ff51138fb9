"""The words for engines, formats and quantisations that people bring along, in any case."""

from __future__ import annotations

from collections.abc import Collection

from xinfer.errors import InvalidRequest

GGUF = "ggufv2"
PYTORCH = "pytorch"

_FORMATS = {
    "gguf": GGUF,
    "ggufv1": GGUF,
    "ggufv3": GGUF,
    "llama.cpp": GGUF,
    "safetensors": PYTORCH,
    "transformers": PYTORCH,
    "torch": PYTORCH,
    "hf": PYTORCH,
    "bitsandbytes": "bnb",
}
_OLD_FORMATS = frozenset({"ggml", "ggmlv1", "ggmlv2", "ggmlv3", "ggjt"})
"""What llama.cpp read before GGUF, and no engine reads any more."""

_BITS = {"4-bit": 4, "4bit": 4, "8-bit": 8, "8bit": 8}
BITS_OPTION = "load_in_bits"
"""Option of engines that quantise while they load, by bitsandbytes: 4 or 8."""

_COMPILED = ("llama-cpp-python", "llama-cpp-embedding", "llama-cpp-rerank")
_WHEEL = ("xllamacpp", "xllamacpp-embedding", "xllamacpp-rerank")
_LLAMA_CPP = (*_COMPILED, *_WHEEL)
_TRANSFORMERS = ("transformers", "transformers-whisper", "transformers-speech")
_ENGINES = {
    "llama.cpp": _LLAMA_CPP,
    "llamacpp": _LLAMA_CPP,
    "llama-cpp": _LLAMA_CPP,
    "llama_cpp": _LLAMA_CPP,
    "llama-cpp-python": _COMPILED,
    "llama_cpp_python": _COMPILED,
    "xllamacpp": _WHEEL,
    "transformers": _TRANSFORMERS,
    "hf": _TRANSFORMERS,
    "huggingface": _TRANSFORMERS,
    "faster_whisper": ("faster-whisper",),
    "ctranslate2": ("faster-whisper",),
    "piper-tts": ("piper",),
    "sentence-transformers": ("sentence_transformers",),
    "flag": ("sentence_transformers",),
    "vllm": ("vllm", "vllm-pooling"),
}
"""Names that stand for engines; the first that can is taken."""

_LLAMA = "--model-engine llama.cpp, which runs .gguf files"
_VLLM = "--model-engine vllm, or llama.cpp for .gguf files"
_INSTEAD = {
    "ctransformers": _LLAMA,
    "ggml": _LLAMA,
    "mlx": f"{_LLAMA}, also on Apple's GPUs",
    "sglang": _VLLM,
    "lmdeploy": _VLLM,
    "tgi": _VLLM,
    "pytorch": "--model-engine transformers",
    "deepdoc": "a model that sees pictures, on transformers or vllm",
}
"""Engines that have no counterpart, and what runs their models."""

PLANNED: dict[str, str] = {}
"""Engines that xinfer is to have, and the extra that holds their library."""

_FOR_FORMATS = {
    ("LLM", PYTORCH): ("transformers", "vllm"),
    ("embedding", PYTORCH): ("sentence_transformers", "vllm-pooling"),
    ("rerank", PYTORCH): ("sentence_transformers", "vllm-pooling"),
    ("image", ""): ("diffusers",),
    ("audio", ""): ("faster-whisper", "transformers-whisper"),
}
_QUANTISED = frozenset({"gptq", "awq", "fp8", "fp4", "bnb"})


def parse_format(word: str) -> str:
    """The format that a word stands for."""
    return _FORMATS.get(word.lower(), word.lower())


def is_old_format(word: str) -> bool:
    """Whether it is one of llama.cpp's formats before GGUF."""
    return word.lower() in _OLD_FORMATS


def parse_bits(quantization: str | None) -> int | None:
    """Bits of a quantisation that is made while loading; None for one that files have."""
    return None if quantization is None else _BITS.get(quantization.lower())


def same_quantization(wanted: str, there: str) -> bool:
    """Whether two words name one quantisation: in any case, with - or _, fp16 for F16."""
    return _canonical(wanted) == _canonical(there)


def parse_engine(word: str, known: Collection[str]) -> tuple[str, ...]:
    """Names of the engines that a word stands for.

    Args:
        known: names of the engines that are there; a word that is one of them and stands for
            nothing else is that one.

    Raises:
        InvalidRequest: it is one without a counterpart here; `param` is model_engine.
    """
    lowered = word.lower()
    own = tuple(name for name in known if name.lower() == lowered)
    names = _ENGINES.get(lowered, own)
    if names:
        return names
    instead = _INSTEAD.get(lowered)
    if instead is not None:
        raise InvalidRequest(
            f"There is no engine {word} here. Instead: {instead}. Or leave --model-engine out: "
            "then the best that can run the model is taken.",
            param="model_engine",
        )
    return (lowered,)


def planned_engines(kind: str, form: str) -> tuple[str, ...]:
    """Engines that are to run this type and format of model."""
    if kind in ("image", "audio"):
        return _FOR_FORMATS[kind, ""]
    return _FOR_FORMATS.get((kind, PYTORCH if form in _QUANTISED else form), ())


def _canonical(word: str) -> str:
    lowered = word.lower().replace("-", "_")
    return {"fp16": "f16", "fp32": "f32", "": "none"}.get(lowered, lowered)
