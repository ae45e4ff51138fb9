"""How a model can be computed: asked of its configuration, then tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from xinfer.errors import InvalidRequest
from xinfer.model.engine import TokenRequest
from xinfer.model.llm.scheduling.scheduler import Chunk, Sequence
from xinfer.model.llm.transformers.computer import PackedComputer, RowsComputer
from xinfer.model.llm.transformers.model import HfModel

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


def why_not_packed(model: HfModel) -> str | None:
    """Why the model cannot be computed packed, as part of a sentence; None when it can. Afterwards
    the model computes as it did before."""
    others = sorted(model.layer_types - PACKABLE)
    if others:
        return f"it has layers of the kind {', '.join(others)}"
    if not getattr(model.model, "_supports_attention_backend", False):
        return "its attention cannot be exchanged"
    before = model.model.config._attn_implementation
    try:
        computer = PackedComputer(model, None, frozenset(), slots=len(_PIECES), longest=_LONGEST)
        return _difference(model, computer, before)
    finally:
        model.model.set_attn_implementation(before)


def make_rows(
    model: HfModel, constraints: ConstraintCompiler | None, end_ids: frozenset[int], slots: int
) -> RowsComputer:
    """What computes the model row by row, in pieces of several tokens where that is right.

    Raises:
        InvalidRequest: the model gives other results in steps than at once.
    """
    before = model.model.config._attn_implementation
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
    try:
        with torch.inference_mode():
            return _compare(model, computer, attention)
    except Exception as error:  # whatever the model's own code raises
        return f"it fails so ({type(error).__name__}: {str(error).partition(chr(10))[0]})"


def _compare(model: HfModel, computer: PackedComputer | RowsComputer, attention: str) -> str | None:
    numbers = torch.Generator().manual_seed(1)
    used = model.model.config._attn_implementation
    sequences = []
    truths = []
    model.model.set_attn_implementation(attention)
    for number, pieces in enumerate(_PIECES):
        ids = torch.randint(0, model.vocabulary_size, (1, sum(pieces)), generator=numbers)
        logits = model.model(input_ids=ids.to(model.device), use_cache=False).logits
        truths.append(logits[0].float())
        request = TokenRequest(id=number, prompt=ids[0].tolist(), max_tokens=1)
        sequences.append(Sequence(request, number))
    model.model.set_attn_implementation(used)
    allowed = _TOLERANCE if _computes_finely(model) else _COARSE
    for counts in zip(*_PIECES, strict=True):
        chunks = [Chunk(*each) for each in zip(sequences, range(len(_PIECES)), counts, strict=True)]
        for chunk in chunks:
            chunk.last = True  # so that it has scores
        found = computer.forward(chunks).float()
        for chunk, row, truth in zip(chunks, found, truths, strict=True):
            chunk.sequence.computed += chunk.count
            right = truth[chunk.sequence.computed - 1]
            if not (row - right).abs().max() <= allowed * right.std():
                return "it gives other results so"
    return None


def _computes_finely(model: HfModel) -> bool:
    return bool(next(model.model.parameters()).dtype == torch.float32)
