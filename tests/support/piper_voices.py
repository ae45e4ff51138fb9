"""Voices of Piper that hum: a graph in which each sound has a pitch of its own, made by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from piper.phoneme_ids import DEFAULT_PHONEME_ID_MAP

RATE = 16000
STEP = 400
"""Samples of each of Piper's numbers, of which a sound has two."""
SPEAKERS = {"anna": 1, "bert": 0}
LETTERS = {one: [number] for number, one in enumerate("_^$ abcdefghijklmnopqrstuvwxyz.,?!")}


def make_piper(path: Path, *, speakers: int = 1, **changed: Any) -> Path:
    """A voice that reads English through espeak-ng; some 3 kB.

    Args:
        path: of the .onnx file; its description is put beside it.
        changed: what its description says otherwise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.INT64, [1, None]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
    ]
    if speakers > 1:
        inputs.append(helper.make_tensor_value_info("sid", TensorProto.INT64, [1]))
    output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, None])
    save(path, _humming(speakers > 1), inputs, output)
    describe(path, speakers=speakers, **changed)
    return path


def describe(path: Path, *, speakers: int = 1, **changed: Any) -> None:
    config = {
        "audio": {"sample_rate": RATE, "quality": "x_low"},
        "espeak": {"voice": "en-us"},
        "language": {"code": "en_US", "family": "en"},
        "inference": {"noise_scale": 0.1, "length_scale": 1.0, "noise_w": 0.0},
        "phoneme_type": "espeak",
        "phoneme_id_map": DEFAULT_PHONEME_ID_MAP,
        "num_symbols": 256,
        "num_speakers": speakers,
        "speaker_id_map": SPEAKERS if speakers > 1 else {},
        **changed,
    }
    Path(f"{path}.json").write_text(json.dumps(config))


def save(path: Path, nodes: list[Any], inputs: list[Any], output: Any) -> None:
    """A graph in a file, as an exporter writes it."""
    graph = helper.make_graph(nodes, "voice", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def constants(values: Mapping[str, float | list[int]]) -> list[Any]:
    """Nodes with a number each, or with a row of whole numbers."""
    return [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(_array(value)))
        for name, value in values.items()
    ]


def _array(value: float | list[int]) -> np.ndarray:
    return np.array(value, np.float32 if isinstance(value, float) else np.int64)


def _humming(several: bool) -> list[Any]:
    node = helper.make_node
    pitch = "higher" if several else "numbers"
    return [
        *constants(
            {
                **{"zero": [0], "one": [1], "two": [2], "whole": [-1], "axis": 0},
                **{"step": float(STEP), "low": 0.02, "high": 0.01, "apart": 50.0, "hum": 0.1},
                **{"silent": 0.0, "full": 1.0},
            }
        ),
        node("Slice", ["scales", "zero", "one"], ["noise_scale"]),
        node("Slice", ["scales", "one", "two"], ["length_scale"]),
        # Each number for as long as the length says.
        node("Mul", ["length_scale", "step"], ["exact"]),
        node("Round", ["exact"], ["rounded"]),
        node("Cast", ["rounded"], ["length"], to=TensorProto.INT64),
        node("Cast", ["input"], ["numbers"], to=TensorProto.FLOAT),
        *(
            [
                node("Cast", ["sid"], ["speaker"], to=TensorProto.FLOAT),
                node("Mul", ["speaker", "apart"], ["offset"]),
                node("Add", ["numbers", "offset"], ["higher"]),
            ]
            if several
            else []
        ),
        node("Unsqueeze", [pitch, "two"], ["column"]),
        node("Concat", ["one", "one", "length"], ["shape"], axis=0),
        node("Expand", ["column", "shape"], ["spread"]),
        node("Reshape", ["spread", "whole"], ["pitches"]),
        node("Mul", ["pitches", "high"], ["scaled"]),
        node("Add", ["scaled", "low"], ["radians"]),
        node("CumSum", ["radians", "axis"], ["phase"]),
        node("Sin", ["phase"], ["pure"]),
        node("Clip", ["pitches", "silent", "full"], ["loudness"]),  # 0 is what stands between
        node("Mul", ["pure", "loudness"], ["tone"]),
        node("RandomNormalLike", ["tone"], ["random"]),
        node("Mul", ["random", "noise_scale"], ["noise"]),
        node("Add", ["tone", "noise"], ["sum"]),
        node("Mul", ["sum", "hum"], ["quiet"]),
        node("Concat", ["one", "one", "whole"], ["as_sound"], axis=0),
        node("Reshape", ["quiet", "as_sound"], ["output"]),
    ]
