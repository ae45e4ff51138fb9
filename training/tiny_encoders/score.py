"""Score the models that ship: `python -m training.tiny_encoders.score`; needs the base install.

Two sets that no training text comes from. *Written* are pairs of sentences as people put them, in
paraphrases.json: of all the second ones of its language, the right one has to come first. *Held
out* are things that are in no training text, asked for in sentence frames that are in none either:
of 20 statements about as many things, the one on the thing asked for has to come first.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.tiny_encoders.lexicon import LANGUAGES, lexicon
from training.tiny_encoders.sentences import say, subject
from xinfer.model.encode.xllamacpp.embedding import XllamacppEmbedding
from xinfer.model.encode.xllamacpp.rerank import XllamacppRerank
from xinfer.model.encode_engine import EmbedResult, Item, Pair, RankResult, Result
from xinfer.types.model import ModelSpec

HERE = Path(__file__).parent
PARAPHRASES = HERE / "paraphrases.json"
SCORE = HERE / "score.json"
WEIGHTS = HERE.parents[1] / "xinfer/model/catalog/weights"
KINDS = ("embed", "rerank")
CHOICES = 20
ROUNDS = 4  # over the things that are held out

Array = NDArray[np.float32]
Similarity = Callable[[list[str], list[str]], Array]
"""Of each text of the first list to each of the second, as (first, second)."""


class Task(NamedTuple):
    """Texts, and others of which the one in the same place says the same."""

    texts: list[str]
    same: list[str]


def weights(kind: str) -> Path:
    """The file that ships."""
    return WEIGHTS / f"tiny-{kind}" / f"tiny-{kind}-f16.gguf"


def score(kind: str, gguf: Path, sets: Sequence[str] = ("written", "held_out")) -> dict[str, Any]:
    """How often the right one comes first.

    Args:
        kind: embed or rerank.
        sets: written, held_out or both.
    """
    compare, close = _embedding(gguf) if kind == "embed" else _rerank(gguf)
    try:
        result: dict[str, Any] = {"gguf_sha256": hashlib.sha256(gguf.read_bytes()).hexdigest()}
        for name in sets:
            tasks = written() if name == "written" else held_out()
            right = sum(_right(compare, task) for task in tasks)
            result[name] = {"right": right, "of": sum(len(task.texts) for task in tasks)}
        return result
    finally:
        close()


def written() -> list[Task]:
    pairs = json.loads(PARAPHRASES.read_text(encoding="utf-8"))
    return [
        Task(
            [pair["text"] for pair in pairs if pair["language"] == language],
            [pair["same"] for pair in pairs if pair["language"] == language],
        )
        for language in LANGUAGES
    ]


def held_out() -> list[Task]:
    random = Random(0)
    tasks = []
    for language in LANGUAGES:
        for _ in range(ROUNDS):
            about = [
                subject(random, thing=thing) for thing in random.sample(lexicon().held_out, CHOICES)
            ]
            said = (
                [say(one, language, random, kind=kind, held_out=True) for one in about]
                for kind in ("question", "statement")
            )
            tasks.append(Task(*said))
    return tasks


def _right(compare: Similarity, task: Task) -> int:
    found = compare(task.texts, task.same)
    return int((found.argmax(axis=1) == np.arange(len(task.texts))).sum())


def _embedding(gguf: Path) -> tuple[Similarity, Callable[[], None]]:
    engine = XllamacppEmbedding(
        _spec(gguf, "embedding"), XllamacppEmbedding.options_class(n_threads=1)
    )
    engine.load(lambda _: None)

    def vectors(texts: list[str]) -> Array:
        return np.stack([_numbers(one) for one in engine.encode(engine.tokenize(texts))])

    return lambda one, other: vectors(one) @ vectors(other).T, engine.close


def _rerank(gguf: Path) -> tuple[Similarity, Callable[[], None]]:
    engine = XllamacppRerank(_spec(gguf, "rerank"), XllamacppRerank.options_class(n_threads=1))
    engine.load(lambda _: None)

    def compare(one: list[str], other: list[str]) -> Array:
        pairs: list[Item] = [Pair(query, document) for query in one for document in other]
        scores = [_numbers(result)[0] for result in engine.encode(engine.tokenize(pairs))]
        return np.array(scores, np.float32).reshape(len(one), len(other))

    return compare, engine.close


def _spec(gguf: Path, kind: str) -> ModelSpec:
    return ModelSpec(name=gguf.stem, type=kind, format="ggufv2", path=str(gguf))


def _numbers(result: Result | Exception) -> Array:
    if isinstance(result, EmbedResult):
        return result.vector
    if isinstance(result, RankResult):
        return result.scores
    raise result


def main() -> None:
    """Score both and write score.json."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    scores = {kind: score(kind, weights(kind)) for kind in KINDS}
    SCORE.write_text(json.dumps(scores, indent=2) + "\n", encoding="utf-8")
    for kind, result in scores.items():
        for name in ("written", "held_out"):
            print(f"tiny-{kind}, {name}: {result[name]['right']} of {result[name]['of']}")


if __name__ == "__main__":
    main()
