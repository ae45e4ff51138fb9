"""What is this engine's own: which models it takes, loading, failing, adapters."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.token_engine import driving
from tests.unit.model.llm.transformers.conftest import MakeModel
from xinfer.model.engine import find_engine, parse_options
from xinfer.model.inspect.model import inspect_path
from xinfer.model.llm.transformers.engine import TransformersEngine
from xinfer.types.model import Loaded, ModelSpec, Progress

pytestmark = pytest.mark.anyio

LLAMA = ModelSpec(name="m", format="pytorch", architecture="LlamaForCausalLM")


def made(path: Path, **options: Any) -> TransformersEngine:
    engine, kind = find_engine("Transformers")
    given = {"n_threads": 1, "max_model_len": 256, **options}
    found = kind(inspect_path(str(path)), parse_options(kind, engine, given))
    assert isinstance(found, TransformersEngine)
    return found


def load(path: Path, **options: Any) -> Loaded:
    engine = made(path, **options)
    try:
        return engine.load(lambda _: None)
    finally:
        engine.close()


def test_it_takes_language_models_that_the_library_has_code_for() -> None:
    support = TransformersEngine.support
    assert support(LLAMA).ok
    assert "of type embedding" in support(msgspec.structs.replace(LLAMA, type="embedding")).reason
    assert "formats pytorch" in support(msgspec.structs.replace(LLAMA, format="ggufv2")).reason
    unknown = support(msgspec.structs.replace(LLAMA, architecture="QWenLMHeadModel"))
    assert not unknown.ok
    assert "has no language model QWenLMHeadModel" in unknown.reason


def test_without_its_packages_it_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xinfer.model.llm.transformers.engine.find_spec", lambda _: None)
    support = TransformersEngine.support(LLAMA)
    assert (support.reason, support.extra) == (
        "the package torch is not installed",
        "transformers",
    )
    assert TransformersEngine.accelerators() is None


def test_asking_it_imports_nothing_heavy() -> None:
    code = (
        "import sys; from xinfer.model.llm.transformers.engine import TransformersEngine as E; "
        "from xinfer.types.model import ModelSpec; E.support(ModelSpec(name='m', format='pytorch',"
        " architecture='LlamaForCausalLM')); E.accelerators(); E.estimate(ModelSpec(name='m', "
        "size_in_billions=1.0), E.options()()); "
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_loading_shows_progress_and_describes_the_model(make_model: MakeModel) -> None:
    engine = made(make_model("llama"))
    seen: list[Progress] = []
    loaded = engine.load(seen.append)
    engine.close()
    assert [one.fraction for one in seen] == sorted(one.fraction for one in seen)
    assert seen[-1].fraction == 1.0
    assert (loaded.context_length, loaded.concurrency, loaded.backend) == (256, 32, "cpu")
    assert loaded.details["architecture"] == "LlamaForCausalLM"
    assert loaded.details["dtype"] == "float32"


def test_a_length_beyond_the_models_own_is_not_promised(make_model: MakeModel) -> None:
    own = json.loads((make_model("llama") / "config.json").read_text())["max_position_embeddings"]
    assert load(make_model("llama"), max_model_len=own + 1).context_length == own


async def test_the_cache_grows_with_the_longest_request(make_model: MakeModel) -> None:
    path = make_model("llama")
    engine = made(path, max_model_len=1500, max_num_seqs=2)
    async with driving(engine, inspect_path(str(path))) as driver:
        short = await driver.ask([5, 6, 7], 8)
        long = await driver.ask([5, 6, 7] * 400, 200)
        again, both = await asyncio.gather(
            driver.ask([5, 6, 7], 8), driver.ask([5, 6, 7] * 400, 200)
        )
    assert again.ids == short.ids
    assert both.ids == long.ids


OWN_CODE = """
from transformers import LlamaConfig, LlamaForCausalLM

class OwnConfig(LlamaConfig):
    model_type = "own"

class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""


async def test_a_models_own_code_is_run_only_where_the_library_has_none_for_it(
    make_model: MakeModel, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(make_model("llama"), tmp_path / "own"))
    (path / "own_code.py").write_text(OWN_CODE)
    config = json.loads((path / "config.json").read_text())
    classes = {
        "AutoConfig": "own_code.OwnConfig",
        "AutoModelForCausalLM": "own_code.OwnForCausalLM",
    }
    own = {"auto_map": classes, "model_type": "own", "architectures": ["OwnForCausalLM"]}
    (path / "config.json").write_text(json.dumps(config | own))
    spec = inspect_path(str(path))
    assert spec.remote_code == ("own_code.py",)
    support = TransformersEngine.support(spec)
    assert (support.ok, support.runs_code) == (True, True)
    known = msgspec.structs.replace(spec, architecture="LlamaForCausalLM")
    assert not TransformersEngine.support(known).runs_code
    without = msgspec.structs.replace(spec, remote_code=())
    assert "has no language model OwnForCausalLM" in TransformersEngine.support(without).reason
    async with driving(made(path), spec) as driver:
        ids = (await driver.ask([5, 6, 7], 8)).ids
    plain = make_model("llama")
    async with driving(made(plain), inspect_path(str(plain))) as driver:
        assert (await driver.ask([5, 6, 7], 8)).ids == ids
