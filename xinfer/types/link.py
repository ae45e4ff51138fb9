"""The messages on a data link, between an API process (client) and a replica (server)."""

from __future__ import annotations

import msgspec

from xinfer.types.event import Event
from xinfer.types.failure import Failure
from xinfer.types.model import EngineStats
from xinfer.types.request import Request, TextRequest


class Submit(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """A new request. `window` is its first credit: the tokens, or pieces of a product, that the
    replica may send before a `Credit`."""

    rid: int
    request_id: str
    request: Request
    window: int
    resume: list[int] = []
    """Tokens of the output that its client has the text of: the answer goes on behind them."""
    tell_computed: bool = False
    """Whether to send `Computed`, where tokens are generated."""
    held: bool = False
    """Whether it only takes a place for now: it is prepared and computed after `Begin`."""


class Cancel(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """The client of this request has gone; nothing more is wanted of it."""

    rid: int


class Credit(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """The reader took some: `amount` more may be sent."""

    rid: int
    amount: int


class Abort(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """End the request with this public id, whichever link it came by; answered by `Aborted`."""

    call: int
    request_id: str


class Inspect(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """Tell how you are; answered by `Inspected`."""

    call: int


class Spell(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=5):
    """Tell what tokens are called in the model's vocabulary; answered by `Spelled`."""

    call: int
    ids: list[int]


class Tokenize(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """Make tokens of the prompt that this request would begin with; answered by `Tokenized`."""

    call: int
    request: TextRequest
    count_only: bool = False
    """Whether their number is enough."""
    bare: bool = False
    """Whether to leave out what a plain prompt begins with."""


class Detokenize(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=7):
    """Make text of tokens; answered by `Detokenized`."""

    call: int
    ids: list[int]


class Part(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=8):
    """The next bytes of a `Submit` that is large; all of them together are the message."""

    rid: int
    data: bytes
    left: int
    """Bytes that are still to come behind these; 0: the message is whole."""


class Follow(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=9):
    """Tell how far the request with this public id has come; answered by `Followed`."""

    call: int
    request_id: str


class Begin(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=10):
    """Compute the request that was only to take a place."""

    rid: int


ToReplica = (
    Submit
    | Cancel
    | Credit
    | Abort
    | Inspect
    | Spell
    | Tokenize
    | Detokenize
    | Part
    | Follow
    | Begin
)


class Load(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A replica's load; rides on every frame so that choosing needs no extra calls."""

    running: int
    waiting: int
    capacity: int
    """Requests it can hold in all: slots and waiting room."""


class Step(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """Everything one engine step produced for one link."""

    load: Load
    events: list[Event]


class Aborted(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """The answer to `Abort`."""

    call: int
    found: bool


class Inspected(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """The answer to `Inspect`."""

    call: int
    load: Load
    stats: EngineStats


class Spelled(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """The answer to `Spell`."""

    call: int
    tokens: list[str]
    failure: Failure | None = None
    """Why there are no tokens."""


class Tokenized(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The answer to `Tokenize`."""

    call: int
    count: int = 0
    ids: list[int] = []
    """None, where the number was enough."""
    failure: Failure | None = None
    """Why there are no tokens."""


class Detokenized(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """The answer to `Detokenize`."""

    call: int
    text: str = ""
    failure: Failure | None = None
    """Why there is no text."""


class Followed(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=6):
    """The answer to `Follow`."""

    call: int
    fraction: float | None = None
    """From 0 to 1; None where there is no such request, or nothing is known of its progress."""


Answer = Aborted | Inspected | Spelled | Tokenized | Detokenized | Followed
"""What answers a message that has a `call`."""

FromReplica = Step | Answer
