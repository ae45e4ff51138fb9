"""The Piper engine: voices as a graph in .onnx with its description, on ONNX Runtime."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from xinfer.errors import InvalidRequest
from xinfer.model.audio.piper.options import PiperOptions
from xinfer.model.audio.speaking.engine import SpeakingEngine
from xinfer.model.audio.speaking.speaker import Speaker
from xinfer.model.memory import RESERVE
from xinfer.types.model import Memory, ModelSpec
from xinfer.types.request import SpeechRequest, WorkRequest

FORMAT = "onnx"
_BUFFERS = 256 << 20
"""Bytes of what is computed of 20 seconds: a few layers of 32 channels at the rate of the sound."""


class PiperEngine(SpeakingEngine[PiperOptions]):
    """A cancel takes effect with the next node of the graph."""

    packages = ("onnxruntime", "piper")
    extra = "piper"
    options_class = PiperOptions

    @classmethod
    def _refusal(cls, spec: ModelSpec) -> str:
        if spec.type != "audio" or spec.format != FORMAT or spec.family != "piper":
            return "it runs voices of Piper only: a .onnx file with its .onnx.json"
        return ""

    @classmethod
    def _accelerators(cls) -> frozenset[str]:
        found = find_spec("onnxruntime")
        if found is None or found.origin is None:
            return frozenset()
        cuda = Path(found.origin).parent / "capi" / "libonnxruntime_providers_cuda.so"
        return frozenset({"cuda"} if cuda.is_file() else ())

    @classmethod
    def estimate(cls, spec: ModelSpec, options: PiperOptions) -> Memory:
        return Memory(
            weights=spec.size_bytes,
            overhead=_BUFFERS,
            accelerator_overhead=RESERVE + _BUFFERS,
            processors_only=options.device == "cpu",
        )

    def _load_speaker(self) -> Speaker:
        from xinfer.model.audio.piper.speaker import PiperSpeaker

        return PiperSpeaker(self._spec.path, self._options)

    def _details(self) -> dict[str, object]:
        return {"threads": self._options.threads}

    def check(self, request: WorkRequest) -> None:
        super().check(request)
        if isinstance(request, SpeechRequest) and request.seed is not None:
            raise InvalidRequest(
                "This model's chances take no seed: leave `seed` out, or launch it with "
                "noise_scale and noise_w of 0.",
                param="seed",
            )
