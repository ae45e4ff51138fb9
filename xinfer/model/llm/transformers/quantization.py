"""Quantising while a model is loaded, by bitsandbytes."""

from __future__ import annotations

import inspect
import logging
from importlib.util import find_spec
from typing import Any

import transformers

from xinfer.errors import InvalidRequest
from xinfer.model.llm.transformers.failures import first_line
from xinfer.model.llm.transformers.options import TransformersOptions

_WIDTHS = ("load_in_4bit", "load_in_8bit")


def bitsandbytes_config(options: TransformersOptions) -> Any:
    """What Transformers is told; None where nothing is to be quantised.

    Raises:
        InvalidRequest: the package is missing, or the options do not go together.
    """
    if options.load_in_bits is None and options.quantization_config is None:
        return None
    detailed = options.quantization_config is not None
    param = "quantization_config" if detailed else "load_in_bits"
    given = dict(options.quantization_config or {})
    if options.load_in_bits is not None:
        given[f"load_in_{options.load_in_bits}bit"] = True
    if find_spec("bitsandbytes") is None:
        raise InvalidRequest(
            "Quantising while loading needs the package bitsandbytes, which is not installed: "
            "pip install 'xinfer[quantization]'.",
            param=param,
        )
    kind = transformers.BitsAndBytesConfig
    known = [name for name in inspect.signature(kind.__init__).parameters if "_" in name]
    unknown = sorted(given.keys() - known)
    if unknown or not any(given.get(width) is True for width in _WIDTHS):
        wrong = f"{unknown[0]!r} is not known" if unknown else "it does not say how many bits"
        raise InvalidRequest(
            f"quantization_config: {wrong}; expected load_in_4bit or load_in_8bit as true, and "
            f"of the rest what Transformers' BitsAndBytesConfig takes: {', '.join(known)}.",
            param=param,
        )
    # In 8 bits it says of every layer in every step that it computes in 16 bits.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    try:
        return kind(**given)
    except Exception as error:  # wrong types, values that do not go together
        raise InvalidRequest(f"quantization_config: {first_line(error)}", param=param) from error
