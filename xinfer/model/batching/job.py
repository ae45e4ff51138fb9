"""One request on its way through the batcher: its texts, and what is left of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from xinfer.errors import InvalidRequest, XinferError
from xinfer.model.encode_engine import Encoded, Item, Pair
from xinfer.types.event import Usage
from xinfer.types.model import EncodeAbilities, Loaded
from xinfer.types.request import EncodeRequest


class Member(NamedTuple):
    """A text that is ready to be computed."""

    job: Job
    place: int
    """Which of the job's texts it is."""
    encoded: Encoded


class Job:
    """One request; owned by the queue that it was added to.

    Raises:
        InvalidRequest: it asks for what the model does not do.
    """

    def __init__(self, request: EncodeRequest, loaded: Loaded) -> None:
        abilities = loaded.abilities.encode
        assert abilities is not None
        self.dimensions = _dimensions(request, abilities)
        self.sparse = _sparse(request, abilities)
        self.normalise = _normalise(request, abilities, self.dimensions)
        self.ended = False
        """Whether nothing more is wanted of it, or has to be said."""
        self.tokenized = 0
        """Texts from the first one on that have been taken to be tokenized."""
        self.left = len(request.texts)
        """Texts without a result."""
        self.tokens = 0
        self.truncated: list[int] = []
        self._texts = request.texts
        self._queries = request.queries
        self._prefix = _prefix(request, abilities)
        self._truncate = abilities.truncate if request.truncate is None else request.truncate
        self._limit = min(request.max_tokens or loaded.context_length, loaded.context_length)
        self._ready: list[Member] = []
        self._check()

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def ready(self) -> int:
        """Texts that are tokenized and wait."""
        return len(self._ready)

    @property
    def usage(self) -> Usage:
        return Usage(prompt_tokens=self.tokens)

    def next_texts(self, most: int, characters: int) -> tuple[int, list[Item | Encoded]]:
        """Take the next texts: the first one's place, and all as an engine takes them.

        Args:
            most: how many at most.
            characters: how many of them together; a longer text is taken alone.
        """
        start = stop = self.tokenized
        while stop < len(self._texts) and stop - start < most:
            characters -= self._characters(stop)
            if characters < 0 and stop > start:
                break
            stop += 1
        self.tokenized = stop
        return start, [self._item(place) for place in range(start, stop)]

    @property
    def next_characters(self) -> int:
        """Of the next text that is to be tokenized, its query included; 0 if it came as tokens."""
        return self._characters(self.tokenized)

    def _characters(self, place: int) -> int:
        text = self._texts[place]
        if not isinstance(text, str):
            return 0
        return len(text) + (len(self._query(place)) if self._queries else 0)

    def _query(self, place: int) -> str:
        return self._queries[place if len(self._queries) > 1 else 0]

    def _item(self, place: int) -> Item | Encoded:
        text = self._texts[place]
        if not isinstance(text, str):
            return Encoded(text, (0, len(text)))
        if not self._queries:
            return self._prefix + text
        return Pair(self._query(place), self._prefix + text)

    def add(self, start: int, encoded: Sequence[Encoded]) -> None:
        """The texts from `start` on are tokenized.

        Raises:
            InvalidRequest: one is too long, and is not to be, or cannot be, shortened.
        """
        for place, one in enumerate(encoded, start):
            if len(one) > self._limit:
                one = self._shortened(place, one)
            self.tokens += len(one)
            self._ready.append(Member(self, place, one))
        # Neighbours in length are computed together: equal lengths cost the least.
        self._ready.sort(key=_length)

    def _shortened(self, place: int, encoded: Encoded) -> Encoded:
        if not self._truncate:
            raise self.error_of(
                place,
                InvalidRequest(
                    f"it has {len(encoded)} tokens or more; at most {self._limit} are taken. "
                    'Shorten it, or send `"truncate": true` to have it cut short.',
                    code="context_length_exceeded",
                ),
            )
        try:
            shortened = encoded.shortened(self._limit)
        except InvalidRequest as error:
            raise self.error_of(place, error) from None
        self.truncated.append(place)
        return shortened

    def peek(self) -> Member:
        """The longest of those that wait."""
        return self._ready[-1]

    def pop(self) -> Member:
        """Take the longest of those that wait."""
        return self._ready.pop()

    def end(self) -> None:
        """Nothing more is wanted of it; what it holds can be forgotten."""
        self.ended = True
        self._ready.clear()
        self._texts = []

    def error_of(self, place: int, error: XinferError) -> XinferError:
        """The error, with the text that it is of."""
        if isinstance(error, InvalidRequest):
            message = error.message[0].lower() + error.message[1:]
            return InvalidRequest(f"Text {place}: {message}", code=error.code)
        return error

    def _check(self) -> None:
        if not self._texts:
            raise InvalidRequest("There is no text. Send at least one.")
        if len(self._queries) not in (0, 1, len(self._texts)):
            raise InvalidRequest(
                f"{len(self._queries)} queries do not go with {len(self._texts)} texts: expected "
                "one, or one for each text."
            )


class Outcome(NamedTuple):
    """What one batch brought for one job: rows, and its end if that has come."""

    job: Job
    places: list[int]
    """Which of its texts."""
    data: bytes
    """Little-endian float32, a row for each of `places`."""
    finished: bool = False
    error: BaseException | None = None
    lengths: Sequence[int] = ()
    """Of sparse vectors: bytes of each row."""


def _length(member: Member) -> int:
    return len(member.encoded.ids)


def _dimensions(request: EncodeRequest, abilities: EncodeAbilities) -> int | None:
    wanted, whole = request.dimensions, abilities.dimensions
    if wanted is None or wanted == whole:
        return None
    if not whole:
        raise InvalidRequest(
            "This model makes scores, which have no dimensions.", param="dimensions"
        )
    if wanted > whole:
        raise InvalidRequest(
            f"`dimensions`: {wanted} are more than the {whole} of this model's vectors.",
            param="dimensions",
        )
    if not abilities.matryoshka:
        raise InvalidRequest(
            f"`dimensions`: this model's vectors have {whole}; it was not trained to have them "
            "shortened. Leave it out.",
            param="dimensions",
        )
    return wanted


def _sparse(request: EncodeRequest, abilities: EncodeAbilities) -> bool:
    if not request.sparse:
        return False
    if not abilities.sparse:
        raise InvalidRequest(
            "`return_sparse`: this model makes no sparse vectors. bge-m3 on the engine "
            "sentence_transformers does. Leave it out.",
            code="unsupported_parameter",
            param="return_sparse",
        )
    if request.dimensions is not None:
        raise InvalidRequest(
            "`dimensions`: a sparse vector has none. Leave it out, or `return_sparse`.",
            param="dimensions",
        )
    return True


def _normalise(request: EncodeRequest, abilities: EncodeAbilities, shorter: int | None) -> bool:
    """Whether its vectors have to be normalised, because the engine's are not, or are no more."""
    if not abilities.dimensions:
        return False
    if request.normalise:
        return shorter is not None or not abilities.normalised
    if abilities.normalised:
        raise InvalidRequest(
            "`normalize_embedding`: this model's engine makes vectors of length 1 and no others. "
            "Leave it out.",
            param="normalize_embedding",
        )
    return False


def _prefix(request: EncodeRequest, abilities: EncodeAbilities) -> str:
    name = request.prompt
    if name is None:
        return ""
    prefix = abilities.prompts.get(name)
    if prefix is None:
        known = ", ".join(sorted(abilities.prompts)) or "none"
        raise InvalidRequest(
            f"This model has no prompt for the task {name[:100]!r}. Its tasks: {known}.",
            param="task",
        )
    return prefix
