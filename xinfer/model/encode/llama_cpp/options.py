"""Launch options of llama.cpp's embedding and rerank models, by llama.cpp's own names."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from xinfer.model.llama_cpp.options import ModelOptions, Positive


class RerankOptions(ModelOptions, frozen=True, kw_only=True):
    """How llama.cpp runs the model. Sizes are in tokens where nothing else is said."""

    n_ctx: Positive | None = None
    """The longest item. By default the model's own length, but at most 8192, and at most what
    keeps llama.cpp's output buffer at 2 GiB: it has a row as long as the vocabulary for each
    token that is computed at once."""
    n_batch: Annotated[int, Meta(ge=32)] = 512
    """Tokens of several items that are computed at once. Of a longer item all are, unless the
    model looks backwards only."""
    n_parallel: Annotated[int, Meta(ge=1, le=256)] = 64
    """Items that are computed at once; no more than `n_batch` take effect."""
    truncate: bool = True
    """Whether what is too long is cut short where a request does not say; refused otherwise."""

    @property
    def items(self) -> int:
        # llama.cpp ends the process when it gives more results than it computes tokens.
        return min(self.n_parallel, self.n_batch)


class EmbeddingOptions(RerankOptions, frozen=True, kw_only=True):
    """How llama.cpp runs the model. Sizes are in tokens where nothing else is said."""

    pooling: Literal["mean", "cls", "last"] | None = None
    """What of its tokens stands for a text: their mean, the first or the last one. As the file
    says by default."""
    matryoshka: bool = False
    """Whether the model was trained so that vectors may be shortened (`dimensions`); its file does
    not say."""
