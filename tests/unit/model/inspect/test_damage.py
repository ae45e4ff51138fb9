"""Files that are damaged in any way end in an error that names them, soon and in little memory."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.gguf_models import random_llama
from tests.support.model_dirs import write_model
from xinfer.errors import InvalidRequest
from xinfer.model.files import LocalFiles, ModelFile
from xinfer.model.inspect.files import inspect_files
from xinfer.model.inspect.gguf import read_gguf_from
from xinfer.model.inspect.json_files import Listing
from xinfer.model.inspect.safetensors import read_safetensors

MANY = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
MOST_MEMORY = 64 << 20
MOST_TIME = 2.0  # seconds


class Memory:
    """Files in memory."""

    where = "there"

    def __init__(self, **files: bytes) -> None:
        self._files = {name.replace("__", "."): data for name, data in files.items()}

    def list(self) -> tuple[ModelFile, ...]:
        return tuple(ModelFile(name, len(data)) for name, data in self._files.items())

    def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
        data = self._files[name]
        return data[start:] if size is None else data[start : start + size]


@pytest.fixture(scope="module")
def gguf_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = random_llama(tmp_path_factory.mktemp("gguf") / "m.gguf", width=32, layers=1)
    return path.read_bytes()


@pytest.fixture(scope="module")
def safetensors_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    directory = write_model(
        tmp_path_factory.mktemp("safetensors"),
        {},
        {"a.weight": ("F32", [4, 3]), "b.bias": ("BF16", [7]), "c": ("I64", [])},
    )
    return (directory / "model.safetensors").read_bytes()


@st.composite
def damages(draw: st.DrawFn, where: int = 4096) -> Callable[[bytes], bytes]:
    """Bytes changed near the beginning, and the end cut off or something put behind it."""
    changes = draw(
        st.lists(st.tuples(st.integers(0, where), st.integers(0, 255)), min_size=1, max_size=8)
    )
    cut = draw(st.none() | st.integers(0, where))
    behind = draw(st.binary(max_size=16))

    def damage(data: bytes) -> bytes:
        damaged = bytearray(data)
        for place, value in changes:
            if place < len(damaged):
                damaged[place] = value
        return bytes(damaged[:cut]) + behind

    return damage


def tries(read: Callable[[], object]) -> None:
    """It is read, or refused in words that say where; and takes little memory and time."""
    message = "there"
    begun = time.process_time()  # which does not count what else the machine is doing
    tracemalloc.start()
    try:
        read()
    except InvalidRequest as error:
        message = error.message
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MOST_MEMORY
    assert time.process_time() - begun < MOST_TIME
    assert "there" in message


@MANY
@given(damage=damages())
def test_gguf(gguf_bytes: bytes, damage: Callable[[bytes], bytes]) -> None:
    listing = Listing(Memory(m__gguf=damage(gguf_bytes)))
    tries(lambda: read_gguf_from(listing, "m.gguf").check_complete())


@MANY
@given(damage=damages(300))
def test_safetensors(safetensors_bytes: bytes, damage: Callable[[bytes], bytes]) -> None:
    listing = Listing(Memory(model__safetensors=damage(safetensors_bytes)))
    tries(lambda: read_safetensors(listing, "model.safetensors"))


@MANY
@given(data=st.binary(max_size=200))
def test_anything_for_weights(data: bytes) -> None:
    listing = Listing(Memory(model__safetensors=data, m__gguf=data))
    tries(lambda: read_safetensors(listing, "model.safetensors"))
    tries(lambda: read_gguf_from(listing, "m.gguf"))


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 1 << 40, 100_000_001])
def test_a_header_that_claims_to_be_huge(length: int) -> None:
    listing = Listing(Memory(model__safetensors=length.to_bytes(8, "little") + b"{}"))
    tries(lambda: read_safetensors(listing, "model.safetensors"))
    with pytest.raises(InvalidRequest, match=f"claims a header of {length} bytes"):
        read_safetensors(listing, "model.safetensors")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, "takes 4 bytes"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, "does not begin where"),
        ({"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}, "unknown type 'X9'"),
        ({"a": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}}, "has the shape"),
        ({"a": {"dtype": "F32", "shape": [1] * 99, "data_offsets": [0, 4]}}, "has the shape"),
        ({"a": {"dtype": "F32", "shape": [2**70], "data_offsets": [0, 4]}}, "takes 4 bytes"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [8, 4]}}, "does not begin where"),
        ({"a": {"dtype": "F32", "shape": [1]}}, "damaged"),
        ({"a": [1]}, "damaged"),
        ([1], "damaged"),
        ({}, "longer than its header says"),
    ],
)
def test_headers_that_contradict_themselves(header: object, reason: str) -> None:
    data = json.dumps(header).encode()
    listing = Listing(Memory(m=len(data).to_bytes(8, "little") + data + bytes(4)))
    with pytest.raises(InvalidRequest, match=reason):
        read_safetensors(listing, "m")


def test_a_header_that_is_nested_deep() -> None:
    data = b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    listing = Listing(Memory(m=len(data).to_bytes(8, "little") + data))
    with pytest.raises(InvalidRequest, match="damaged"):
        read_safetensors(listing, "m")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["factor", "rope_type", "text_config", "model_type", "bits", "0", "path"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
CONFIG_KEYS = (
    *("model_type", "hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size"),
    *("num_key_value_heads", "head_dim", "sliding_window", "layer_types", "rope_scaling"),
    *("quantization_config", "text_config", "thinker_config", "vision_config", "auto_map"),
    *("max_position_embeddings", "id2label", "num_labels", "matryoshka_dims", "pad_token_id"),
    *("attn_layer_period", "attn_layer_offset", "full_attention_interval", "max_window_layers"),
    *("hybrid_override_pattern", "attn_layer_indices", "block_types", "num_kv_shared_layers"),
    *("sliding_window_pattern", "kv_lora_rank", "linear_num_value_heads", "conv_L_cache"),
)
HEADS = (
    *("LlamaForCausalLM", "XLMRobertaForSequenceClassification", "BertModel"),
    *("WhisperForConditionalGeneration",),
)
NUMBERS = st.sampled_from([0, 1, 2, 3, 7, 64, 10**6, 2**33, -1])


@MANY
@given(
    config=st.dictionaries(st.sampled_from(CONFIG_KEYS), VALUES | NUMBERS, max_size=12),
    head=st.sampled_from(HEADS),
    others=st.lists(VALUES, min_size=6, max_size=6),
)
def test_configurations_that_say_anything(
    safetensors_bytes: bytes, config: dict[str, object], head: str, others: list[object]
) -> None:
    names = (
        *("tokenizer_config.json", "preprocessor_config.json", "chat_template.json"),
        *("config_sentence_transformers.json", "sentence_bert_config.json", "quantize_config.json"),
    )
    small = {
        name.replace(".", "__"): json.dumps(value).encode()
        for name, value in zip(names, others, strict=True)
    }
    files = Memory(
        model__safetensors=safetensors_bytes,
        config__json=json.dumps({**config, "architectures": [head]}).encode(),
        **small,
    )
    tries(lambda: inspect_files(files, name="m"))


@MANY
@given(modules=VALUES, step=VALUES, card=st.binary(max_size=100))
def test_modules_that_say_anything(
    safetensors_bytes: bytes, modules: object, step: object, card: bytes
) -> None:
    files = Memory(
        model__safetensors=safetensors_bytes,
        config__json=b'{"architectures": ["BertModel"]}',
        modules__json=json.dumps(modules).encode(),
        README__md=b"---\n" + card + b"\n---\n",
        **{"1_Pooling/config.json": json.dumps(step).encode()},
    )
    tries(lambda: inspect_files(files, name="m"))


@MANY
@given(index=VALUES, part=VALUES)
def test_pipelines_that_say_anything(safetensors_bytes: bytes, index: object, part: object) -> None:
    content = {"_class_name": "FluxPipeline", "unet": part, "x": index}
    files = Memory(
        model_index__json=json.dumps(content).encode(),
        **{
            "unet/config.json": json.dumps(part).encode(),
            "unet/model.safetensors": safetensors_bytes,
        },
    )
    tries(lambda: inspect_files(files, name="m"))


def test_a_file_that_shrinks_while_it_is_read(safetensors_bytes: bytes) -> None:
    class Shrinking(Memory):
        def read(self, name: str, start: int = 0, size: int | None = None) -> bytes:
            return super().read(name, start, min(size or 20, max(0, 20 - start)))

    listing = Listing(Shrinking(m=safetensors_bytes))
    with pytest.raises(InvalidRequest, match=f"has 20 bytes; expected {len(safetensors_bytes)}"):
        read_safetensors(listing, "m")


def test_names_of_files_are_no_paths(tmp_path: Path) -> None:
    """What a file names is looked for among the listed names, and never opened as a path."""
    secret = tmp_path / "secret.json"
    secret.write_text('{"pooling_mode_cls_token": true}')
    model = write_model(tmp_path / "model", {"architectures": ["BertModel"]})
    steps = [{"type": "a.Transformer", "path": ""}, {"type": "a.Pooling", "path": ".."}]
    (model / "modules.json").write_text(json.dumps(steps))
    (tmp_path / "config.json").write_text('{"pooling_mode_cls_token": true}')
    (found,) = inspect_files(LocalFiles(model), name="m")
    assert found.encode is not None
    assert found.encode.pooling == ""
