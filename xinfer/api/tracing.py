"""OpenTelemetry traces: one span for each inference request, told to a collector by OTLP/HTTP.

OpenTelemetry is imported only where traces are wanted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from typing import TYPE_CHECKING, Protocol

from xinfer import __version__
from xinfer.api.record import InferenceRecord
from xinfer.errors import XinferError
from xinfer.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

logger = logging.getLogger(__name__)

_EXPORT_TIMEOUT = 5.0
"""Seconds that a collector has to take a batch; also how long a stop may wait for it."""
_OPERATIONS = {"chat": "chat", "generate": "text_completion"}
"""Our abilities in the words of OpenTelemetry's conventions for generative AI."""

Headers = list[tuple[bytes, bytes]]


class Tracing(Protocol):
    """Where the spans of requests go."""

    def record(
        self,
        record: InferenceRecord,
        *,
        request_id: str,
        headers: Headers,
        status: int,
        error: XinferError | None,
        seconds: float,
    ) -> None:
        """An inference request has ended just now, `seconds` after it came."""
        ...

    async def close(self) -> None:
        """Tell what is not told yet."""
        ...


def start_tracing(settings: Settings) -> Tracing | None:
    """What the settings ask for; None, and a line in the log, where OpenTelemetry is missing."""
    endpoint = settings.otlp_endpoint.rstrip("/")
    if not endpoint:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        logger.warning(
            "Traces are to go to %s, but OpenTelemetry is not installed (%s). "
            "Install it: pip install 'xinfer[otel]'. Going on without traces.",
            endpoint,
            error,
        )
        return None
    # Reads OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES.
    resource = Resource.create({"service.version": __version__})
    if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
        resource = resource.merge(Resource({SERVICE_NAME: "xinfer"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=_EXPORT_TIMEOUT)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    logger.info("Traces of inference requests go to %s", endpoint)
    return OpenTelemetry(provider)


class OpenTelemetry:
    """Spans of `provider`, which is closed with it. One takes about 100 µs of processor."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("xinfer", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def record(
        self,
        record: InferenceRecord,
        *,
        request_id: str,
        headers: Headers,
        status: int,
        error: XinferError | None,
        seconds: float,
    ) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode

        # Made at the end: what it says is only known then, and nothing has to be carried along.
        ended = time.time_ns()
        began = ended - int(seconds * 1e9)
        operation = _OPERATIONS.get(record.operation, record.operation)
        span = self._tracer.start_span(
            f"{operation} {record.model}",
            context=self._propagator.extract(_carrier(headers)),
            kind=SpanKind.SERVER,
            start_time=began,
            attributes={
                "gen_ai.operation.name": operation,
                "gen_ai.request.model": record.model,
                "gen_ai.response.id": request_id,
                "gen_ai.response.finish_reasons": record.reasons,
                "gen_ai.usage.input_tokens": record.usage.prompt_tokens,
                "gen_ai.usage.output_tokens": record.usage.completion_tokens,
                "http.response.status_code": status,
                "xinfer.stream": record.stream,
                "xinfer.usage.cached_tokens": record.usage.cached_tokens,
                "xinfer.queue_wait_seconds": max(record.waits, default=0.0),
            },
        )
        if record.first is not None:
            span.add_event("first token", timestamp=began + int(record.first * 1e9))
        if error is not None:
            span.set_attribute("error.type", error.code)
            span.set_status(Status(StatusCode.ERROR, error.message))
        span.end(ended)

    async def close(self) -> None:
        """Waits for a collector no longer than it has for one batch."""
        loop = asyncio.get_running_loop()
        told = asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop has not waited, and is closed
                loop.call_soon_threadsafe(told.set)

        # Of the loop's own threads it would wait for the last one, however long that takes.
        threading.Thread(target=shut_down, name="last spans", daemon=True).start()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(told.wait(), _EXPORT_TIMEOUT)


def _carrier(headers: Headers) -> dict[str, str]:
    """The caller's place in a trace of its own, if it has one."""
    wanted = (b"traceparent", b"tracestate")
    return {name.decode(): value.decode("latin-1") for name, value in headers if name in wanted}
