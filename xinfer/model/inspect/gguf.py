"""Reads a GGUF file's header: its metadata and where its tensors lie; never their data.

Every count and length is held against the file's size and a cap before anything is allocated,
so a truncated, foreign or hostile file ends in an error that names it.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any, NoReturn, Protocol

import msgspec

from xinfer.errors import InvalidRequest
from xinfer.model.inspect.ggml import FILE_TYPES, TENSOR_TYPES
from xinfer.model.inspect.json_files import Listing

MAGIC = b"GGUF"
VERSIONS = (2, 3)

MAX_KEYS = 1 << 16
MAX_TENSORS = 1 << 20
MAX_ELEMENTS = 1 << 22
MAX_STRING = 16 << 20
MAX_HEADER = 512 << 20
CHUNK = 1 << 20

STRING, ARRAY = 8, 9
SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}


class Tensor(msgspec.Struct, frozen=True, gc=False):
    """One tensor's entry; `size` is in bytes, None for a type unknown here."""

    name: str
    elements: int
    size: int | None
    offset: int
    """From the beginning of the tensor data."""
    kind: str = ""
    """ggml's name of its type, F16 or Q4_K; empty for one unknown here."""


class GgufMetadata(msgspec.Struct, frozen=True):
    """A GGUF file's header. Keys are the format's own, e.g. `llama.context_length`."""

    path: str
    values: dict[str, Any]
    tensors: tuple[Tensor, ...]
    data_offset: int
    file_size: int

    @property
    def architecture(self) -> str:
        return str(self.values.get("general.architecture", ""))

    @property
    def context_length(self) -> int:
        """Tokens the model was made for; 0 when the file does not say."""
        value = self.values.get(f"{self.architecture}.context_length", 0)
        return value if isinstance(value, int) and value > 0 else 0

    @property
    def parameters(self) -> int:
        """Number of weights in this file."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def quantization(self) -> str:
        return FILE_TYPES.get(self.values.get("general.file_type", -1), "unknown")

    @property
    def chat_template(self) -> str | None:
        value = self.values.get("tokenizer.chat_template")
        return value if isinstance(value, str) and value else None

    @property
    def parts(self) -> int:
        """Files the model is split into; 1 when it is not."""
        value = self.values.get("split.count", 1)
        return value if isinstance(value, int) and value > 1 else 1

    def check_complete(self) -> None:
        """Check that the file holds all the data its header speaks of.

        Raises:
            InvalidRequest: the file is shorter, as after an interrupted copy or download.
        """
        needed = self.data_offset + max(
            (tensor.offset + (tensor.size or 0) for tensor in self.tensors), default=0
        )
        if needed > self.file_size:
            refuse(
                self.path,
                f"it is incomplete: its header speaks of {needed} bytes and it has "
                f"{self.file_size}. Copy or download it again",
            )


class Malformed(Exception):
    """Internal to reading: what is wrong with the file, without its name."""


def refuse(path: str, reason: str) -> NoReturn:
    raise InvalidRequest(f"{path} is not a usable GGUF file: {reason}.")


def read_gguf(path: str | Path) -> GgufMetadata:
    """Read the header of the file at `path`.

    Raises:
        InvalidRequest: not a GGUF file, damaged, or of a version not read here.
        OSError: the file cannot be opened or read.
    """
    with Path(path).open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        try:
            return _read(str(path), file, size)
        except Malformed as error:
            refuse(str(path), str(error))


def read_gguf_from(files: Listing, name: str) -> GgufMetadata:
    """Read the header of one of a model's files, in pieces that grow.

    Raises:
        InvalidRequest: as `read_gguf`.
    """
    path = f"{files.where}/{name}"
    try:
        return _read(path, _Ranges(files, name), files.size(name))
    except Malformed as error:
        refuse(path, str(error))


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Ranges:
    """One file of a listing, read from its beginning on."""

    def __init__(self, files: Listing, name: str) -> None:
        self._files = files
        self._name = name
        self._offset = 0

    def read(self, size: int, /) -> bytes:
        data = self._files.read(self._name, self._offset, size)
        self._offset += len(data)
        return data


def _read(path: str, file: _Readable, size: int) -> GgufMetadata:
    source = _Source(file, size)
    if size < 24 or source.bytes(4) != MAGIC:
        raise Malformed("it does not begin with GGUF's signature")
    version: int = source.scalar("I")
    if version not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big")
        kind = "big-endian files are" if swapped in VERSIONS else f"version {version} is"
        raise Malformed(f"{kind} not supported (little-endian versions 2 and 3 are)")
    tensor_count = source.count("tensors", MAX_TENSORS, least_bytes=24)
    key_count = source.count("metadata keys", MAX_KEYS, least_bytes=13)
    values: dict[str, Any] = {}
    for _ in range(key_count):
        key = source.string()
        values[key] = source.value(source.scalar("I"))
    tensors = tuple(source.tensor() for _ in range(tensor_count))
    alignment = values.get("general.alignment", 32)
    if not isinstance(alignment, int) or not 1 <= alignment <= CHUNK:
        raise Malformed(f"general.alignment is {alignment!r}")
    data_offset = -(-source.offset // alignment) * alignment
    return GgufMetadata(path, values, tensors, data_offset, size)


class _Source:
    """A cursor over the file's beginning, read on in chunks as it is needed."""

    def __init__(self, file: _Readable, size: int) -> None:
        self.offset = 0
        self._file = file
        self._size = size
        self._data = bytearray()

    def advance(self, length: int) -> int:
        """Move past `length` bytes, which are in `_data` then; returns where they begin."""
        start = self.offset
        end = start + length
        if end > len(self._data):
            self._fill(end)
        self.offset = end
        return start

    def _fill(self, end: int) -> None:
        if end > self._size:
            raise Malformed(f"it ends inside its header, at byte {self._size}")
        if end > MAX_HEADER:
            raise Malformed(f"its header is over {MAX_HEADER >> 20} MiB")
        while len(self._data) < end:
            # Twice as much each time: where each read is a request, few are made.
            data = self._file.read(max(CHUNK, end - len(self._data), len(self._data)))
            if not data:
                raise Malformed("it became shorter while it was read")
            self._data += data

    def bytes(self, length: int) -> bytes:
        start = self.advance(length)
        return bytes(self._data[start : start + length])

    def scalar(self, code: str) -> Any:
        layout = struct.Struct(f"<{code}")
        start = self.advance(layout.size)
        return layout.unpack_from(self._data, start)[0]

    def count(self, what: str, most: int, *, least_bytes: int) -> int:
        """A number of things, each of which takes `least_bytes` of the file or more."""
        number: int = self.scalar("Q")
        if number > most or number * least_bytes > self._size - self.offset:
            raise Malformed(f"it claims {number} {what}, more than there can be")
        return number

    def string(self) -> str:
        start = self.advance(8)
        length = int.from_bytes(self._data[start : start + 8], "little")
        if length > MAX_STRING:
            raise Malformed(f"it claims a string of {length} bytes")
        start = self.advance(length)
        # Vocabularies may hold pieces that are not UTF-8; these bytes must survive.
        return self._data[start : start + length].decode("utf-8", "surrogateescape")

    def value(self, kind: int, depth: int = 0) -> Any:
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            return self._array(depth + 1)
        if kind not in SCALARS:
            raise Malformed(f"a metadata value has the unknown type {kind}")
        return self.scalar(SCALARS[kind])

    def _array(self, depth: int) -> list[Any]:
        if depth > 4:
            raise Malformed("its metadata arrays are nested more than 4 deep")
        kind: int = self.scalar("I")
        if kind in SCALARS:
            width = struct.calcsize(f"<{SCALARS[kind]}")
            number = self.count("array elements", MAX_ELEMENTS, least_bytes=width)
            start = self.advance(number * width)
            return list(struct.unpack_from(f"<{number}{SCALARS[kind]}", self._data, start))
        number = self.count("array elements", MAX_ELEMENTS, least_bytes=8)
        if kind == STRING:
            return [self.string() for _ in range(number)]
        return [self.value(kind, depth) for _ in range(number)]

    def tensor(self) -> Tensor:
        name = self.string()
        dimensions: int = self.scalar("I")
        if not 1 <= dimensions <= 4:
            raise Malformed(f"tensor {name!r} has {dimensions} dimensions")
        elements = math.prod(self.scalar("Q") for _ in range(dimensions))
        kind: int = self.scalar("I")
        offset: int = self.scalar("Q")
        size, type_name = None, ""
        if kind in TENSOR_TYPES:
            type_name, block, block_bytes = TENSOR_TYPES[kind]
            if elements % block:
                raise Malformed(f"tensor {name!r} does not fill whole blocks of its type")
            size = elements // block * block_bytes
        return Tensor(name, elements, size, offset, type_name)
