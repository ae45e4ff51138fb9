"""The closed error taxonomy. Every failure a user can see is one of these classes.

A message says what was wrong, what was expected, and what to do. HTTP status codes are not
here: they are one table in `xinfer.api.errors`.
"""

from __future__ import annotations

from typing import Any, ClassVar


class XinferError(Exception):
    """Base of the taxonomy; raised only through its subclasses.

    Args:
        message: one or two sentences for the user.
        code: machine-readable refinement; defaults to the class's own.
        param: the request field at fault, where there is one.
        retry_after: seconds after which trying again makes sense.
        details: additive, JSON-serialisable fields of the error body (`loading`, `needed`, …).
    """

    code: str = "error"
    recoverable: ClassVar[bool] = False
    """Whether the same request may succeed on another replica."""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code
        self.param = param
        self.retry_after = retry_after
        self.details = details or {}


class InvalidRequest(XinferError):
    """The body, a parameter or a combination of them cannot be served as sent."""

    code = "invalid_request"


class Unauthenticated(XinferError):
    """No key, or a key nobody knows."""

    code = "invalid_api_key"


class Forbidden(XinferError):
    """A known key that lacks the scope or the model."""

    code = "permission_denied"


class NotFound(XinferError):
    """No such model, registration, request or file."""

    code = "not_found"


class Conflict(XinferError):
    """The name is taken, or the thing is in a state that forbids the operation."""

    code = "already_exists"


class PayloadTooLarge(XinferError):
    """A body or an attached medium is over its limit."""

    code = "payload_too_large"


class RateLimited(XinferError):
    """A limit that the caller owns: its key's quota, the model's `request_limits`."""

    code = "rate_limit_exceeded"
    recoverable = True


class Cancelled(XinferError):
    """The launch or the request was cancelled."""

    code = "cancelled"


class EngineFailed(XinferError):
    """The engine failed on this request; the replica lives on."""

    code = "engine_error"


class ReplicaLost(XinferError):
    """The replica died while it held the request."""

    code = "replica_lost"
    recoverable = True


class Unavailable(XinferError):
    """Not now: loading, full, out of room or draining (`code` tells which)."""

    code = "overloaded"
    recoverable = True


class DeadlineExceeded(XinferError):
    """The request or its wait in the queue took longer than allowed."""

    code = "timeout"


TAXONOMY: dict[str, type[XinferError]] = {
    cls.__name__: cls
    for cls in (
        InvalidRequest,
        Unauthenticated,
        Forbidden,
        NotFound,
        Conflict,
        PayloadTooLarge,
        RateLimited,
        Cancelled,
        EngineFailed,
        ReplicaLost,
        Unavailable,
        DeadlineExceeded,
    )
}
