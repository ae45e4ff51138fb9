"""How many layers go to accelerators, computed from headers alone."""

from __future__ import annotations

from typing import Any

import pytest

from xinfer.model.inspect.gguf import GgufMetadata, Tensor
from xinfer.model.llama_cpp.offload import RESERVE, layers_that_fit

MIB = 1 << 20


def header(layers: int = 4, size: int = 100 * MIB, **values: Any) -> GgufMetadata:
    names = [f"blk.{n}.{part}.weight" for n in range(layers) for part in ("attn_q", "ffn_up")]
    names += ["token_embd.weight", "output.weight"]
    tensors = tuple(Tensor(name, 1, size // 2, 0) for name in names)
    known = {"general.architecture": "llama", "llama.block_count": layers}
    known |= {f"llama.{key.replace('__', '.')}": value for key, value in values.items()}
    return GgufMetadata("a.gguf", known, tensors, 0, 0)


def room(mib: int) -> int:
    return RESERVE + mib * MIB


@pytest.mark.parametrize(
    ("free", "fitting"),
    [
        ([], 0),
        ([RESERVE], 0),
        ([room(49)], 0),
        ([room(50)], 1),  # the output alone
        ([room(151)], 2),
        ([room(450)], 5),
        ([room(100_000)], 5),
        ([room(150), room(100)], 3),
        ([room(60), room(60)], 1),  # a layer is not split
    ],
)
def test_layers_go_from_the_last_while_each_fits(free: list[int], fitting: int) -> None:
    assert layers_that_fit([header()], [0] * 4, free) == fitting


def test_kv_cache_takes_its_share() -> None:
    assert layers_that_fit([header()], [50 * MIB] * 4, [room(350)]) == 3


def test_parts_of_a_model_add_up() -> None:
    assert layers_that_fit([header(), header()], [0] * 4, [room(300)]) == 2
