"""JSON schemas that engines are held to; each bounds its texts, which a random model never ends."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def _text(most: int = 8, **more: Any) -> Schema:
    return {"type": "string", "maxLength": most, **more}


def _object(**properties: Any) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(items: Any, least: int = 0, most: int = 4) -> Schema:
    return {"type": "array", "items": items, "minItems": least, "maxItems": most}


def _whole(least: int, most: int) -> Schema:
    return {"type": "integer", "minimum": least, "maximum": most}


_POINT = _object(x=_whole(-99, 99), y=_whole(0, 5))
_COLOUR = {"enum": ["red", "green", "blue"]}
_TREE: Schema = {
    "$defs": {
        "node": _object(value=_whole(0, 9), children=_list({"$ref": "#/$defs/leaf"}, 0, 2)),
        "leaf": _object(value=_whole(0, 9)),
    },
    "$ref": "#/$defs/node",
}
_CHAIN: Schema = {
    "$defs": {
        "link": _object(
            value=_whole(0, 9), next={"anyOf": [{"type": "null"}, {"$ref": "#/$defs/link"}]}
        )
    },
    "$ref": "#/$defs/link",
}


def _nested(depth: int) -> Schema:
    return _object(inner=_nested(depth - 1)) if depth else _object(end={"type": "boolean"})


SCHEMAS: list[Schema] = [
    # Single values.
    {"type": "boolean"},
    {"type": "null"},
    {"type": ["boolean", "null"]},
    {"const": "constant"},
    {"const": {"a": [1, "é", None]}},
    _whole(0, 9),
    _whole(-1000, 1000),
    {"type": "integer", "exclusiveMinimum": 10, "exclusiveMaximum": 20},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "integer", "multipleOf": 7, "minimum": 0, "maximum": 1000},
    _text(),
    _text(12, minLength=3),
    # Enumerations.
    _COLOUR,
    {"enum": [1, "two", None, True, 3.5, {"four": 4}, [5]]},
    {"enum": ["", "a", "aa", "aaa"]},
    {"enum": ["你好", "🎉", 'quote "', "line\nbreak", "back\\slash"]},
    _object(colour=_COLOUR, size={"enum": ["S", "M", "L"]}),
    {"enum": [f"value-{number}" for number in range(200)]},
    # Patterns and formats.
    _text(8, pattern="^[a-z]{2,6}$"),
    {"type": "string", "pattern": "^\\d{3}-\\d{4}$"},
    {"type": "string", "pattern": "^(yes|no|maybe)!?$"},
    _object(code={"type": "string", "pattern": "^[A-Z]{2}[0-9]{1,3}$"}),
    {"type": "string", "format": "date"},
    {"type": "string", "format": "uuid"},
    # Lists.
    _list({"type": "boolean"}),
    _list(_whole(1, 9), 3, 3),
    _list(_COLOUR, 1, 5),
    _list(_list(_whole(0, 1), 1, 3), 1, 3),
    _list(_text(4), 2, 3),
    _list(_POINT, 1, 3),
    {"type": "array", "prefixItems": [_whole(0, 9), _COLOUR], "items": False, "minItems": 2},
    # Objects.
    _object(a={"type": "boolean"}),
    _POINT,
    _object(name=_text(), age=_whole(0, 150), email={"type": ["string", "null"], "maxLength": 9}),
    _object(point=_POINT, colour=_COLOUR),
    _object(list=_list(_POINT, 1, 2), flags=_object(a={"type": "boolean"}, b={"type": "null"})),
    {"type": "object", "properties": {"a": _whole(0, 9)}, "additionalProperties": False},
    {"type": "object", "additionalProperties": False},
    {
        "type": "object",
        "properties": {"kind": _COLOUR, "note": _text()},
        "required": ["kind"],
        "additionalProperties": False,
    },
    _object(**{"with space": _whole(0, 9), 'with "quotes"': _whole(0, 9), "名": _whole(0, 9)}),
    _nested(4),
    _nested(12),
    # Alternatives and references.
    {"anyOf": [_COLOUR, _whole(0, 9)]},
    {"anyOf": [_object(kind={"const": "a"}, x=_whole(0, 9)), _object(kind={"const": "b"})]},
    {"oneOf": [{"type": "boolean"}, _whole(0, 9)]},
    {"allOf": [_whole(0, 50), {"type": "integer", "minimum": 40}]},
    _TREE,
    _CHAIN,
    {"$defs": {"point": _POINT}, **_object(a={"$ref": "#/$defs/point"}, b=_POINT)},
    {"definitions": {"c": _COLOUR}, "type": "array", "items": {"$ref": "#/definitions/c"},
     "minItems": 1, "maxItems": 3},
]  # fmt: skip
