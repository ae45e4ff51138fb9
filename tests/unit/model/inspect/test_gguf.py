"""The header reader: what it reads, and that nothing in a file can surprise it."""

from __future__ import annotations

import struct
from pathlib import Path

import gguf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.gguf_models import CHAT_TEMPLATE, byte_level, random_llama
from xinfer.errors import InvalidRequest
from xinfer.model.inspect.ggml import FILE_TYPES, TENSOR_TYPES
from xinfer.model.inspect.gguf import read_gguf


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_llama(tmp_path_factory.mktemp("gguf") / "model.gguf")


@pytest.fixture(scope="module")
def content(model: Path) -> bytes:
    return model.read_bytes()


def test_reads_what_the_writer_wrote(model: Path) -> None:
    header = read_gguf(model)
    vocabulary = byte_level()
    assert header.architecture == "llama"
    assert header.context_length == 2048
    assert header.quantization == "F32"
    assert header.chat_template == CHAT_TEMPLATE
    assert header.parts == 1
    assert header.values["tokenizer.ggml.tokens"] == vocabulary.tokens
    assert header.values["tokenizer.ggml.token_type"] == vocabulary.types
    assert header.values["tokenizer.ggml.add_bos_token"] is False
    assert header.values["llama.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-5)


def test_tensors_lie_where_the_gguf_package_finds_them(model: Path) -> None:
    header = read_gguf(model)
    expected = gguf.GGUFReader(model)
    assert header.data_offset == expected.data_offset
    assert [
        (t.name, t.elements, t.size, header.data_offset + t.offset) for t in header.tensors
    ] == [(t.name, t.n_elements, t.n_bytes, t.data_offset) for t in expected.tensors]
    assert header.parameters == sum(int(t.n_elements) for t in expected.tensors)


def test_tables_agree_with_the_gguf_package() -> None:
    names = {int(kind): kind.name for kind in gguf.GGMLQuantizationType}
    sizes = {int(kind): size for kind, size in gguf.GGML_QUANT_SIZES.items()}
    assert all(names[kind] == name for kind, (name, *_) in TENSOR_TYPES.items())
    assert all(sizes[kind] == tuple(size) for kind, (_, *size) in TENSOR_TYPES.items())
    types = {int(kind): kind.name.removeprefix("MOSTLY_") for kind in gguf.LlamaFileType}
    types[0] = "F32"
    assert all(types[kind] == name for kind, name in FILE_TYPES.items())


def test_complete_file_is_complete_and_a_shorter_one_is_not(model: Path, tmp_path: Path) -> None:
    read_gguf(model).check_complete()
    short = tmp_path / "short.gguf"
    short.write_bytes(model.read_bytes()[:-4096])
    with pytest.raises(InvalidRequest, match=r"short\.gguf.*incomplete.*again"):
        read_gguf(short).check_complete()


def test_file_cut_anywhere_in_its_header_is_refused_by_name(
    content: bytes, model: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.gguf"
    for length in range(0, read_gguf(model).data_offset - 32, 97):
        cut.write_bytes(content[:length])
        with pytest.raises(InvalidRequest, match=r"cut\.gguf is not a usable GGUF file"):
            read_gguf(cut)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (b"PK\x03\x04", "signature"),
        (b"GGUF" + struct.pack("<I", 1), "version 1"),
        (b"GGUF" + struct.pack(">I", 3), "big-endian"),
        (b"GGUF" + struct.pack("<IQ", 3, 1 << 40), "tensors, more than"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 62), "metadata keys, more than"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1 << 60), "string of"),
    ],
)
def test_foreign_and_hostile_beginnings_say_what_is_wrong(
    content: bytes, tmp_path: Path, damage: bytes, reason: str
) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(damage + content[len(damage) :])
    with pytest.raises(InvalidRequest, match=reason):
        read_gguf(bad)


def test_array_that_claims_more_than_the_file_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    key = struct.pack("<Q", 1) + b"k"
    array = struct.pack("<IIQ", 9, 4, 1 << 21)
    bad.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + key + array + bytes(64))
    with pytest.raises(InvalidRequest, match="array elements"):
        read_gguf(bad)


def test_deeply_nested_arrays_are_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad.gguf"
    key = struct.pack("<Q", 1) + b"k"
    nested = struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 1000
    bad.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + key + nested + bytes(64))
    with pytest.raises(InvalidRequest, match="nested"):
        read_gguf(bad)


@given(flips=st.lists(st.tuples(st.integers(0, 12_000), st.integers(0, 255)), max_size=4))
def test_flipped_bytes_never_raise_anything_but_an_invalid_request(
    content: bytes, tmp_path_factory: pytest.TempPathFactory, flips: list[tuple[int, int]]
) -> None:
    damaged = bytearray(content)
    for position, value in flips:
        damaged[position] = value
    path = tmp_path_factory.getbasetemp() / "flipped.gguf"
    path.write_bytes(damaged)
    complaint = path.name
    try:
        read_gguf(path).check_complete()
    except InvalidRequest as error:
        complaint = error.message
    assert path.name in complaint
