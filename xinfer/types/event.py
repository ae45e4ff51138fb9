"""What a replica sends back for a request, in this order:

`Accepted`, `Started`, any number of `Delta`, then exactly one of `Finished` and `Failed`; or
`Refused` alone. `rid` numbers the request on its link.
"""

from __future__ import annotations

import msgspec

from xinfer.types.failure import Failure


class Usage(msgspec.Struct, frozen=True, array_like=True):
    """Tokens of one request."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt's, those whose computation was reused."""


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


class Delta(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """More output. `ids` are all tokens consumed to make `text` since the last delta."""

    rid: int
    text: str
    ids: list[int]


class Finished(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """The complete end. `reason` is OpenAI's finish_reason: stop or length."""

    rid: int
    reason: str
    usage: Usage


class Failed(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """The end by an error, after `Accepted`."""

    rid: int
    failure: Failure


Event = Accepted | Refused | Started | Delta | Finished | Failed
