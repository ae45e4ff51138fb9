"""How a model's requests are computed together: packed or row by row, and whether with pictures."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal, NamedTuple

from xinfer.errors import InvalidRequest
from xinfer.model.llm.transformers.computer import PackedComputer, RowsComputer
from xinfer.model.llm.transformers.model import HfModel
from xinfer.model.llm.transformers.probe import make_rows, why_blind, why_not_packed
from xinfer.model.llm.transformers.vision import Vision

if TYPE_CHECKING:
    from xinfer.model.llm.constraint.compiler import ConstraintCompiler

logger = logging.getLogger(__name__)

_LONG = 1 << 16
"""Tokens that a trial's cache may grow to: more than a picture has."""


class Chosen(NamedTuple):
    computer: PackedComputer | RowsComputer
    batching: Literal["packed", "rows"]
    reason: str
    blind: str | None
    """Why no pictures are taken; None: they are, or there was nothing to see them with."""


def choose_computer(
    model: HfModel,
    constraints: ConstraintCompiler | None,
    end_ids: frozenset[int],
    *,
    slots: int,
    longest: int,
    asked: Literal["auto", "packed", "rows"],
    vision: Vision | None,
) -> Chosen:
    """What gives the same results as plain calls of the model: packed if that does; row by row
    where it does not, or does not with pictures.

    Args:
        slots: requests that run at once.
        longest: tokens of one of them.
        vision: what the model sees with, where it has that.

    Raises:
        InvalidRequest: what was asked for is not right for this model, or nothing is.
    """
    attention = model.attention
    reason = None if asked == "rows" else why_not_packed(model)
    if asked == "packed" and reason is not None:
        raise InvalidRequest(
            f"{model.architecture} cannot be computed packed: {reason}. Leave out batching.",
            param="batching",
        )
    blind = None
    if asked != "rows" and reason is None:
        blind = None if vision is None else _blind_packed(model, vision, attention)
        if blind is None or asked == "packed":
            return _packed(model, constraints, end_ids, slots, longest, asked, vision, blind)
    rows = make_rows(model, constraints, end_ids, slots)
    if vision is None:
        return Chosen(rows, "rows", reason or "asked for", None)
    trial = RowsComputer(model, None, frozenset(), slots=1, one_by_one=rows.one_by_one)
    blind_rows = why_blind(model, trial, vision, attention)
    if blind_rows is not None and blind is not None:
        return _packed(model, constraints, end_ids, slots, longest, asked, vision, blind)
    if blind_rows is None:
        rows.vision = vision
    why = reason or ("asked for" if blind is None else f"with pictures {blind}")
    return Chosen(rows, "rows", why, blind_rows)


def _blind_packed(model: HfModel, vision: Vision, attention: str) -> str | None:
    try:
        trial = PackedComputer(model, None, frozenset(), slots=1, longest=_LONG)
        return why_blind(model, trial, vision, attention)
    finally:
        model.exchange_attention(attention)


def _packed(
    model: HfModel,
    constraints: ConstraintCompiler | None,
    end_ids: frozenset[int],
    slots: int,
    longest: int,
    asked: str,
    vision: Vision | None,
    blind: str | None,
) -> Chosen:
    computer = PackedComputer(model, constraints, end_ids, slots=slots, longest=longest)
    if blind is None:
        computer.vision = vision
    why = "asked for" if asked == "packed" else "gives the same results"
    return Chosen(computer, "packed", why, blind)
