"""Bodies that are forms (multipart/form-data), as routes take them that are sent files."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

from fastapi import Request
from pydantic import BeforeValidator, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from xinfer.api.requests import InferenceRoute
from xinfer.errors import InvalidRequest

MAX_FILES, MAX_FIELDS = 32, 256
MAX_FIELD_BYTES = 1 << 20


_FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")


class FormFile:
    """A file of a form."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.data = data

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        return core_schema.custom_error_schema(
            core_schema.is_instance_schema(cls),
            custom_error_type="form_file",
            custom_error_message="should be one file of a form (multipart/form-data)",
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"type": "string", "format": "binary"}


def _number(value: Any) -> Any:
    """A number that may be given as text, as in a form."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _whole_number(value: Any) -> Any:
    if isinstance(value, str):
        with suppress(ValueError):
            return int(value)  # by way of a float, a large one would become another
    made = _number(value)
    return int(made) if isinstance(made, float) and made.is_integer() else made


def _truth(value: Any) -> Any:
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False, "": False}.get(
            value.lower(), value
        )
    return value


def _several(value: Any) -> Any:
    """One value or several, as a list."""
    return value if value is None or isinstance(value, list) else [value]


FormFloat = Annotated[float, BeforeValidator(_number)]
FormInt = Annotated[int, BeforeValidator(_whole_number)]
FormBool = Annotated[bool, BeforeValidator(_truth)]
several = BeforeValidator(_several)
"""For fields that may be given once or several times."""


class FormRoute(InferenceRoute):
    """A route whose body is a form, or JSON where it needs no files."""

    expected = "a form as `multipart/form-data`, or JSON as `application/json`"

    async def parse(self, request: Request) -> Any:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in _FORMS:
            return await super().parse(request)
        return await read_form(request)


async def read_form(request: Request) -> dict[str, Any]:
    """The fields by name, a list where there are several of one name.

    Raises:
        InvalidRequest: it is damaged, or has too many fields.
    """
    try:
        async with request.form(
            max_files=MAX_FILES, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES
        ) as form:
            fields: dict[str, Any] = {}
            for name, sent in form.multi_items():
                value: Any = sent
                if isinstance(sent, UploadFile):
                    value = FormFile(sent.filename or "", await sent.read())
                if name not in fields:
                    fields[name] = value
                elif isinstance(fields[name], list):
                    fields[name].append(value)
                else:
                    fields[name] = [fields[name], value]
            return fields
    except HTTPException as error:
        raise InvalidRequest(
            f"The form cannot be read: {error.detail} Send it as multipart/form-data.",
            code="invalid_form",
        ) from error
