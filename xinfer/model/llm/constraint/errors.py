"""How a constraint is refused."""

from __future__ import annotations

from xinfer.errors import InvalidRequest
from xinfer.types.request import Constraint

NOUNS = {
    "json_object": "JSON object",
    "json_schema": "JSON schema",
    "regex": "regular expression",
    "choice": "list of choices",
    "grammar": "grammar",
}
"""What each kind of constraint is called."""


def refused(constraint: Constraint, what: str, hint: str) -> InvalidRequest:
    """An error in words: "The grammar `what`. `hint`"."""
    return InvalidRequest(f"The {NOUNS[constraint.kind]} {what}. {hint}", param=constraint.field)
