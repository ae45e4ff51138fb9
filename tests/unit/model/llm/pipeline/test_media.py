"""Pictures from a conversation into the prompt, with an engine that takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from tests.support.pictures import noise, png, png_file
from xinfer.errors import InvalidRequest, PayloadTooLarge
from xinfer.model import pictures
from xinfer.model.engine import MediaEngine, MediaPrompt
from xinfer.model.llm.echo import ByteTokenizer
from xinfer.model.llm.pipeline import TextPipeline
from xinfer.types.model import Abilities, Loaded, ModelSpec
from xinfer.types.request import ChatRequest, Media, Sampling

PICTURE = png(noise(1, 4, 3))
TEMPLATE = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}>"


class Tokenizer(ByteTokenizer):
    chat_template = TEMPLATE


class Engine:
    """Each picture is so many tokens; texts are bytes."""

    def __init__(self) -> None:
        self.tokens = 3
        self.texts: list[str] = []
        self.media: list[Media] = []

    def media_prompt(self, texts: Sequence[str], media: Sequence[Media]) -> MediaPrompt:
        self.texts, self.media = list(texts), list(media)
        ids = list(texts[0].encode())
        for number, text in enumerate(texts[1:]):
            ids += [-1 - number] * self.tokens + list(text.encode())
        return MediaPrompt(ids, "the engine's own")


class Conversation:
    """A pipeline around that engine, and the requests to it."""

    def __init__(self, template: str = TEMPLATE, context: int = 200, *, sees: bool = True) -> None:
        tokenizer = Tokenizer()
        tokenizer.chat_template = template
        loaded = Loaded(
            context_length=context,
            concurrency=1,
            abilities=Abilities(media=sees, sampling=frozenset({"temperature"})),
        )
        self.engine = Engine()
        engine = cast(MediaEngine, self.engine) if sees else None
        self.pipeline = TextPipeline(tokenizer, loaded, ModelSpec(name="bytes"), engine)

    def ask(self, *contents: Any, data: Sequence[bytes] = (), **sampling: Any) -> Any:
        """Prepare a conversation; each content is a user's message."""
        pictures = tuple(Media(one, f"picture {number}") for number, one in enumerate(data))
        messages = [{"role": "user", "content": content} for content in contents]
        request = ChatRequest(messages=messages, media=pictures, sampling=Sampling(**sampling))
        return self.pipeline.prepare(request, id=1)


def text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def picture(number: int) -> dict[str, Any]:
    return {"type": "image_url", "media": number}


def test_pictures_stand_where_they_were_sent() -> None:
    talk = Conversation()
    prepared = talk.ask(
        [text("a"), picture(0), text("b"), text("c")],
        "plain",
        [picture(1), picture(2), text("d")],
        data=[PICTURE, PICTURE, png(noise(2))],
    )
    # Text is joined by line breaks, but none stands beside a picture.
    assert talk.engine.texts == ["[user]a", "b\nc[user]plain[user]", "", "d>"]
    assert [medium.where for medium in talk.engine.media] == [f"picture {n}" for n in range(3)]
    request = prepared.token_request
    assert request.media == "the engine's own"
    assert (
        prepared.prompt_tokens == len(request.prompt) == len("[user]ab\nc[user]plain[user]d>") + 9
    )
    assert request.max_tokens == 200 - len(request.prompt)


def test_a_template_may_show_messages_in_another_order() -> None:
    talk = Conversation("{% for m in messages | reverse %}{{ m.content }}{% endfor %}")
    talk.ask([text("a"), picture(0)], [picture(1), text("b")], data=[PICTURE, png(noise(2))])
    assert talk.engine.texts == ["", "ba", ""]
    assert [medium.where for medium in talk.engine.media] == ["picture 1", "picture 0"]


def test_templates_that_want_parts_get_them() -> None:
    talk = Conversation(
        "{% for m in messages %}{% for p in m.content %}{{ p.text }};{% endfor %}{% endfor %}"
    )
    talk.ask([text("a"), picture(0), text("b")], data=[PICTURE])
    assert talk.engine.texts == ["a", "b;"]


@pytest.mark.parametrize(
    ("template", "times"),
    [("{{ messages[-1].content }}", 0), ("{{ messages[0].content }}" * 2, 2)],
)
def test_a_picture_that_the_template_does_not_show_once_is_refused(
    template: str, times: int
) -> None:
    with pytest.raises(InvalidRequest, match=f"shows picture 0 {times} times") as raised:
        Conversation(template).ask([picture(0)], "hello", data=[PICTURE])
    assert raised.value.param == "picture 0"


def test_nobody_can_write_a_marker() -> None:
    talk = Conversation()
    shown = Conversation()
    shown.ask([picture(0)], data=[PICTURE])
    other = shown.pipeline._media
    assert other is not None
    (message,) = other.place([{"role": "user", "content": [picture(0)]}])
    talk.ask([text(message["content"]), picture(0)], data=[PICTURE])
    assert talk.engine.texts == [f"[user]{message['content']}", ">"]


def test_a_text_part_is_text_whatever_else_is_in_it() -> None:
    talk = Conversation()
    talk.ask([{**text("a"), "media": 0}, picture(0)], data=[PICTURE])
    assert talk.engine.texts == ["[user]a", ">"]


def test_other_media_are_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match="type 'input_audio'") as raised:
        Conversation().ask("a", [picture(0), {"type": "input_audio"}], data=[PICTURE])
    assert raised.value.param == "messages[1].content[1]"


def test_a_model_that_does_not_see_refuses_pictures() -> None:
    with pytest.raises(InvalidRequest, match="takes parts of type 'text'") as raised:
        Conversation(sees=False).ask([text("a"), picture(0)], data=[PICTURE])
    assert raised.value.param == "messages[0].content[1]"


def test_pictures_count_against_the_context() -> None:
    talk = Conversation(context=60)
    talk.engine.tokens = 60
    with pytest.raises(InvalidRequest) as raised:
        talk.ask([picture(0)], data=[PICTURE])
    assert raised.value.code == "context_length_exceeded"
    assert "has 67 tokens" in raised.value.message


@pytest.mark.parametrize(
    ("data", "kind", "reason"),
    [
        (b"RIFF0000WEBP", InvalidRequest, "expected PNG, JPEG, GIF, BMP"),
        (PICTURE[:20], InvalidRequest, "ends within its header"),
        (png_file(5000, 5001, b""), PayloadTooLarge, "5000 by 5001 pixels"),
        (png_file(2**31 - 1, 2**31 - 1, b""), PayloadTooLarge, "pixels"),
        (png_file(1, 101, b""), InvalidRequest, "100 times the shorter"),
        (PICTURE + bytes(pictures.MAX_BYTES), PayloadTooLarge, "bytes"),
        (png_file(4, 3, b"not deflated"), InvalidRequest, "damaged"),
    ],
)
def test_a_picture_beyond_the_bounds_is_refused_before_it_is_decoded(
    data: bytes, kind: type[Exception], reason: str
) -> None:
    talk = Conversation()
    with pytest.raises(kind, match=reason) as raised:
        talk.ask([picture(0), picture(1)], data=[PICTURE, data])
    assert cast(Any, raised.value).param == "picture 1"
    assert talk.engine.media == []


def test_too_many_pictures_are_refused() -> None:
    most = pictures.MAX_MEDIA
    parts = [picture(number) for number in range(most + 1)]
    Conversation(context=1000).ask(parts[:most], data=[PICTURE] * most)
    with pytest.raises(PayloadTooLarge, match=f"at most {most}"):
        Conversation().ask(parts, data=[PICTURE] * (most + 1))
