"""The bodies of the management routes."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field, with_config
from typing_extensions import NotRequired, TypedDict

from xinfer.api.schemas.base import Body, Neutral, only
from xinfer.errors import InvalidRequest
from xinfer.types.deployment import AUTO, LaunchSpec, Place
from xinfer.types.model import LoraAdapter

_closed = with_config(ConfigDict(extra="forbid", strict=True, allow_inf_nan=False))


def _size(value: Any) -> Any:
    """Sizes come as numbers and as text, `0_5` for 0.5."""
    if isinstance(value, str):
        try:
            return float(value.replace("_", "."))
        except ValueError:
            return value
    return value


@_closed
class ReplicaDevice(TypedDict, total=False):
    """The worker of a replica, and which of its accelerators."""

    worker_ip: str | None
    n_gpu: int | str | None
    gpu_idx: int | list[int] | None


@_closed
class ReplicaPlace(TypedDict):
    """Where one replica runs."""

    replica_uid: NotRequired[str | None]
    devices: Annotated[list[ReplicaDevice], Field(min_length=1, max_length=1)]


@_closed
class LoraModule(TypedDict):
    """A LoRA adapter: requests choose it by `lora_name`."""

    lora_name: Annotated[str, Field(min_length=1, max_length=100)]
    local_path: Annotated[str, Field(min_length=1, max_length=4096)]
    scale: NotRequired[float]


@_closed
class PeftModelConfig(TypedDict, total=False):
    """Adapters to load beside the model."""

    lora_list: list[LoraModule] | None
    image_lora_load_kwargs: dict[str, Any] | None
    image_lora_fuse_kwargs: dict[str, Any] | None


_LORA_KWARGS: dict[str, tuple[str, ...]] = {
    "image_lora_load_kwargs": (),
    "image_lora_fuse_kwargs": ("lora_scale",),
}
"""What is known of the arguments that Xinference hands to diffusers."""


class LaunchBody(Body):
    """A model to launch. Fields that are not listed are options of its engine."""

    model_name: str = Field(
        min_length=1,
        max_length=4096,
        description="A name of the catalogue (`qwen2.5-instruct`, `qwen2.5-instruct:7b`), a "
        "repository (`owner/name`, `hf:owner/name:Q4_K_M`, `ms:owner/name@revision`, its address), "
        "or the path of a .gguf file or model directory.",
    )
    model_uid: str | None = Field(
        None, description="Name to call it by; the model's own name where it is free."
    )
    aliases: list[str] | None = Field(
        None,
        description="Further names that requests may give, such as `gpt-4o-mini` for clients that "
        "know no other.",
    )
    model_type: str | None = Field(
        None,
        description="LLM, embedding, rerank, image or audio; the model's own when left out, and "
        "for LLM, which clients send whatever the model is.",
    )
    model_engine: str | None = Field(
        None, description="Engine to run it on; the best that can when left out."
    )
    model_format: str | None = Field(
        None, description="ggufv2, pytorch, gptq, …; what suits the machines when left out."
    )
    model_size_in_billions: Annotated[float | None, BeforeValidator(_size)] = Field(
        None, description="7, 1.8 or 0_5; the smallest when left out."
    )
    quantization: str | None = Field(
        None,
        description="Q4_K_M, Int4, …; 4-bit and 8-bit quantise a model in PyTorch's format while "
        "it loads.",
    )
    model_path: str | None = Field(
        None, description="Path on the server of the model's files; nothing is downloaded then."
    )
    replica: int = Field(1, ge=1, le=1024)
    max_queue: int | None = Field(
        None, ge=0, le=10**6, description="Requests that may wait for a slot, in all replicas."
    )
    exist_ok: bool = Field(
        False,
        description="Leave a model of this uid and name alone that is there already, instead of "
        "refusing; without a uid, it is the model's own name.",
    )
    n_gpu: int | str | None = Field(
        AUTO,
        description='Accelerators of each replica; null runs it on processors, "auto" on what '
        "there is.",
    )
    n_worker: int | None = None
    gpu_idx: int | list[int] | None = Field(
        None, description="The accelerators of all replicas, in equal parts."
    )
    worker_ip: str | None = Field(None, description="The only worker to use, by host or address.")
    replica_config: list[ReplicaPlace] | None = Field(
        None, description="A place for each replica, instead of the fields above."
    )
    worker_labels: dict[str, str] | None = Field(
        None, description="Labels that a worker has to have, all of them."
    )
    priority: int = Field(
        0,
        ge=-(10**6),
        le=10**6,
        description="Where room is short, or not everything may load at once, the larger one "
        "comes first. Nothing that runs is ended for it.",
    )
    request_limits: int | None = Field(
        None,
        ge=0,
        le=10**6,
        description="Requests at once in all replicas, running and waiting; one more is answered "
        "429. Without it, or with 0, `max_queue` alone bounds them.",
    )
    keep_alive: int | float | str | None = None
    peft_model_config: PeftModelConfig | None = Field(
        None, description="LoRA adapters, for engines that have them."
    )
    download_hub: str | None = Field(
        None, description="huggingface or modelscope; auto asks both, in this order."
    )
    enable_virtual_env: bool | None = Field(
        None, description="False runs the model without `virtual_env_packages`."
    )
    virtual_env_packages: list[str] | None = Field(
        None, description="Requirements for the model's processes, such as `peft==0.17`."
    )
    virtual_env_find_links: list[str] | None = Field(
        None, description="Directories of the server that packages may be had from."
    )
    envs: dict[str, str] | None = Field(
        None, description="Environment variables of the model's processes, of an allow-list."
    )
    enable_thinking: bool | None = Field(
        None, description="Whether the model thinks where a request does not say so."
    )
    reasoning_content: bool | None = Field(
        None, description="False leaves thoughts in the text of answers, with their tags."
    )
    tool_call_parser: str | None = Field(
        None, description="How the model writes calls, where its chat template does not tell."
    )
    reasoning_parser: str | None = Field(
        None, description="How the model marks thoughts, where its chat template does not tell."
    )
    tool_call_deltas: bool | None = Field(
        None, description="Tell calls in pieces in streams, as OpenAI does."
    )
    trust_remote_code: bool | None = Field(
        None,
        description="False never runs program code that comes with the model. True has no effect: "
        "only the server's administrator can allow it.",
    )

    unsupported: ClassVar[Mapping[str, Neutral]] = {
        "n_worker": only(1),
        "keep_alive": only(-1, "-1"),
    }

    def spec(self) -> LaunchSpec:
        """The launch as the control plane hears of it; unknown fields are engine options.

        Raises:
            InvalidRequest: two adapters of one name, or what only image models have.
        """
        has_packages = self.enable_virtual_env is not False
        return LaunchSpec(
            model_name=self.model_name,
            model_uid=self.model_uid,
            aliases=tuple(self.aliases or ()),
            model_type=self.model_type,
            model_engine=self.model_engine,
            model_format=self.model_format,
            model_size_in_billions=self.model_size_in_billions,
            quantization=self.quantization,
            model_path=self.model_path,
            download_hub=self.download_hub,
            trust_remote_code=self.trust_remote_code,
            envs=self.envs or {},
            packages=tuple(self.virtual_env_packages or ()) if has_packages else (),
            find_links=tuple(self.virtual_env_find_links or ()) if has_packages else (),
            replica=self.replica,
            max_queue=self.max_queue,
            request_limits=self.request_limits,
            n_gpu=self.n_gpu,
            gpu_idx=_indices(self.gpu_idx),
            worker_ip=self.worker_ip or None,
            replica_config=tuple(place_of(each) for each in self.replica_config or ()),
            worker_labels=self.worker_labels or {},
            priority=self.priority,
            adapters=self._adapters(),
            enable_thinking=self.enable_thinking,
            reasoning_content=self.reasoning_content is not False,
            tool_call_parser=self.tool_call_parser or "",
            reasoning_parser=self.reasoning_parser or "",
            tool_call_deltas=bool(self.tool_call_deltas),
            options=dict(self.model_extra or {}),
        )

    def _adapters(self) -> dict[str, LoraAdapter]:
        config = self.peft_model_config or {}
        scale = 1.0
        for field, known in _LORA_KWARGS.items():
            given: dict[str, Any] = config.get(field) or {}  # type: ignore[assignment]
            if unknown := sorted(given.keys() - known):
                raise InvalidRequest(
                    f"`{field}` has {', '.join(unknown)}, which has no counterpart here. Expected: "
                    f"{', '.join(known) or 'nothing'}; `lora_list` says the rest.",
                    code="unsupported_parameter",
                    param=f"peft_model_config.{field}",
                )
            scale = given.get("lora_scale", scale)
        if not isinstance(scale, int | float):
            raise InvalidRequest(
                "`lora_scale` should be a number.",
                param="peft_model_config.image_lora_fuse_kwargs",
            )
        adapters: dict[str, LoraAdapter] = {}
        for module in config.get("lora_list") or ():
            name = module["lora_name"]
            if name in adapters:
                raise InvalidRequest(
                    f"Two LoRA adapters are called {name!r}; requests tell them by their names.",
                    param="peft_model_config.lora_list",
                )
            adapters[name] = LoraAdapter(module["local_path"], module.get("scale", scale))
        return adapters


def _indices(given: int | list[int] | None) -> tuple[int, ...]:
    return (given,) if isinstance(given, int) else tuple(given or ())


def place_of(given: ReplicaPlace) -> Place:
    """The same as the control plane hears of it."""
    (device,) = given["devices"]
    return Place(
        worker=device.get("worker_ip") or "",
        n_gpu=device.get("n_gpu", AUTO),
        gpu_idx=_indices(device.get("gpu_idx")),
        replica_uid=given.get("replica_uid"),
    )


class AbortBody(Body):
    """Nothing is needed to abort a request."""
