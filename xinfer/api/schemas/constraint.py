"""The fields by which a request says what its answer has to be."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from xinfer.errors import InvalidRequest
from xinfer.types.request import Constraint

FIELDS = (
    "response_format",
    "guided_json",
    "guided_json_object",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
)
_SHAPE = (
    'Send {"type": "text"}, {"type": "json_object"} or {"type": "json_schema", "json_schema": '
    '{"name": "…", "schema": {…}}}.'
)


def constraint_of(fields: Mapping[str, Any]) -> Constraint | None:
    """The one constraint that these fields, by their names in `FIELDS`, ask for.

    Raises:
        InvalidRequest: a field is malformed, or several of them ask for something.
    """
    found = [each for name in FIELDS if (each := _constraint(name, fields.get(name))) is not None]
    if len(found) > 1:
        raise InvalidRequest(
            f"`{found[0].field}` and `{found[1].field}` both say what the answer has to be. "
            "Send one of them.",
            param=found[1].field,
        )
    return found[0] if found else None


def _constraint(name: str, value: Any) -> Constraint | None:
    if value is None or value == "" or value == [] or value is False:
        return None
    if name == "response_format":
        return _response_format(value)
    if name == "guided_json_object":
        return Constraint("json_object", "", name)
    if name == "guided_json":
        return Constraint("json_schema", _schema_text(value, name), name)
    if name == "guided_choice":
        return Constraint("choice", json.dumps(value, ensure_ascii=False), name)
    return Constraint(name.removeprefix("guided_"), value, name)


def _response_format(value: Mapping[str, Any]) -> Constraint | None:
    name = "response_format"
    kind = value.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        # Several servers take a schema here.
        schema = value.get("schema")
        if schema is None:
            return Constraint("json_object", "", name)
        return Constraint("json_schema", _schema_text(schema, name), name)
    described = value.get("json_schema")
    if kind != "json_schema" or not isinstance(described, dict) or "schema" not in described:
        raise InvalidRequest(f"`{name}` is not one of the known forms. {_SHAPE}", param=name)
    return Constraint("json_schema", _schema_text(described["schema"], name), name)


def _schema_text(schema: Any, name: str) -> str:
    """A schema as text, sent as such or as an object."""
    if isinstance(schema, str):
        return schema
    if not isinstance(schema, (dict, bool)):
        raise InvalidRequest(f"`{name}` should hold a JSON schema, which is an object.", param=name)
    return json.dumps(schema, ensure_ascii=False)
