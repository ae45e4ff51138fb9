"""The bodies of routes that make vectors or scores of texts."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from pydantic import ConfigDict, Field, PlainValidator, with_config
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from xinfer.api.schemas.base import Body, Neutral, always
from xinfer.api.schemas.sampling import MAX_TOKEN_ID
from xinfer.errors import InvalidRequest
from xinfer.types.request import EncodeRequest

MAX_SPELLED = 1 << 14
"""Tokens of one request that are told what they are called."""

_TokenIds = list[Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKEN_ID)]]

Text = str | list[int]


def _converted(value: Any, kind: Any, expected: str) -> Any:
    """The value as `kind`; a complaint names the item that is not."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$[")
        item = where.partition("]")[0]
        at = f"; item {item}: {what[:1].lower()}{what[1:]}" if item.isdigit() else ""
        raise PydanticCustomError("texts", "should be {what}", {"what": expected + at}) from None


def _inputs(value: Any) -> list[Text]:
    """One text or several, each as such or as token ids, as a list."""
    expected = "a text, a list of token ids, or a list of either that is not empty"
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not value:
        raise PydanticCustomError("texts", "should be {what}", {"what": expected})
    if isinstance(value[0], int) and not isinstance(value[0], bool):
        return [_converted(value, _TokenIds, expected)]
    kind: Any = list[_TokenIds] if isinstance(value[0], list) else list[str]
    return list(_converted(value, kind, expected))


def _texts(value: Any) -> list[str]:
    """One text or several as a list."""
    expected = "a text, or a list of texts that is not empty"
    if not isinstance(value, (str, list)) or value == []:
        raise PydanticCustomError("texts", "should be {what}", {"what": expected})
    return list(_converted([value] if isinstance(value, str) else value, list[str], expected))


def _documents(value: Any) -> list[str]:
    """Texts, or objects with a `text`."""
    expected = 'a list of texts, or of objects like {"text": "..."}, that is not empty'
    if not isinstance(value, list) or not value:
        raise PydanticCustomError("documents", "should be {what}", {"what": expected})
    texts = [one.get("text") if isinstance(one, dict) else one for one in value]
    return list(_converted(texts, list[str], expected))


def _single_or_pairs(value: Any) -> list[str] | list[tuple[str, str]]:
    """Texts, or pairs of texts, as a list."""
    if isinstance(value, list) and value and isinstance(value[0], list):
        expected = "a text, a list of texts, or a list of pairs of texts"
        return list(_converted(value, list[tuple[str, str]], expected))
    return _texts(value)


Inputs = Annotated[
    list[Text],
    PlainValidator(_inputs, json_schema_input_type=str | list[str] | list[int] | list[list[int]]),
]
Texts = Annotated[list[str], PlainValidator(_texts, json_schema_input_type=str | list[str])]


@with_config(ConfigDict(extra="allow"))
class DocumentObject(TypedDict):
    """A document as an object."""

    text: str


Documents = Annotated[
    list[str], PlainValidator(_documents, json_schema_input_type=list[str | DocumentObject])
]
SingleOrPairs = Annotated[
    list[str] | list[tuple[str, str]],
    PlainValidator(
        _single_or_pairs, json_schema_input_type=str | list[str] | list[tuple[str, str]]
    ),
]


class EncodeBody(Body):
    """Model, and what becomes of texts that are too long for it."""

    model: str = Field(min_length=1, max_length=200, description="Uid of a running model.")
    truncate: bool | None = Field(
        None,
        description="Whether texts over the limit are cut short or refused; by default as the "
        "model was launched, and cut short where its launch did not say.",
    )
    truncate_prompt_tokens: int | None = Field(
        None,
        ge=-MAX_TOKEN_ID,
        le=MAX_TOKEN_ID,
        description="Most tokens of a text; a negative number is the model's own limit.",
    )
    request_id: str | None = Field(
        None, description="Handle for the abort route; wins over the X-Request-Id header."
    )
    user: str | None = None

    def encode_request(
        self, texts: list[Text], queries: list[str] | None = None, **more: Any
    ) -> EncodeRequest:
        """The request for these texts.

        Raises:
            InvalidRequest: `truncate_prompt_tokens` leaves nothing.
        """
        most = self.truncate_prompt_tokens
        if most == 0:
            raise InvalidRequest(
                "`truncate_prompt_tokens`: 0 tokens leave nothing to encode. Expected a positive "
                "number, or a negative one for the model's own limit.",
                param="truncate_prompt_tokens",
            )
        return EncodeRequest(
            texts=texts,
            queries=queries or [],
            max_tokens=most if most is not None and most > 0 else None,
            truncate=self.truncate,
            **more,
        )


class EmbeddingBody(EncodeBody):
    """Texts to make vectors of."""

    input: Inputs
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = Field(
        None, ge=1, le=MAX_TOKEN_ID, description="Where the model's vectors may be shortened."
    )
    task: str | None = Field(
        None, max_length=200, description="What the texts are for, where the model has prompts."
    )
    input_type: str | None = Field(None, max_length=200, description="Another name of `task`.")
    prompt_name: str | None = Field(None, max_length=200, description="Another name of `task`.")
    return_sparse: bool | None = Field(
        None, description="Weights of tokens instead of vectors, where the model makes them."
    )
    normalize_embedding: bool | None = Field(
        None, description="False: vectors as the model makes them, not of length 1."
    )

    def request(self) -> EncodeRequest:
        """What the model is asked.

        Raises:
            InvalidRequest: as `encode_request`.
        """
        return self.encode_request(
            self.input,
            dimensions=self.dimensions,
            sparse=self.return_sparse is True,
            normalise=self.normalize_embedding is not False,
            prompt=self.task or self.input_type or self.prompt_name or None,
        )


class RerankBody(EncodeBody):
    """Documents to put in order of what they say to a query."""

    query: str
    documents: Documents
    top_n: int | None = Field(None, ge=1, le=MAX_TOKEN_ID, description="Most results.")
    return_documents: bool | None = None
    return_len: bool | None = Field(None, description="Tell the tokens in `meta`.")
    use_activation: bool | None = Field(
        None, description="False: scores as the model's head gives them, not from 0 to 1."
    )
    max_chunks_per_doc: int | None = None

    unsupported: ClassVar[Mapping[str, Neutral]] = {"max_chunks_per_doc": always}

    def request(self) -> EncodeRequest:
        """What the model is asked.

        Raises:
            InvalidRequest: as `encode_request`.
        """
        return self.encode_request([*self.documents], [self.query])


class ScoreBody(EncodeBody):
    """Pairs of texts to score: one with each, or each with its own."""

    text_1: Texts
    text_2: Texts
    use_activation: bool | None = Field(
        None, description="False: scores as the model's head gives them, not from 0 to 1."
    )

    def request(self) -> EncodeRequest:
        """What the model is asked.

        Raises:
            InvalidRequest: the numbers of texts do not go together.
        """
        if len(self.text_1) not in (1, len(self.text_2)):
            raise InvalidRequest(
                f"`text_1`: {len(self.text_1)} texts do not go with the {len(self.text_2)} of "
                "`text_2`: expected one, or one for each.",
                param="text_1",
            )
        return self.encode_request([*self.text_2], self.text_1)


class ClassifyBody(EncodeBody):
    """Texts, or pairs of texts, to tell the class of."""

    input: SingleOrPairs
    use_activation: bool | None = Field(
        None, description="False: numbers as the model's head gives them, not probabilities."
    )

    def request(self) -> EncodeRequest:
        """What the model is asked.

        Raises:
            InvalidRequest: as `encode_request`.
        """
        texts: list[Text] = []
        queries: list[str] = []
        for one in self.input:
            if isinstance(one, str):
                texts.append(one)
            else:
                queries.append(one[0])
                texts.append(one[1])
        return self.encode_request(texts, queries)


def _spelled(value: Any) -> list[list[int]] | list[int]:
    """Ids, or lists of ids; also as text, which is what sparse vectors have them as."""
    kind = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKEN_ID)]
    try:
        if isinstance(value, list) and value and isinstance(value[0], list):
            return msgspec.convert(value, list[list[kind]], strict=False)
        return msgspec.convert(value, list[kind], strict=False)
    except msgspec.ValidationError:
        raise PydanticCustomError(
            "ids", "should be a list of token ids, or a list of such lists"
        ) from None


class SpellBody(Body):
    """Tokens to be told what they are called."""

    model: str = Field(min_length=1, max_length=200, description="Uid of a running model.")
    input: Annotated[
        list[list[int]] | list[int],
        PlainValidator(_spelled, json_schema_input_type=list[int] | list[list[int]]),
    ]
    user: str | None = None

    def ids(self) -> list[int]:
        """All ids, one after the other.

        Raises:
            InvalidRequest: there are too many.
        """
        ids = [token for one in self.input for token in (one if isinstance(one, list) else [one])]
        check_spelled(len(ids), "input")
        return ids


def check_spelled(count: int, field: str) -> None:
    """Let so many tokens pass that may be told at a time what they are called.

    Raises:
        InvalidRequest: there are more; names `field`.
    """
    if count > MAX_SPELLED:
        raise InvalidRequest(
            f"`{field}`: {count} tokens; at most {MAX_SPELLED} at a time.", param=field
        )
