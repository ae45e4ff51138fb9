"""Through the pipeline: characters and stop strings that lie across tokens."""

from __future__ import annotations

import asyncio

import pytest

from tests.conformance.engines import engines
from tests.conformance.models import SCRIPT, SCRIPT_TEXT
from tests.conformance.subject import Subject
from xinfer.types.request import CompletionRequest, Sampling

pytestmark = pytest.mark.anyio

STOPS: list[tuple[str, ...]] = [
    (),
    ("Hello",),
    ("llo 你",),
    ("好",),
    ("🎉",),
    ("好🎉 a",),
    ("é",),
    (" é <end",),
    ("ending>",),
    ("<endless>",),
    (" done",),
    ("done!",),
    ("<ending>", "ding", "nothing"),
    ("o", "e"),
]


@engines()
@pytest.mark.parametrize("stop", STOPS, ids=" or ".join)
async def test_text_ends_before_the_stop_string_that_is_complete_first(
    subject: Subject, stop: tuple[str, ...]
) -> None:
    found = [string for string in stop if string in SCRIPT_TEXT]
    # The one that is complete first counts.
    ends = sorted((SCRIPT_TEXT.find(string) + len(string), string) for string in found)
    expected = SCRIPT_TEXT[: ends[0][0] - len(ends[0][1])] if ends else SCRIPT_TEXT
    async with subject.running("script", slots=1) as driver:
        for _ in range(2):  # the only place is free again
            got = await driver.complete(_request(stop=stop))
            assert (got.text, got.finish) == (expected, "stop")
            assert got.completion_tokens == len(got.ids)
            made = b"".join(map(driver.engine.tokenizer.piece, got.ids))
            if found:
                assert any(string.encode() in made for string in found)
            else:
                assert made == SCRIPT_TEXT.encode()
        assert driver.engine.stats().running == 0


@engines()
@pytest.mark.parametrize("length", range(1, len(SCRIPT) + 1))
async def test_half_a_character_at_the_limit_is_shown_as_such(
    subject: Subject, length: int
) -> None:
    async with subject.running("script") as driver:
        got = await driver.complete(_request(max_tokens=length))
        made = b"".join(map(driver.engine.tokenizer.piece, got.ids))
    assert made == SCRIPT_TEXT.encode()[: len(made)]
    assert (got.text, got.finish) == (made.decode(errors="replace"), "length")
    assert len(got.ids) == got.completion_tokens == length


@engines()
async def test_stop_strings_of_one_request_end_no_other(subject: Subject) -> None:
    async with subject.running("script", slots=4) as driver:
        stops: list[tuple[str, ...]] = [("你",), (), ("🎉",), ()] * 3
        texts = await asyncio.gather(*(driver.complete(_request(stop=stop)) for stop in stops))
    ends = ["Hello ", SCRIPT_TEXT, "Hello 你好", SCRIPT_TEXT] * 3
    assert [text.text for text in texts] == ends


@engines()
async def test_a_stop_token_ends_the_text(subject: Subject) -> None:
    async with subject.running("script", slots=1) as driver:
        whole = await driver.complete(_request())
        tokens = [whole.ids.index(token) for token in whole.ids]
        for position in (0, 3, len(whole.ids) - 1):
            request = _request(stop_token_ids=(whole.ids[position],))
            got = await driver.complete(request)
            pieces = [driver.engine.tokenizer.piece(token) for token in whole.ids]
            before = b"".join(pieces[: tokens[position]])
            assert (got.text, got.finish) == (before.decode(errors="replace"), "stop")


def _request(max_tokens: int = 200, **fields: object) -> CompletionRequest:
    sampling = Sampling(temperature=0.0, max_tokens=max_tokens)
    return CompletionRequest(prompt=SCRIPT_TEXT, sampling=sampling, **fields)
