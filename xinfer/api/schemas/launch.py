"""The bodies of the management routes."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from xinfer.api.schemas.base import Body, Neutral, always, only
from xinfer.types.deployment import LaunchSpec


def _size(value: Any) -> Any:
    """Sizes come as numbers and as text, `0_5` for 0.5."""
    if isinstance(value, str):
        try:
            return float(value.replace("_", "."))
        except ValueError:
            return value
    return value


class LaunchBody(Body):
    """A model to launch. Fields that are not listed are options of its engine."""

    model_name: str = Field(
        min_length=1,
        max_length=4096,
        description="A name of the catalogue, or the path of a .gguf file or model directory.",
    )
    model_uid: str | None = Field(
        None, description="Name to call it by; the model's own name where it is free."
    )
    model_type: str | None = Field(None, description="LLM; read from the model when left out.")
    model_engine: str | None = Field(
        None, description="Engine to run it on; the best that can when left out."
    )
    model_format: str | None = None
    model_size_in_billions: Annotated[float | None, BeforeValidator(_size)] = None
    quantization: str | None = None
    model_path: str | None = None
    replica: int = Field(1, ge=1, le=1024)
    max_queue: int | None = Field(
        None, ge=0, le=10**6, description="Requests that may wait for a slot, in all replicas."
    )
    n_gpu: int | str | None = None
    n_worker: int | None = None
    gpu_idx: int | list[int] | None = None
    worker_ip: str | None = None
    replica_config: list[dict[str, Any]] | None = None
    request_limits: int | None = None
    keep_alive: int | float | str | None = None
    peft_model_config: dict[str, Any] | None = None
    download_hub: str | None = None
    enable_virtual_env: bool | None = None
    virtual_env_packages: list[str] | None = None
    virtual_env_find_links: list[str] | None = None
    envs: dict[str, str] | None = None
    enable_thinking: bool | None = None
    trust_remote_code: bool | None = None

    unsupported: ClassVar[Mapping[str, Neutral]] = {
        "n_gpu": only("auto"),
        "n_worker": only(1),
        "gpu_idx": only([]),
        "worker_ip": only(""),
        "replica_config": only([]),
        "request_limits": only(),
        "keep_alive": only(-1, "-1"),
        "peft_model_config": only({}),
        "download_hub": only("auto"),
        "enable_virtual_env": only(False),
        "virtual_env_packages": only([]),
        "virtual_env_find_links": only([]),
        "envs": only({}),
        "enable_thinking": only(False),
        # Clients send it by default; no engine here runs a model's own code, whatever it says.
        "trust_remote_code": always,
    }

    def spec(self) -> LaunchSpec:
        """The launch as the control plane hears of it; unknown fields are engine options."""
        return LaunchSpec(
            model_name=self.model_name,
            model_uid=self.model_uid,
            model_type=self.model_type,
            model_engine=self.model_engine,
            model_format=self.model_format,
            model_size_in_billions=self.model_size_in_billions,
            quantization=self.quantization,
            model_path=self.model_path,
            replica=self.replica,
            max_queue=self.max_queue,
            # Left out, or "auto": whatever is there. An explicit null: none of it.
            cpu_only="n_gpu" in self.model_fields_set and self.n_gpu is None,
            options=dict(self.model_extra or {}),
        )


class AbortBody(Body):
    """Nothing is needed to abort a request."""
