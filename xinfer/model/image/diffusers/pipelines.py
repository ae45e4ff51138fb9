"""The pipelines of a repository: its own, and what can be made of its parts for other tasks."""

from __future__ import annotations

import inspect
import json
import math
import re
from pathlib import Path
from typing import Any

from xinfer.errors import EngineFailed, InvalidRequest
from xinfer.model.image.diffusers.options import DiffusersOptions
from xinfer.model.image.diffusers.schedulers import names_for
from xinfer.model.inspect.weights import PICKLES
from xinfer.types.model import LoraAdapter, ModelSpec

TASKS = ("text2image", "image2image", "inpainting")

_SIDES = 8
"""What most pipelines want sides to be multiples of, however much their decoder enlarges."""
_DEFAULTS = ("guidance_scale", "num_inference_steps", "strength")
_TOKENIZERS = ("tokenizer", "tokenizer_2", "tokenizer_3", "tokenizer_4")
_VARIANT = re.compile(
    r"(?:diffusion_pytorch_)?model\.([a-z][\w-]*?)(?:-\d{5}-of-\d{5})?\.safetensors"
)
_PLAIN = re.compile(r"(?:diffusion_pytorch_)?model(?:-\d{5}-of-\d{5})?\.safetensors")


class Pipelines:
    """One for each task; they share the parts.

    Args:
        device: cpu, cuda or mps.
        dtype: a torch.dtype.

    Raises:
        InvalidRequest: the files are not what they have to be, or an option asks for what is not
            there.
    """

    def __init__(self, spec: ModelSpec, options: DiffusersOptions, device: str, dtype: Any) -> None:
        self._device = device
        _be_quiet()
        own = _load(spec, options, dtype)
        own.set_progress_bar_config(disable=True)
        for name, adapter in options.lora.items():
            _add_adapter(own, name, adapter)
        self.own_scheduler = own.scheduler
        self._adapters = {name: one.scale for name, one in options.lora.items()}
        self._place(own, options)
        self.plain = _by_task(own, spec)
        """Task → pipeline."""
        self.controlled: dict[str, Any] = {}
        """The same for pictures that the ControlNets see to."""
        if options.controlnets:
            nets = [_controlnet(path, dtype).to(device) for path in options.controlnets]
            net = nets[0] if len(nets) == 1 else nets
            self.controlled = _by_task(own, spec, controlnet=net)
            if not self.controlled:
                raise InvalidRequest(
                    f"diffusers has no pipeline of {type(own).__name__} with a ControlNet. Leave "
                    "controlnet out.",
                    param="controlnet",
                )
        self.own = own
        said = _generation_config(Path(spec.path))
        self.defaults = {name: said[name] for name in _DEFAULTS if name in said}
        """What a request and the launch do not say, by the pipelines' names."""
        native = options.native_pixels or said.get("native_pixels")
        self.native_pixels = int(native) if native else None
        """Above which pictures are drawn smaller, and enlarged."""
        self.scheduler_names = names_for(own.scheduler)
        self.controls = len(options.controlnets)
        """ControlNets, each of which takes a picture."""

    def prompt_tokens(self, prompt: str) -> tuple[int, int]:
        """Of the prompt, by the tokenizer that takes most of it, and how many of them the model
        does not see; nothing where the pipeline has no tokenizer."""
        lengths: list[tuple[int, int]] = []
        for name in _TOKENIZERS:
            tokenizer: Any = getattr(self.own, name, None)
            if tokenizer is not None:
                count = len(tokenizer(prompt, verbose=False).input_ids)
                lengths.append((count, max(0, count - self._prompt_limit(tokenizer))))
        return min(lengths, key=lambda length: length[1], default=(0, 0))

    def _prompt_limit(self, tokenizer: Any) -> int:
        longest = inspect.signature(type(self.own).__call__).parameters.get("max_sequence_length")
        if longest is not None and not type(tokenizer).__name__.startswith("CLIP"):
            return int(longest.default)
        return int(tokenizer.model_max_length)

    @property
    def size_step(self) -> int:
        """Widths and heights are multiples of this many pixels."""
        processor = getattr(self.own, "image_processor", None)
        factor = getattr(getattr(processor, "config", None), "vae_scale_factor", None)
        factor = factor or getattr(self.own, "vae_scale_factor", None) or 1
        return math.lcm(_SIDES, int(factor))

    @property
    def default_size(self) -> tuple[int, int] | None:
        """Width and height where a request does not say, as far as the pipeline tells."""
        part = getattr(self.own, "unet", None) or getattr(self.own, "transformer", None)
        sample = getattr(self.own, "default_sample_size", None)
        sample = sample or getattr(getattr(part, "config", None), "sample_size", None)
        factor = getattr(self.own, "vae_scale_factor", None)
        if not isinstance(sample, int) or not isinstance(factor, int):
            return None
        return sample * factor, sample * factor

    def use_adapter(self, name: str | None) -> None:
        """Have one adapter apply, or all of them."""
        if self._adapters:
            names = [name] if name is not None else list(self._adapters)
            self.own.set_adapters(names, [self._adapters[one] for one in names])

    def _place(self, pipeline: Any, options: DiffusersOptions) -> None:
        offload = options.cpu_offload
        if offload and self._device == "cpu":
            raise InvalidRequest(
                "cpu_offload moves parts of the model onto an accelerator, and the model is "
                "computed on processors. Leave it out.",
                param="cpu_offload",
            )
        if offload == "sequential":
            pipeline.enable_sequential_cpu_offload(device=self._device)
        elif offload:
            pipeline.enable_model_cpu_offload(device=self._device)
        else:
            pipeline.to(self._device)
        vae: Any = getattr(pipeline, "vae", None)
        if options.vae_tiling and hasattr(vae, "enable_tiling"):
            vae.enable_tiling()


def _be_quiet() -> None:
    """No bars of progress in the log, and no words that repeat themselves with each request."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    of_diffusers.set_verbosity_error()
    of_diffusers.disable_progress_bar()
    of_transformers.disable_progress_bar()


def _load(spec: ModelSpec, options: DiffusersOptions, dtype: Any) -> Any:
    from diffusers import DiffusionPipeline

    root = Path(spec.path)
    more: dict[str, Any] = {}
    if not options.safety_checker:
        more = {"safety_checker": None, "requires_safety_checker": False}
    try:
        return DiffusionPipeline.from_pretrained(
            root,
            dtype=dtype,
            variant=variant_of(root),
            use_safetensors=not any(name.endswith(PICKLES) for name in spec.files),
            local_files_only=True,
            trust_remote_code=False,
            **more,
        )
    except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
        raise InvalidRequest(
            f"diffusers cannot load {spec.path}: {type(error).__name__}: {error}",
            param="model_name",
        ) from error


def _generation_config(root: Path) -> dict[str, float]:
    """The numbers in it, where the model has a generation_config.json as language models do."""
    file = root / "generation_config.json"
    if not file.is_file():
        return {}
    found = json.loads(file.read_text(encoding="utf-8"))
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def variant_of(root: Path) -> str | None:
    """fp16, or whatever the files of weights are called where there are none without such a
    word."""
    variants: set[str] = set()
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        names = [file.name for file in folder.iterdir()]
        found = [match for name in names if (match := _VARIANT.fullmatch(name))]
        if found and not any(map(_PLAIN.fullmatch, names)):
            variants.add(found[0][1])
    return min(variants, default=None)


def _by_task(own: Any, spec: ModelSpec, **parts: Any) -> dict[str, Any]:
    """Pipelines of these parts for all the tasks that diffusers has one for."""
    import diffusers

    kinds = {
        "text2image": diffusers.AutoPipelineForText2Image,
        "image2image": diffusers.AutoPipelineForImage2Image,
        "inpainting": diffusers.AutoPipelineForInpainting,
    }
    found: dict[str, Any] = {}
    for task, kind in kinds.items():
        try:
            made = kind.from_pipe(own, **parts)
        except ValueError:  # there is none, or it needs parts that this model has not
            continue
        if parts.keys() <= made.components.keys():
            made.set_progress_bar_config(disable=True)
            found[task] = made
    if not found and not parts:  # known by its own class alone
        found = {task: own for task in spec.abilities if task in TASKS}
    if not found and not parts:
        raise InvalidRequest(
            f"{type(own).__name__} draws no pictures that can be asked for here.",
            param="model_name",
        )
    return found


def _controlnet(path: str, dtype: Any) -> Any:
    from diffusers import ControlNetModel

    root = Path(path).expanduser()
    if not root.is_absolute() or not root.is_dir():
        raise InvalidRequest(
            f"There is no directory {path!r} of a ControlNet on this machine. Give its whole path.",
            param="controlnet",
        )
    try:
        return ControlNetModel.from_pretrained(
            root, dtype=dtype, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise InvalidRequest(
            f"diffusers cannot load the ControlNet {path}: {error}", param="controlnet"
        ) from error


def _add_adapter(pipeline: Any, name: str, adapter: LoraAdapter) -> None:
    if not hasattr(pipeline, "load_lora_weights"):
        raise InvalidRequest(
            f"diffusers has no LoRA adapters for {type(pipeline).__name__}.", param="lora"
        )
    path = Path(adapter.path)
    folder, file = (path.parent, path.name) if path.is_file() else (path, None)
    if file is not None and not file.endswith(".safetensors"):
        raise InvalidRequest(f"LoRA adapter {name}: {path} is no .safetensors file.", param="lora")
    try:
        pipeline.load_lora_weights(
            str(folder),
            weight_name=file,
            adapter_name=name,
            use_safetensors=True,
            local_files_only=True,
        )
    except Exception as error:  # peft's and diffusers' are of many kinds
        raise EngineFailed(f"LoRA adapter {name} cannot be loaded from {path}: {error}") from error
