"""`python -m xinfer.model.hub`: one download, in a process that its parent may end at any time.

Reads one line of JSON from stdin, a `Request`; writes lines of JSON to stdout, each a `Message`;
and leaves when stdin ends, for then its parent has died.
"""

from __future__ import annotations

import os
import sys
import threading

import msgspec

from xinfer import system
from xinfer.errors import XinferError
from xinfer.model.hub.fetch import fetch
from xinfer.model.hub.messages import Message, Request
from xinfer.settings import Settings
from xinfer.types.failure import Failure


def main() -> None:
    request = msgspec.json.decode(sys.stdin.buffer.readline(), type=Request)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    settings = Settings(**request.settings)
    try:
        model = fetch(
            request.model, settings, lambda files: _say(Message(files=files)), lambda: False
        )
    except XinferError as error:
        _say(Message(failure=Failure.of(error)))
    else:
        _say(Message(model=model))


def _leave_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def _say(message: Message) -> None:
    system.write_all(sys.stdout.fileno(), msgspec.json.encode(message) + b"\n")


if __name__ == "__main__":
    main()
