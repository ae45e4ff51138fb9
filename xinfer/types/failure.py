"""An error of the taxonomy as a value that can cross a process boundary."""

from __future__ import annotations

from typing import Any

import msgspec

from xinfer.errors import TAXONOMY, EngineFailed, XinferError


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """`kind` is the class's name in `xinfer.errors.TAXONOMY`."""

    kind: str
    message: str
    code: str
    param: str | None = None
    retry_after: float | None = None
    details: dict[str, Any] = {}

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Describe any exception; one from outside the taxonomy becomes `EngineFailed`."""
        if not isinstance(error, XinferError):
            text = str(error) or type(error).__name__
            return cls("EngineFailed", f"{type(error).__name__}: {text}", EngineFailed.code)
        return cls(
            type(error).__name__,
            error.message,
            error.code,
            error.param,
            error.retry_after,
            error.details,
        )

    def error(self) -> XinferError:
        """The exception again, to be raised."""
        return TAXONOMY[self.kind](
            self.message,
            code=self.code,
            param=self.param,
            retry_after=self.retry_after,
            details=self.details,
        )
