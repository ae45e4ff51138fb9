"""A whole file of speech, encoded while it is made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.responses import Response

from xinfer.api.spool import Spool, SpooledAnswer, Stretch
from xinfer.errors import EngineFailed
from xinfer.model.audio.encode import WAV_HEADER_BYTES, Encoder, wav_header
from xinfer.types.product import Product, Sound

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class SpeechFile:
    """The file of one request, out of memory as it grows.

    Args:
        spool: where it is written, behind what an attempt before it left there.
        name: of the format.
        rate: samples a second; None: the format's, or the model's own.
    """

    def __init__(self, spool: Spool, name: str, rate: int | None) -> None:
        self._spool = spool
        self._name = name
        self._wanted = rate
        self._start = spool.size
        self._encoder: Encoder | None = None

    @property
    def rate(self) -> int:
        """Samples a second of the file, of which something has come."""
        assert self._encoder is not None
        return self._encoder.rate

    async def keep(self, product: Product) -> None:
        if isinstance(product, Sound):
            await asyncio.to_thread(self._write, product)

    async def finish(self) -> None:
        """Write the rest.

        Raises:
            EngineFailed: nothing has come.
        """
        if self._encoder is None:
            raise EngineFailed("The model's answer ended without a sound.")
        await asyncio.to_thread(lambda encoder: self._spool.add(encoder.finish()), self._encoder)

    def answer(self, media_type: str, headers: dict[str, str]) -> Response:
        """The file, which tells its length where the format does."""
        file = Stretch(self._start, self._spool.size - self._start)
        parts: list[bytes | Stretch] = [file]
        if self._name == "wav":
            sound = Stretch(file.start + WAV_HEADER_BYTES, file.size - WAV_HEADER_BYTES)
            parts = [wav_header(self.rate, sound.size // 2), sound]
        return SpooledAnswer(self._spool, parts, media_type=media_type, headers=headers)

    def _write(self, sound: Sound) -> None:
        if self._encoder is None:  # which imports its library
            self._encoder = Encoder(self._name, sound.sample_rate, self._wanted)
        self._spool.add(feed(self._encoder, sound))


def feed(encoder: Encoder, sound: Sound) -> bytes:
    """What can be written down of a piece of sound; blocks."""
    return encoder.feed(_samples(sound))


def _samples(sound: Sound) -> NDArray[np.int16]:
    """(samples,)"""
    # It takes memory that a server without sound need not have.
    import numpy as np

    if sound.format == "f32":
        floats = np.frombuffer(sound.data, "<f4")
        return (np.clip(floats, -1, 1) * 32767).astype(np.int16)
    return np.frombuffer(sound.data, "<i2").astype(np.int16)
