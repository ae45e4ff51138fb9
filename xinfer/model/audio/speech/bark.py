"""Bark: text to tokens of meaning, these to tokens of sound in two steps, and a codec."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xinfer.errors import InvalidRequest
from xinfer.model.audio.speaking.speaker import Reference
from xinfer.model.audio.speech.options import SpeechOptions
from xinfer.model.audio.speech.steps import Steps
from xinfer.model.torch_device import Place

_LONGEST = 200
"""It speaks for 15 seconds at most, and what is longer would be cut off."""
_PARTS = {"semantic_prompt": 1, "coarse_prompt": 2, "fine_prompt": 2}
"""Of a voice, with their numbers of dimensions."""
_INDEX = "speaker_embeddings_path.json"
_ENGLISH = re.compile(r"(^|/)en_")


class BarkSpeaker:
    """Its voices are the presets that come with it: what was said before, in that voice."""

    own_speed = False
    clones = False
    longest = _LONGEST

    def __init__(self, path: str, place: Place, options: SpeechOptions) -> None:
        from transformers import AutoTokenizer, BarkModel

        model = BarkModel.from_pretrained(path, dtype=place.dtype, local_files_only=True)
        self.device = place.device
        self._model: Any = model.to(place.device).eval()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(path, local_files_only=True)
        generation = _with_chances(model.generation_config, options, path)
        self._text_length = int(generation.semantic_config.get("max_input_semantic_length", 256))
        self._min_eos_p = options.min_eos_p
        self.sample_rate = int(generation.sample_rate)
        self._voices = find_voices(Path(path))
        self.voices = tuple(self._voices)
        self._tokens = {
            "semantic_prompt": int(generation.semantic_config.get("semantic_vocab_size", 10_000)),
            "coarse_prompt": int(generation.codebook_size),
            "fine_prompt": int(generation.codebook_size),
        }
        # With each token and each layer of codes.
        parts = (model.semantic, model.coarse_acoustics, model.fine_acoustics)
        self._steps = Steps(part.layers[0] for part in parts)

    def speak(
        self,
        text: str,
        voice: str,
        speed: float,
        still_wanted: Callable[[], None],
        like: Reference | None = None,
    ) -> NDArray[np.float32]:
        import torch

        ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        if not ids:
            return np.zeros(0, np.float32)
        if len(ids) > self._text_length:
            raise InvalidRequest(
                f"`input`: a part of it, {text[:50]!r}, has {len(ids)} tokens, and Bark reads "
                f"{self._text_length} at once. Divide it by marks of punctuation.",
                param="input",
            )
        self._steps.watch(still_wanted)
        room = self._text_length - len(ids)
        device = self._model.device
        said_before = read_voice(self._voices[voice], self._tokens) if voice else {}
        prompt = {part: torch.from_numpy(read).to(device) for part, read in said_before.items()}
        with torch.inference_mode():
            sound = self._model.generate(
                torch.tensor([[*ids, *[0] * room]], device=device),
                attention_mask=torch.tensor([[1] * len(ids) + [0] * room], device=device),
                history_prompt=prompt or None,
                min_eos_p=self._min_eos_p,
            )
        return np.asarray(sound[0].float().cpu().numpy(), np.float32)


def _with_chances(generation: Any, options: SpeechOptions, path: str) -> Any:
    """How freely it chooses, as the launch says; what that does not say is as the files say.

    Raises:
        InvalidRequest: the files say nothing.
    """
    told = (getattr(generation, "semantic_config", None), getattr(generation, "sample_rate", None))
    if not all(told):
        raise InvalidRequest(
            f"Bark needs a generation_config.json with semantic_config, coarse_acoustics_config, "
            f"fine_acoustics_config, sample_rate and codebook_size, and {path} has none. Copy or "
            "download it too."
        )
    generation.semantic_config = {
        **generation.semantic_config,
        **_temperature(options.text_temperature),
        "min_new_tokens": 1,  # of none there would be no sound
    }
    generation.coarse_acoustics_config = {
        **generation.coarse_acoustics_config,
        **_temperature(options.waveform_temperature),
    }
    return generation


def _temperature(value: float | None) -> dict[str, Any]:
    if value is None:
        return {}
    return {"do_sample": True, "temperature": value} if value else {"do_sample": False}


def find_voices(directory: Path) -> dict[str, dict[str, Path]]:
    """The presets that are whole, by name: the file of each part. English ones come first.

    Raises:
        InvalidRequest: the list of them cannot be read, or names files elsewhere.
    """
    index = directory / _INDEX
    if not index.is_file():
        return {}
    try:
        told = json.loads(index.read_text(encoding="utf-8"))
        listed = {
            name: {part: directory / parts[part] for part in _PARTS}
            for name, parts in told.items()
            if isinstance(parts, dict)
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidRequest(
            f"Cannot read the list of voices {index}: {type(error).__name__}: {error}. Expected an "
            f"object with {', '.join(_PARTS)} for each voice."
        ) from None
    for name, files in listed.items():
        for file in files.values():
            if not Path(file).absolute().is_relative_to(directory.absolute()) or ".." in file.parts:
                raise InvalidRequest(f"{index}: voice {name} has a file outside of the model's.")
    whole = [name for name, files in listed.items() if all(map(Path.is_file, files.values()))]
    return {name: listed[name] for name in sorted(whole, key=lambda one: not _ENGLISH.search(one))}


def read_voice(files: dict[str, Path], tokens: dict[str, int]) -> dict[str, NDArray[np.int64]]:
    """The tokens of a preset: semantic (n,), coarse (2, n), fine (8, n).

    Args:
        tokens: how many there are of each kind.

    Raises:
        InvalidRequest: a file of it is damaged.
    """
    voice: dict[str, NDArray[np.int64]] = {}
    for part, dimensions in _PARTS.items():
        try:
            read = np.load(files[part], allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise InvalidRequest(
                f"Cannot read {files[part]}: {error}. Choose another voice, or copy it again.",
                param="voice",
            ) from None
        whole = np.issubdtype(read.dtype, np.integer)
        if read.ndim != dimensions or not whole or not read.size:
            raise _no_part(files[part], f"expected whole numbers in {dimensions} dimensions")
        if read.min() < 0 or read.max() >= tokens[part]:
            raise _no_part(files[part], f"expected numbers from 0 to {tokens[part] - 1}")
        voice[part] = read.astype(np.int64)
    return voice


def _no_part(file: Path, expected: str) -> InvalidRequest:
    return InvalidRequest(
        f"{file} is no part of a voice of this model: {expected}. Choose another voice, or copy it "
        "again.",
        param="voice",
    )
