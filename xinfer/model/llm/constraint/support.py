"""Whether constraints can be enforced here; imports llguidance only where it is there."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING

from xinfer.model.engine import Tokenizer

if TYPE_CHECKING:
    from xinfer.model.llm.constraint.compiler import ConstraintCompiler

logger = logging.getLogger(__name__)

KINDS = frozenset({"json_object", "json_schema", "regex", "choice", "grammar", "structural_tag"})
"""What a `ConstraintCompiler` compiles."""


def load_compiler(tokenizer: Tokenizer, *, one_way: bool = False) -> ConstraintCompiler | None:
    """For a model with this tokenizer; None where llguidance is not installed.

    Takes tenths of a second, with the interpreter's lock: to be called as a model is loaded.

    Args:
        one_way: as of `grammar_of`.
    """
    if find_spec("llguidance") is None:
        logger.warning(
            "The package llguidance is not installed in this environment: the model takes no "
            "response_format and no guided_… field."
        )
        return None
    from xinfer.model.llm.constraint.compiler import ConstraintCompiler

    return ConstraintCompiler(tokenizer, one_way=one_way)
