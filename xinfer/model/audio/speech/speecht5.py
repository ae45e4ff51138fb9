"""SpeechT5: text to a spectrogram, step by step, and a vocoder that makes it sound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import InvalidRequest
from xinfer.model.audio.speaking.speaker import Reference
from xinfer.model.audio.speech.steps import Steps
from xinfer.model.torch_device import Place

_LONGEST = 400


class SpeechT5Speaker:
    """Its voices are files of embeddings."""

    own_speed = False
    clones = False
    longest = _LONGEST

    def __init__(self, path: str, place: Place, *, vocoder: str | None, voices: str | None) -> None:
        from transformers import (
            SpeechT5ForTextToSpeech,
            SpeechT5HifiGan,
            SpeechT5Tokenizer,
        )

        beside = Path(vocoder) if vocoder else Path(path) / "vocoder"
        if not (beside / "config.json").is_file():
            raise InvalidRequest(
                f"SpeechT5 needs a vocoder, and {beside} has none: expected a directory with its "
                "config.json and weights, such as microsoft/speecht5_hifigan. Name it by the "
                "option vocoder.",
                param="vocoder",
            )
        model = SpeechT5ForTextToSpeech.from_pretrained(
            path, dtype=place.dtype, local_files_only=True
        )
        self.device = place.device
        self._model: Any = model.to(place.device).eval()
        made = SpeechT5HifiGan.from_pretrained(beside, dtype=place.dtype, local_files_only=True)
        self._vocoder: Any = made.to(place.device).eval()
        self._tokenizer: Any = SpeechT5Tokenizer.from_pretrained(path, local_files_only=True)
        self._embeddings = read_voices(
            Path(voices) if voices else Path(path) / "voices",
            width=int(model.config.speaker_embedding_dim),
        )
        self.voices = tuple(self._embeddings)
        self.sample_rate = int(made.config.sampling_rate)
        self._steps = Steps([model.speecht5.decoder.prenet])

    def speak(
        self,
        text: str,
        voice: str,
        speed: float,
        still_wanted: Callable[[], None],
        like: Reference | None = None,
    ) -> NDArray[np.float32]:
        import torch

        self._steps.watch(still_wanted)
        ids = self._tokenizer(text, return_tensors="pt")["input_ids"].to(self._model.device)
        most = self._model.config.max_text_positions
        if ids.shape[1] > most:  # characters that are written out, such as ligatures
            raise InvalidRequest(
                f"`input`: a part of {len(text)} characters is {ids.shape[1]} tokens to this "
                f"model, which takes {most} at once. Write it in shorter sentences.",
                param="input",
            )
        embedding = torch.from_numpy(self._embeddings[voice][None])
        embedding = embedding.to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            sound = self._model.generate_speech(ids, embedding, vocoder=self._vocoder)
        return np.asarray(sound.float().cpu().numpy(), np.float32)


def read_voices(directory: Path, *, width: int) -> dict[str, NDArray[np.float32]]:
    """The embedding of each voice, by the name of its file.

    Raises:
        InvalidRequest: there is none, or one is no embedding of this width.
    """
    voices: dict[str, NDArray[np.float32]] = {}
    for file in sorted(directory.glob("*.npy")):
        try:
            read = np.load(file, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise InvalidRequest(f"Cannot read {file}: {error}.", param="voices") from None
        if read.size != width:
            raise InvalidRequest(
                f"{file} holds {read.size} numbers; a voice of this model has {width}.",
                param="voices",
            )
        voices[file.stem] = np.asarray(read, np.float32).reshape(-1)
    if not voices:
        raise InvalidRequest(
            f"SpeechT5 needs voices, and {directory} has none: expected a .npy file for each, with "
            f"{width} numbers, such as those of Matthijs/cmu-arctic-xvectors. Name the directory "
            "by the option voices.",
            param="voices",
        )
    return voices
