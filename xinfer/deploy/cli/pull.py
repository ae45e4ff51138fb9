"""`pull`: a model onto the disk of this machine, without a server."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click
import msgspec

from xinfer.deploy.cli.progress import describe_download, open_display
from xinfer.errors import InvalidRequest, XinferError
from xinfer.model.catalog.catalogue import Catalogue
from xinfer.model.hub.cache import entry_at, repair, verify
from xinfer.model.hub.fetch import fetch
from xinfer.model.hub.needed import GGUF, choose_gguf
from xinfer.model.hub.sources import first_that_answers, order_sources
from xinfer.settings import Settings
from xinfer.types.model import FileProgress, ModelSpec, Source

_PREFIXES = {
    "hf": "huggingface",
    "huggingface": "huggingface",
    "ms": "modelscope",
    "modelscope": "modelscope",
}
_HUBS = ("huggingface", "modelscope")


@dataclasses.dataclass(frozen=True)
class Form:
    """Which form of a model is wanted; None leaves it open."""

    format: str | None
    quantization: str | None
    size: float | None
    revision: str | None
    files: tuple[str, ...]


@click.command()
@click.argument("model")
@click.option("--model-format", "-f", help="ggufv2, pytorch, awq, …  [default: what there is]")
@click.option("--quantization", "-q", help="Of those there are; a usual one without.")
@click.option("--size-in-billions", "-s", type=float, help="For a name that has several sizes.")
@click.option("--revision", help="Branch, tag or commit; the hub's default without.")
@click.option("--file", "files", multiple=True, help="Exactly this file; may be repeated.")
@click.option("--download-hub", help="huggingface, modelscope or auto: the first that answers.")
@click.option("--verify", "check", is_flag=True, help="Read again what is here, and mend it.")
def pull(
    model: str,
    model_format: str | None,
    quantization: str | None,
    size_in_billions: float | None,
    revision: str | None,
    files: tuple[str, ...],
    download_hub: str | None,
    check: bool,
) -> None:
    """Download MODEL to this machine, without a server: a name of the catalogue, or owner/name on
    a hub, with hf: or ms: before it for one of them. Prints the path.

    A download that was interrupted is continued.
    """
    settings = Settings.from_env()
    form = Form(model_format, quantization, size_in_billions, revision, files)
    hub = download_hub or settings.model_src
    try:
        if ":" in model or "/" in model:
            wanted = _in_repository(model, form, hub, settings)
        else:
            wanted = _in_catalogue(model, form, hub)
        found = _fetch(wanted, settings)
        if check and _mend(Path(found.path), settings):
            found = _fetch(wanted, settings)
    except XinferError as error:
        raise click.ClickException(error.message) from None
    click.echo(found.path)


def _in_catalogue(name: str, form: Form, hub: str) -> ModelSpec:
    for model in Catalogue().find(name).models():
        fits = (
            form.format in (None, model.format)
            and (form.quantization or model.quantization).lower() == model.quantization.lower()
            and form.size in (None, model.size_in_billions)
        )
        if fits and model.path:
            raise InvalidRequest(f"{name} comes with this package: {model.path}.")
        if fits and model.sources:
            return msgspec.structs.replace(model, sources=order_sources(model.sources, hub))
    raise InvalidRequest(f"{name} is not there in this format, size and quantization.")


def _in_repository(name: str, form: Form, hub: str, settings: Settings) -> ModelSpec:
    prefix, colon, repo = name.partition(":")
    if not colon:
        repo = name
    elif prefix.lower() in _PREFIXES:
        hub = _PREFIXES[prefix.lower()]
    else:
        raise InvalidRequest(f"{prefix!r} is no hub; expected hf:owner/name or ms:owner/name.")
    every = [Source(hub=each, repo=repo, revision=form.revision) for each in _HUBS]
    repository = first_that_answers(order_sources(every, hub), settings)
    listing = repository.list()
    source, format = repository.source, form.format
    if format is None:
        has_weights = any(file.name.endswith((".safetensors", ".bin")) for file in listing)
        format = "pytorch" if has_weights and not form.files else GGUF
    files = form.files
    if format == GGUF and not files:
        files = (choose_gguf(listing, form.quantization),)
    return ModelSpec(
        name=repo.rpartition("/")[2],
        format=format,
        quantization=form.quantization or "none",
        sources=(msgspec.structs.replace(source, files=files),),
    )


def _fetch(model: ModelSpec, settings: Settings) -> ModelSpec:
    with open_display(f"Pulling {model.name}") as display:

        def show(files: tuple[FileProgress, ...]) -> None:
            total = sum(file.total_bytes for file in files) or 1
            here = sum(file.downloaded_bytes for file in files)
            display.show(here / total, describe_download(list(map(msgspec.structs.asdict, files))))

        return fetch(model, settings, show, lambda: False, refresh=True)


def _mend(path: Path, settings: Settings) -> bool:
    """Take off the disk what is not as the hub says; whether there was something."""
    entry = entry_at(path, settings)
    if entry is None:
        return False
    corrupt = verify(entry)
    for each in corrupt:
        click.echo(
            f"{each.name} is corrupt: expected {each.expected}, got {each.actual}.", err=True
        )
    repair(entry, corrupt)
    return bool(corrupt)
