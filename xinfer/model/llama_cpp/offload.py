"""How many layers of a model go to the accelerators."""

from __future__ import annotations

import re
from collections.abc import Sequence

from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.memory import RESERVE

_LAYER = re.compile(r"blk\.(\d+)\.")


def layers_that_fit(
    parts: Sequence[GgufMetadata], kv_bytes: Sequence[int], free: Sequence[int]
) -> int:
    """Layers, counted as llama.cpp does: from the output, which is one of them, backwards.

    Args:
        parts: headers of all the model's files.
        kv_bytes: the KV cache's bytes in each layer.
        free: free bytes of each accelerator.
    """
    sizes = [0] * (len(kv_bytes) + 1)
    for part in parts:
        for tensor in part.tensors:
            layer = _LAYER.match(tensor.name)
            number = int(layer[1]) if layer else len(kv_bytes)
            if tensor.name != "token_embd.weight" and number < len(sizes):
                sizes[number] += tensor.size or 0
    for number, size in enumerate(kv_bytes):
        sizes[number] += size
    room = [max(0, amount - RESERVE) for amount in free]
    fitting = 0
    for size in reversed(sizes):
        device = max(range(len(room)), key=room.__getitem__, default=None)
        if device is None or room[device] < size:
            break
        room[device] -= size
        fitting += 1
    return fitting
