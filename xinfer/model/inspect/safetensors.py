"""Reads the header of a safetensors file: names, types and shapes of its tensors; never data.

Eight bytes of length, the header as JSON, then the data without gaps. All of it is held against the
file's size before anything is allocated.
"""

from __future__ import annotations

import math

import msgspec

from xinfer.model.inspect.json_files import Listing

MAX_HEADER = 100 << 20
"""Bytes; the limit of the format's own library."""
_FIRST = 1 << 16
"""Bytes of the first read: most headers are whole in it."""
_MOST_DIMENSIONS = 16

BITS = {
    **{"BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8},
    **{"F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8},
    **{"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6},
    **{"I16": 16, "U16": 16, "F16": 16, "BF16": 16},
    **{"I32": 32, "U32": 32, "F32": 32, "C64": 64, "I64": 64, "U64": 64, "F64": 64},
}
"""Type → bits of one element."""


class Tensor(msgspec.Struct, frozen=True, gc=False):
    """One tensor's entry."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]
    """Begin and end, in bytes from the beginning of the data."""

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.data_offsets[1] - self.data_offsets[0]


class SafetensorsHeader(msgspec.Struct, frozen=True):
    """A file's header; `metadata` is what its maker wrote into it."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def read_safetensors(files: Listing, name: str) -> SafetensorsHeader:
    """The header of a file that is complete.

    Raises:
        InvalidRequest: it is damaged, too short or too long.
    """
    size = files.size(name)
    if size < 8:
        raise files.refusal(name, f"it has {size} bytes, too few for a safetensors file")
    data = files.read(name, 0, min(_FIRST, size))
    if len(data) < 8:
        raise files.cut_off(name, len(data))
    length = int.from_bytes(data[:8], "little")
    if not 2 <= length <= min(MAX_HEADER, size - 8):
        raise files.refusal(
            name, f"it claims a header of {length} bytes, in a file of {size}; it is damaged"
        )
    while len(data) < 8 + length:
        more = files.read(name, len(data), 8 + length - len(data))
        if not more:
            raise files.cut_off(name, len(data))
        data += more
    return _decode(files, name, data[8 : 8 + length], size - 8 - length)


def _decode(files: Listing, name: str, data: bytes, left: int) -> SafetensorsHeader:
    """
    Args:
        left: bytes of the file that are behind its header.
    """
    try:
        entries = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        raw = entries.pop("__metadata__", None)
        metadata = {} if raw is None else msgspec.json.decode(raw, type=dict[str, str])
        tensors = {
            tensor: msgspec.json.decode(entry, type=Tensor) for tensor, entry in entries.items()
        }
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise files.refusal(name, f"its header is damaged ({error})") from None
    end = 0
    for tensor, entry in sorted(tensors.items(), key=lambda item: item[1].data_offsets):
        _check(files, name, tensor, entry, end)
        end = entry.data_offsets[1]
    if end != left:
        whole = files.size(name) - left + end
        kind = "incomplete" if left < end else "longer than its header says"
        raise files.refusal(
            name, f"it is {kind}: it has {files.size(name)} bytes; expected {whole}"
        )
    return SafetensorsHeader(tensors, metadata)


def _check(files: Listing, name: str, tensor: str, entry: Tensor, expected: int) -> None:
    shown = tensor[:100]
    if entry.dtype not in BITS:
        raise files.refusal(name, f"its tensor {shown!r} has the unknown type {entry.dtype[:20]!r}")
    if len(entry.shape) > _MOST_DIMENSIONS or any(side < 0 for side in entry.shape):
        raise files.refusal(name, f"its tensor {shown!r} has the shape {entry.shape[:16]}")
    if entry.data_offsets[0] != expected:
        raise files.refusal(name, f"its tensor {shown!r} does not begin where the one before ends")
    if entry.size * 8 != entry.elements * BITS[entry.dtype]:
        raise files.refusal(
            name,
            f"its tensor {shown!r} takes {entry.size} bytes, and shape {entry.shape} of type "
            f"{entry.dtype} does not",
        )
