"""One form of a model and one engine, of all that there are. Pure but for what engines say."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from xinfer.model.catalog import refusal
from xinfer.model.catalog.adapters import OPTION as ADAPTERS
from xinfer.model.catalog.host import Host
from xinfer.model.catalog.preference import by_size, preference
from xinfer.model.catalog.support import EngineSupport, ask_engines, ordered_engines
from xinfer.model.catalog.words import BITS_OPTION, parse_bits, parse_engine
from xinfer.model.engine import find_engine
from xinfer.types.deployment import LaunchSpec
from xinfer.types.model import ModelSpec

_SAME_SIZE = 1.1
"""Forms of one model have counts of parameters that differ by less: by their embeddings."""
_SHOWN = 6
"""Alternatives that a reason names."""


class Choice(NamedTuple):
    """What is launched, and why this."""

    model: ModelSpec
    engine: str
    reason: str


def choose(
    spec: LaunchSpec,
    selected: Sequence[ModelSpec],
    everything: Sequence[ModelSpec],
    host: Host,
    *,
    code_allowed: bool,
) -> Choice:
    """The engine and the form of the model that suit the host best.

    Args:
        selected: forms that agree with the launch.
        everything: all forms of the model, for telling what would run.
        code_allowed: whether engines may run program code that comes with models.

    Raises:
        InvalidRequest: nothing runs it; the message says why, and what would run.
    """
    names = ordered_engines() if spec.model_engine is None else _asked_for(spec.model_engine)
    asked = ask_engines(names, selected, host)
    able = runnable(asked, parse_bits(spec.quantization), code_allowed=code_allowed)
    if not able:
        anyhow = ask_engines(ordered_engines(), everything, host)
        raise refusal.nothing_runs(spec, asked, runnable(anyhow, code_allowed=code_allowed))
    if spec.adapters:
        able = [each for each in able if has_option(each.engine, ADAPTERS)] or able
    best = _best(able, host)
    return Choice(best.model, best.engine, " ".join(_reasons(spec, best, able, host)))


def runnable(
    asked: Iterable[EngineSupport], bits: int | None = None, *, code_allowed: bool
) -> list[EngineSupport]:
    """Those that can; with `bits`, that quantise to so many while they load."""
    return [
        each
        for each in asked
        if each.support.ok
        and (code_allowed or not each.support.runs_code)
        and (bits is None or has_option(each.engine, BITS_OPTION))
    ]


def has_option(engine: str, option: str) -> bool:
    return option in find_engine(engine)[1].options().__struct_fields__


def _asked_for(word: str) -> Sequence[str]:
    """Names of the engines that a launch asks for, all of them registered.

    Raises:
        InvalidRequest: there is none of these.
    """
    known = ordered_engines()
    names = parse_engine(word, known)
    there = [name for name in names if name in known]
    if not there:
        raise refusal.no_engine(word, names)
    return there


def _best(able: Sequence[EngineSupport], host: Host) -> EngineSupport:
    """The smallest size; of that, what fits; then the form, then the engine."""
    order = {name: number for number, name in enumerate(ordered_engines())}
    smallest = min(by_size(each.model) for each in able)

    def rank(each: EngineSupport) -> tuple[Any, ...]:
        on_accelerators = host.room(each.kinds) is not None
        return (
            0.0 if _is_size(each.model, smallest) else by_size(each.model),
            not host.fits(each.model, each.kinds),
            # Native code of an engine goes before code that comes with the model.
            each.support.runs_code,
            not on_accelerators,
            preference(each.model, accelerated=on_accelerators),
            order.get(each.engine, len(order)),
        )

    return min(able, key=rank)


def _reasons(
    spec: LaunchSpec,
    best: EngineSupport,
    able: Sequence[EngineSupport],
    host: Host,
) -> Iterable[str]:
    """Sentences on the engine, then on each thing that the launch left open."""
    model = best.model
    form = f" in the format {model.format}" if model.format else ""
    if spec.model_engine is None:
        others = _engines_of(able, model) - {best.engine}
        also = f"; so can {', '.join(sorted(others))}" if others else ""
        yield f"{best.engine} is the first engine here that can run {model.name}{form}{also}."
    elif spec.model_engine.lower() == best.engine.lower():
        yield f"{best.engine} was asked for."
    else:
        yield f"{spec.model_engine} was asked for; {best.engine} is the first of its engines here."
    sizes = _distinct(able, lambda one: one.size_in_billions)
    smallest = min(by_size(each.model) for each in able)
    if not all(_is_size(each.model, smallest) for each in able):
        yield f"Of the sizes {_listed(sizes)} (in billions) the smallest is taken."
    same = [each for each in able if _is_size(each.model, smallest)]
    if len(_distinct(same, lambda one: (one.format, one.quantization))) > 1:
        where = "accelerators" if host.room(best.kinds) is not None else "processors"
        formats = _distinct(same, lambda one: one.format)
        several = len(formats) > 1

        def form_of(one: ModelSpec) -> str:
            if not several:
                return one.quantization
            whole = one.quantization in ("", "none")
            return one.format if whole else f"{one.format} {one.quantization}"

        kinds = _listed(_distinct(same, form_of))
        if host.fits(model, best.kinds):
            yield f"Of {kinds}: {form_of(model)} suits the {where} best."
        else:
            yield f"Of {kinds}: none is sure to fit the {where}; {form_of(model)} is tried."


def _is_size(model: ModelSpec, size: float) -> bool:
    return by_size(model) <= size * _SAME_SIZE


def _engines_of(able: Sequence[EngineSupport], model: ModelSpec) -> set[str]:
    return {each.engine for each in able if each.model is model}


def _distinct(able: Sequence[EngineSupport], of: Callable[[ModelSpec], object]) -> list[object]:
    return list(dict.fromkeys(of(each.model) for each in able))


def _listed(values: Sequence[object]) -> str:
    shown = [f"{one:g}" if isinstance(one, float) else str(one) for one in values[:_SHOWN]]
    more = len(values) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")
