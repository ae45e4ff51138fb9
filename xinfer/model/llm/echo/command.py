"""Faults that a prompt can ask for, where the launch option `commands` allows it.

A prompt that begins with one of these words is echoed over and over for `n` tokens (default 0);
the step after the last of them carries the command out. `max_tokens` reached first ends the
request as usual, and so does a client that leaves.

    !fail [n]         the request ends with an error; nothing else is touched
    !stall [n]        the request makes no more tokens until it is aborted
    !oom [n]          the step raises MemoryError: the whole engine has failed
    !die [n]          the process kills itself with SIGKILL
    !exit [code] [n]  the process leaves at once with this code (default 1), nothing cleaned up

A resumed request has been struck already: its prompt is echoed like any other.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from xinfer.errors import EngineFailed
from xinfer.model.engine import TokenEvent
from xinfer.types.failure import Failure

_SYNTAX = re.compile(rb"!(fail|stall|oom|die|exit)\b(?: +(\d{1,9})\b)?(?: +(\d{1,9})\b)?")
_LONGEST = 64
_SIGKILL = 9  # signal.SIGKILL does not exist on Windows, where this number ends a process too


class Command(NamedTuple):
    """One fault; `after` counts the tokens of the output before it."""

    name: str
    after: int
    code: int = 0

    def strike(self, request_id: int) -> TokenEvent | None:
        """Do it. Returns the request's last event, or None where it is to hear nothing more.

        Raises:
            MemoryError: by `!oom`.
        """
        if self.name == "stall":
            return None
        if self.name == "oom":
            raise MemoryError("The prompt asked the echo engine to run out of memory.")
        if self.name == "die":
            os.kill(os.getpid(), _SIGKILL)
        if self.name == "exit":
            os._exit(self.code)
        failure = Failure.of(EngineFailed("The prompt asked the echo engine to fail."))
        return TokenEvent(request_id, [], "error", failure)


def parse_command(prompt: list[int]) -> Command | None:
    """The command that a prompt of byte tokens begins with, if any."""
    match = _SYNTAX.match(bytes(token for token in prompt[:_LONGEST] if token < 256))
    if match is None:
        return None
    name = match[1].decode()
    first, second = (None if digits is None else int(digits) for digits in match.group(2, 3))
    if name == "exit":
        return Command(name, second or 0, 1 if first is None else first & 0xFF)
    return Command(name, first or 0)
