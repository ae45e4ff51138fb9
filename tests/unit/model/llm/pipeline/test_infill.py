"""`suffix`: prompts for what stands between two texts."""

from __future__ import annotations

import pytest

from xinfer.errors import InvalidRequest
from xinfer.model.llm.echo import ByteTokenizer
from xinfer.model.llm.pipeline import TextPipeline
from xinfer.model.llm.pipeline.infill import SPELLINGS, Infill
from xinfer.types.model import Abilities, Loaded, ModelSpec
from xinfer.types.request import CompletionRequest

BOS, FIRST = 257, 300


class CodeTokenizer(ByteTokenizer):
    """Bytes, a token that begins prompts, and control tokens from FIRST on."""

    def __init__(self, *control: str, named: tuple[str, ...] = ()) -> None:
        self._control = control
        names = ("fim_pre_token", "fim_suf_token", "fim_mid_token")
        self.special_tokens = dict(zip(names, named, strict=False))

    def encode(self, text: str, *, special: bool) -> list[int]:
        if special and text in self._control:
            return [FIRST + self._control.index(text)]
        return super().encode(text, special=special)

    def prompt_prefix(self) -> list[int]:
        return [BOS]

    def piece(self, token: int) -> bytes:
        return b"" if token > 256 else super().piece(token)

    @property
    def vocabulary_size(self) -> int:
        return FIRST + len(self._control)


def pipeline(tokenizer: ByteTokenizer, context_length: int = 40) -> TextPipeline:
    loaded = Loaded(context_length=context_length, concurrency=1, abilities=Abilities())
    return TextPipeline(tokenizer, loaded, ModelSpec(name="coder"))


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_known_spellings_make_a_prompt_of_both_texts(spelling: tuple[str, str, str]) -> None:
    here = pipeline(CodeTokenizer(*spelling))
    request = CompletionRequest(prompt="ab", suffix="cd")
    made = here.prepare(request, id=1)
    assert made.token_request.prompt == [BOS, 300, *b"ab", 301, *b"cd", 302]
    assert made.prompt_tokens == 8
    assert here.tokens(request) == made.token_request.prompt


def test_tokens_that_the_file_names_go_before_those_known_by_spelling() -> None:
    tokenizer = CodeTokenizer(*SPELLINGS[0], "<P>", "<S>", "<M>", named=("<P>", "<S>", "<M>"))
    made = pipeline(tokenizer).prepare(CompletionRequest(prompt="a", suffix="b"), id=1)
    assert made.token_request.prompt == [BOS, 303, *b"a", 304, *b"b", 305]


def test_a_prompt_of_tokens_is_taken_as_it_is() -> None:
    made = pipeline(CodeTokenizer(*SPELLINGS[0])).prepare(
        CompletionRequest(prompt=[65, 66], suffix="c"), id=1
    )
    assert made.token_request.prompt == [BOS, 300, 65, 66, 301, 99, 302]


def test_control_tokens_in_the_texts_stay_text() -> None:
    made = pipeline(CodeTokenizer(*SPELLINGS[1])).prepare(
        CompletionRequest(prompt="<fim_prefix>", suffix="<fim_middle>"), id=1
    )
    assert made.token_request.prompt == [BOS, 300, *b"<fim_prefix>", 301, *b"<fim_middle>", 302]


def test_what_is_filled_in_ends_at_the_tokens_around() -> None:
    tokenizer = CodeTokenizer(*SPELLINGS[0], "<|file_sep|>", "other")
    for stop in (300, 301, 302, 303):
        made = pipeline(tokenizer).prepare(CompletionRequest(prompt="a", suffix="b"), id=1)
        output = made.output.feed([65, stop, 66])
        assert (output.text, output.reason) == ("A", "stop")
    made = pipeline(tokenizer).prepare(CompletionRequest(prompt="a", suffix="b"), id=1)
    assert made.output.feed([65, 304, 66]).reason is None


def test_without_a_suffix_nothing_changes() -> None:
    tokenizer = CodeTokenizer(*SPELLINGS[0])
    made = pipeline(tokenizer).prepare(CompletionRequest(prompt="a"), id=1)
    assert made.token_request.prompt == [BOS, 97]
    assert made.output.feed([65, 301, 66]).reason is None


def test_a_model_without_such_tokens_refuses_a_suffix() -> None:
    for tokenizer in (ByteTokenizer(), CodeTokenizer(*SPELLINGS[0][:2])):
        with pytest.raises(InvalidRequest, match="Qwen-Coder") as caught:
            pipeline(tokenizer).prepare(CompletionRequest(prompt="a", suffix="b"), id=1)
        assert (caught.value.param, caught.value.code) == ("suffix", "unsupported_parameter")


def test_a_token_that_stands_for_whatever_is_unknown_is_none_of_them() -> None:
    class Unknowing(CodeTokenizer):
        def encode(self, text: str, *, special: bool) -> list[int]:
            return [256] if "fim" in text else super().encode(text, special=special)

    assert Infill.of(Unknowing()) is None


@pytest.mark.parametrize(
    ("prompt", "suffix", "param"),
    [("a" * 41, "b", "prompt"), ("a", "b" * 41, "suffix"), ("a" * 20, "b" * 20, "prompt")],
)
def test_texts_that_do_not_fit_are_refused(prompt: str, suffix: str, param: str) -> None:
    request = CompletionRequest(prompt=prompt, suffix=suffix)
    with pytest.raises(InvalidRequest) as caught:
        pipeline(CodeTokenizer(*SPELLINGS[0])).prepare(request, id=1)
    assert (caught.value.param, caught.value.code) == (param, "context_length_exceeded")
