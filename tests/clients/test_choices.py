"""Several answers to one prompt, by the openai SDK and from a real model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.server import Server
from tests.support.waiting import eventually

MESSAGES: Any = [{"role": "user", "content": "Tell me something."}]


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="not-needed", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def uid(server: Server) -> Iterator[str]:
    yield server.launch(
        "tiny-chat", model_uid="choices", model_engine="llama-cpp-python", n_threads=1, n_parallel=4
    )
    server.terminate("choices")


def ask(client: openai.OpenAI, uid: str, **fields: Any) -> Any:
    return client.chat.completions.create(
        model=uid, messages=MESSAGES, temperature=2.0, top_p=1.0, max_tokens=12, **fields
    )


def test_choices_differ_and_stand_side_by_side_in_a_stream(client: openai.OpenAI, uid: str) -> None:
    whole = ask(client, uid, n=3, seed=11)
    assert [choice.index for choice in whole.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in whole.choices}) == 3
    alone = ask(client, uid, seed=11)
    assert whole.usage.prompt_tokens == alone.usage.prompt_tokens
    assert whole.usage.completion_tokens > alone.usage.completion_tokens

    texts, ends = dict.fromkeys(range(3), ""), []
    for chunk in ask(client, uid, n=3, seed=11, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
            ends += [choice.index] if choice.finish_reason else []
    assert len(set(texts.values())) == 3
    assert sorted(ends) == [0, 1, 2]


def test_the_prompt_of_all_choices_is_computed_once(
    server: Server, client: openai.OpenAI, uid: str
) -> None:
    def cached() -> int:
        (replica,) = server.replicas(uid)
        return int(replica["stats"].get("cached_tokens", 0))

    before = cached()
    messages: Any = [{"role": "user", "content": "Something new: " + "tell me more of it. " * 80}]
    answer = client.chat.completions.create(model=uid, messages=messages, n=4, max_tokens=4)
    assert answer.usage is not None
    prompt = answer.usage.prompt_tokens
    # The first one computes it, but for what it has in common with earlier conversations.
    assert cached() - before >= 3 * (prompt - 1)


def test_completions_have_choices_and_the_best_of_them(client: openai.OpenAI, uid: str) -> None:
    fields: Any = {"model": uid, "temperature": 2.0, "max_tokens": 8, "seed": 3, "logprobs": 1}
    several = client.completions.create(prompt=["Tell", "What"], n=2, **fields)
    assert [choice.index for choice in several.choices] == [0, 1, 2, 3]
    four = client.completions.create(prompt="Tell", n=4, **fields)
    best = client.completions.create(prompt="Tell", best_of=4, **fields)

    def mean(choice: Any) -> float:
        values: list[float] = choice.logprobs.token_logprobs
        return sum(values) / len(values)

    assert best.choices[0].text == max(four.choices, key=mean).text
    assert best.usage.completion_tokens == four.usage.completion_tokens


@pytest.fixture(scope="module")
def crowded(server: Server) -> Iterator[str]:
    """Of 3 places, of which 2 are slots; its answers last until their clients go."""
    yield server.launch(
        model_uid="crowded", concurrency=2, max_queue=1, token_interval=0.05, context_length=4096
    )
    server.terminate("crowded")


def test_a_stream_has_places_for_all_its_choices_or_is_refused_before_it_begins(
    server: Server, client: openai.OpenAI, crowded: str
) -> None:
    def stream(count: int, text: str) -> openai.Stream[Any]:
        made: openai.Stream[Any] = client.chat.completions.create(
            model=crowded, messages=[{"role": "user", "content": text}], n=count, stream=True
        )
        return made

    with pytest.raises(openai.BadRequestError) as never:
        stream(4, "four")
    assert never.value.param == "n"
    assert "has 3 for requests" in never.value.message
    with stream(1, "long " * 400):
        with pytest.raises(openai.InternalServerError) as full:
            stream(3, "three")
        assert full.value.status_code == 503
        assert full.value.code == "overloaded"
        assert full.value.response.headers["retry-after"]
        with stream(2, "two") as two:
            next(iter(two))
            with pytest.raises(openai.InternalServerError):
                stream(1, "no place left")

    def free() -> bool:
        (replica,) = server.replicas(crowded)
        return bool(replica["running"] + replica["waiting"] == 0)

    eventually(free, 30, "the places of those who left")
    ends = [
        choice.index
        for chunk in stream(3, "three")
        for choice in chunk.choices
        if choice.finish_reason
    ]
    assert sorted(ends) == [0, 1, 2]
