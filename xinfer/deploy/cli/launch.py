"""`launch`: its flags, and what goes to the server."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from xinfer.client import Client
from xinfer.deploy.cli.connection import with_client
from xinfer.deploy.cli.follow import LaunchFailed, follow
from xinfer.deploy.cli.option_values import (
    gpu_count,
    gpu_indexes,
    labels,
    model_size,
    typed,
    typed_pairs,
)
from xinfer.model.catalog.names import is_path

Pairs = tuple[tuple[str, str], ...]


_OPTIONS = (
    click.option(
        "--model-type",
        "-t",
        help="LLM, embedding, rerank, image or audio; without it, the model's.",
    ),
    click.option(
        "--model-engine", "-en", help="Engine; without it, the best that can run the model."
    ),
    click.option(
        "--model-uid", "-u", help="Name to call the model by; without it, the model's own."
    ),
    click.option(
        "--size-in-billions", "-s", type=model_size, metavar="SIZE", help="Parameters: 7, 1.8, 0_5."
    ),
    click.option("--model-format", "-f", help="Such as pytorch or ggufv2; else what suits."),
    click.option(
        "--quantization", "-q", help="Such as none, Int4, Q4_K_M or 4-bit; else what suits."
    ),
    click.option("--replica", "-r", type=int, default=1, show_default=True),
    click.option(
        "--n-worker", type=int, default=1, show_default=True, help="Workers a replica spans."
    ),
    click.option(
        "--n-gpu",
        type=gpu_count,
        metavar="NUMBER|auto|none",
        default="auto",
        show_default=True,
        help="GPUs for each replica; none runs on the processor.",
    ),
    click.option(
        "--lora-modules",
        "-lm",
        nargs=2,
        multiple=True,
        metavar="NAME PATH",
        help="LoRA adapter, and the name by which requests choose it.",
    ),
    click.option("--image-lora-load-kwargs", "-ld", nargs=2, multiple=True, metavar="KEY VALUE"),
    click.option("--image-lora-fuse-kwargs", "-fd", nargs=2, multiple=True, metavar="KEY VALUE"),
    click.option("--quantization-config", "-qc", nargs=2, multiple=True, metavar="KEY VALUE"),
    click.option(
        "--alias", multiple=True, metavar="NAME", help="Further name that requests may give."
    ),
    click.option("--worker-ip", help="Worker to run on."),
    click.option(
        "--label", multiple=True, metavar="KEY=VALUE", help="Label that its workers have to have."
    ),
    click.option(
        "--priority",
        type=int,
        default=0,
        show_default=True,
        help="Where room is short, the larger one comes first.",
    ),
    click.option("--gpu-idx", type=gpu_indexes, metavar="NUMBER,...", help="GPUs to run on: 0,1."),
    click.option(
        "--trust-remote-code",
        type=bool,
        help="false: never run code that comes with the model. Only the administrator can allow "
        "it.",
    ),
    click.option("--model-path", "--model_path", "-mp", help="Path on the server of its files."),
    click.option("--download-hub", help="Only this hub: huggingface or modelscope."),
    click.option(
        "--enable-thinking/--disable-thinking",
        default=None,
        help="Whether it thinks before answering where a request does not say so.",
    ),
    click.option(
        "--enable-virtual-env/--disable-virtual-env",
        default=None,
        help="Run the model in a virtual environment of its own.",
    ),
    click.option("--virtual-env-package", "-vp", multiple=True, help="Package to install in it."),
    click.option("--virtual-env-find-link", multiple=True, help="Where to look for packages."),
    click.option(
        "--env", "-ev", nargs=2, multiple=True, metavar="KEY VALUE", help="For its process."
    ),
    click.option("--exist-ok", is_flag=True, help="If it is there already, wait until it answers."),
)
"""What `launch` and `run` know of a launch; every further option is the engine's."""


def launch_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of a launch; what it does not know is left in its arguments."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--model-name",
    "-n",
    required=True,
    help="A name of the catalogue (qwen2.5-instruct, qwen2.5-instruct:7b), a repository "
    "(owner/name, hf:owner/name:Q4_K_M, ms:owner/name@revision, its address), or a path such as "
    "./model.gguf.",
)
@launch_options
@click.argument("further", nargs=-1, type=click.UNPROCESSED, metavar="[--ENGINE-OPTION VALUE]...")
@with_client
def launch(client: Client, /, *, model_name: str, further: tuple[str, ...], **options: Any) -> None:
    """Launch a model, and wait until it answers.

    Every further `--option value` is an option of the engine.
    """
    request = launch_request(model_name, engine_options(further), **options)
    model_uid, instance = launched(client, request)
    if instance.get("engine_reason"):
        click.echo(what_runs(instance), err=True)
    click.echo(f"Model uid: {model_uid}")


def launched(client: Client, request: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Launch a model and follow it until it answers: its uid, and what the server says of it.

    Raises:
        click.ClickException: it is not going to.
    """
    model_uid = client.launch_model(**request)
    try:
        return model_uid, follow(client, model_uid)
    except LaunchFailed as error:
        raise click.ClickException(str(error)) from error


def launch_request(
    model_name: str,
    extra: dict[str, Any],
    *,
    model_path: str | None,
    size_in_billions: int | str | None,
    lora_modules: Pairs,
    image_lora_load_kwargs: Pairs,
    image_lora_fuse_kwargs: Pairs,
    quantization_config: Pairs,
    download_hub: str | None,
    trust_remote_code: bool | None,
    virtual_env_package: tuple[str, ...],
    virtual_env_find_link: tuple[str, ...],
    env: Pairs,
    exist_ok: bool,
    alias: tuple[str, ...],
    label: tuple[str, ...],
    priority: int,
    **same_named: Any,
) -> dict[str, Any]:
    """What the client is asked for, of what the options of `launch_options` were given.

    Args:
        extra: options of the engine.

    Raises:
        click.UsageError: an option of the engine has the name of one of a launch.
    """
    request = {
        "model_name": absolute_path(model_name),
        "model_path": model_path and os.path.abspath(os.path.expanduser(model_path)),
        "model_size_in_billions": size_in_billions,
        "peft_model_config": _lora(lora_modules, image_lora_load_kwargs, image_lora_fuse_kwargs),
        "virtual_env_packages": list(virtual_env_package) or None,
        "virtual_env_find_links": list(virtual_env_find_link) or None,
        "envs": dict(env) or None,
        "wait_ready": False,
        **same_named,
    }
    extra = dict(extra)
    repeated = sorted(extra.keys() & request.keys())
    if repeated:
        raise click.UsageError(f"{repeated[0]} is no option of an engine; see launch --help.")
    if extra:
        click.echo(f"Launch model name: {model_name} with kwargs: {extra}", err=True)
    if quantization_config:
        extra["quantization_config"] = typed_pairs(quantization_config)
    if download_hub is not None:
        extra["download_hub"] = download_hub
    if trust_remote_code is not None:
        extra["trust_remote_code"] = trust_remote_code
    if exist_ok:
        extra["exist_ok"] = True
    if alias:
        extra["aliases"] = list(alias)
    if label:
        extra["worker_labels"] = labels(label)
    if priority:
        extra["priority"] = priority
    return {**request, **extra}


def what_runs(instance: Mapping[str, Any]) -> str:
    """The form and the engine that the server chose, and why."""
    size, quantization = instance["model_size_in_billions"], instance["quantization"]
    words = [
        instance["model_name"],
        f"{size:g}B" if size else "",
        instance["model_format"],
        "" if quantization == "none" else quantization,
    ]
    what = " ".join(word for word in words if word)
    return f"{what}: {instance['engine_reason']}"


def absolute_path(model_name: str) -> str:
    """A name that is a path, made absolute: the server's working directory is another one."""
    if is_path(model_name):
        return os.path.abspath(os.path.expanduser(model_name))
    return model_name


def engine_options(words: Sequence[str]) -> dict[str, Any]:
    """The options in `--k v --other=v`, with typed values; relative paths are made absolute.

    Raises:
        click.UsageError: a word is neither an option nor its value.
    """
    options = {}
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=")
        if not name.startswith("--"):
            raise click.UsageError(f"{word!r} is neither an option nor the value of one.")
        if not equals:
            following = next(rest, None)
            if following is None:
                raise click.UsageError(f"Option {name} needs a value: {name} VALUE.")
            value = following
        options[name[2:].replace("-", "_")] = _engine_option(value)
    return options


def _engine_option(text: str) -> Any:
    value = typed(text)
    is_path = isinstance(value, str) and (
        value.startswith(("./", "../", "~/")) or value.lower().endswith(".gguf")
    )
    return absolute_path(value) if is_path else value


def _lora(modules: Pairs, load: Pairs, fuse: Pairs) -> dict[str, Any] | None:
    if not (modules or load or fuse):
        return None
    return {
        "lora_list": [
            {"lora_name": name, "local_path": os.path.abspath(os.path.expanduser(path))}
            for name, path in modules
        ],
        "image_lora_load_kwargs": typed_pairs(load),
        "image_lora_fuse_kwargs": typed_pairs(fuse),
    }
