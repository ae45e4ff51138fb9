"""Heads that tell how much each token of a text says, as bge-m3 has one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import InvalidRequest
from xinfer.model.encode_engine import Encoded
from xinfer.types.event import SPARSE_ENTRY

if TYPE_CHECKING:
    from torch import Tensor

FILE = "sparse_linear.pt"
_AROUND = ("cls_token_id", "sep_token_id", "eos_token_id", "pad_token_id", "unk_token_id")


class SparseHead:
    """A weight of each token, made of what the encoder makes of it.

    Args:
        tokenizer: Transformers'.
        width: of what the encoder makes.

    Raises:
        InvalidRequest: the file is not what it should be.
    """

    def __init__(self, path: Path, tokenizer: Any, width: int) -> None:
        import torch

        try:  # nothing but tensors, however the file was made
            state = torch.load(path, map_location="cpu", weights_only=True)
            self._weight, self._bias = state["weight"].float(), state["bias"].float()
        except Exception as error:
            raise InvalidRequest(
                f"{path} holds no weight and bias: {error}.", param="model_path"
            ) from None
        if self._weight.shape != (1, width) or self._bias.shape != (1,):
            raise InvalidRequest(
                f"{path} has a weight of {tuple(self._weight.shape)} and a bias of "
                f"{tuple(self._bias.shape)}; this model needs (1, {width}) and (1,).",
                param="model_path",
            )
        self._around = [
            token for name in _AROUND if (token := getattr(tokenizer, name, None)) is not None
        ]

    def __call__(self, hidden: Tensor) -> Tensor:
        """Of (items, tokens, width), as (items, tokens); none is less than 0."""
        import torch

        weights = torch.nn.functional.linear(hidden, self._weight.to(hidden), self._bias.to(hidden))
        return torch.relu(weights[..., 0])

    def vector(self, item: Encoded, weights: NDArray[np.float32]) -> NDArray[np.void]:
        """The tokens that say anything, each with the most that it says anywhere; of
        `SPARSE_ENTRY`."""
        ids = np.array(item.ids, np.uint32)
        own = weights[: len(ids)]
        tokens, places = np.unique(ids, return_inverse=True)
        most = np.zeros(len(tokens), np.float32)
        np.maximum.at(most, places, own)
        kept = (most > 0) & ~np.isin(tokens, self._around)
        vector = np.empty(int(kept.sum()), list(SPARSE_ENTRY))
        vector["token"], vector["weight"] = tokens[kept], most[kept]
        return vector
