"""What Whisper's tokens mean: control tokens, times, languages and text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xinfer.errors import InvalidRequest

SECONDS_A_TOKEN = 0.02
_MULTILINGUAL_FROM = 51865
"""Size of a vocabulary from which on a model is multilingual that does not say it."""
_LANGUAGE = re.compile(r"<\|([a-z]{2,4})\|>")
_NO_SPACES = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
"""Languages that are written without spaces between words."""


class Vocabulary:
    """Of one model.

    Raises:
        InvalidRequest: it has not the tokens of a Whisper model.
    """

    def __init__(self, directory: str, config: Any) -> None:
        from tokenizers import Tokenizer

        path = Path(directory) / "tokenizer.json"
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises no class of its own
            raise InvalidRequest(
                f"Cannot read {path}: {error}. A Whisper model needs it.", param="model_path"
            ) from None
        told = _read_json(Path(directory) / "generation_config.json")
        self.end = self._id("<|endoftext|>")
        self.start = self._id("<|startoftranscript|>")
        self.no_timestamps = self._id("<|notimestamps|>")
        self.previous = self._tokenizer.token_to_id("<|startofprev|>")
        self.no_speech = _first(
            self._tokenizer.token_to_id(name) for name in ("<|nospeech|>", "<|nocaptions|>")
        )
        self.first_time = self.no_timestamps + 1
        self.size = int(config.vocab_size)
        self.multilingual = bool(told.get("is_multilingual", self.size >= _MULTILINGUAL_FROM))
        self.languages: dict[str, int] = {}
        """Tokens by code; none of a model for English alone."""
        self.tasks: dict[str, int] = {}
        if self.multilingual:
            self.languages = self._languages()
            self.tasks = {name: self._id(f"<|{name}|>") for name in ("transcribe", "translate")}
        controls = range(self.end + 1, self.no_timestamps + 1)
        self.suppressed = sorted({*_ids(told.get("suppress_tokens"), self.size), *controls})
        """Never to be written."""
        self.suppressed_first = _ids(told.get("begin_suppress_tokens"), self.size)
        """Not to be written first."""
        self.latest_start: int | None = told.get("max_initial_timestamp_index")
        """The latest time, in tokens, at which a window's first segment may begin."""
        heads = told.get("alignment_heads") or []
        self.alignment_heads = [(int(layer), int(head)) for layer, head in heads]
        """Layer and head of the decoder whose attention follows the sound; none where the model
        does not say."""

    def opening(self, language: str, *, translate: bool) -> list[int]:
        """What every transcript begins with."""
        if not self.multilingual:
            return [self.start]
        task = "translate" if translate else "transcribe"
        return [self.start, self.languages[language], self.tasks[task]]

    def encode(self, text: str) -> list[int]:
        """Text without control tokens: what looks like one is left out."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return [one for one in ids if one < self.end]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, times and control tokens left out."""
        text: str = self._tokenizer.decode([one for one in ids if one < self.end])
        return text

    def seconds(self, token: int) -> float:
        """The time that a token stands for."""
        return (token - self.first_time) * SECONDS_A_TOKEN

    def words(self, ids: Sequence[int], language: str) -> list[tuple[str, int]]:
        """Text tokens as words: each with the number of its tokens."""
        pieces = self._whole_characters(ids)
        if language in _NO_SPACES:
            return pieces
        words: list[tuple[str, int]] = []
        for text, count in pieces:
            if words and not text.startswith(" ") and text.strip(_PUNCTUATION):
                before, tokens = words[-1]
                words[-1] = (before + text, tokens + count)
            else:
                words.append((text, count))
        return words

    def _whole_characters(self, ids: Sequence[int]) -> list[tuple[str, int]]:
        """Tokens joined where a character is divided among them."""
        pieces: list[tuple[str, int]] = []
        held: list[int] = []
        for one in ids:
            held.append(one)
            text = self.decode(held)
            if "\ufffd" not in text:
                pieces.append((text, len(held)))
                held = []
        if held:
            pieces.append((self.decode(held), len(held)))
        return pieces

    def _id(self, name: str) -> int:
        found: int | None = self._tokenizer.token_to_id(name)
        if found is None:
            raise InvalidRequest(
                f"The model's tokenizer has no token {name}: it is no Whisper model.",
                param="model_path",
            )
        return found

    def _languages(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for token in range(self.start + 1, self.no_timestamps):
            match = _LANGUAGE.fullmatch(self._tokenizer.id_to_token(token) or "")
            if match:
                found[match[1]] = token
        return found


_PUNCTUATION = "\"'“¿([{-.。,，!！?？:：”)]}、 "


def _first(found: Any) -> int | None:
    return next((one for one in found if one is not None), None)


def _ids(told: Any, size: int) -> list[int]:
    """Tokens of a list, those that there are."""
    return [one for one in told or [] if isinstance(one, int) and 0 <= one < size]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"Cannot read {path}: {error}.", param="model_path") from None
    return value if isinstance(value, dict) else {}
