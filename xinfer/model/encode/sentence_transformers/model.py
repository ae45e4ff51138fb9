"""What the engine asks of a model, whatever it makes of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from xinfer.model.encode.tokens import Tokens
from xinfer.model.encode_engine import Encoded, Item, Result
from xinfer.types.model import EncodeAbilities

if TYPE_CHECKING:
    from torch import Tensor


class EncodeModel(Protocol):
    """A loaded model."""

    tokens: Tokens
    longest: int
    """Tokens of a text, as its files say."""
    second_type: int
    """As `features` takes it."""

    def abilities(self, *, tokens: int, items: int) -> EncodeAbilities:
        """What it declares, computed in batches of so many tokens and items."""
        ...

    def tokenize(self, items: Sequence[Item]) -> list[Encoded]:
        """As `EncodeEngine.tokenize`."""
        ...

    def compute(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        """Of `features` on the model's device: a row for each item, and what else there is."""
        ...

    def result(self, item: Encoded, *rows: NDArray[np.float32]) -> Result:
        """What is made of an item's rows, one of each tensor."""
        ...
