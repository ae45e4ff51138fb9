"""Heads as files hold them: every type that is read, and a clear word on the others."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest

from tests.support.gguf_encoders import Bert
from xinfer.errors import InvalidRequest
from xinfer.model.encode.xllamacpp.head import Head, check_readable
from xinfer.model.inspect.gguf import GgufMetadata, read_gguf

WIDTH = 64
Q = gguf.GGMLQuantizationType


def write(
    path: Path,
    *,
    kind: gguf.GGMLQuantizationType = Q.F32,
    architecture: str = "bert",
    dense: bool = True,
) -> tuple[list[GgufMetadata], dict[str, np.ndarray]]:
    """A file with nothing but a head, and the values in it as they are stored."""
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_embedding_length(WIDTH)
    shapes = {"cls.weight": (WIDTH, WIDTH), "cls.output.weight": (2, WIDTH)}
    stored = {}
    for name, shape in shapes.items():
        if dense or name != "cls.weight":
            values = random.standard_normal(shape, dtype=np.float32)
            data = gguf.quants.quantize(values, kind)
            stored[name] = gguf.quants.dequantize(data, kind).reshape(shape)
            writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return [read_gguf(path)], stored


@pytest.mark.parametrize("kind", [Q.F32, Q.F16, Q.BF16, Q.Q8_0])
@pytest.mark.parametrize("dense", [True, False])
def test_types_that_are_read(tmp_path: Path, kind: gguf.GGMLQuantizationType, dense: bool) -> None:
    parts, stored = write(tmp_path / "a.gguf", kind=kind, dense=dense)
    assert check_readable(parts) == "cls"
    head = Head(parts, WIDTH)
    row = np.linspace(-1, 1, WIDTH, dtype=np.float32)
    inner = np.tanh(stored["cls.weight"] @ row) if dense else row
    np.testing.assert_allclose(head(row), stored["cls.output.weight"] @ inner, atol=1e-5)
    assert (head.scores, head.probabilities) == (2, False)


def test_a_language_models_scores_are_probabilities_of_its_last_token(tmp_path: Path) -> None:
    parts, stored = write(tmp_path / "a.gguf", architecture="qwen3", dense=False)
    assert check_readable(parts) == "last"
    row = np.linspace(-1, 1, WIDTH, dtype=np.float32)
    powers = np.exp(stored["cls.output.weight"] @ row)
    np.testing.assert_allclose(Head(parts, WIDTH)(row), powers / powers.sum(), atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "architecture", "reason"),
    [(Q.Q5_0, "bert", "stored as Q5_0"), (Q.F32, "modern-bert", "of another kind")],
)
def test_a_head_that_is_not_read_is_named_with_what_reads_it(
    tmp_path: Path, kind: gguf.GGMLQuantizationType, architecture: str, reason: str
) -> None:
    parts, _ = write(tmp_path / "a.gguf", kind=kind, architecture=architecture)
    with pytest.raises(InvalidRequest, match=reason) as raised:
        check_readable(parts)
    assert "xinfer[llama-cpp]" in str(raised.value)


def test_a_model_without_a_head_is_no_rerank_model(tmp_path: Path) -> None:
    path = Bert().write(tmp_path / "a.gguf", gguf.PoolingType.MEAN)
    with pytest.raises(InvalidRequest, match="no classification head"):
        check_readable([read_gguf(path)])
