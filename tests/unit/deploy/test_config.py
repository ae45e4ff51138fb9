"""The file of declared models: what it may say, and how its errors are told."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from tests.unit.deploy.test_local import run
from xinfer.deploy import config, config_check
from xinfer.deploy.config_check import BadFile, read_file
from xinfer.errors import Unavailable
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.custom import CustomEntry
from xinfer.model.catalog.schema import Variant
from xinfer.types.deployment import LaunchSpec, Place


def written(directory: Path, text: str) -> str:
    path = directory / "models.yaml"
    path.write_text(text)
    return str(path)


def findings(directory: Path, text: str) -> list[str]:
    path = written(directory, text)
    with pytest.raises(BadFile) as caught:
        read_file(path)
    assert all(finding.startswith(path) for finding in caught.value.findings)
    return [finding.removeprefix(path) for finding in caught.value.findings]


def test_entries_are_launches_with_the_fields_of_the_api(tmp_path: Path) -> None:
    text = """
# What this machine serves
models:
  - model_name: echo
  - model_name: echo
    model_uid: two
    model_engine: echo
    replica: 2
    max_queue: 10
    replica_config:
      - devices: [{worker_ip: 10.0.0.2, gpu_idx: 0}]
      - devices: [{n_gpu: null}]
    token_interval: 0.5
"""
    assert read_file(written(tmp_path, text)) == [
        LaunchSpec(model_name="echo", model_uid="echo"),
        LaunchSpec(
            model_name="echo",
            model_uid="two",
            model_engine="echo",
            replica=2,
            max_queue=10,
            replica_config=(Place(worker="10.0.0.2", gpu_idx=(0,)), Place(n_gpu=None)),
            options={"token_interval": 0.5},
        ),
    ]


def test_a_file_may_declare_nothing(tmp_path: Path) -> None:
    assert read_file(written(tmp_path, "models: []\n")) == []


def test_everything_that_is_wrong_is_told_by_entry_and_field(tmp_path: Path) -> None:
    text = """
models:
  - {model_name: echo, replica: two, max_queue: -1}
  - {model_nam: echo}
  - {model_name: no-such-model}
  - {model_name: echo, model_uid: c, colour: red}
  - {model_name: echo, model_uid: a/b}
  - {model_name: echo, model_uid: twice}
  - {model_name: echo, model_uid: twice}
  - {model_name: echo, model_uid: d, gpu_idx: [0, 1, 2], replica: 2}
  - {model_name: echo, model_uid: e, replica_config: [{devices: [{gpu: 1}]}]}
  - {model_name: echo, model_uid: f, n_worker: 2}
  - {model_name: echo, model_uid: g, exist_ok: true}
  - echo
model: []
"""
    expected = [
        (", model", "only `models`"),
        (", entry 1 (echo), replica", "valid integer"),
        (", entry 1 (echo), max_queue", "greater than or equal to 0"),
        (", entry 2, model_name", "required"),
        (", entry 3 (no-such-model), model_name", "There is no model 'no-such-model'"),
        (", entry 4 (c), colour", "Its options: "),
        (", entry 5 (a/b), model_uid", "'/'"),
        (", entry 7 (twice), model_uid", "earlier entry"),
        (", entry 8 (d), gpu_idx", "multiple of replica"),
        (", entry 9 (e), replica_config.0.devices.0.gpu", "not permitted"),
        (", entry 10 (f), n_worker", "not supported"),
        (", entry 11 (g), exist_ok", "leave it out"),
        (", entry 12", "no launch"),
    ]
    found = findings(tmp_path, text)
    assert [finding.partition(": ")[0] for finding in found] == [where for where, _ in expected]
    for finding, (_, what) in zip(found, expected, strict=True):
        assert what in finding
        assert "\n" not in finding


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("models: [", "it is not YAML: "),
        ("\xff\x00", "it is not YAML: "),
        ("models:\n  - {model_name: a, model_name: b}\n", "the key 'model_name' comes twice"),
        ("models:\n  - {1: a}\n", "a key that is not a text"),
        ("models: !!python/object/apply:os.system [true]", "could not determine a constructor"),
        ("- model_name: echo\n", "expected `models:` and a list"),
        ("", "expected `models:` and a list"),
        ("models: {a: 1}", "expected `models:` and a list"),
    ],
)
def test_what_is_no_such_file_is_said_in_one_line(
    tmp_path: Path, text: str, complaint: str
) -> None:
    (finding,) = findings(tmp_path, text)
    assert complaint in finding
    assert "\n" not in finding


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"nothing\.yaml: it cannot be read \(No such file"):
        read_file(str(tmp_path / "nothing.yaml"))


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("0_5", "0_5"),
        ("1_000", "1_000"),
        ("no", "no"),
        ("010", 10),
        ("2026-01-01", "2026-01-01"),
        ("true", True),
        ("~", None),
        ("-1.5e3", -1500.0),
        ("7", 7),
        ("12:30", "12:30"),
        ("'7'", "7"),
    ],
)
def test_scalars_are_those_of_todays_yaml(
    tmp_path: Path, scalar: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_check, "resolve", lambda spec, catalogue: None)
    text = f"models:\n  - {{model_name: echo, option: {scalar}}}\n"
    (spec,) = read_file(written(tmp_path, text))
    assert spec.options == {"option": value}
    assert type(spec.options["option"]) is type(value)


def test_relative_paths_are_those_of_the_files_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_check, "resolve", lambda spec, catalogue: None)
    monkeypatch.chdir("/")
    text = """
models:
  - model_name: chat
    model_path: weights/chat.gguf
    multimodal_projector: ../eyes.gguf
    peft_model_config: {lora_list: [{lora_name: a, local_path: ./a}]}
  - model_name: /elsewhere/other.gguf
  - model_name: ~/mine.gguf
"""
    chat, other, mine = read_file(written(tmp_path, text))
    assert chat.model_path == f"{tmp_path}/weights/chat.gguf"
    assert chat.options == {"multimodal_projector": f"{tmp_path.parent}/eyes.gguf"}
    assert chat.adapters["a"].path == f"{tmp_path}/a"
    assert (other.model_name, other.model_uid) == ("/elsewhere/other.gguf", "other")
    assert mine.model_name == "~/mine.gguf"


def test_what_is_only_not_to_be_had_now_does_not_keep_the_server_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def resolve(spec: LaunchSpec, catalogue: object) -> None:
        raise Unavailable("The hub does not answer.")

    monkeypatch.setattr(config_check, "resolve", resolve)
    (spec,) = read_file(written(tmp_path, "models: [{model_name: echo}]"))
    assert spec.model_uid == "echo"
    assert capsys.readouterr().err == "echo: The hub does not answer.\n"


def test_launches_come_out_of_the_process_that_checks(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        launches = config.read(written(tmp_path, "models: [{model_name: echo, replica: 2}]"))
    assert launches == [{"model_name": "echo", "model_uid": "echo", "replica": 2}]
    assert caplog.text == ""


def test_a_wrong_file_ends_the_start_with_a_line_for_each_finding(tmp_path: Path) -> None:
    path = written(tmp_path, "models:\n  - {model_name: echo, replica: 0}\n  - {model_name: eco}\n")
    by_option = run("--config", path, "-p", "0")
    assert by_option.returncode == 1
    one, two = by_option.stderr.splitlines()
    assert one.startswith(f"xinference-local: {path}, entry 1 (echo), replica: ")
    assert two.startswith(f"xinference-local: {path}, entry 2 (eco), model_name: There is no model")
    by_variable = run("-p", "0", XINFERENCE_CONFIG=path)
    assert (by_variable.returncode, by_variable.stderr) == (1, by_option.stderr)


def test_a_declared_model_may_be_a_registered_one(tmp_path: Path) -> None:
    mine = CustomEntry(name="mine", type="LLM", variants=(Variant(),), abilities=("chat",))
    text = "models:\n  - model_name: mine\n    model_engine: echo\n"
    with pytest.raises(BadFile, match="no model 'mine'"):
        read_file(written(tmp_path, text))
    (spec,) = read_file(written(tmp_path, text), Catalogue([mine]))
    assert spec.model_uid == "mine"
