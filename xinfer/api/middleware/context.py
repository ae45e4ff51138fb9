"""The outermost layer: request id, log line, metrics, trace, the drain, and the last resort."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xinfer.api import request_id
from xinfer.api.errors import error_response, internal_error, note_error
from xinfer.api.lifetime import draining
from xinfer.core import logs

if TYPE_CHECKING:
    from xinfer.api.services import Services

logger = logging.getLogger(__name__)
access_logger = logging.getLogger("xinfer.api.access")

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS = _READS | {"POST", "PUT", "PATCH", "DELETE"}
"""Those that metrics name."""


class RequestContext:
    """Puts `request_id` and `arrived` (monotonic seconds) in the request's state."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = request_id.of(scope["headers"])
        state["arrived"] = time.monotonic()
        logs.request_id.set(state["request_id"])
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", []).append(
                    (request_id.HEADER, state["request_id"].encode())
                )
            await send(message)

        services = self._services
        services.drain.enter()
        services.metrics.in_flight.inc()
        try:
            if services.draining and scope["method"] not in _READS:
                note_error(scope, draining())
                await error_response(draining(), scope)(scope, receive, send_with_id)
            else:
                await self._app(scope, receive, send_with_id)
        except Exception as defect:
            logger.exception("Request %s failed", state["request_id"])
            error = internal_error(state["request_id"])
            note_error(scope, error)
            if status:
                raise RuntimeError("the answer had begun") from defect
            await error_response(error, scope)(scope, receive, send_with_id)
        finally:
            services.metrics.in_flight.dec()
            services.drain.leave()
            self._record(scope, state, status)

    def _record(self, scope: Scope, state: dict[str, Any], status: int) -> None:
        metrics = self._services.metrics
        route = getattr(scope.get("route"), "path", "unknown")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        metrics.requests.labels(method, route, str(status)).inc()
        error = state.get("error")
        record = state.get("record")
        if record is not None:
            seconds = time.monotonic() - state["arrived"]
            metrics.observe(record, seconds)
            if self._services.tracing is not None:
                self._services.tracing.record(
                    record,
                    request_id=state["request_id"],
                    headers=scope["headers"],
                    status=status,
                    error=error,
                    seconds=seconds,
                )
        if error is None:
            if access_logger.isEnabledFor(logging.DEBUG):
                access_logger.debug("%s", _line(scope, state, status))
            return
        metrics.errors.labels(error.code).inc()
        level = logging.WARNING if status >= 500 else logging.INFO
        access_logger.log(level, "%s: %s", _line(scope, state, status), _quiet(error.message))


def _line(scope: Scope, state: dict[str, Any], status: int) -> str:
    spent = 1000 * (time.monotonic() - state["arrived"])
    path = _quiet(scope["path"])
    return f"{state['request_id']} {scope['method']} {path} {status} {spent:.1f} ms"


def _quiet(text: str) -> str:
    """One line of a log, whatever a caller puts in it."""
    return "".join(c if c.isprintable() else "?" for c in text[:500])
