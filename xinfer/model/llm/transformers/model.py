"""A model that Transformers has loaded, with its adapters."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    GenerationConfig,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from xinfer.errors import InvalidRequest, Unavailable, XinferError
from xinfer.model.llm.transformers.failures import first_line
from xinfer.model.llm.transformers.options import TransformersOptions
from xinfer.model.llm.transformers.quantization import bitsandbytes_config
from xinfer.model.torch_device import choose_device, choose_place, is_no_memory
from xinfer.types.model import LoraAdapter

logger = logging.getLogger(__name__)

_PLANS = ("auto", "balanced", "balanced_low_0", "sequential")
"""Names by which accelerate divides a model."""

_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "typical_p", "repetition_penalty")


class HfModel:
    """The model and what its files say of how it is to be used."""

    def __init__(self, path: Path, options: TransformersOptions, *, code: bool = False) -> None:
        """
        Args:
            code: run the program code that comes with the model.

        Raises:
            InvalidRequest: the files, the architecture or an option is not one that works here.
            Unavailable: there is no memory for it.
        """
        self.path = path
        place = choose_place(options.device, options.torch_dtype)
        self.device, self.dtype = torch.device(place.device), place.dtype
        torch.set_num_threads(options.threads)
        transformers.logging.disable_progress_bar()
        self.config = _read(
            lambda: AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=code),
            path,
            "configuration",
        )
        self.model = self._load(options, code)
        self.model.requires_grad_(False)
        self.model.eval()
        self.generation = _generation_config(path)
        text = self.config.get_text_config()
        self.vocabulary_size: int = text.vocab_size
        self.layer_types: frozenset[str] = frozenset(getattr(text, "layer_types", None) or ())
        self.adapters = self._load_adapters(options.lora)
        self._adapter: str | None = None

    @property
    def architecture(self) -> str:
        return type(self.model).__name__

    @property
    def sees(self) -> bool:
        """Whether it was loaded with what pictures are computed by."""
        return _sees(self.config)

    @property
    def inputs(self) -> frozenset[str]:
        """Names of what its forward takes."""
        return frozenset(inspect.signature(self.model.forward).parameters)

    @property
    def context_length(self) -> int:
        """Tokens that the positions are made for; 0 when the configuration does not say."""
        return int(getattr(self.config.get_text_config(), "max_position_embeddings", 0) or 0)

    @property
    def eos_ids(self) -> frozenset[int]:
        """Tokens that end an output, as the files say."""
        text = self.config.get_text_config()
        found: set[int] = set()
        for ids in (self.generation.get("eos_token_id"), getattr(text, "eos_token_id", None)):
            if ids is not None:
                found |= {ids} if isinstance(ids, int) else set(ids)
        return frozenset(token for token in found if 0 <= token < self.vocabulary_size)

    @property
    def sampling_defaults(self) -> dict[str, float]:
        """What generation_config.json says; greedy where it wants no sampling."""
        given = {name: self.generation[name] for name in _SAMPLING if name in self.generation}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def attention(self) -> str:
        """The name of what computes the attention among tokens."""
        return str(self.model.config.get_text_config()._attn_implementation)

    def exchange_attention(self, name: str) -> None:
        """Compute the attention among tokens by what is registered under this name; that within
        pictures stays as it is."""
        config = self.model.config
        text = config.get_text_config()
        part = next((key for key in config.sub_configs if getattr(config, key) is text), None)
        self.model.set_attn_implementation(name if part is None else {part: name})

    def use_adapter(self, name: str | None) -> None:
        """Compute the next steps with this adapter, or with none."""
        if name == self._adapter:
            return
        if name is None:
            self.model.disable_adapters()
        else:
            self.model.enable_adapters()
            self.model.set_adapter(name)
        self._adapter = name

    def close(self) -> None:
        self.model = None

    def _load(self, options: TransformersOptions, code: bool) -> Any:
        arguments: dict[str, Any] = {
            "local_files_only": True,
            "trust_remote_code": code,
            "use_safetensors": True,
            "dtype": self.dtype,
        }
        if options.attn_implementation is not None:
            arguments["attn_implementation"] = options.attn_implementation
        if options.device_map is not None:
            arguments["device_map"] = _device_map(options.device_map)
        elif self.device.type != "cpu":
            arguments["device_map"] = {"": str(self.device)}
        quantization = bitsandbytes_config(options)
        if quantization is not None:
            arguments["quantization_config"] = quantization
        try:
            kind = AutoModelForImageTextToText if self.sees else AutoModelForCausalLM
            model, report = kind.from_pretrained(self.path, **arguments, output_loading_info=True)
        except XinferError:
            raise
        except Exception as error:  # whatever files and options make the library raise
            if is_no_memory(error):
                raise Unavailable(
                    f"There is no memory for the model in {self.path}: {first_line(error)} Give it "
                    "more devices, or quantise it (load_in_bits).",
                    code="no_capacity",
                ) from error
            raise InvalidRequest(
                f"Transformers {transformers.__version__} cannot load the model in {self.path}: "
                f"{first_line(error)}",
                param="attn_implementation" if _is_about_attention(error) else "model_path",
            ) from error
        missing = sorted(report["missing_keys"])
        if missing:  # they hold random numbers
            raise InvalidRequest(
                f"The files in {self.path} lack {len(missing)} of the weights of "
                f"{type(model).__name__}: {', '.join(missing[:3])}"
                f"{', …' if len(missing) > 3 else ''}. They are incomplete, or for another class.",
                param="model_path",
            )
        return model

    def _load_adapters(self, adapters: Mapping[str, str | LoraAdapter]) -> frozenset[str]:
        for name, given in adapters.items():
            adapter = LoraAdapter(given) if isinstance(given, str) else given
            path = Path(adapter.path).expanduser()
            if not (path / "adapter_config.json").is_file():
                raise InvalidRequest(
                    f"LoRA adapter {name}: {path} has no adapter_config.json; expected a directory "
                    "as PEFT saves one.",
                    param="lora",
                )
            try:
                with warnings.catch_warnings():
                    # That there are several is meant.
                    warnings.filterwarnings("ignore", "Already found a `peft_config`")
                    self.model.load_adapter(str(path), adapter_name=name)
            except Exception as error:  # whatever files make the library raise
                raise InvalidRequest(
                    f"LoRA adapter {name} in {path} cannot be loaded for this model: "
                    f"{first_line(error)}",
                    param="lora",
                ) from error
            if adapter.scale != 1.0:
                for module in self.model.modules():
                    scaling = getattr(module, "scaling", None)
                    if isinstance(scaling, dict) and name in scaling:
                        scaling[name] *= adapter.scale
        if adapters:
            self.model.requires_grad_(False)
            self.model.eval()
            self.model.disable_adapters()
        return frozenset(adapters)


def _sees(config: Any) -> bool:
    kind = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.get(config.model_type)
    return kind is not None and kind in (config.architectures or ())


def _is_about_attention(error: Exception) -> bool:
    text = str(error).lower()
    return "attn_implementation" in text or "flashattention" in text or "flash_attn" in text


def _device_map(given: str | dict[str, int | str]) -> str | dict[str, int | str]:
    """As it was given, its devices checked."""
    if given in _PLANS:
        return given
    if isinstance(given, str):
        try:
            choose_device(given, param="device_map")
        except InvalidRequest as error:
            plans = ", ".join(_PLANS)
            raise InvalidRequest(
                f"{error.message} device_map takes a device, one of {plans}, or an object of parts "
                "of the model and devices.",
                param="device_map",
            ) from error
    else:
        for device in {*given.values()} - {"disk"}:
            name = f"cuda:{device}" if isinstance(device, int) else device
            choose_device(name, param="device_map")
    return given


def _generation_config(path: Path) -> dict[str, Any]:
    if not (path / "generation_config.json").is_file():
        return {}
    config = _read(
        lambda: GenerationConfig.from_pretrained(path, local_files_only=True),
        path,
        "generation_config.json",
    )
    values: dict[str, Any] = config.to_diff_dict()
    return values


def _read(read: Callable[[], Any], path: Path, what: str) -> Any:
    try:
        return read()
    except Exception as error:  # whatever the files make the library raise
        raise InvalidRequest(
            f"The {what} in {path} cannot be read by Transformers {transformers.__version__}: "
            f"{first_line(error)}",
            param="model_path",
        ) from error
