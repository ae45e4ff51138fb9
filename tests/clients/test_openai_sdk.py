"""The openai SDK, unmodified: chat, stream, completions, models, errors."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest

from tests.support.server import Server


@pytest.fixture
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="not-needed", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def uid(server: Server) -> Iterator[str]:
    yield server.launch(model_uid="sdk-echo")
    server.terminate("sdk-echo")


def test_chat(client: openai.OpenAI, uid: str) -> None:
    answer = client.chat.completions.create(
        model=uid,
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello, 世界 👋"},
        ],
        temperature=0.5,
        max_tokens=100,
    )
    assert answer.choices[0].message.content == "Hello, 世界 👋"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == len("Hello, 世界 👋".encode())
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.model == uid
    assert answer.id.startswith("chatcmpl-")


def test_chat_stops_at_max_tokens_and_at_stop_strings(client: openai.OpenAI, uid: str) -> None:
    cut = client.chat.completions.create(
        model=uid, messages=[{"role": "user", "content": "abcdefgh"}], max_tokens=3
    )
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("abc", "length")
    stopped = client.chat.completions.create(
        model=uid, messages=[{"role": "user", "content": "one two three"}], stop=["o t", "zzz"]
    )
    assert (stopped.choices[0].message.content, stopped.choices[0].finish_reason) == (
        "one tw",
        "stop",
    )


def test_stream_without_include_usage_has_usage_on_the_last_choice(
    client: openai.OpenAI, uid: str
) -> None:
    chunks = list(
        client.chat.completions.create(
            model=uid, messages=[{"role": "user", "content": "stream me"}], stream=True
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "stream me"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 9
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert len({chunk.id for chunk in chunks}) == 1


def test_stream_with_include_usage_has_it_in_a_chunk_of_its_own(
    client: openai.OpenAI, uid: str
) -> None:
    chunks = list(
        client.chat.completions.create(
            model=uid,
            messages=[{"role": "user", "content": "stream me"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 18
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_log_probabilities_of_a_chat(client: openai.OpenAI, uid: str) -> None:
    text = "Hi 世"
    answer = client.chat.completions.create(
        model=uid,
        messages=[{"role": "user", "content": text}],
        logprobs=True,
        top_logprobs=3,
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert b"".join(bytes(one.bytes or []) for one in logprobs.content) == text.encode()
    assert {one.logprob for one in logprobs.content} == {0.0}
    for one in logprobs.content:
        assert [top.token for top in one.top_logprobs] == [one.token]
    assert logprobs.content[0].token == "H"


def test_log_probabilities_of_a_chat_stream(client: openai.OpenAI, uid: str) -> None:
    with client.chat.completions.stream(
        model=uid,
        messages=[{"role": "user", "content": "Hi 世! END"}],
        stop="END",
        logprobs=True,
    ) as stream:
        for event in stream:
            if event.type == "chunk" and event.chunk.choices[0].logprobs is not None:
                assert event.chunk.choices[0].delta.content
        choice = stream.get_final_completion().choices[0]
    assert choice.message.content == "Hi 世! "
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    data = b"".join(bytes(one.bytes or []) for one in choice.logprobs.content)
    assert data == "Hi 世! ".encode()
    assert all(one.top_logprobs == [] for one in choice.logprobs.content)


def test_log_probabilities_of_a_completion(client: openai.OpenAI, uid: str) -> None:
    whole = client.completions.create(model=uid, prompt="ab世c", logprobs=1).choices[0].logprobs
    assert whole is not None
    assert whole.text_offset == [0, 1, 2, 2, 2, 3]
    assert whole.token_logprobs == [0.0] * 6
    assert whole.tokens is not None
    assert whole.tokens[:2] == ["a", "b"]
    assert whole.top_logprobs == [{token: 0.0} for token in whole.tokens]
    chunks = client.completions.create(model=uid, prompt="ab世c", logprobs=1, stream=True)
    told = [chunk.choices[0].logprobs for chunk in chunks]
    assert [x for one in told if one for x in one.text_offset or []] == whole.text_offset
    assert [x for one in told if one for x in one.tokens or []] == whole.tokens
    with pytest.raises(openai.BadRequestError) as echoed:
        client.completions.create(model=uid, prompt="a", logprobs=1, echo=True)
    assert (echoed.value.param, echoed.value.code) == ("echo", "unsupported_parameter")


def test_what_the_engine_does_not_have_is_refused_by_name(client: openai.OpenAI, uid: str) -> None:
    message: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "x"}]
    with pytest.raises(openai.BadRequestError) as grammar:
        client.chat.completions.create(
            model=uid, messages=message, extra_body={"guided_grammar": 'root ::= "a"'}
        )
    assert (grammar.value.param, grammar.value.code) == ("guided_grammar", "unsupported_parameter")
    with pytest.raises(openai.NotFoundError) as adapter:
        client.chat.completions.create(
            model=uid, messages=message, stream=True, extra_body={"lora_name": "mine"}
        )
    assert (adapter.value.param, adapter.value.code) == ("lora_name", "adapter_not_found")


def test_completions_take_text_ids_and_echo(client: openai.OpenAI, uid: str) -> None:
    text = client.completions.create(model=uid, prompt="plain", max_tokens=50)
    assert text.choices[0].text == "plain"
    assert text.object == "text_completion"
    ids = client.completions.create(model=uid, prompt=[104, 105])
    assert ids.choices[0].text == "hi"
    doubled = client.completions.create(model=uid, prompt="twice", echo=True)
    assert doubled.choices[0].text == "twicetwice"
    several = client.completions.create(model=uid, prompt=["first", "second"])
    assert [choice.text for choice in several.choices] == ["first", "second"]
    assert [choice.index for choice in several.choices] == [0, 1]
    streamed = client.completions.create(model=uid, prompt="in pieces", stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == "in pieces"


def test_models_are_listed_in_both_shapes(client: openai.OpenAI, uid: str) -> None:
    listed = {model.id: model for model in client.models.list()}
    assert listed[uid].object == "model"
    assert listed[uid].created > 1_700_000_000
    one = client.models.retrieve(uid)
    assert one.id == uid
    fields = one.model_dump()
    assert fields["model_type"] == "LLM"
    assert "chat" in fields["model_ability"]
    assert fields["context_length"] == 4096


def test_errors_are_the_sdks_own_classes(client: openai.OpenAI, uid: str) -> None:
    message: list[openai.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "x"}]
    with pytest.raises(openai.NotFoundError, match="sdk-echo") as unknown:
        client.chat.completions.create(model="sdk-ecko", messages=message)
    assert unknown.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError, match="max_tokens") as negative:
        client.chat.completions.create(model=uid, messages=message, max_tokens=-5)
    assert negative.value.param == "max_tokens"
    with pytest.raises(openai.BadRequestError) as empty:
        client.chat.completions.create(model=uid, messages=[])
    assert empty.value.param == "messages"
    with pytest.raises(openai.BadRequestError, match="4096") as long:
        client.chat.completions.create(
            model=uid, messages=[{"role": "user", "content": "y" * 5000}]
        )
    assert long.value.param == "messages"
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as wrong_type:
        client.chat.completions.create(model=5, messages=message)  # type: ignore[call-overload]
    assert wrong_type.value.param == "model"
    with pytest.raises(openai.BadRequestError) as unsupported:
        client.chat.completions.create(model=uid, messages=message, store=True)
    assert unsupported.value.code == "unsupported_parameter"
    assert unsupported.value.param == "store"


def test_an_abandoned_stream_leaves_the_engine(client: openai.OpenAI, server: Server) -> None:
    slow = server.launch(model_uid="sdk-slow", token_interval=0.02)
    stream = client.chat.completions.create(
        model=slow, messages=[{"role": "user", "content": "x" * 2000}], stream=True
    )
    next(iter(stream))
    stream.close()
    server.terminate(slow)  # drains: returns quickly only if nothing runs any more
