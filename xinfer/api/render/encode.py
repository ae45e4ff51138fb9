"""Vectors and scores as JSON."""

from __future__ import annotations

import asyncio
import math
import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import orjson

from xinfer.core.gateway import Encoding
from xinfer.types.event import SPARSE_ENTRY, Usage
from xinfer.types.model import EncodeAbilities

_encode = msgspec.json.Encoder().encode

_NUMBERS_AT_ONCE = 1 << 17
"""Between two looks at what else there is to do: some two milliseconds of rendering."""


def usage_body(usage: Usage) -> dict[str, int]:
    return {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.prompt_tokens}


async def embeddings(encoding: Encoding, *, model: str, base64: bool) -> bytes:
    """OpenAI's list of embeddings; numbers in the shortest form that is the same float32. Sparse
    ones are objects, whatever form is asked for."""
    parts = [b'{"object":"list","model":', _encode(model), b',"data":[']
    write = _weights if encoding.lengths else _encode if base64 else _floats
    pause = max(1, _NUMBERS_AT_ONCE // max(1, encoding.width))
    for index, row in enumerate(encoding.rows()):
        if index % pause == pause - 1:
            await asyncio.sleep(0)
        separator = b"," if index else b""
        parts.append(b'%b{"index":%d,"object":"embedding","embedding":' % (separator, index))
        parts.append(write(row))
        parts.append(b"}")
    rest = {"usage": usage_body(encoding.usage), "truncated": encoding.truncated}
    parts += [b"],", _encode(rest)[1:]]
    return b"".join(parts)


def _floats(row: memoryview) -> bytes:
    # Imported with the first vector: it takes memory that a server without them need not have.
    import numpy as np

    return orjson.dumps(np.frombuffer(row, "<f4"), option=orjson.OPT_SERIALIZE_NUMPY)


def _weights(row: memoryview) -> bytes:
    """As Xinference's: the tokens' ids are texts."""
    import numpy as np

    entries = np.frombuffer(row, list(SPARSE_ENTRY))
    tokens, weights = entries["token"].tolist(), entries["weight"].tolist()
    return _encode(dict(zip(map(str, tokens), weights, strict=True)))


def rerank(
    encoding: Encoding,
    documents: Sequence[str] | None,
    *,
    request_id: str,
    model: str,
    top_n: int | None,
    tokens: bool,
    activated: bool,
) -> bytes:
    """The documents by their relevance.

    Args:
        documents: their texts, where they are wanted.
        tokens: whether to tell them in `meta`.
        activated: whether the scores are to be from 0 to 1, and are not.
    """
    scores = [_sigmoid(row[0]) if activated else row[0] for row in _scores(encoding)]
    order = sorted(range(len(scores)), key=lambda index: -scores[index])[:top_n]
    counted = encoding.usage.prompt_tokens
    return _encode(
        {
            "id": request_id,
            "model": model,
            "results": [
                {
                    "index": index,
                    "relevance_score": scores[index],
                    "document": {"text": documents[index]} if documents is not None else None,
                }
                for index in order
            ],
            "meta": {
                "api_version": None,
                "billed_units": None,
                "tokens": {"input_tokens": counted, "output_tokens": counted} if tokens else None,
                "warnings": None,
            },
            "usage": usage_body(encoding.usage),
            "truncated": encoding.truncated,
        }
    )


def scores(
    encoding: Encoding, *, request_id: str, model: str, created: int, activated: bool
) -> bytes:
    """A score for each pair."""
    data = [
        {
            "index": index,
            "object": "score",
            "score": _sigmoid(row[0]) if activated else row[0],
        }
        for index, row in enumerate(_scores(encoding))
    ]
    return _list(encoding, data, f"score-{request_id}", model, created)


def classes(
    encoding: Encoding,
    abilities: EncodeAbilities,
    *,
    request_id: str,
    model: str,
    created: int,
    activated: bool,
) -> bytes:
    """The class of each text, and how likely each class is."""
    data = []
    for index, row in enumerate(_scores(encoding)):
        probabilities = _probabilities(row) if activated else row
        best = max(range(len(row)), key=row.__getitem__)
        labels = abilities.labels
        data.append(
            {
                "index": index,
                "label": labels[best] if best < len(labels) else f"LABEL_{best}",
                "probs": probabilities,
                "num_classes": len(row),
            }
        )
    return _list(encoding, data, f"classify-{request_id}", model, created)


def _list(encoding: Encoding, data: list[Any], name: str, model: str, created: int) -> bytes:
    return _encode(
        {
            "id": name,
            "object": "list",
            "created": created,
            "model": model,
            "data": data,
            "usage": usage_body(encoding.usage),
            "truncated": encoding.truncated,
        }
    )


def _scores(encoding: Encoding) -> Iterator[list[float]]:
    for row in encoding.rows():
        numbers = array("f", bytes(row))
        if sys.byteorder == "big":
            numbers.byteswap()
        yield numbers.tolist()


def _sigmoid(score: float) -> float:
    if score < 0:
        power = math.exp(score)
        return power / (1 + power)
    return 1 / (1 + math.exp(-score))


def _probabilities(row: list[float]) -> list[float]:
    if len(row) == 1:
        return [_sigmoid(row[0])]
    most = max(row)
    powers = [math.exp(score - most) for score in row]
    total = sum(powers)
    return [power / total for power in powers]
