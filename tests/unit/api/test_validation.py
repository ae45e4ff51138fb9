"""Bad bodies: 400 or 413 in the common form, naming the field; never 500."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.api.fakes import Api

pytestmark = pytest.mark.anyio


def _error(response: Any, status: int = 400) -> dict[str, Any]:
    assert response.status_code == status, response.text
    body = response.json()
    assert body["detail"] == body["error"]["message"]
    assert set(body["error"]) >= {"message", "type", "param", "code"}
    return body["error"]  # type: ignore[no-any-return]


HI = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"model": ""}, "model"),
        ({"model": "x" * 10_000}, "model"),
        ({"messages": []}, "messages"),
        ({"messages": "Hi"}, "messages"),
        ({"messages": [{}]}, "messages.0"),
        ({"messages": [{"role": "robot", "content": "Hi"}]}, "messages.0"),
        ({"messages": [*HI, {"role": "user"}]}, "messages.1.content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]},
         "messages.0.content.0.text"),
        ({"messages": [{"role": "user", "content": [{"type": "hologram"}]}]},
         "messages.0.content.0"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}]},
         "messages.0.tool_calls.0.function.arguments"),
        ({"messages": [5] * 100_000}, "messages.0"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"max_tokens": 10**30}, None),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"min_p": 2}, "min_p"),
        ({"top_k": -2}, "top_k"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"frequency_penalty": -3}, "frequency_penalty"),
        ({"repetition_penalty": 0}, "repetition_penalty"),
        ({"repeat_penalty": 0}, "repeat_penalty"),
        ({"repeat_last_n": -2}, "repeat_last_n"),
        ({"typical_p": 0}, "typical_p"),
        ({"typical_p": 1.1}, "typical_p"),
        ({"top_n_sigma": -2}, "top_n_sigma"),
        ({"xtc_probability": 1.1}, "xtc_probability"),
        ({"xtc_threshold": -0.1}, "xtc_threshold"),
        ({"mirostat": 3}, "mirostat"),
        ({"mirostat": True}, "mirostat"),
        ({"mirostat_tau": -1}, "mirostat_tau"),
        ({"mirostat_eta": 2}, "mirostat_eta"),
        ({"dry_multiplier": -1}, "dry_multiplier"),
        ({"dry_base": 0.5}, "dry_base"),
        ({"dry_allowed_length": -1}, "dry_allowed_length"),
        ({"dry_penalty_last_n": -2}, "dry_penalty_last_n"),
        ({"dry_sequence_breakers": "\n"}, "dry_sequence_breakers"),
        ({"dry_sequence_breakers": [""]}, "dry_sequence_breakers.0"),
        ({"dry_sequence_breakers": ["x" * 40, "中" * 14]}, "dry_sequence_breakers.1"),
        ({"dry_sequence_breakers": ["x"] * 17}, "dry_sequence_breakers"),
        ({"guided_grammar": 5}, "guided_grammar"),
        ({"guided_grammar": "x" * ((64 << 10) + 1)}, "guided_grammar"),
        ({"guided_json": 5}, "guided_json"),
        ({"guided_choice": "a"}, "guided_choice"),
        ({"guided_choice": [1]}, "guided_choice.0"),
        ({"guided_regex": ["a"]}, "guided_regex"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {}}, "response_format"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": [1]}}},
            "response_format",
        ),
        ({"guided_regex": "a", "guided_choice": ["a"]}, "guided_choice"),
        ({"response_format": {"type": "json_object"}, "guided_grammar": "x"}, "guided_grammar"),
        ({"lora_name": "x" * 201}, "lora_name"),
        ({"logprobs": 1}, "logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"top_logprobs": 3, "logprobs": False}, "top_logprobs"),
        ({"seed": 1.5}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"stop": 5}, "stop"),
        ({"stop": [5]}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"stop": ["x"] * 100_000}, "stop"),
        ({"stop": "x" * 2000}, "stop"),
        ({"stop_token_ids": [-1]}, "stop_token_ids.0"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
        ({"logit_bias": {"a": 1}}, "logit_bias"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1"),
        ({"logit_bias": {"9" * 30: 1}}, "logit_bias"),
        ({"n": 0}, "n"),
        ({"n": 10**9}, "n"),
        ({"chat_template_kwargs": "{"}, "chat_template_kwargs"),
        ({"chat_template_kwargs": []}, "chat_template_kwargs"),
        ({"chat_template_kwargs": '{"a": ' + "[" * 40 + "]" * 40 + "}"}, "chat_template_kwargs"),
        ({"kwargs": "{"}, "kwargs"),
        ({"kwargs": '{"a": 1, "a": 2}'}, "kwargs"),
        # Parsed on the event loop, and so kept short.
        ({"kwargs": '{"a": "' + "x" * (64 << 10) + '"}'}, "kwargs"),
        ({"kwargs": '{"a": [' + "1," * 5000 + "1]}"}, "kwargs"),
    ],
)  # fmt: skip
async def test_a_bad_field_is_named(fields: dict[str, Any], param: str | None) -> None:
    error = _error(await Api().chat(**fields))
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert len(error["message"]) < 700


async def test_a_missing_field_is_named() -> None:
    api = Api()
    for body, param in (({"messages": HI}, "model"), ({"model": "echo"}, "messages")):
        error = _error(await api.http.post("/v1/chat/completions", json=body))
        assert error["param"] == param


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("audio", {"voice": "a"}),
        ("modalities", ["text", "audio"]),
        ("store", True),
    ],
)
async def test_what_cannot_be_honoured_is_refused_by_name(field: str, value: Any) -> None:
    error = _error(await Api().chat(**{field: value}))
    assert (error["code"], error["param"]) == ("unsupported_parameter", field)


@pytest.mark.parametrize(
    "fields",
    [
        {"n": 1}, {"tools": []}, {"tools": None}, {"tool_choice": "auto"}, {"functions": []},
        {"response_format": {"type": "text"}}, {"logprobs": False}, {"top_logprobs": 0},
        {"modalities": ["text"]}, {"store": False}, {"user": "me"}, {"metadata": {"a": 1}},
        {"logit_bias": {}}, {"parallel_tool_calls": True}, {"presence_penalty": 0},
        {"stop": []}, {"stop": ""}, {"stop": None}, {"lora_name": None}, {"guided_json": None},
        {"lora_name": ""}, {"guided_grammar": ""}, {"guided_grammar": None}, {"logprobs": None},
        {"max_tokens": None}, {"temperature": 0}, {"stream_options": None}, {"kwargs": "{}"},
        {"kwargs": None}, {"guided_choice": []}, {"guided_regex": ""}, {"guided_json": ""},
        {"guided_json_object": False}, {"response_format": None},
    ],
)  # fmt: skip
async def test_neutral_values_are_accepted_and_not_called_ignored(fields: dict[str, Any]) -> None:
    response = await Api().chat(**fields)
    assert response.status_code == 200, response.text
    assert "x-ignored-fields" not in response.headers


async def test_unknown_fields_are_ignored_and_named() -> None:
    for stream in (False, True):
        response = await Api().chat(stream=stream, foo=1, **{"we\r\nird": 2})
        assert response.status_code == 200
        assert response.headers["x-ignored-fields"] == "foo, we__ird"


async def test_the_header_of_ignored_fields_is_capped() -> None:
    response = await Api().chat(**{f"{'x' * 200}{i}": i for i in range(1000)})
    assert len(response.headers["x-ignored-fields"]) < 4096
    assert response.headers["x-ignored-fields"].endswith("and_968_more")


GOOD = '{"model":"echo","messages":[{"role":"user","content":"Hi"}]'


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        GOOD.encode(),
        (GOOD + '}{"a":1}').encode(),
        (GOOD + ',"temperature":NaN}').encode(),
        (GOOD + ',"temperature":Infinity}').encode(),
        (GOOD + ',"temperature":1e999}').encode(),
        (GOOD + ',"model":"other"}').encode(),
        (GOOD + ',"x":"\xff"}').encode("latin-1"),
        (GOOD + ',"x":"\\ud800"}').encode(),
        (GOOD + ',"x":' + "9" * 5000 + "}").encode(),
        (GOOD + ',"x":' + "[" * 100_000 + "]" * 100_000 + "}").encode(),
        b"[" * 100_000,
        ("\ufeff" + GOOD + "}").encode(),
        (GOOD + "}").encode("utf-16"),
        b"[]",
        b'"Hi"',
        b"null",
    ],
)
async def test_bad_json_is_400(raw: bytes) -> None:
    response = await Api().http.post(
        "/v1/chat/completions", content=raw, headers={"content-type": "application/json"}
    )
    error = _error(response)
    assert "Traceback" not in error["message"]


async def test_surrogate_pairs_and_brackets_in_strings_are_fine() -> None:
    raw = GOOD + ',"user":"\\ud83d\\ude00' + "[" * 1000 + '\\"[[{' + '"}'
    response = await Api().http.post(
        "/v1/chat/completions",
        content=raw.encode(),
        headers={"content-type": "application/json; charset=utf-8"},
    )
    assert response.status_code == 200, response.text


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded"])
async def test_another_content_type_is_refused(kind: str) -> None:
    response = await Api().http.post(
        "/v1/chat/completions", content=(GOOD + "}").encode(), headers={"content-type": kind}
    )
    assert "application/json" in _error(response)["message"]


async def test_a_form_where_none_is_wanted_is_refused_before_it_is_read() -> None:
    async def pieces() -> Any:
        yield b"--x\r\n"
        raise AssertionError("it was read")

    for route in ("/v1/chat/completions", "/v1/models"):
        response = await Api().http.post(
            route, content=pieces(), headers={"content-type": "multipart/form-data; boundary=x"}
        )
        assert "application/json" in _error(response)["message"]


async def test_a_second_content_type_does_not_make_json_a_form() -> None:
    api = Api(max_json_bytes=1000, max_form_bytes=1 << 20)
    kinds = [("content-type", "application/json"), ("content-type", "multipart/form-data")]
    response = await api.http.post(
        "/v1/chat/completions", content=b" " * 2000, headers=[*kinds, ("content-length", "2000")]
    )
    assert response.status_code == 413


async def test_a_body_over_the_limit_is_413_by_its_length_or_while_it_is_read() -> None:
    api = Api(max_json_bytes=1000)
    whole = await api.chat(user="x" * 2000)
    _error(whole, 413)

    async def pieces() -> Any:
        for _ in range(100):
            yield b" " * 100

    chunked = await api.http.post(
        "/v1/chat/completions", content=pieces(), headers={"content-type": "application/json"}
    )
    _error(chunked, 413)


async def test_too_many_values_are_413() -> None:
    response = await Api(max_json_values=1000).complete(prompt=list(range(1001)))
    _error(response, 413)


async def test_a_long_prompt_passes_whole() -> None:
    api = Api()
    text = "x,[" * 200_000
    assert (await api.complete(prompt=text)).status_code == 200
    assert api.gateway.requests[0].prompt == text


async def test_a_bad_query_parameter_is_named() -> None:
    error = _error(await Api().http.get("/v1/models/echo/logs", params={"lines": "0"}))
    assert error["param"] == "lines"


async def test_unknown_routes_and_methods_answer_in_the_common_form() -> None:
    api = Api()
    assert _error(await api.http.get("/v1/nothing"), 404)["code"] == "route_not_found"
    response = await api.http.get("/v1/chat/completions")
    _error(response, 405)
    assert response.headers["allow"] == "POST"


async def test_a_defect_is_500_without_a_stack_trace() -> None:
    api = Api()

    def broken(_: object) -> None:
        raise RuntimeError("secret of the implementation")

    from xinfer.types.control import ReadLogs

    api.control.handlers[ReadLogs] = broken
    response = await api.http.get("/v1/models/echo/logs")
    error = _error(response, 500)
    assert response.headers["x-request-id"] in error["message"]
    assert "secret" not in json.dumps(response.json())
