"""Small embedding and rerank models on a real server, and what they compute, in numpy alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

from tests.support.gguf_encoders import Bert, normalised, piece_ids
from tests.support.server import Server

EXACT = {"n_threads": 1, "flash_attn": "off", "cache_type_k": "f32", "cache_type_v": "f32"}


@dataclass
class Retrieval:
    """The models by their uids, and their reference."""

    server: Server
    embedding: str
    rerank: str
    model: Bert
    ranker: Bert

    def vector(self, text: str) -> NDArray[np.float32]:
        """Of a text of whole words."""
        ids = piece_ids("[CLS]", *_pieces(text), "[SEP]")
        return normalised(self.model.hidden(ids).mean(axis=0))

    def score(self, query: str, document: str) -> float:
        """From 0 to 1; the file asks for a separator between the two and for none behind them."""
        ids = piece_ids("[CLS]", *_pieces(query), "[SEP]", *_pieces(document))
        return float(1 / (1 + np.exp(-self.ranker.scores(ids)[0])))


def retrieval_models(folder: Path) -> tuple[Bert, Bert]:
    """Write `embedding.gguf` and `rerank.gguf`; what they are."""
    model, ranker = Bert(), Bert(seed=1, labels=["relevance"])
    model.write(folder / "embedding.gguf", gguf.PoolingType.MEAN)
    ranker.write(folder / "rerank.gguf", gguf.PoolingType.RANK)
    return model, ranker


@contextmanager
def retrieval(server: Server, folder: Path, name: str, replica: int = 1) -> Iterator[Retrieval]:
    """Both models, launched under uids that begin with `name`; terminated on leaving."""
    model, ranker = retrieval_models(folder)
    uids = [
        server.launch(
            str(folder / f"{kind}.gguf"), model_uid=f"{name}-{kind}", replica=replica, **EXACT
        )
        for kind in ("embedding", "rerank")
    ]
    yield Retrieval(server, uids[0], uids[1], model, ranker)
    for uid in uids:
        server.terminate(uid)


def _pieces(text: str) -> list[str]:
    return [f"▁{word}" for word in text.split()]
