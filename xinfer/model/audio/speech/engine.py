"""The engine for models that speak, in Hugging Face's format, on PyTorch."""

from __future__ import annotations

import msgspec

from xinfer.model.audio.speaking.engine import SpeakingEngine
from xinfer.model.audio.speaking.speaker import Speaker
from xinfer.model.audio.speech.options import SpeechOptions
from xinfer.model.memory import cache_bytes, estimate_on_torch
from xinfer.model.torch_build import torch_accelerators
from xinfer.model.torch_device import Place, choose_place, memory_errors
from xinfer.model.work_engine import Report
from xinfer.types.model import Memory, ModelSpec
from xinfer.types.request import SpeechRequest

VITS, SPEECHT5, BARK = "VitsModel", "SpeechT5ForTextToSpeech", "BarkModel"
CSM = "CsmForConditionalGeneration"
_LESS = "Launch the model in another torch_dtype, or on another device."
_TOKENS = 500
"""Of a sentence, for the estimate."""
_BARK_SHARE = 4
"""What Bark computes takes a quarter of its weights at most: 0.22 of those of its smaller size in
float32, and less of the larger ones."""


class SpeechEngine(SpeakingEngine[SpeechOptions]):
    """A cancel takes effect with the next step of the model."""

    packages = ("av", "torch", "transformers")
    options_class = SpeechOptions

    @classmethod
    def _refusal(cls, spec: ModelSpec) -> str:
        if spec.type != "audio" or "text2audio" not in spec.abilities:
            return "it runs audio models that speak only"
        if spec.format not in ("", "pytorch"):
            return "it runs models in Hugging Face's format (pytorch) only"
        if spec.architecture not in (VITS, SPEECHT5, BARK, CSM):
            known = spec.architecture or spec.family or "this model"
            return f"it runs VITS, MMS, SpeechT5, Bark and CSM, not {known}"
        return ""

    @classmethod
    def _needed(cls, spec: ModelSpec) -> tuple[str, ...]:
        return (*cls.packages, "sentencepiece") if spec.architecture == SPEECHT5 else cls.packages

    @classmethod
    def _accelerators(cls) -> frozenset[str]:
        return torch_accelerators()

    @classmethod
    def estimate(cls, spec: ModelSpec, options: SpeechOptions) -> Memory:
        memory = estimate_on_torch(
            spec,
            _TOKENS,
            device=options.device,
            dtype=options.torch_dtype,
            accelerated=bool(cls.accelerators()),
        )
        if spec.architecture == CSM and spec.shape is not None:
            kept = cache_bytes(spec.shape, spec.context_length, key_bytes=4, value_bytes=4)
            return msgspec.structs.replace(memory, kv_cache=sum(kept))
        if spec.architecture != BARK:
            return memory
        buffers = memory.weights // _BARK_SHARE
        return msgspec.structs.replace(
            memory,
            overhead=memory.overhead + buffers,
            accelerator_overhead=memory.accelerator_overhead + buffers,
        )

    def _load_speaker(self) -> Speaker:
        import torch

        torch.set_num_threads(self._options.threads)
        place = choose_place(self._options.device, self._options.torch_dtype)
        with memory_errors(f"for {self._spec.path}. {_LESS}"):
            return self._speaker_of(place)

    def _speaker_of(self, place: Place) -> Speaker:
        path, options = self._spec.path, self._options
        if self._spec.architecture == SPEECHT5:
            from xinfer.model.audio.speech.speecht5 import SpeechT5Speaker

            return SpeechT5Speaker(path, place, vocoder=options.vocoder, voices=options.voices)
        if self._spec.architecture == BARK:
            from xinfer.model.audio.speech.bark import BarkSpeaker

            return BarkSpeaker(path, place, options)
        if self._spec.architecture == CSM:
            from xinfer.model.audio.speech.csm import CsmSpeaker

            return CsmSpeaker(path, place)
        from xinfer.model.audio.speech.vits import VitsSpeaker

        return VitsSpeaker(path, place)

    def _details(self) -> dict[str, object]:
        return {"threads": self._options.threads}

    def _speak(self, speaker: Speaker, request: SpeechRequest, told: Report) -> None:
        import torch

        torch.manual_seed(0 if request.seed is None else request.seed)
        with memory_errors(f"to speak this text. {_LESS}"):
            super()._speak(speaker, request, told)
