"""What a replica sends back for a request, in this order:

`Accepted`, `Started`, any number of `Delta` (some of them `LogprobDelta` where log-probabilities
were asked for, or `MessageDelta` where more than text is answered; of `Rows` for an
`EncodeRequest`, of `Made` for a `WorkRequest`), then exactly one of `Finished` and `Failed`; or
`Refused` alone. `rid` numbers the request on its link.
"""

from __future__ import annotations

import msgspec

from xinfer.types.failure import Failure
from xinfer.types.product import Product


class Usage(msgspec.Struct, frozen=True, array_like=True):
    """Tokens of one request."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt's, those whose computation was reused."""
    reasoning_tokens: int = 0
    """Of the completion's, those that the model thought in."""


class Accepted(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=0):
    """The replica holds the request, in its waiting room or in the engine."""

    rid: int


class Refused(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The replica does not take the request; nothing was computed."""

    rid: int
    failure: Failure


class Started(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """The request left the waiting room; the engine has it."""

    rid: int
    prompt_tokens: int
    waited: float = 0.0
    """Seconds that it was in the waiting room."""


class Delta(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """More output. `ids` are all tokens consumed to make `text` since the last delta."""

    rid: int
    text: str
    ids: list[int]

    @property
    def cost(self) -> int:
        """The credit that it takes: by its tokens, as a delta may carry one or thousands."""
        return max(1, len(self.ids))


class TokenLogprob(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A token of the output and how likely it was, by natural logarithm."""

    token: bytes
    """Empty for a control token."""
    logprob: float
    top: tuple[tuple[bytes, float], ...] = ()
    """The most likely tokens in its place, the first first, as many as were asked for."""


class LogprobDelta(Delta, frozen=True, array_like=True, gc=False, tag=6):
    """More output, of a request that asked for log-probabilities.

    `logprobs` are those of the tokens that begin in `text`, which need not be the tokens of `ids`:
    where text is held back, its log-probabilities are too. So the ids delivered are not enough to
    continue a stream with the log-probabilities it would have had.
    """

    logprobs: tuple[TokenLogprob, ...]


class ToolCall(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A function that the model calls; or, of a request with `call_deltas`, a piece of a call."""

    name: str
    """Empty: this goes on with the arguments of the call before."""
    arguments: str
    """The text of a JSON object, or a part of it."""


class MessageDelta(LogprobDelta, frozen=True, array_like=True, gc=False, tag=9):
    """More output of a chat, of which some is not the answer's text.

    In the order that they were made: what belongs to `reasoning`, to `text`, to `calls`. A call
    comes whole; until it is complete, its text and its tokens are held back. Or it comes in pieces,
    where the request asks for that.
    """

    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()


class Finished(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """The complete end. `reason` is OpenAI's finish_reason: stop, length or tool_calls."""

    rid: int
    reason: str
    usage: Usage
    stop: str | None = None
    """Of the request's stop strings, the one that ended it."""


SPARSE_ENTRY = (("token", "<u4"), ("weight", "<f4"))
"""A number of a sparse vector, as numpy's dtype: which token, and how much it says."""


class Rows(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=7):
    """Results of some of a request's texts, as they come: in no order, and each once."""

    rid: int
    indices: list[int]
    """Which of the texts."""
    data: bytes
    """Little-endian float32; a row of equal length for each of `indices`."""
    lengths: list[int] = []
    """Of sparse vectors: bytes of each row, which is of `SPARSE_ENTRY`."""


class EncodeFinished(Finished, frozen=True, array_like=True, tag=8):
    """The complete end of an `EncodeRequest`: all rows have been sent."""

    truncated: tuple[int, ...] = ()
    """Texts that were cut short, in order."""


class Made(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=10):
    """Something that a step of the work on a `WorkRequest` made, or how far it has come."""

    rid: int
    product: Product


class Computed(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=11):
    """The prompt has been computed: the first token is there, though its text may be held back.
    Only for a request that asked to hear of it; any time after `Started`."""

    rid: int


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """The end by an error, after `Accepted`."""

    rid: int
    failure: Failure


Event = (
    Accepted
    | Refused
    | Started
    | Delta
    | LogprobDelta
    | MessageDelta
    | Rows
    | Finished
    | EncodeFinished
    | Made
    | Computed
    | Failed
)
