"""Which language models the installed Transformers has code for. It is read, not imported: that
takes seconds."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from xinfer.types.model import ModelSpec

_TABLES = re.compile(
    r"^MODEL_FOR_(?:CAUSAL_LM|IMAGE_TEXT_TO_TEXT)_MAPPING_NAMES = OrderedDict\(\n(.*?)^\)",
    re.M | re.S,
)
_ENTRY = re.compile(r'\(\s*"[\w.-]+",\s*"(\w+)",?\s*\)')


@cache
def known_architectures() -> frozenset[str]:
    """Classes that AutoModelForCausalLM and AutoModelForImageTextToText load; empty where their
    tables cannot be found."""
    found = find_spec("transformers")
    if found is None or found.origin is None:
        return frozenset()
    source = Path(found.origin).parent / "models" / "auto" / "modeling_auto.py"
    text = source.read_text(encoding="utf-8") if source.is_file() else ""
    return frozenset(name for table in _TABLES.findall(text) for name in _ENTRY.findall(table))


def needs_code(spec: ModelSpec) -> bool:
    """Whether the model is loaded by program code of its own: it has some, and Transformers has
    none for it."""
    return bool(spec.remote_code) and unknown_architecture(spec.architecture) is not None


def unknown_architecture(architecture: str) -> str | None:
    """Why a model of this architecture cannot be loaded, as part of a sentence; None when it can,
    or when nothing is known."""
    known = known_architectures()
    if not architecture or not known or architecture in known:
        return None
    return f"Transformers {version('transformers')} has no language model {architecture}"
