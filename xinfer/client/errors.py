"""What the client raises; all of it is a `RuntimeError`, which existing callers catch."""

from __future__ import annotations


class APIError(RuntimeError):
    """The server refused, or failed on, what was asked of it.

    Attributes:
        doing: what the client was doing, as in "launch model".
        detail: the server's own message.
        status: the HTTP status; None when the failure came inside a stream.
        code: the server's code for the failure, such as "model_not_found".
        request_id: the id under which the server logged the request.
    """

    def __init__(
        self,
        doing: str,
        detail: str,
        *,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(f"Failed to {doing}, detail: {detail}")
        self.doing = doing
        self.detail = detail
        self.status = status
        self.code = code
        self.request_id = request_id


class APIConnectionError(APIError):
    """The server could not be reached, or went away before it had answered."""


class UnsupportedModelError(RuntimeError):
    """The model is of a type that this client has no handle for."""
