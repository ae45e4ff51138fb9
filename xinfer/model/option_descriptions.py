"""An engine's options as a form can show them: type, bounds, default, and what each is for."""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache
from typing import Any

import msgspec
import msgspec.inspect as types

from xinfer.model.engine import EngineOptions


class OptionDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One option of an engine."""

    name: str
    type: str
    """boolean, integer, number, string, choice, or json for what has parts."""
    default: Any
    """None where the engine decides."""
    description: str
    choices: tuple[Any, ...] = ()
    """Of a choice: the only values."""
    minimum: float | None = None
    maximum: float | None = None


def describe_options(kind: type[EngineOptions]) -> list[OptionDescription]:
    """The options of an engine, in the order in which they are declared; without those that it
    takes by the names of its library, and does not describe."""
    texts = _descriptions(kind)
    described = types.type_info(kind)
    assert isinstance(described, types.StructType)
    return [
        _describe(field, texts.get(field.name, ""))
        for field in described.fields
        if field.name in texts or not texts
    ]


def _describe(field: types.Field, description: str) -> OptionDescription:
    plain = _without_none(field.type)
    least, most = _bounds(plain)
    return OptionDescription(
        name=field.name,
        type=_word(plain),
        default=msgspec.to_builtins(_default(field)),
        description=description,
        choices=tuple(plain.values) if isinstance(plain, types.LiteralType) else (),
        minimum=least,
        maximum=most,
    )


def _bounds(kind: types.Type) -> tuple[float | None, float | None]:
    if not isinstance(kind, types.IntType | types.FloatType):
        return None, None
    return _first(kind.ge, kind.gt), _first(kind.le, kind.lt)


def _first(*bounds: float | None) -> float | None:
    return next((bound for bound in bounds if bound is not None), None)


def _without_none(kind: types.Type) -> types.Type:
    if not isinstance(kind, types.UnionType):
        return kind
    others = [each for each in kind.types if not isinstance(each, types.NoneType)]
    return others[0] if len(others) == 1 else kind


def _word(kind: types.Type) -> str:
    if isinstance(kind, types.LiteralType):
        return "choice"
    if isinstance(kind, types.BoolType):
        return "boolean"
    if isinstance(kind, types.IntType):
        return "integer"
    if isinstance(kind, types.FloatType):
        return "number"
    return "string" if isinstance(kind, types.StrType) else "json"


def _default(field: types.Field) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


@cache
def _descriptions(kind: type[EngineOptions]) -> dict[str, str]:
    """The docstrings behind the fields, which Python keeps in the source alone."""
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not issubclass(base, EngineOptions):
            continue
        try:
            source = inspect.getsource(base)
        except OSError:
            continue  # an engine that came without its source: its options have names all the same
        (declared,) = ast.parse(textwrap.dedent(source)).body
        assert isinstance(declared, ast.ClassDef)
        for field, text in zip(declared.body, declared.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
                and isinstance(text.value.value, str)
            ):
                texts[field.target.id] = " ".join(text.value.value.split())
    return texts
