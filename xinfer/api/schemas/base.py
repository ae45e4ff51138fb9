"""What all request bodies share: strictness, unknown fields, unsupported parameters."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator

from xinfer.api import strict_json
from xinfer.errors import InvalidRequest, XinferError

Neutral = Callable[[Any], bool]
"""Whether a value asks for nothing beyond what happens anyway."""

MAX_INT64 = 2**63 - 1

MAX_JSON_TEXT = 64 << 10
"""Longest JSON text inside of a body, in characters: it is parsed on the event loop."""
_MAX_DEPTH, _MAX_VALUES = 32, 4096


def only(*values: Any) -> Neutral:
    """Neutral at these values."""
    return lambda value: value in values


def always(value: Any) -> bool:
    """Neutral whatever it is: the parameter does not bear on the answer."""
    return True


class Body(BaseModel):
    """A JSON body. Unknown fields are kept in `model_extra`, so that they can be named."""

    model_config = ConfigDict(
        extra="allow", strict=True, allow_inf_nan=False, protected_namespaces=()
    )

    unsupported: ClassVar[Mapping[str, Neutral]] = {}
    """Known fields that cannot be honoured, each with the values that need no honouring."""

    @model_validator(mode="before")
    @classmethod
    def _merge_kwargs(cls, data: Any) -> Any:
        """Xinference's client sends some fields a second time in `kwargs`; the top level wins."""
        if not isinstance(data, dict) or "kwargs" not in data:
            return data
        data = dict(data)
        kwargs = json_object(data.pop("kwargs"), "kwargs")
        return {**kwargs, **data}

    def check_supported(self) -> None:
        """Raise for the first field that asks for what is not there.

        Raises:
            InvalidRequest: with code `unsupported_parameter`.
        """
        for name in self.model_fields_set:
            neutral = self.unsupported.get(name)
            if neutral is None:
                continue
            value = getattr(self, name, None)
            if value is not None and not neutral(value):
                raise InvalidRequest(
                    f"`{name}` is not supported by this server in the form it was sent. "
                    "Leave it out.",
                    code="unsupported_parameter",
                    param=name,
                )

    def ignored_fields(self) -> list[str]:
        """Names of unknown fields, which have no effect."""
        return list(self.model_extra or ())


def json_object(value: Any, field: str) -> dict[str, Any]:
    """An object, given as such or as its JSON text; null and no text are the empty one.

    Raises:
        InvalidRequest: it is neither, or its text is beyond the bounds; names `field`.
    """
    if isinstance(value, str) and 0 < len(value) <= MAX_JSON_TEXT:
        with suppress(XinferError):
            value = strict_json.parse(
                value.encode(),
                max_depth=_MAX_DEPTH,
                max_values=_MAX_VALUES,
                max_texts=2 * _MAX_VALUES,
            )
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        raise InvalidRequest(
            f"`{field}` should be an object, or its JSON text of at most {MAX_JSON_TEXT} "
            f"characters and {_MAX_VALUES} values.",
            param=field,
        )
    return value
