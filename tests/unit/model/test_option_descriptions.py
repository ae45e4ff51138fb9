"""Engines' options as forms show them."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from msgspec import Meta

from xinfer.model.engine import BUILTIN, EngineOptions, find_engine
from xinfer.model.option_descriptions import OptionDescription, describe_options


class Base(EngineOptions, frozen=True, kw_only=True):
    """Options that several engines share."""

    threads: Annotated[int, Meta(ge=1, le=8)] | None = None
    """Threads that
    compute."""
    share: Annotated[float, Meta(gt=0, lt=1)] = 0.5
    """A part."""


class Own(Base, frozen=True, kw_only=True):
    """Options of one."""

    kind: Literal["a", "b"] = "a"
    """Which."""
    fast: bool = True
    """Whether."""
    device: str = "auto"
    """Where."""
    split: tuple[float, ...] = ()
    """How much of it each."""


def test_options_are_told_with_types_bounds_defaults_and_what_they_are_for() -> None:
    assert describe_options(Own) == [
        OptionDescription(
            name="threads",
            type="integer",
            default=None,
            description="Threads that compute.",
            minimum=1,
            maximum=8,
        ),
        OptionDescription(
            name="share", type="number", default=0.5, description="A part.", minimum=0, maximum=1
        ),
        OptionDescription(
            name="kind", type="choice", default="a", description="Which.", choices=("a", "b")
        ),
        OptionDescription(name="fast", type="boolean", default=True, description="Whether."),
        OptionDescription(name="device", type="string", default="auto", description="Where."),
        OptionDescription(
            name="split", type="json", default=(), description="How much of it each."
        ),
    ]


@pytest.mark.parametrize("name", BUILTIN)
def test_every_option_of_every_engine_says_what_it_is_for(name: str) -> None:
    options = describe_options(find_engine(name)[1].options())
    assert [each.name for each in options if not each.description] == []
