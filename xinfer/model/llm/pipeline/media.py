"""Pictures and recordings in a conversation: checked, and put into the prompt."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Any

from xinfer.errors import InvalidRequest, PayloadTooLarge
from xinfer.model.engine import MediaEngine, MediaPrompt, SigningMediaEngine
from xinfer.model.llm.pipeline.template import ChatTemplate, Parts
from xinfer.model.pictures import MAX_MEDIA, check_picture
from xinfer.model.recordings import check_recording
from xinfer.types.model import Abilities
from xinfer.types.request import Media


class MediaPrompts:
    """Makes prompts with pictures for an engine that takes them.

    The chat template sees text with a marker in each picture's place. A marker holds a random
    number, so that nobody can write one into a message. Where the model has a sign for a picture
    and the template writes it, that stands in the picture's place, with what the template puts
    around it.
    """

    def __init__(self, engine: MediaEngine, template: ChatTemplate | None) -> None:
        self._engine = engine
        self._name = f"<__media_{secrets.token_hex(8)}_"
        self._marker = re.compile(rf"{self._name}(\d+)__>")
        self._sign = ""
        """What the template writes for a picture; empty: nothing."""
        if template is not None and isinstance(engine, SigningMediaEngine):
            shown = template.shows(Parts([{"type": "image"}, {"type": "text", "text": self._name}]))
            if shown.count(engine.media_sign) == 1 and self._name in shown:
                self._sign = engine.media_sign

    def place(self, messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The messages with text in place of parts, and markers in it; or with parts as such
        templates know them that write a sign for a picture.

        Text parts are joined by line breaks, as they are without pictures, but none stands beside
        a picture: so llama.cpp's own server joins them.

        Raises:
            InvalidRequest: a part beside a picture is neither text nor a picture.
        """
        return [self._place(message, index) for index, message in enumerate(messages)]

    def prompt(self, text: str, media: Sequence[Media]) -> MediaPrompt:
        """The prompt of a rendered text with markers or signs. Blocks while it decodes.

        Raises:
            InvalidRequest: the text does not have each of them once, or a picture is damaged.
        """
        if self._sign:
            return self._signed_prompt(text, media)
        texts = self._marker.split(text)
        numbers = [int(number) for number in texts[1::2]]
        for number, medium in enumerate(media):
            if numbers.count(number) != 1:
                raise InvalidRequest(
                    f"The model's chat template shows {medium.where} {numbers.count(number)} "
                    f"times; expected once. The model may not take a {medium.kind} in such a "
                    "message.",
                    param=medium.where,
                )
        return self._engine.media_prompt(texts[::2], [media[number] for number in numbers])

    def _signed_prompt(self, text: str, media: Sequence[Media]) -> MediaPrompt:
        texts = text.split(self._sign)
        if len(texts) != len(media) + 1:
            where = ", ".join(medium.where for medium in media)
            raise InvalidRequest(
                f"The model's chat template shows {len(texts) - 1} pictures of {len(media)} "
                f"({where}). The model may not take pictures in such messages, or not so many.",
                param=media[0].where,
            )
        return self._engine.media_prompt([self._unhide(text) for text in texts], media)

    def _hide(self, text: str) -> str:
        """Text of a message in which the model's sign is text."""
        return text.replace(self._sign, f"{self._name}sign__>") if self._sign else text

    def _unhide(self, text: str) -> str:
        return text.replace(f"{self._name}sign__>", self._sign)

    def _place(self, message: dict[str, Any], index: int) -> dict[str, Any]:
        content = message.get("content")
        if isinstance(content, str):
            return {**message, "content": self._hide(content)}
        if not isinstance(content, list):
            return message
        if not any(map(_is_medium, content)):
            return {**message, "content": [self._hide_part(part) for part in content]}
        for number, part in enumerate(content):
            if not _is_medium(part) and part["type"] != "text":
                where = f"messages[{index}].content[{number}]"
                raise InvalidRequest(
                    f"{where} is of type {part['type']!r}; this model takes parts of the types "
                    "'text', and 'image_url' or 'input_audio'.",
                    param=where,
                )
        if self._sign:
            parts = [{"type": "image"} if _is_medium(p) else self._hide_part(p) for p in content]
            return {**message, "content": Parts(parts)}
        return {**message, "content": self._marked(content)}

    def _marked(self, parts: Sequence[dict[str, Any]]) -> str:
        text, beside_medium = "", True
        for part in parts:
            if _is_medium(part):
                text += f"{self._name}{part['media']}__>"
                beside_medium = True
            else:
                text += part["text"] if beside_medium else f"\n{part['text']}"
                beside_medium = False
        return text

    def _hide_part(self, part: dict[str, Any]) -> dict[str, Any]:
        text = part.get("text")
        return {**part, "text": self._hide(text)} if isinstance(text, str) else part


def _is_medium(part: dict[str, Any]) -> bool:
    return part["type"] in ("image_url", "input_audio") and "media" in part


def check_media(media: Sequence[Media], abilities: Abilities) -> None:
    """Refuse what would take too much to decode, by what its header says.

    Raises:
        InvalidRequest: a format that is not read here, or a damaged header; or the model takes no
            such media; names the part.
        PayloadTooLarge: too many of them, or too many bytes, pixels or seconds.
    """
    if len(media) > MAX_MEDIA:
        raise PayloadTooLarge(
            f"The messages have {len(media)} pictures and recordings; at most {MAX_MEDIA} are "
            "accepted.",
            param="messages",
        )
    for medium in media:
        recording = medium.kind == "recording"
        if not (abilities.audio if recording else abilities.media):
            raise InvalidRequest(
                f"{medium.where} is a {medium.kind}, and this model takes none.", param=medium.where
            )
        if recording:
            check_recording(medium)
        else:
            check_picture(medium)
