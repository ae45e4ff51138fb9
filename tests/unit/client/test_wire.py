"""Reading what a server answers: results, errors, event streams."""

from __future__ import annotations

import json
from itertools import pairwise

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinfer.client import APIError
from xinfer.client.wire import (
    Call,
    EventReader,
    auth_headers,
    connection_options,
    read_response,
    response_error,
)

CALL = Call("do it", "GET", "/v1/it", result=lambda answer: answer["it"])


def response(status: int, **content: object) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "http://server/v1/it"), **content)


def frame(event: object) -> bytes:
    return b"data: " + json.dumps(event, ensure_ascii=False).encode() + b"\n\n"


EVENTS = [{"text": "a\u2028b\x0cc"}, {"text": "你好"}, {"text": "x\ny"}]
STREAM = b": ping\n\n" + b"".join(map(frame, EVENTS)) + b"data: [DONE]\n\n"


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_events_are_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    reader = EventReader("chat")
    bounds = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(bounds)]
    assert [event for piece in pieces for event in reader.feed(piece)] == EVENTS
    reader.finish()


def test_crlf_and_a_missing_space_are_read() -> None:
    reader = EventReader("chat")
    assert reader.feed(b'data:{"a":1}\r\n\r\ndata: [DONE]\r\n\r\n') == [{"a": 1}]
    reader.finish()


def test_a_stream_without_its_end_mark_is_an_incomplete_answer() -> None:
    reader = EventReader("chat")
    reader.feed(frame({"a": 1}))
    with pytest.raises(APIError, match="before the answer was complete"):
        reader.finish()


@pytest.mark.parametrize(
    ("event", "detail", "code"),
    [
        (
            {"error": {"message": "lost", "code": "replica_lost"}, "detail": "lost"},
            "lost",
            "replica_lost",
        ),
        ({"error": "out of memory"}, "out of memory", None),
    ],
)
def test_an_error_frame_raises(event: object, detail: str, code: str | None) -> None:
    with pytest.raises(APIError) as caught:
        EventReader("generate").feed(frame(event))
    assert (caught.value.detail, caught.value.code, caught.value.status) == (detail, code, None)


@pytest.mark.parametrize("payload", [b"{half", b"[1]", b'"error"'])
def test_an_event_that_is_no_object_raises(payload: bytes) -> None:
    with pytest.raises(APIError, match="expected a JSON object"):
        EventReader("chat").feed(b"data: " + payload + b"\n")


@pytest.mark.parametrize(
    ("content", "detail", "code"),
    [
        (
            {"json": {"error": {"message": "no", "code": "model_not_found"}, "detail": "no"}},
            "no",
            "model_not_found",
        ),
        (
            {"json": {"error": {"message": "bad", "type": "invalid_request_error"}}},
            "bad",
            "invalid_request_error",
        ),
        ({"json": {"detail": "old style"}}, "old style", None),
        ({"json": {"detail": [{"loc": ["body"]}]}}, '[{"loc": ["body"]}]', None),
        ({"json": ["odd"]}, '["odd"]', None),
        ({"text": "Internal Server Error: x"}, "Internal Server Error: x", None),
        ({}, "HTTP 404 Not Found", None),
    ],
)
def test_an_error_response_is_explained(
    content: dict[str, object], detail: str, code: str | None
) -> None:
    error = response_error("launch model", response(404, **content))
    assert str(error) == f"Failed to launch model, detail: {detail}"
    assert (error.status, error.code, error.request_id) == (404, code, None)


def test_an_error_carries_the_request_id() -> None:
    error = response_error("chat", response(500, text="x", headers={"X-Request-Id": "r1"}))
    assert error.request_id == "r1"


def test_the_result_is_picked_from_the_answer() -> None:
    assert read_response(CALL, response(200, json={"it": 7})) == 7


@pytest.mark.parametrize("content", [{"json": {"other": 1}}, {"text": "<html>"}, {}])
def test_an_answer_of_another_kind_of_server_says_so(content: dict[str, object]) -> None:
    with pytest.raises(APIError, match="is a model server listening there"):
        read_response(CALL, response(200, **content))


@pytest.mark.parametrize(
    ("answer", "api_key", "headers"),
    [
        (response(200, json={"auth": True}), "k", {"Authorization": "Bearer k"}),
        (response(200, json={"auth": True}), None, {}),
        (response(200, json={"auth": False}), "k", {}),
        (response(404, json={"detail": "no such route"}), "k", {}),
    ],
)
def test_the_key_is_sent_only_to_a_server_that_wants_one(
    answer: httpx.Response, api_key: str | None, headers: dict[str, str]
) -> None:
    assert auth_headers(answer, api_key) == headers


def test_a_server_that_cannot_say_whether_it_wants_a_key_is_an_error() -> None:
    with pytest.raises(APIError, match="Failed to get cluster auth, detail: down"):
        auth_headers(response(503, json={"detail": "down"}), "k")


@pytest.mark.parametrize(
    "address", ["localhost:9997", "127.0.0.1", "ftp://h", "http://", "http://h:port"]
)
def test_an_address_that_is_no_url_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="is not a server's address"):
        connection_options(address)


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("http://127.0.0.1:9997", False),
        ("http://[::1]:9997", False),
        ("http://localhost:9997/", False),
        ("https://models.example.com/x", True),
    ],
)
def test_proxies_of_the_environment_are_not_used_for_loopback(address: str, trusted: bool) -> None:
    assert connection_options(address)["trust_env"] is trusted
