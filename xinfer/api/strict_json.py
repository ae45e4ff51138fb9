"""JSON bodies, parsed strictly and within bounds.

Refused, where the standard library would shrug: duplicate keys, NaN and infinities, numbers out
of range, lone surrogates, invalid UTF-8, and bodies nested or filled beyond the limits. The
bounds are checked before parsing by passes over the bytes that run at memory speed.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from xinfer.errors import InvalidRequest, PayloadTooLarge

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_CURLY_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NOT_STRUCTURE = bytes(byte for byte in range(256) if byte not in b'[]{},"')


def parse(body: bytes, *, max_depth: int, max_values: int, max_texts: int) -> Any:
    """The value of a JSON document.

    Raises:
        InvalidRequest: it is not JSON as RFC 8259 has it, or nested deeper than `max_depth`.
        PayloadTooLarge: it holds more than `max_values` values, or more than `max_texts` texts,
            the names of members among them.
    """
    check_bounds(body, max_depth=max_depth, max_values=max_values, max_texts=max_texts)
    try:
        value = _DECODER.decode(body.decode())
        if _SURROGATE.search(body):
            # Surrogates are valid in pairs only; encoding again tells.
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError as error:
        raise InvalidRequest(
            f"The body is not valid UTF-8 text: {error}.", code="invalid_json"
        ) from None
    except json.JSONDecodeError as error:
        raise InvalidRequest(
            f"The body is not valid JSON: {error.msg} at line {error.lineno}, "
            f"column {error.colno}.",
            code="invalid_json",
        ) from None
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}.", code="invalid_json") from None
    return value


def check_bounds(body: bytes, *, max_depth: int, max_values: int, max_texts: int) -> None:
    """Raise if the document is nested too deeply or has too many values or texts.

    Raises:
        InvalidRequest, PayloadTooLarge: as in `parse`.
    """
    opened = body.count(b"[") + body.count(b"{")
    quotes = body.count(b'"')
    if opened <= max_depth and body.count(b",") < max_values and quotes <= 2 * max_texts:
        return
    marks = body.replace(rb"\\", b"").replace(rb"\"", b"")
    marks = marks.translate(_CURLY_TO_SQUARE, _NOT_STRUCTURE)
    if marks.count(b'"') > 2 * max_texts:
        raise PayloadTooLarge(f"The body has more than {max_texts} texts, names included.")
    # Dropping two quotes in a row leaves every other byte in or out of a string as it was.
    marks = b"".join(marks.replace(b'""', b"").split(b'"')[::2])
    if marks.count(b",") >= max_values:
        raise PayloadTooLarge(f"The body has more than {max_values} values.")
    brackets = marks.replace(b",", b"")
    for _ in range(max_depth):
        inner = brackets.replace(b"[]", b"")
        if len(inner) == len(brackets):
            break
        brackets = inner
    if brackets:
        raise InvalidRequest(
            f"The body's brackets do not match, or are nested deeper than {max_depth}.",
            code="invalid_json",
        )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, item in pairs:
        if key in value:
            raise ValueError(f"the key {key[:100]!r} comes twice in one object")
        value[key] = item
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is not a finite number")
    return number


def _int64(text: str) -> int:
    number = int(text)
    if not -(2**63) <= number < 2**64:
        raise ValueError(f"{text[:40]} does not fit in 64 bits")
    return number


# Hooks written in Python also let the event loop run while a thread parses a long body.
_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_int64, parse_float=_finite, parse_constant=_finite
)
