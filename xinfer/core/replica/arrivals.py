"""Requests that come over a link in parts, because they are large: put together, or refused before
they are here."""

from __future__ import annotations

from xinfer.core.replica.admission import Admission, Luggage
from xinfer.types.link import Part


class Arrivals:
    """Those of one link."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._parts: dict[int, tuple[bytearray, Luggage]] = {}
        self._refused: set[int] = set()
        """Those of which parts may still be on their way."""

    def add(self, part: Part) -> tuple[bytearray, Luggage] | None:
        """The whole message, once its last part has come, with the room that it takes.

        Raises:
            RateLimited, Unavailable: it is the first part, and there is no room for all of them.
        """
        if part.rid in self._refused:
            if not part.left:
                self._refused.remove(part.rid)
            return None
        if part.rid not in self._parts:
            if part.left:
                self._refused.add(part.rid)  # unless it is let in
            luggage = self._admission.check_in(len(part.data) + part.left)
            self._refused.discard(part.rid)
            self._parts[part.rid] = bytearray(), luggage
        data, luggage = self._parts[part.rid]
        data += part.data
        return None if part.left else self._parts.pop(part.rid)

    def drop(self, rid: int) -> None:
        """Nothing more comes of this one."""
        self._refused.discard(rid)
        if rid in self._parts:
            _, luggage = self._parts.pop(rid)
            luggage.release()

    def close(self) -> None:
        """Nothing more comes of any."""
        for rid in list(self._parts):
            self.drop(rid)
