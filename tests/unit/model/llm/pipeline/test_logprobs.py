"""Log-probabilities on their way out: each with the text that its token begins in."""

from __future__ import annotations

import math
from codecs import getincrementaldecoder
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinfer.errors import EngineFailed
from xinfer.model.engine import Logprob
from xinfer.model.llm.pipeline.output import Output, OutputPipeline
from xinfer.types.event import TokenLogprob

END = 256
WORD = 257
PIECES = [*(bytes([value]) for value in range(256)), b"", b"word"]


def pipeline(*stop: str, stop_ids: Sequence[int] = ()) -> OutputPipeline:
    return OutputPipeline(PIECES, stop=stop, stop_ids=frozenset(stop_ids), logprobs=True)


def feed(output: OutputPipeline, ids: Sequence[int], first: int = 0) -> Output:
    """Feed tokens whose log-probability is minus their number, counted from `first`."""
    return output.feed(ids, [Logprob(-float(first + n)) for n in range(len(ids))])


def told(output: Output) -> list[tuple[bytes, float]]:
    return [(one.token, one.logprob) for one in output.logprobs]


def test_a_token_is_told_by_its_bytes_and_so_are_its_alternatives() -> None:
    logprob = Logprob(-1.5, [(WORD, -0.5), (0xE4, -1.5), (END, -math.inf)])
    made = pipeline().feed([ord("a")], [logprob])
    top = ((b"word", -0.5), (b"\xe4", -1.5), (b"", -math.inf))
    assert made.logprobs == (TokenLogprob(b"a", -1.5, top),)


def test_the_tokens_of_a_character_are_told_once_it_is_whole() -> None:
    output = pipeline()
    first, second, third = "中".encode()
    assert feed(output, [first, second]).logprobs == ()
    made = feed(output, [third, ord("a")], 2)
    assert made.text == "中a"
    assert [value for _, value in told(made)] == [0, -1, -2, -3]


def test_the_start_of_a_stop_string_holds_its_tokens_back() -> None:
    output = pipeline("END")
    assert told(feed(output, b"aE")) == [(b"a", 0)]
    assert told(feed(output, b"x", 2)) == [(b"E", -1), (b"x", -2)]


def test_the_tokens_of_a_stop_string_are_not_told() -> None:
    output = pipeline("END")
    assert told(feed(output, b"aEN")) == [(b"a", 0)]
    made = feed(output, b"Dx", 3)
    assert (made.reason, made.logprobs) == ("stop", ())
    assert output.finish("stop").logprobs == ()


def test_a_token_that_is_cut_in_two_is_told_with_the_half_that_is_left() -> None:
    made = feed(pipeline("rd"), [WORD])
    assert (made.text, told(made)) == ("wo", [(b"word", 0)])


def test_a_token_whose_second_half_waits_is_told_with_its_first_and_not_again() -> None:
    output = pipeline("rdx")
    made = feed(output, [WORD])
    assert (made.text, told(made)) == ("wo", [(b"word", 0)])
    made = feed(output, b"y", 1)
    assert (made.text, told(made)) == ("rdy", [(b"y", -1)])


def test_a_stop_token_is_not_told_and_releases_what_waited() -> None:
    made = feed(pipeline("END", stop_ids=[ord("!")]), b"aE!")
    assert (made.text, told(made)) == ("aE", [(b"a", 0), (b"E", -1)])


def test_tokens_without_text_are_told_with_the_next_text_or_at_the_end() -> None:
    output = pipeline()
    assert feed(output, [END]).logprobs == ()
    assert told(feed(output, [ord("a"), END], 1)) == [(b"", 0), (b"a", -1)]
    last = output.finish("length")
    assert (last.text, told(last)) == ("", [(b"", -2)])


def test_half_a_character_at_the_end_is_told_with_what_stands_for_it() -> None:
    output = pipeline()
    feed(output, [ord("a"), 0xE4])
    last = output.finish("stop")
    assert (last.text, told(last)) == ("\ufffd", [(b"\xe4", -1)])


def test_a_stop_string_that_only_the_flush_completes_is_not_told() -> None:
    output = pipeline("x\ufffd")
    feed(output, [ord("a"), ord("x"), 0xE4])
    assert output.finish("length") == Output("", [], "stop", stop="x\ufffd")


def test_an_echoed_prompt_does_not_bring_them_forward() -> None:
    output = OutputPipeline(PIECES, stop=["END"], prompt=b"prompt", logprobs=True)
    assert feed(output, b"E") == Output("prompt", [ord("E")])
    assert told(feed(output, b"x", 1)) == [(b"E", 0), (b"x", -1)]


def test_without_being_asked_for_nothing_is_told() -> None:
    output = OutputPipeline(PIECES, stop=["END"])
    assert output.feed(b"a", [Logprob(-1.0)]) == Output("a", [ord("a")])


@pytest.mark.parametrize("logprobs", [[], [Logprob(0.0)] * 3])
def test_an_engine_that_tells_too_few_or_too_many_has_failed(logprobs: list[Logprob]) -> None:
    with pytest.raises(EngineFailed, match="2 tokens"):
        pipeline().feed(b"ab", logprobs)


TOKENS = st.sampled_from([*"abc中é".encode(), 0xF0, END, WORD])
STEPS = st.lists(st.lists(TOKENS, min_size=1, max_size=4), max_size=10)
STOPS = st.lists(st.text("abcwo中\ufffd", min_size=1, max_size=3), max_size=3)


def begins(ids: Sequence[int]) -> list[int]:
    """For each token, the character of the whole text that it begins in, or continues."""
    decoder = getincrementaldecoder("utf-8")("replace")
    starts, characters = [], 0
    for token in ids:
        starts.append(characters)
        characters += len(decoder.decode(PIECES[token]))
    return starts


@given(STEPS, STOPS, st.sampled_from([(), (ord("c"),)]))
def test_every_token_of_the_delivered_text_is_told_once_and_in_time(
    steps: list[list[int]], stop: list[str], stop_ids: tuple[int, ...]
) -> None:
    ids = [token for step in steps for token in step]
    starts = begins(ids)
    output = pipeline(*stop, stop_ids=stop_ids)
    delivered: list[TokenLogprob] = []
    text, fed = "", 0
    for step in steps:
        made = feed(output, step, fed)
        fed += len(step)
        text += made.text
        delivered += made.logprobs
        if made.stopped:
            break
        assert len(delivered) == sum(start < len(text) for start in starts[:fed])
    else:
        made = output.finish("length")
        text += made.text
        delivered += made.logprobs
    consumed = ids[: output.completion_tokens]
    by_token = made.stopped and bool(consumed) and consumed[-1] in stop_ids
    kept = consumed[:-1] if by_token else consumed
    whole = b"".join(PIECES[token] for token in kept)
    cut = text != whole.decode(errors="replace")
    if cut:
        assert made.reason == "stop"
        kept = [token for token, start in zip(kept, starts, strict=False) if start < len(text)]
    assert [(one.token, one.logprob) for one in delivered] == [
        (PIECES[token], -position) for position, token in enumerate(kept)
    ]
    joined = b"".join(one.token for one in delivered)
    if cut:
        assert joined.decode(errors="replace").startswith(text)
    elif "\ufffd" not in text:
        assert joined == text.encode()


@given(STEPS, STOPS)
def test_the_text_is_the_same_as_without_log_probabilities(
    steps: list[list[int]], stop: list[str]
) -> None:
    with_them, without = pipeline(*stop), OutputPipeline(PIECES, stop=stop)
    for step in steps:
        one, other = feed(with_them, step), without.feed(step)
        assert (one.text, one.ids, one.reason) == (other.text, other.ids, other.reason)
    one, other = with_them.finish("length"), without.finish("length")
    assert (one.text, one.ids, one.reason) == (other.text, other.ids, other.reason)
    assert with_them.completion_tokens == without.completion_tokens
