from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest

from xinfer.errors import InvalidRequest, NotFound
from xinfer.model.engine import Logprob
from xinfer.model.llm.echo import ByteTokenizer
from xinfer.model.llm.pipeline import Output, Prepared, TextPipeline
from xinfer.types.event import TokenLogprob
from xinfer.types.model import Abilities, Loaded, ModelSpec
from xinfer.types.request import ChatRequest, CompletionRequest, Constraint, Sampling


class PrefixTokenizer(ByteTokenizer):
    """Bytes, with a token 257 that begins every plain prompt and 258 of several bytes."""

    eos_ids = frozenset({256, 258})

    def prompt_prefix(self) -> list[int]:
        return [257]

    def piece(self, token: int) -> bytes:
        return {257: b"", 258: b"<eos>"}.get(token) or (
            b"" if token == 257 else super().piece(token)
        )

    @property
    def vocabulary_size(self) -> int:
        return 259


class NoTemplate(ByteTokenizer):
    chat_template = None


class BrokenTemplate(ByteTokenizer):
    chat_template = "{% if %}"


def pipeline(
    tokenizer: ByteTokenizer | None = None,
    context_length: int = 20,
    sampling: frozenset[str] = frozenset({"temperature"}),
    spec: ModelSpec | None = None,
    **abilities: Any,
) -> TextPipeline:
    loaded = Loaded(
        context_length=context_length,
        concurrency=1,
        abilities=Abilities(sampling=sampling, **abilities),
    )
    return TextPipeline(tokenizer or ByteTokenizer(), loaded, spec or ModelSpec(name="bytes"))


def chat(content: Any = "hello", **fields: Any) -> ChatRequest:
    return ChatRequest(messages=[{"role": "user", "content": content}], **fields)


def prepare(request: ChatRequest | CompletionRequest, **options: Any) -> Prepared:
    return pipeline(**options).prepare(request, id=7)


def refusal(request: ChatRequest | CompletionRequest, **options: Any) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        prepare(request, **options)
    return caught.value


def test_a_chat_becomes_the_tokens_of_its_rendered_messages() -> None:
    sampling = Sampling(temperature=0.5, max_tokens=3)
    prepared = prepare(chat(sampling=sampling))
    assert prepared.token_request.id == 7
    assert prepared.token_request.prompt == list(b"hello")
    assert prepared.token_request.max_tokens == 3
    assert prepared.token_request.sampling == sampling
    assert prepared.token_request.resume == []
    assert prepared.prompt_tokens == 5


def test_a_plain_prompt_begins_as_the_model_expects_but_token_ids_are_taken_as_they_are() -> None:
    tokenizer = PrefixTokenizer()
    assert prepare(CompletionRequest(prompt="hi"), tokenizer=tokenizer).token_request.prompt == [
        257,
        *b"hi",
    ]
    ids = list(b"hi")
    assert prepare(CompletionRequest(prompt=ids), tokenizer=tokenizer).token_request.prompt == ids


def test_without_max_tokens_the_output_may_fill_the_context() -> None:
    assert prepare(chat()).token_request.max_tokens == 15


def test_more_max_tokens_than_there_is_room_for_become_the_room() -> None:
    assert prepare(chat(sampling=Sampling(max_tokens=1000))).token_request.max_tokens == 15


@pytest.mark.parametrize("value", [0, -1])
def test_max_tokens_below_one_is_refused(value: int) -> None:
    error = refusal(chat(sampling=Sampling(max_tokens=value)))
    assert (error.param, str(value) in error.message) == ("max_tokens", True)


def test_no_messages_are_refused() -> None:
    assert refusal(ChatRequest(messages=[])).param == "messages"


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (chat(""), "messages"),
        (CompletionRequest(prompt=""), "prompt"),
        (CompletionRequest(prompt=[]), "prompt"),
    ],
)
def test_a_prompt_without_tokens_is_refused(
    request_: ChatRequest | CompletionRequest, param: str
) -> None:
    assert refusal(request_).param == param


@pytest.mark.parametrize(
    ("request_", "param"),
    [
        (chat("x" * 20), "messages"),
        (CompletionRequest(prompt="x" * 20), "prompt"),
        (CompletionRequest(prompt=[1] * 20), "prompt"),
    ],
)
def test_a_prompt_that_leaves_no_room_is_refused_with_both_numbers(
    request_: ChatRequest | CompletionRequest, param: str
) -> None:
    error = refusal(request_)
    assert (error.param, error.code) == (param, "context_length_exceeded")
    assert "has 20 tokens" in error.message
    assert "is 20 tokens" in error.message


def test_a_prompt_that_leaves_room_for_one_token_is_taken() -> None:
    assert prepare(chat("x" * 19)).token_request.max_tokens == 1


class Unused(ByteTokenizer):
    def encode(self, text: str, *, special: bool) -> list[int]:
        raise AssertionError("an obviously too long text is not tokenised")


@pytest.mark.parametrize(
    ("request_", "param"),
    [(chat("x" * 1_000_000), "messages"), (CompletionRequest(prompt="x" * 1_000_000), "prompt")],
)
def test_a_text_that_cannot_fit_is_refused_without_tokenising_it(
    request_: ChatRequest | CompletionRequest, param: str
) -> None:
    error = refusal(request_, tokenizer=Unused())
    assert (error.param, error.code) == (param, "context_length_exceeded")
    assert "more than 20 tokens" in error.message


@pytest.mark.parametrize("token", [-1, 257])
def test_a_token_id_outside_the_vocabulary_is_refused(token: int) -> None:
    assert refusal(CompletionRequest(prompt=[1, token])).param == "prompt"
    assert refusal(chat(stop_token_ids=(token,))).param == "stop_token_ids"
    assert (
        refusal(
            chat(sampling=Sampling(logit_bias={token: 1.0})), sampling=frozenset({"logit_bias"})
        ).param
        == "logit_bias"
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("top_p", 0.5),
        ("top_k", 40),
        ("min_p", 0.1),
        ("seed", 0),
        ("presence_penalty", 0.1),
        ("frequency_penalty", -0.1),
        ("repetition_penalty", 1.1),
        ("logit_bias", {5: 1.0}),
        ("ignore_eos", True),
        ("typical_p", 0.9),
        ("top_n_sigma", 1.0),
        ("xtc_probability", 0.5),
        ("mirostat", 2),
        ("dry_multiplier", 0.8),
        ("repeat_last_n", 64),
    ],
)
def test_a_sampling_field_is_refused_unless_the_engine_honours_it(field: str, value: Any) -> None:
    request = chat(sampling=Sampling(**{field: value}))
    error = refusal(request)
    assert (error.param, error.code) == (field, "unsupported_parameter")
    assert "temperature" in error.message
    assert prepare(request, sampling=frozenset({field})).prompt_tokens == 5


def test_values_that_ask_for_nothing_are_taken_by_every_engine() -> None:
    sampling = Sampling(
        top_p=1.0,
        top_k=-1,
        min_p=0.0,
        presence_penalty=0.0,
        frequency_penalty=0.0,
        repetition_penalty=1.0,
        logit_bias={},
        typical_p=1.0,
        top_n_sigma=-1.0,
        xtc_probability=0.0,
        xtc_threshold=0.1,
        mirostat=0,
        mirostat_tau=5.0,
        mirostat_eta=0.1,
        dry_multiplier=0.0,
        dry_base=1.75,
        dry_allowed_length=2,
        dry_penalty_last_n=-1,
        dry_sequence_breakers=("\n",),
    )
    assert prepare(chat(sampling=sampling), sampling=frozenset()).prompt_tokens == 5


@pytest.mark.parametrize(
    ("field", "value", "governed", "part"),
    [
        ("xtc_probability", 0.5, "xtc_threshold", 0.2),
        ("mirostat", 1, "mirostat_tau", 4.0),
        ("mirostat", 2, "mirostat_eta", 0.2),
        ("dry_multiplier", 0.8, "dry_base", 2.0),
        ("dry_multiplier", 0.8, "dry_allowed_length", 3),
        ("dry_multiplier", 0.8, "dry_penalty_last_n", 64),
        ("dry_multiplier", 0.8, "dry_sequence_breakers", (":",)),
    ],
)
def test_a_part_of_a_sampler_asks_for_nothing_unless_the_sampler_is_on(
    field: str, value: Any, governed: str, part: Any
) -> None:
    assert prepare(chat(sampling=Sampling(**{governed: part}))).prompt_tokens == 5
    on = Sampling(**{field: value, governed: part})
    assert refusal(chat(sampling=on), sampling=frozenset({field})).param == governed
    assert prepare(chat(sampling=on), sampling=frozenset({field, governed})).prompt_tokens == 5


REQUESTS = [ChatRequest(messages=[{"role": "user", "content": "hello"}]),
            CompletionRequest(prompt="hello")]  # fmt: skip


@pytest.mark.parametrize("request_", REQUESTS, ids=["chat", "completion"])
@pytest.mark.parametrize("asked", [0, 5])
def test_log_probabilities_are_refused_unless_the_engine_tells_them(
    request_: ChatRequest | CompletionRequest, asked: int
) -> None:
    request = msgspec.structs.replace(request_, sampling=Sampling(logprobs=asked))
    error = refusal(request, sampling=frozenset({"logprobs"}))
    assert (error.param, error.code) == ("logprobs", "unsupported_parameter")
    prepared = prepare(request, logprobs=True)
    assert prepared.token_request.sampling.logprobs == asked
    made = prepared.output.feed(b"a", [Logprob(-1.0, [(ord("b"), -0.5)])])
    assert made.logprobs == (TokenLogprob(b"a", -1.0, ((b"b", -0.5),)),)


def test_log_probabilities_of_an_echoed_prompt_are_refused() -> None:
    request = CompletionRequest(prompt="hello", echo=True, sampling=Sampling(logprobs=1))
    error = refusal(request, logprobs=True)
    assert (error.param, error.code) == ("echo", "unsupported_parameter")


@pytest.mark.parametrize("request_", REQUESTS, ids=["chat", "completion"])
def test_a_constraint_is_refused_unless_the_engine_enforces_its_kind(
    request_: ChatRequest | CompletionRequest,
) -> None:
    constraint = Constraint("grammar", 'root ::= "a"', "guided_grammar")
    request = msgspec.structs.replace(request_, constraint=constraint)
    error = refusal(request, constraint=frozenset({"other"}))
    assert (error.param, error.code) == ("guided_grammar", "unsupported_parameter")
    prepared = prepare(request, constraint=frozenset({"grammar"}))
    assert prepared.token_request.constraint == constraint


@pytest.mark.parametrize("request_", REQUESTS, ids=["chat", "completion"])
def test_an_adapter_that_is_not_loaded_is_not_found_and_those_there_are_are_named(
    request_: ChatRequest | CompletionRequest,
) -> None:
    request = msgspec.structs.replace(request_, adapter="mine")
    with pytest.raises(NotFound, match=r"'mine'.*: a, b\.") as caught:
        prepare(request, adapters=frozenset({"b", "a"}))
    assert caught.value.param == "lora_name"
    with pytest.raises(NotFound, match="none"):
        prepare(request)
    prepared = prepare(request, adapters=frozenset({"mine"}))
    assert prepared.token_request.adapter == "mine"


@pytest.mark.parametrize("stop", [("",), ("x" * 1025,), ("中" * 342,), ("x",) * 17])
def test_stop_strings_are_limited_in_size_and_number(stop: tuple[str, ...]) -> None:
    assert refusal(chat(stop=stop)).param == "stop"


def test_stop_strings_at_the_limits_are_taken() -> None:
    assert prepare(chat(stop=("x" * 1024,) * 16)).prompt_tokens == 5


def test_stop_strings_and_stop_tokens_reach_the_output() -> None:
    output = prepare(chat(stop=("END",), stop_token_ids=(ord("!"),))).output
    assert output.feed(list(b"an END")) == Output("an ", list(b"an END"), "stop", stop="END")
    output = prepare(chat(stop=("END",), stop_token_ids=(ord("!"),))).output
    assert output.feed(list(b"oh!")) == Output("oh", list(b"oh!"), "stop")


def test_a_token_that_ends_the_text_is_never_part_of_it() -> None:
    output = prepare(CompletionRequest(prompt="a"), tokenizer=PrefixTokenizer()).output
    assert output.feed([258, ord("b")]).text == "b"


@pytest.mark.parametrize("prompt", ["a 中", list("a 中".encode())])
def test_echo_begins_the_output_with_the_prompt(prompt: str | list[int]) -> None:
    output = prepare(CompletionRequest(prompt=prompt, echo=True)).output
    assert output.feed(list(b"!")) == Output("a 中!", list(b"!"))


def test_a_model_without_a_template_completes_but_does_not_chat() -> None:
    error = refusal(chat(), tokenizer=NoTemplate())
    assert "no chat template" in error.message
    assert "/v1/completions" in error.message
    assert prepare(CompletionRequest(prompt="a"), tokenizer=NoTemplate()).prompt_tokens == 1


def test_the_models_own_template_gives_way_to_a_users_and_goes_before_the_catalogues() -> None:
    def prompt(tokenizer: ByteTokenizer, **templates: str) -> bytes:
        spec = ModelSpec(name="bytes", **templates)  # type: ignore[arg-type]
        return bytes(prepare(chat(), tokenizer=tokenizer, spec=spec).token_request.prompt)

    assert prompt(ByteTokenizer(), chat_template="user", fallback_template="ours") == b"user"
    assert prompt(ByteTokenizer(), fallback_template="ours") == b"hello"
    assert prompt(NoTemplate(), fallback_template="ours") == b"ours"
    assert prompt(NoTemplate(), chat_template="user") == b"user"


def test_stop_words_of_a_model_end_its_chats_and_not_its_completions() -> None:
    spec = ModelSpec(name="bytes", stop=("END",), stop_token_ids=(ord("!"),))
    for text in ("END", "!"):
        output = prepare(chat(stop=("x",)), spec=spec).output
        assert output.feed(list(text.encode())).reason == "stop"
        output = prepare(CompletionRequest(prompt="a"), spec=spec).output
        assert output.feed(list(text.encode())).reason is None


def test_a_template_that_cannot_be_read_is_logged_and_stops_only_chat(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        broken = pipeline(BrokenTemplate())
    assert "bytes cannot chat" in caplog.text
    with pytest.raises(InvalidRequest, match="not valid"):
        broken.prepare(chat(), id=1)
    assert broken.prepare(CompletionRequest(prompt="a"), id=1).prompt_tokens == 1


def test_template_options_reach_the_template() -> None:
    class Thinking(ByteTokenizer):
        chat_template = "{{ 'yes' if enable_thinking else 'no' }}"

    request = chat(template_kwargs={"enable_thinking": True})
    assert prepare(request, tokenizer=Thinking()).token_request.prompt == list(b"yes")
