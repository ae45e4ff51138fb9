"""VITS and MMS: text to sound in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import InvalidRequest
from xinfer.model.audio.speaking.speaker import Reference
from xinfer.model.audio.speech.steps import Steps
from xinfer.model.torch_device import Place

_LONGEST = 500


class VitsSpeaker:
    """Its voices are numbers, where it has several."""

    own_speed = True
    clones = False
    longest = _LONGEST

    def __init__(self, path: str, place: Place) -> None:
        from transformers import VitsModel, VitsTokenizer

        model = VitsModel.from_pretrained(path, dtype=place.dtype, local_files_only=True)
        self.device = place.device
        self._model: Any = model.to(place.device).eval()
        self._tokenizer: Any = VitsTokenizer.from_pretrained(path, local_files_only=True)
        if getattr(self._tokenizer, "is_uroman", False):
            raise InvalidRequest(
                f"The model in {path} reads text in Latin letters only, as the program uroman "
                "writes it, which is not part of this server. Take a model without is_uroman."
            )
        self.sample_rate = int(model.config.sampling_rate)
        count = int(model.config.num_speakers)
        self.voices = tuple(str(number) for number in range(count)) if count > 1 else ()
        self._rate = float(model.config.speaking_rate)
        self._steps = Steps(
            [*model.text_encoder.encoder.layers, *model.flow.flows, *model.decoder.resblocks]
        )

    def speak(
        self,
        text: str,
        voice: str,
        speed: float,
        still_wanted: Callable[[], None],
        like: Reference | None = None,
    ) -> NDArray[np.float32]:
        import torch

        made = self._tokenizer(text, return_tensors="pt")
        known = made["input_ids"].shape[-1]
        if known < 2:  # nothing but what is put around the characters that it knows
            return np.zeros(0, np.float32)
        self._model.speaking_rate = self._rate * speed
        self._steps.watch(still_wanted)
        speaker = {"speaker_id": int(voice)} if voice else {}
        with torch.inference_mode():
            sound = self._model(**made.to(self._model.device), **speaker).waveform[0]
        return np.asarray(sound.float().cpu().numpy(), np.float32)
