"""Voices of Piper among files: each a graph in .onnx, and its description in .onnx.json."""

from __future__ import annotations

import re

from xinfer.model.inspect.json_files import Listing, section
from xinfer.types.model import ModelSpec

ONNX_FORMAT = "onnx"
ENDING = ".onnx"
_LANGUAGE = re.compile(r"([a-z]{2,3})_[A-Z]{2}-")
"""What a voice's name begins with: en_US-lessac-medium."""


def piper_variants(files: Listing) -> list[ModelSpec]:
    """Every voice that has both of its files; none if there is none.

    Raises:
        InvalidRequest: what lies beside a graph of this machine is not of a voice.
    """
    graphs = [name for name in files.by_name if name.endswith(ENDING) and f"{name}.json" in files]
    return [piper_voice(files, graph) for graph in graphs]


def piper_voice(files: Listing, graph: str) -> ModelSpec:
    """The voice of this graph, which has its description beside it.

    Raises:
        InvalidRequest: that is not of a voice.
    """
    name = graph.rpartition("/")[2].removesuffix(ENDING)
    found = _LANGUAGE.match(name)
    language = found[1] if found else ""
    if files.local:  # in a repository there are many, and each would be a request
        told = files.json(f"{graph}.json")
        if not section(told, "phoneme_id_map") or not section(told, "audio"):
            raise files.refusal(
                f"{graph}.json", "it does not describe a voice of Piper: expected phoneme_id_map"
            )
        language = str(section(told, "language").get("family") or language)
    return ModelSpec(
        name=name,
        type="audio",
        family="piper",
        format=ONNX_FORMAT,
        abilities=("text2audio",),
        languages=(language or "en",),
        size_bytes=files.size(graph),
        files=(graph, f"{graph}.json"),
    )
