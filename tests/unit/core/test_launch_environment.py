"""What a launch may bring for its replicas' processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from xinfer.core.launch_environment import check_environment, check_envs, check_packages
from xinfer.errors import InvalidRequest
from xinfer.settings import Settings
from xinfer.types.deployment import LaunchSpec

SETTINGS = Settings(allowed_envs="MY_FLAG, OTHER")


@pytest.mark.parametrize(
    "name",
    [
        "LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP", "PATH", "HOME", "BASH_ENV",
        "XINFERENCE_HOME", "XOSCAR_DIR", "HF_TOKEN", "HF_ENDPOINT", "HF_HOME", "HTTPS_PROXY",
        "CUDA_VISIBLE_DEVICES", "CUDA_INJECTION64_PATH", "NCCL_NET_PLUGIN", "NCCL_CONF_FILE",
        "GGML_BACKEND_PATH", "OMP_TOOL_LIBRARIES", "VLLM_PLUGINS", "VLLM_LOGGING_CONFIG_PATH",
        "VLLM_ALLOW_INSECURE_SERIALIZATION", "TRANSFORMERS_CACHE", "A", "omp_num_threads", "",
        "OMP_NUM_THREADS\n", "OMP_A=B",
    ],
)  # fmt: skip
def test_a_variable_that_can_load_code_or_speak_to_somebody_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="XINFERENCE_ALLOWED_ENVS") as raised:
        check_envs({name: "1"}, SETTINGS)
    assert raised.value.param == "envs"


def test_variables_of_libraries_that_compute_pass_and_the_administrators() -> None:
    names = (
        "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VLLM_ATTENTION", "VLLM_CPU_KVCACHE_SPACE",
        "PYTORCH_CUDA_ALLOC_CONF", "CUDA_LAUNCH_BLOCKING", "NCCL_DEBUG", "HF_HUB_OFFLINE", "TZ",
        "TOKENIZERS_PARALLELISM", "MY_FLAG", "OTHER",
    )  # fmt: skip
    check_envs(dict.fromkeys(names, "1"), SETTINGS)


@pytest.mark.parametrize("value", ["x" * 5000, "a\0b"])
def test_a_value_is_bounded(value: str) -> None:
    with pytest.raises(InvalidRequest):
        check_envs({"OMP_NUM_THREADS": value}, SETTINGS)


def test_packages_are_names_with_versions() -> None:
    check_packages(["peft", "transformers==5.2.0", "a.b[x,y] >= 1, <2", "torch~=2.8", "x==1.*"])
    for package in (
        "--index-url=http://x", "-e .", "git+https://x/y", "./x.whl", "/x.whl", "a @ file:///x",
        "a; import os", "a b", "", "a==", "x" * 300, "a\n--pre",
    ):  # fmt: skip
        with pytest.raises(InvalidRequest) as raised:
            check_packages([package])
        assert raised.value.param == "virtual_env_packages"
    with pytest.raises(InvalidRequest):
        check_packages(["a"] * 101)


def test_a_launch_is_checked_as_a_whole(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path))

    def refused(settings: Settings, **fields: object) -> str | None:
        with pytest.raises(InvalidRequest) as raised:
            check_environment(LaunchSpec(model_name="m", **fields), settings)  # type: ignore[arg-type]
        return raised.value.param

    assert refused(settings, envs={"PATH": "/x"}) == "envs"
    assert refused(settings, find_links=("/x",)) == "virtual_env_find_links"
    assert refused(settings, packages=("a",), find_links=("/x",)) == "virtual_env_find_links"
    off = Settings(home=str(tmp_path), enable_virtual_env=False)
    assert refused(off, packages=("a",)) == "virtual_env_packages"
    wheels = str(tmp_path / "wheels" / "mine")
    check_environment(LaunchSpec(model_name="m", packages=("a",), find_links=(wheels,)), settings)
    other = Settings(home=str(tmp_path), find_links_roots="/srv/wheels:/opt")
    spec = LaunchSpec(model_name="m", packages=("a",), find_links=("/opt/x", "/srv/wheels"))
    check_environment(spec, other)
