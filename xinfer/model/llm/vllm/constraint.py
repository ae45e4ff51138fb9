"""The end of an output that vLLM has constrained.

vLLM's backend `guidance` compiles with llguidance, as `xinfer.model.llm.constraint` does, and is
given the same grammar: what has been checked is what is enforced. But where llguidance gives up in
the midst of an output, vLLM lets it end as if it were complete.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xinfer.errors import InvalidRequest
from xinfer.types.request import Constraint

if TYPE_CHECKING:
    from xinfer.model.llm.constraint.compiler import ConstraintCompiler


def check_complete(
    compiler: ConstraintCompiler, constraint: Constraint, output: Sequence[int]
) -> None:
    """Tell an output that is complete from one that vLLM ended because it could not follow the
    constraint any further, which looks the same. Blocks.

    Raises:
        InvalidRequest: it is not complete.
    """
    matcher = compiler.matcher(constraint)
    matcher.replay(output)
    if not matcher.complete:
        raise InvalidRequest(
            "The output ended before it was what the request's "
            f"{constraint.field or constraint.kind} asks for: vLLM could not follow it further. "
            "Write it so that a text can be read in fewer ways.",
            param=constraint.field,
        )
