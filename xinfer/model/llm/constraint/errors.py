"""How a constraint is refused."""

from __future__ import annotations

from xinfer.errors import InvalidRequest
from xinfer.types.request import Constraint, Sampling

NOUNS = {
    "json_object": "JSON object",
    "json_schema": "JSON schema",
    "regex": "regular expression",
    "choice": "list of choices",
    "grammar": "grammar",
    "structural_tag": "form of the answer",
}
"""What each kind of constraint is called."""


def refused(constraint: Constraint, what: str, hint: str) -> InvalidRequest:
    """An error in words: "The grammar `what`. `hint`"."""
    return InvalidRequest(f"The {NOUNS[constraint.kind]} {what}. {hint}", param=constraint.field)


def check_end(constraint: Constraint | None, sampling: Sampling) -> None:
    """An output that is held to something has to be able to end.

    Raises:
        InvalidRequest: by `ignore_eos` it would not.
    """
    if constraint is not None and sampling.ignore_eos:
        raise InvalidRequest(
            "ignore_eos cannot go with a constraint: a complete output has to be able to end. "
            "Leave one of them out.",
            param="ignore_eos",
        )
