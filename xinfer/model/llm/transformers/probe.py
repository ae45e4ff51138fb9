"""How a model can be computed, and with pictures: asked of its configuration, then tried."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING

import torch

from xinfer.errors import InvalidRequest
from xinfer.model.engine import TokenRequest
from xinfer.model.llm.scheduling.scheduler import Chunk, Sequence
from xinfer.model.llm.transformers.computer import PackedComputer, RowsComputer
from xinfer.model.llm.transformers.model import HfModel
from xinfer.model.llm.transformers.vision import Vision
from xinfer.types.request import Media

if TYPE_CHECKING:
    from xinfer.model.llm.constraint.compiler import ConstraintCompiler

PACKABLE = frozenset({"full_attention", "sliding_attention"})
"""Kinds of layers that look at keys and values and at nothing else."""

# Sequences of such lengths, computed in pieces that end in the midst of them and in one token.
_PIECES = ((9, 7, 1, 1), (5, 1, 10, 1))
_LONGEST = max(map(sum, _PIECES))
_TOLERANCE = 0.02
"""Of the spread of the scores: more than another order of additions makes."""
_COARSE = 0.25
"""The same for numbers of fewer than 32 bits."""

_PICTURE = (96, 64)
"""Width and height of the picture that is tried."""
_TEXTS = ("Here is a picture: ", " And what is in it?")
"""Before and behind it."""


def why_not_packed(model: HfModel) -> str | None:
    """Why the model cannot be computed packed, as part of a sentence; None when it can. Afterwards
    the model computes as it did before."""
    others = sorted(model.layer_types - PACKABLE)
    if others:
        return f"it has layers of the kind {', '.join(others)}"
    if not getattr(model.model, "_supports_attention_backend", False):
        return "its attention cannot be exchanged"
    before = model.attention
    try:
        computer = PackedComputer(model, None, frozenset(), slots=len(_PIECES), longest=_LONGEST)
        return _difference(model, computer, before)
    finally:
        model.exchange_attention(before)


def make_rows(
    model: HfModel, constraints: ConstraintCompiler | None, end_ids: frozenset[int], slots: int
) -> RowsComputer:
    """What computes the model row by row, in pieces of several tokens where that is right.

    Raises:
        InvalidRequest: the model gives other results in steps than at once.
    """
    before = model.attention
    for one_by_one in (False, True):
        trial = RowsComputer(model, None, frozenset(), slots=len(_PIECES), one_by_one=one_by_one)
        difference = _difference(model, trial, before)
        if difference is None:
            return RowsComputer(model, constraints, end_ids, slots=slots, one_by_one=one_by_one)
    raise InvalidRequest(
        f"{model.architecture} cannot be computed token by token: {difference}.",
        param="model_engine",
    )


def _difference(
    model: HfModel, computer: PackedComputer | RowsComputer, attention: str
) -> str | None:
    """In what way the computer differs from plain calls with this attention."""
    return _tried(lambda: _compare(model, computer, attention))


def _tried(compare: Callable[[], str | None]) -> str | None:
    try:
        with torch.inference_mode():
            return compare()
    except Exception as error:  # whatever the model's own code raises
        return f"it fails so ({type(error).__name__}: {str(error).partition(chr(10))[0]})"


def _compare(model: HfModel, computer: PackedComputer | RowsComputer, attention: str) -> str | None:
    numbers = torch.Generator().manual_seed(1)
    used = model.attention
    sequences = []
    truths = []
    model.exchange_attention(attention)
    for number, pieces in enumerate(_PIECES):
        ids = torch.randint(0, model.vocabulary_size, (1, sum(pieces)), generator=numbers)
        logits = model.model(input_ids=ids.to(model.device), use_cache=False).logits
        truths.append(logits[0].float())
        request = TokenRequest(id=number, prompt=ids[0].tolist(), max_tokens=1)
        sequences.append(Sequence(request, number))
    model.exchange_attention(used)
    for counts in zip(*_PIECES, strict=True):
        chunks = [Chunk(*each) for each in zip(sequences, range(len(_PIECES)), counts, strict=True)]
        for chunk in chunks:
            chunk.last = True  # so that it has scores
        found = computer.forward(chunks).float()
        for chunk, row, truth in zip(chunks, found, truths, strict=True):
            chunk.sequence.computed += chunk.count
            if not _same(model, row, truth[chunk.sequence.computed - 1]):
                return "it gives other results so"
    return None


def why_blind(
    model: HfModel, computer: PackedComputer | RowsComputer, vision: Vision, attention: str
) -> str | None:
    """Why pictures cannot be computed so, as part of a sentence; None when they can, and `vision`
    knows from then on how.

    Args:
        attention: the model's own.
    """
    computer.vision = vision
    reason = None
    for vision.both_ways in (False, True):
        reason = _tried(lambda: _compare_picture(model, computer, vision, attention))
        if reason is None:
            break
    return reason


def _compare_picture(
    model: HfModel, computer: PackedComputer | RowsComputer, vision: Vision, attention: str
) -> str | None:
    """In what way a prompt with a picture comes out otherwise than by one plain call."""
    made = vision.prompt(_TEXTS, [_picture()])
    (span,) = made.media.layout.spans
    ids = [*made.ids[: span.start], *made.media.ids[0], *made.ids[span.end :]]
    used = model.attention
    model.exchange_attention(attention)
    truth = model.model(
        input_ids=torch.tensor([ids], device=model.device),
        use_cache=False,
        **vision.inputs(made.media, 0, ids),
    ).logits[0]
    model.exchange_attention(used)
    request = TokenRequest(id=0, prompt=made.ids, max_tokens=1, media=made.media)
    sequence = Sequence(request, 0, made.media.layout)
    behind = len(ids) - span.end
    steps = [(span.start, None), (span.tokens, 0), (behind - 1, None), (1, None)]
    for count, medium in steps:
        chunk = Chunk(sequence, 0, count, medium)
        chunk.last = True  # so that it has scores
        (row,) = computer.forward([chunk]).float()
        sequence.computed += count
        if not _same(model, row, truth[sequence.computed - 1].float()):
            return "it gives other results so"
    return None


def _picture() -> Media:
    """Noise, as a file."""
    from PIL import Image

    size = 3 * _PICTURE[0] * _PICTURE[1]
    noise = torch.randint(0, 256, (size,), generator=torch.Generator().manual_seed(3))
    file = BytesIO()
    Image.frombytes("RGB", _PICTURE, bytes(noise.tolist())).save(file, "PNG")
    return Media(file.getvalue(), "the picture that is tried")


def _same(model: HfModel, row: torch.Tensor, truth: torch.Tensor) -> bool:
    allowed = _TOLERANCE if _computes_finely(model) else _COARSE
    return bool((row - truth).abs().max() <= allowed * truth.std())


def _computes_finely(model: HfModel) -> bool:
    return bool(next(model.model.parameters()).dtype == torch.float32)
