"""A model's own processor: a picture to the text that stands for it, and to what the model sees."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import msgspec
import torch
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

from xinfer.model.llm.transformers.decoding import decode
from xinfer.types.request import Media

_KEPT = 256 << 20
"""Bytes of prepared pictures that are kept: between a request and its turn, and for the next
request of the same conversation."""


class Prepared(msgspec.Struct, frozen=True):
    """A picture as the model takes it."""

    digest: bytes
    """Of the file."""
    text: str
    """What stands in the prompt for it."""
    inputs: dict[str, torch.Tensor]
    """Of the model's forward, but for token ids."""


class PictureProcessor:
    """Prepares pictures, and keeps some; thread-safe.

    Raises:
        Exception: whatever the library does when the model has no processor that works here.
    """

    def __init__(self, path: Path, config: Any, inputs: frozenset[str], *, code: bool) -> None:
        """
        Args:
            inputs: names of what the model's forward takes.
            code: run the program code that comes with the model.
        """
        kind = _without_video(PROCESSOR_MAPPING[type(config)])
        self._processor = kind.from_pretrained(path, local_files_only=True, trust_remote_code=code)
        self._inputs = inputs
        self.sign: str = self._processor.image_token
        """What a chat template writes for a picture."""
        self._lock = threading.Lock()
        self._decoding = threading.Lock()
        self._kept: OrderedDict[bytes, Prepared] = OrderedDict()
        self._bytes = 0

    def prepare(self, medium: Media) -> Prepared:
        """Blocks while it decodes, one picture at a time.

        Raises:
            InvalidRequest: the picture is damaged.
        """
        digest = hashlib.sha256(medium.data).digest()
        found = self._find(digest)
        if found is None:
            with self._decoding:
                found = self._find(digest) or self._prepare(digest, medium)
        return found

    def _prepare(self, digest: bytes, medium: Media) -> Prepared:
        made = self._processor(
            text=[self.sign],
            images=[decode(medium)],
            return_tensors="pt",
            add_special_tokens=False,
            return_text_replacement_offsets=True,
        )
        (replaced,) = made["text_replacement_offsets"][0]
        taken = self._inputs - {"input_ids", "attention_mask", "token_type_ids"}
        inputs = {name: made[name] for name in taken & made.keys() if name != "mm_token_type_ids"}
        prepared = Prepared(digest, replaced["replacement"], inputs)
        self._keep(prepared)
        return prepared

    def _find(self, digest: bytes) -> Prepared | None:
        with self._lock:
            if digest in self._kept:
                self._kept.move_to_end(digest)
            return self._kept.get(digest)

    def _keep(self, prepared: Prepared) -> None:
        with self._lock:
            self._kept[prepared.digest] = prepared
            self._bytes += _size(prepared)
            while self._bytes > _KEPT:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= _size(oldest)


def _size(prepared: Prepared) -> int:
    return sum(tensor.nbytes for tensor in prepared.inputs.values())


def _without_video(kind: Any) -> Any:
    """The processor's class without its part for films, which is not used and needs torchvision."""
    parts = [name for name in kind.get_attributes() if name != "video_processor"]
    return type(kind.__name__, (kind,), {"get_attributes": classmethod(lambda _: parts)})
