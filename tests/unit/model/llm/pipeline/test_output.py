from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from xinfer.model.llm.pipeline.output import Output, OutputPipeline

BYTES = [bytes([value]) for value in range(256)] + [b""]
END = 256


def pipeline(*stop: str, stop_ids: Sequence[int] = (), prompt: bytes = b"") -> OutputPipeline:
    return OutputPipeline(BYTES, stop=stop, stop_ids=frozenset(stop_ids), prompt=prompt)


def test_each_token_is_delivered_with_the_text_that_it_completed() -> None:
    output = pipeline()
    ids = list("a中b".encode())
    delivered = [output.feed([token]) for token in ids]
    assert [item for item in delivered if item.text] == [
        Output("a", ids[:1]),
        Output("中", ids[1:4]),
        Output("b", ids[4:]),
    ]
    assert output.finish("length") == Output("", [], "length")
    assert output.completion_tokens == 5


def test_a_step_of_many_tokens_is_one_output() -> None:
    ids = list(b"hello")
    assert pipeline().feed(ids) == Output("hello", ids)


def test_the_lists_it_delivers_are_its_own() -> None:
    output = pipeline()
    step = list(b"ab")
    first = output.feed(step)
    step.append(0)
    output.feed(list(b"cd"))
    assert first.ids == list(b"ab")


def test_a_stop_string_over_several_tokens_is_cut_off_and_later_tokens_are_not_counted() -> None:
    output = pipeline("END")
    assert output.feed(list(b"one E")) == Output("one ", list(b"one E"))
    assert output.feed(list(b"ND two")) == Output("", list(b"ND"), "stop", stop="END")
    assert output.completion_tokens == len("one END")
    assert output.feed(list(b"more")) == Output()
    assert output.finish("length") == Output("", [], "stop")
    assert output.completion_tokens == len("one END")


def test_the_start_of_a_stop_string_is_delivered_when_the_text_ends_with_it() -> None:
    output = pipeline("END")
    assert output.feed(list(b"E")) == Output()
    assert output.finish("stop") == Output("E", list(b"E"), "stop")


def test_a_stop_token_ends_the_text_before_itself() -> None:
    output = pipeline(stop_ids=[ord("!")])
    assert output.feed(list(b"go! on")) == Output("go", list(b"go!"), "stop")
    assert output.completion_tokens == 3


def test_a_stop_token_releases_what_a_stop_string_held_back() -> None:
    output = pipeline("END", stop_ids=[ord("!")])
    assert output.feed(list(b"EN!")) == Output("EN", list(b"EN!"), "stop")


def test_a_stop_string_that_only_the_flush_completes_still_stops() -> None:
    output = pipeline("x\ufffd")
    assert output.feed([ord("x"), 0xE4]) == Output()
    assert output.finish("length") == Output("", [ord("x"), 0xE4], "stop", stop="x\ufffd")


def test_a_token_without_text_waits_for_one_that_has_some() -> None:
    output = pipeline()
    assert output.feed([END]) == Output()
    assert output.feed([ord("a")]) == Output("a", [END, ord("a")])


def test_the_first_output_begins_with_an_echoed_prompt_in_which_no_stop_is_looked_for() -> None:
    output = pipeline("END", prompt=b"the END: ")
    assert output.feed(list(b"a")) == Output("the END: a", list(b"a"))
    assert output.feed(list(b"b")) == Output("b", list(b"b"))


def test_an_echoed_prompt_is_delivered_even_when_nothing_is_generated() -> None:
    assert pipeline(prompt=b"the prompt").finish("stop") == Output("the prompt", [], "stop")


def test_a_character_between_an_echoed_prompt_and_the_output_stays_whole() -> None:
    first, *rest = "中".encode()
    assert pipeline(prompt=bytes([first])).feed(rest) == Output("中", rest)


STEPS = st.lists(
    st.lists(st.sampled_from([*"abc中".encode(), END]), min_size=1, max_size=4), max_size=10
)
STOPS = st.lists(st.text("abc", min_size=1, max_size=3), max_size=3)


@given(STEPS, STOPS, st.sampled_from([b"", b"prompt "]))
def test_delivered_ids_bring_a_new_pipeline_to_the_delivered_text(
    steps: list[list[int]], stop: list[str], prompt: bytes
) -> None:
    output = pipeline(*stop, stop_ids=[ord("c")], prompt=prompt)
    text = ""
    ids: list[int] = []
    for step in steps:
        made = output.feed(step)
        text += made.text
        ids += made.ids
        again = pipeline(*stop, stop_ids=[ord("c")], prompt=prompt)
        repeated = again.feed(ids)
        assert (repeated.text, repeated.stopped) == (text, made.stopped)
        if made.stopped:
            assert again.completion_tokens == output.completion_tokens
            return
    last = output.finish("length")
    assert ids + last.ids == [token for step in steps for token in step]
    assert output.completion_tokens == len(ids + last.ids)
