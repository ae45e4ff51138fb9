"""`cal-model-mem`: what a model will take in memory. No server is asked."""

from __future__ import annotations

import math

import click

from xinfer.deploy.cli.launch import absolute_path
from xinfer.deploy.cli.option_values import model_size
from xinfer.errors import XinferError
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.catalog.names import is_path
from xinfer.model.inspect.gguf_model import GGUF_FORMAT
from xinfer.model.inspect.model import inspect_variants
from xinfer.model.memory import RESERVE, estimate
from xinfer.types.model import ModelSpec

_MIB = 1 << 20
_FORMATS = {"gguf": GGUF_FORMAT, "safetensors": "pytorch"}
_STEP = {GGUF_FORMAT: 512}
"""Format → tokens that its engines compute at once, where that is not what others do."""
_USUAL_STEP = 2048
_SAME_SIZE = 0.25
"""Sizes that differ by this share are one: a "7B" has 7.6 billion."""


@click.command("cal-model-mem")
@click.option("--model-name", "-n", help="Name of the catalogue, or path of a model.")
@click.option("--size-in-billions", "-s", help="Billions of weights: 7, 0_5, 1.8.")
@click.option("--model-format", "-f", help="pytorch, gptq, awq, ggufv2, …")
@click.option("--quantization", "-q", help="Int4, Q4_K_M, …; none by default.")
@click.option(
    "--context-length",
    "-c",
    type=click.IntRange(min=1),
    help="Tokens of one request; the model's own length by default.",
)
@click.option(
    "--kv-cache-dtype",
    type=click.Choice(["8", "16", "32"]),
    default="16",
    show_default=True,
    help="Bits of each number in the KV cache.",
)
def cal_model_mem(
    model_name: str | None,
    size_in_billions: str | None,
    model_format: str | None,
    quantization: str | None,
    context_length: int | None,
    kv_cache_dtype: str,
) -> None:
    """Say what a model takes in memory, without a server.

    By the model's files or the catalogue, or by --size-in-billions alone.
    """
    size = None if size_in_billions is None else _billions(size_in_billions)
    model = _model(model_name, size, model_format, quantization)
    context = context_length or model.context_length
    if not context:
        raise click.UsageError("The model's context is not known. Give --context-length.")
    memory = estimate(
        model,
        context,
        kv_bytes=int(kv_cache_dtype) / 8,
        tokens_at_once=_STEP.get(model.format, _USUAL_STEP),
    )
    active = memory.accelerator_overhead - RESERVE
    total = memory.weights + memory.kv_cache + RESERVE + active
    lines = [
        f"model_name: {model_name}",
        f"kv_cache_dtype: {kv_cache_dtype}",
        f"model size: {model.size_in_billions or 0:.1f} B",
        f"quant: {None if model.quantization == 'none' else model.quantization}",
        f"context: {context}",
        "gpu mem usage:",
        f"  model mem: {memory.weights // _MIB} MB",
        f"  kv_cache: {memory.kv_cache // _MIB} MB",
        f"  overhead: {RESERVE // _MIB} MB",
        f"  active: {active // _MIB} MB",
        f"  total: {total // _MIB} MB ({math.ceil(total / _MIB / 1024)} GB)",
    ]
    click.echo("\n".join(lines))


def _billions(text: str) -> float:
    try:
        size = float(str(model_size(text)).replace("_", "."))
    except ValueError:
        size = math.nan
    if not 0 < size < math.inf:
        raise click.BadParameter(
            f"{text!r} is no size; expected a number such as 7, 1.8 or 0_5",
            param_hint="--size-in-billions",
        )
    return size


def _model(
    name: str | None, size: float | None, form: str | None, quantization: str | None
) -> ModelSpec:
    """The model, of which files or the catalogue tell more than the options do; the first that
    agrees with these."""
    form = None if form is None else _FORMATS.get(form.lower(), form.lower())
    if name is None:
        if size is None:
            raise click.UsageError("Give --model-name or --size-in-billions.")
        return ModelSpec(
            name="",
            size_in_billions=size,
            format=form or "pytorch",
            quantization=quantization or "none",
        )
    try:
        models = (
            inspect_variants(absolute_path(name))
            if is_path(name)
            else Catalogue().find(name).models()
        )
        found = [one for one in models if _agrees(one, size, form, quantization)]
        if not found:
            raise click.ClickException(f"{name} is not there so; it is as: {_forms(models)}.")
        model = found[0]
        # The files of those that ship with the package tell more than the catalogue.
        return inspect_variants(model.path)[0] if model.path and not model.shape else model
    except XinferError as error:
        raise click.ClickException(error.message) from None


def _agrees(
    model: ModelSpec, size: float | None, form: str | None, quantization: str | None
) -> bool:
    own = model.size_in_billions
    return (
        (form is None or model.format == form)
        and (quantization is None or model.quantization.lower() == quantization.lower())
        and (size is None or (own is not None and abs(own - size) <= _SAME_SIZE * max(own, size)))
    )


def _forms(models: list[ModelSpec]) -> str:
    forms = (
        f"{model.format} {model.quantization}"
        + (f" {model.size_in_billions:g}B" if model.size_in_billions else "")
        for model in models
    )
    return ", ".join(dict.fromkeys(forms))
