"""One span for each inference request, and none of OpenTelemetry where it is not asked for."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.unit.api.fakes import Api
from xinfer.api.app import create_app
from xinfer.api.record import InferenceRecord
from xinfer.api.tracing import OpenTelemetry, start_tracing
from xinfer.errors import EngineFailed
from xinfer.settings import Settings
from xinfer.types.event import Usage

pytestmark = pytest.mark.anyio

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Traced(Api):
    """An application whose spans stay in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        app = create_app(
            self.gateway,  # type: ignore[arg-type]
            self.control,  # type: ignore[arg-type]
            Settings(),
            tracing=OpenTelemetry(provider),
        )
        self.http._transport.app = app  # type: ignore[attr-defined]

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_an_answer_is_one_span_with_what_was_asked_and_made() -> None:
    api = Traced()
    await api.chat(request_id="mine")
    (span,) = api.spans
    assert (span.name, span.kind) == ("chat echo", SpanKind.SERVER)
    assert attributes(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "echo",
        "gen_ai.response.id": "mine",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 5,
        "gen_ai.usage.output_tokens": 2,
        "http.response.status_code": 200,
        "xinfer.stream": False,
        "xinfer.usage.cached_tokens": 1,
        "xinfer.queue_wait_seconds": 0.25,
    }
    assert span.parent is None
    assert span.status.status_code is StatusCode.UNSET
    assert span.start_time is not None
    assert span.end_time is not None
    assert 0 < span.end_time - span.start_time < 60e9


async def test_a_stream_tells_its_first_token_and_all_of_its_choices() -> None:
    api = Traced()
    await api.complete(prompt=["a", "b"], stream=True)
    (span,) = api.spans
    assert span.name == "text_completion echo"
    assert attributes(span)["gen_ai.response.finish_reasons"] == ("stop", "stop")
    assert attributes(span)["gen_ai.usage.output_tokens"] == 4
    (event,) = span.events
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.start_time < event.timestamp <= span.end_time


async def test_a_span_belongs_to_the_callers_trace() -> None:
    api = Traced()
    body = {"model": "echo", "messages": [{"role": "user", "content": "Hi"}]}
    for sent in (PARENT, "nonsense\x00"):
        await api.http.post("/v1/chat/completions", json=body, headers={"traceparent": sent})
    ours, own = api.spans
    assert ours.parent is not None
    assert f"{ours.parent.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{ours.parent.span_id:016x}" == PARENT.split("-")[2]
    assert own.parent is None


async def test_a_failure_is_the_spans_too_and_other_routes_have_none() -> None:
    api = Traced()
    api.gateway.scripts = [EngineFailed("It broke.")]
    await api.chat()
    await api.chat(model="nobody")
    await api.http.get("/v1/models")
    (span,) = api.spans
    assert attributes(span)["error.type"] == "engine_error"
    assert attributes(span)["http.response.status_code"] == 500
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description == "It broke."


@contextmanager
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest], list[str]]]:
    """A collector on loopback: its URL, what it got, and under which paths."""
    got: list[ExportTraceServiceRequest] = []
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                raise AssertionError("not asked for")
            got.append(ExportTraceServiceRequest.FromString(body))
            paths.append(self.path)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Not to the console."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got, paths
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def test_spans_reach_a_collector_by_the_end() -> None:
    with collector() as (url, got, paths):
        tracing = start_tracing(Settings(otlp_endpoint=f"{url}/"))
        assert tracing is not None
        record = InferenceRecord("m", "chat", 0.0, stream=False)
        record.finish("length", Usage(3, 4, 1), 0.0)
        tracing.record(record, request_id="r", headers=[], status=200, error=None, seconds=1.5)
        await tracing.close()
    assert paths == ["/v1/traces"]
    (resource,) = got[0].resource_spans
    named = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert named["service.name"] == "xinfer"
    (span,) = resource.scope_spans[0].spans
    assert span.name == "chat m"
    assert span.end_time_unix_nano - span.start_time_unix_nano == 1_500_000_000


async def test_without_the_extra_a_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    assert start_tracing(Settings(otlp_endpoint="http://127.0.0.1:4318")) is None
    (line,) = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert "pip install 'xinfer[otel]'" in line


def test_nothing_of_it_is_imported_where_no_endpoint_is_set() -> None:
    program = (
        "import sys, xinfer.api.server\n"
        "from xinfer.api.tracing import start_tracing\nfrom xinfer.settings import Settings\n"
        "assert start_tracing(Settings.from_env({})) is None\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_the_endpoint_is_ours_or_else_opentelemetrys() -> None:
    theirs = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://theirs:4318"}
    assert Settings.from_env(theirs).otlp_endpoint == "http://theirs:4318"
    ours = {**theirs, "XINFERENCE_OTLP_ENDPOINT": "http://ours:4318"}
    assert Settings.from_env(ours).otlp_endpoint == "http://ours:4318"
