"""`cal-model-mem`: what a model will take, printed as Xinference prints it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.support.model_dirs import decoder_tensors, write_model
from xinfer.deploy.cli import main

LINES = re.compile(
    r"model_name: (?P<name>.*)\n"
    r"kv_cache_dtype: (?P<bits>8|16|32)\n"
    r"model size: (?P<size>\d+\.\d) B\n"
    r"quant: (?P<quant>\S+)\n"
    r"context: (?P<context>\d+)\n"
    r"gpu mem usage:\n"
    r"  model mem: (?P<weights>\d+) MB\n"
    r"  kv_cache: (?P<cache>\d+) MB\n"
    r"  overhead: (?P<overhead>\d+) MB\n"
    r"  active: (?P<active>\d+) MB\n"
    r"  total: (?P<total>\d+) MB \((?P<gb>\d+) GB\)\n"
)
QWEN = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "max_position_embeddings": 32768,
}


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["cal-model-mem", *words])


def figures(*words: str) -> dict[str, str]:
    result = run(*words)
    assert result.exit_code == 0, result.output
    lines = LINES.fullmatch(result.stdout)
    assert lines is not None, result.stdout
    return lines.groupdict()


def test_a_size_alone_is_enough() -> None:
    found = figures("-s", "7", "-f", "gptq", "-q", "Int4", "-c", "16384")
    assert (found["name"], found["size"], found["quant"]) == ("None", "7.0", "Int4")
    assert (found["bits"], found["context"]) == ("16", "16384")
    assert 3500 < int(found["weights"]) < 5000
    assert 8000 < int(found["cache"]) < 9500
    parts = [int(found[key]) for key in ("weights", "cache", "overhead", "active")]
    assert abs(sum(parts) - int(found["total"])) <= len(parts)
    assert int(found["gb"]) == -(-int(found["total"]) // 1024)


@pytest.mark.parametrize(("text", "size"), [("0_5", "0.5"), ("1.8", "1.8"), ("72", "72.0")])
def test_sizes_are_written_as_in_the_catalogue(text: str, size: str) -> None:
    assert figures("-s", text, "-f", "pytorch", "-c", "100")["size"] == size


def test_the_cache_goes_by_its_bits_and_the_context() -> None:
    plain = ["-s", "7", "-f", "pytorch", "-c", "8192"]
    cache = int(figures(*plain)["cache"])
    assert int(figures(*plain, "--kv-cache-dtype", "8")["cache"]) == pytest.approx(cache / 2, abs=1)
    assert int(figures(*plain, "--kv-cache-dtype", "32")["cache"]) == pytest.approx(
        2 * cache, abs=1
    )
    assert int(figures(*plain[:-1], "16384")["cache"]) == pytest.approx(2 * cache, abs=1)


def test_the_files_of_a_model_tell_everything(tmp_path: Path) -> None:
    tensors = decoder_tensors(24, 896, key=128, vocab=151936, inner=4864, tied=True)
    write_model(tmp_path, QWEN, tensors)
    found = figures("-n", str(tmp_path))
    assert (found["size"], found["quant"], found["context"]) == ("0.5", "None", "32768")
    assert int(found["weights"]) == (tmp_path / "model.safetensors").stat().st_size >> 20
    assert int(found["cache"]) == 24 * 2 * 128 * 2 * 32768 >> 20


def test_a_name_of_the_catalogue() -> None:
    found = figures("-n", "tiny-chat", "-f", "gguf")
    assert (found["name"], found["quant"], found["context"]) == ("tiny-chat", "F16", "2048")
    assert int(found["weights"]) == 4


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([], "Give --model-name or --size-in-billions"),
        (["-s", "7"], "Give --context-length"),
        (["-s", "much", "-c", "1"], "'much' is no size"),
        (["-s", "-3", "-c", "1"], "'-3' is no size"),
        (["-s", "7", "-c", "0"], "0 is not in the range"),
        (["-n", "no-such-model"], "There is no model 'no-such-model'"),
        (["-n", "/no/such/place"], "There is no file or directory"),
        (["-n", "tiny-chat", "-q", "Q9_Z"], "tiny-chat is not there so; it is as: ggufv2 F16"),
    ],
)
def test_refusals(words: list[str], reason: str) -> None:
    result = run(*words)
    assert result.exit_code != 0
    assert reason in result.stderr
