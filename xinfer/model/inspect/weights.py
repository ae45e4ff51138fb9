"""Which files of a directory are a model's weights, and how large the model is by their headers."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from xinfer.errors import InvalidRequest
from xinfer.model.inspect.json_files import Listing, section
from xinfer.model.inspect.parameters import count_parameters
from xinfer.model.inspect.safetensors import Tensor, read_safetensors
from xinfer.types.model import ModelSpec

MOST_HEADERS = 16
"""Files of a repository on a hub whose headers are read, each with a request; of more files that
of the first alone."""

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_PICKLED = re.compile(r"(pytorch_model|model|consolidated|diffusion_pytorch_model)[^/]*\.\w+$")
_NOT_PYTORCH = ("ggufv2", "ctranslate2")
"""Formats whose files are read by other programs, whatever these are called."""
_INDEX = ".safetensors.index.json"
_STEMS = ("model", "diffusion_pytorch_model")
"""What weights are called that are loaded without being named; then any other name."""
_MISTRAL = "consolidated"
_OTHER_LAYOUTS = (_MISTRAL, "adapter_", "flax_model", "tf_model")
_SHARD = re.compile(r"-\d{5}-of-(\d{5})$")


class Weights(msgspec.Struct, frozen=True, kw_only=True):
    """The files of weights, and what their headers say."""

    files: tuple[str, ...]
    size: int
    """Bytes of all of them."""
    tensors: dict[str, Tensor]
    """Of those files whose headers were read."""
    complete: bool
    """Whether these are all tensors."""
    pickled: bool = False

    def parameters(self, bits: int = 0) -> int:
        """Number of weights; 0 when unknown.

        Args:
            bits: of one weight, where several are packed into an element.
        """
        counted = count_parameters(self.tensors, bits)
        read = sum(tensor.size for tensor in self.tensors.values())
        return counted if self.complete or not read else counted * self.size // read


def find_weights(files: Listing, *, folder: str = "", consolidated: bool = False) -> Weights:
    """The weights of the model in a folder of the directory.

    Safetensors are preferred to pickles; of several copies in different layouts, Transformers' is
    taken.

    Args:
        folder: its name with a `/` at its end; empty for the directory itself.
        consolidated: take Mistral's own layout.

    Raises:
        InvalidRequest: there are none, or they are damaged or incomplete.
    """
    names = _safetensors(files, folder, consolidated)
    if not names:
        return _pickled(files, folder)
    read = names if files.local or len(names) <= MOST_HEADERS else names[:1]
    tensors: dict[str, Tensor] = {}
    for name in read:
        tensors.update(read_safetensors(files, name).tensors)
    return Weights(
        files=tuple(names),
        size=sum(files.size(name) for name in names),
        tensors=tensors,
        complete=len(read) == len(names),
    )


def _safetensors(files: Listing, folder: str, consolidated: bool) -> list[str]:
    """Names of the files, in order; none if there are none.

    Raises:
        InvalidRequest: some of them are missing, or there are several models and none is called as
            the one that is loaded.
    """
    stems: dict[str, list[str]] = {}
    for name in _inside(files, folder, ".safetensors"):
        stems.setdefault(_SHARD.sub("", name.removesuffix(".safetensors")), []).append(name)
    for name in _inside(files, folder, _INDEX):
        stems.setdefault(name.removesuffix(_INDEX), [])
    wanted = (_MISTRAL,) if consolidated else _STEMS
    named = [stem for stem in stems if stem[len(folder) :].split(".")[0] in wanted]
    if not consolidated:
        named = named or [s for s in stems if not s[len(folder) :].startswith(_OTHER_LAYOUTS)]
    stem = min(named, key=lambda one: (one.count("."), len(one), one), default=None)
    if stem is None:
        return []
    if len(named) > 1 and stem[len(folder) :].split(".")[0] not in wanted:
        raise InvalidRequest(
            f"{files.where} holds several models: {_some(named)}, and none of them is called "
            f"{wanted[0]}.safetensors. Give a directory that has one."
        )
    if f"{stem}.safetensors" in stems[stem]:
        return [f"{stem}.safetensors"]
    if f"{stem}{_INDEX}" in files:
        return _indexed(files, folder, f"{stem}{_INDEX}")
    return _all_shards(files, stem, stems[stem])


def _inside(files: Listing, folder: str, ending: str) -> list[str]:
    """Names that end so, in this folder and in none below it."""
    return [
        name
        for name in files.by_name
        if name.startswith(folder) and "/" not in name[len(folder) :] and name.endswith(ending)
    ]


def _indexed(files: Listing, folder: str, index: str) -> list[str]:
    """The files that a list of tensors names; all of them are there."""
    table = section(files.json(index), "weight_map")
    named = {folder + name for name in table.values() if isinstance(name, str)}
    if not named:
        raise files.refusal(index, "it names no files")
    missing = sorted(name for name in named if name not in files)
    if missing:
        raise InvalidRequest(
            f"{files.where} is incomplete: {index} names {len(named)} files, and of these "
            f"{_some(missing)} are not there. Copy or download them too."
        )
    return sorted(named)


def _all_shards(files: Listing, stem: str, names: list[str]) -> list[str]:
    """The files of one model that says how many it is by their names."""
    shard = _SHARD.search(names[0].removesuffix(".safetensors"))
    count = int(shard[1]) if shard else 1
    if len(names) != count:
        raise InvalidRequest(
            f"{files.where} is incomplete: it has {len(names)} of the {count} files {stem}-…"
            f"-of-{count:05}.safetensors. Copy or download the others too."
        )
    return sorted(names)


def _pickled(files: Listing, folder: str) -> Weights:
    names = sorted(
        name
        for name in files.by_name
        if name.startswith(folder)
        and name.endswith(PICKLES)
        and _PICKLED.match(name[len(folder) :])
    )
    if not names:
        raise _none(files, folder)
    return Weights(
        files=tuple(names),
        size=sum(files.size(name) for name in names),
        tensors={},
        complete=False,
        pickled=True,
    )


def refuse_pickles(model: ModelSpec) -> None:
    """Of a model whose files are known.

    Raises:
        InvalidRequest: PyTorch would unpickle some of its weights.
    """
    if model.format in _NOT_PYTORCH:
        return
    for name in model.files:
        if name.endswith(PICKLES) and _PICKLED.match(name.rpartition("/")[2]):
            raise pickle_refused(model.path or model.model_id or model.name, name)


def pickle_refused(where: str, name: str) -> InvalidRequest:
    """The refusal of weights that can run any program when they are loaded."""
    return InvalidRequest(
        f"{where} holds its weights as {name} only: such files can run any program when they are "
        "loaded. Take a copy in safetensors or GGUF; or, if you trust whoever made it, start the "
        "server with XINFERENCE_ALLOW_PICKLE=1.",
        code="pickle_refused",
    )


def _none(files: Listing, folder: str) -> InvalidRequest:
    """Why there is nothing to load, by what there is instead."""
    if folder:
        return InvalidRequest(
            f"{files.where} is incomplete: the folder {folder} of its model has no weights. "
            "Expected a .safetensors file in it. Copy or download it too."
        )
    names = sorted(files.by_name)
    wanted = "a .gguf file, or config.json with weights in .safetensors files"
    if not names:
        return InvalidRequest(f"{files.where} is empty. Expected {wanted}.")
    if any(name.rpartition("/")[2].startswith("adapter_") for name in names):
        return InvalidRequest(
            f"{files.where} holds a LoRA adapter and no model. Launch the model that it was made "
            "for, and name the adapter in peft_model_config."
        )
    configured = "config.json" in files
    found = "config.json and no weights" if configured else f"no model but {_some(names)}"
    return InvalidRequest(f"{files.where} holds {found}. Expected {wanted}.")


def _some(names: Sequence[str]) -> str:
    return ", ".join(name[:100] for name in names[:4]) + (" …" if len(names) > 4 else "")
