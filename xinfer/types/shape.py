"""The sizes of a model that its memory follows from."""

from __future__ import annotations

import msgspec


class LayerCache(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What layers that follow each other keep of the tokens that they have seen; each the same."""

    layers: int
    key: int = 0
    """Elements of each token's keys, of all heads together; of a latent that stands for both."""
    value: int = 0
    """Elements of each token's values."""
    window: int = 0
    """Tokens that are kept at the most; 0 is all of them."""
    state: int = 0
    """Elements of each sequence, however long it is: state-space and recurrent layers."""


class ModelShape(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Of the language model, where there is more than one; 0 is unknown."""

    layers: int = 0
    hidden: int = 0
    """Elements of a token's embedding."""
    intermediate: int = 0
    """Width of the feed-forward part; of one expert, where there are experts."""
    heads: int = 0
    kv_heads: int = 0
    """Heads of keys and values, the most that a layer has."""
    head_dim: int = 0
    vocab: int = 0
    experts: int = 0
    active_experts: int = 0
    """Experts that each token passes."""
    tied_embeddings: bool = False
    """The output layer is the embedding, and not stored again."""
    latent: int = 0
    """Elements of the latent that keys and values are made from (MLA); 0 for other attention."""
    vision_bytes: int = 0
    """Bytes of weights, of those on disk, that are for pictures and sound."""
    caches: tuple[LayerCache, ...] = ()
    """In the order of the layers."""

    @property
    def sliding_window(self) -> int:
        """Tokens of the longest window; 0 if no layer has one."""
        return max((cache.window for cache in self.caches), default=0)

    @property
    def sliding_layers(self) -> int:
        return sum(cache.layers for cache in self.caches if cache.window)

    @property
    def state_layers(self) -> int:
        """Layers with a state beside or instead of keys and values."""
        return sum(cache.layers for cache in self.caches if cache.state)
