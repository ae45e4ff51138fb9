"""CSM: a voice and what it says next, frame by frame, as the codes of a codec."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import InvalidRequest
from xinfer.model.audio.speaking.speaker import Reference
from xinfer.model.audio.speech.steps import Steps
from xinfer.model.torch_device import Place

_LONGEST = 200
_SLOWEST = 6.0
"""Characters a second: of a text, the most that it is given time for."""
_SPARE = 2.0
"""Seconds that it is given beside."""
_SPEAKER = "0"


class CsmSpeaker:
    """It goes on in the voice of a recording; without one it takes a voice by chance."""

    own_speed = False
    longest = _LONGEST
    clones = True
    voices: tuple[str, ...] = ()

    def __init__(self, path: str, place: Place) -> None:
        from transformers import CsmForConditionalGeneration, CsmProcessor

        model = CsmForConditionalGeneration.from_pretrained(
            path, dtype=place.dtype, local_files_only=True
        )
        self.device = place.device
        self._model: Any = model.to(place.device).eval()
        self._processor: Any = CsmProcessor.from_pretrained(path, local_files_only=True)
        if not self._processor.chat_template:
            raise InvalidRequest(
                f"CSM needs its chat_template.jinja, and {path} has none. Copy or download it too."
            )
        self._control = self._processor.tokenizer.all_special_tokens
        self.sample_rate = int(self._processor.feature_extractor.sampling_rate)
        self._frames = float(model.config.codec_config.frame_rate)
        self._codes = int(model.config.codec_config.codebook_size)
        self._context = int(model.config.max_position_embeddings)
        self._steps = Steps([model.backbone_model.layers[0]])

    def speak(
        self,
        text: str,
        voice: str,
        speed: float,
        still_wanted: Callable[[], None],
        like: Reference | None = None,
    ) -> NDArray[np.float32]:
        import torch

        text = self._words(text)
        said = _message(text)
        before = [] if like is None else [_message(self._words(like.text), like.sound)]
        inputs = self._processor.apply_chat_template(
            [*before, said], tokenize=True, return_dict=True
        ).to(self._model.device)
        if "input_values" in inputs:
            inputs["input_values"] = inputs["input_values"].to(self._model.dtype)
        room = self._context - int(inputs["input_ids"].shape[-1])
        frames = math.ceil((len(text) / _SLOWEST + _SPARE) * self._frames)
        if room < frames:
            raise InvalidRequest(
                f"What was said before and this text take more than the {self._context} positions "
                "of the model: give a shorter recording of the voice.",
                param="prompt_speech" if like is not None else "input",
            )
        self._steps.watch(still_wanted)
        with torch.inference_mode():
            codes = self._model.generate(**inputs, max_new_tokens=frames)[0]
            ends = (codes == self._model.config.codebook_eos_token_id).all(dim=-1).nonzero()
            codes = codes[: int(ends.min())] if ends.numel() else codes
            if not len(codes):
                return np.zeros(0, np.float32)
            # Its vocabulary has a few numbers more than the codec has codes.
            codes = codes.clamp(max=self._codes - 1)
            sound = self._model.codec_model.decode(codes.T[None]).audio_values[0, 0]
        return np.asarray(sound.float().cpu().numpy(), np.float32)

    def _words(self, text: str) -> str:
        """The text without what the model would take for signs of its own."""
        for sign in self._control:
            text = text.replace(sign, " ")
        return text


def _message(text: str, sound: NDArray[np.float32] | None = None) -> dict[str, Any]:
    """What somebody says, as the chat template takes it."""
    content: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if sound is not None:
        content.append({"type": "audio", "path": sound})
    return {"role": _SPEAKER, "content": content}
