"""How well tiny-whisper hears: `python -m training.tiny_audio.score [DIRECTORY]`.

The score is the number of held-out recordings whose digits are all right and in order.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

from training.tiny_audio.recordings import Spoken, recordings
from xinfer.model.audio.faster_whisper.engine import FasterWhisperEngine
from xinfer.model.audio.faster_whisper.options import FasterWhisperOptions
from xinfer.model.audio.whisper.engine import WhisperEngine
from xinfer.model.audio.whisper.options import WhisperOptions
from xinfer.model.inspect.model import inspect_path
from xinfer.types.product import Segment
from xinfer.types.request import Media, TranscribeRequest

WEIGHTS = Path(__file__).parents[2] / "xinfer/model/catalog/weights/tiny-whisper"
SCORE = Path(__file__).with_name("score.json")


def score(directory: Path, spoken: list[Spoken]) -> dict[str, dict[str, Any]]:
    """By engine: right transcripts of these recordings, and the wrong ones.

    faster-whisper hears those in English only, for which the model is one for English alone there.
    """
    plain = WhisperEngine(inspect_path(str(directory)), WhisperOptions(n_threads=1, device="cpu"))
    converted = FasterWhisperEngine(
        inspect_path(str(directory / "ct2")), FasterWhisperOptions(n_threads=1, device="cpu")
    )
    return {
        "transformers-whisper": _score(plain, spoken),
        "faster-whisper": _score(converted, [one for one in spoken if one.language == "en"]),
    }


def _score(engine: WhisperEngine | FasterWhisperEngine, spoken: list[Spoken]) -> dict[str, Any]:
    engine.load(lambda _: None)
    wrong: list[dict[str, str]] = []
    for one in spoken:
        heard: list[str] = []

        def take(product: object, heard: list[str] = heard) -> None:
            if isinstance(product, Segment):
                heard.append(product.text)

        engine.work(TranscribeRequest(sound=Media(one.file.read_bytes(), "file")), take)
        written = "".join(heard).strip()
        if written != one.said:
            wrong.append({"file": one.file.name, "said": one.said, "heard": written})
    engine.close()
    return {"right": len(spoken) - len(wrong), "of": len(spoken), "wrong": wrong}


def digest(directory: Path) -> str:
    return hashlib.sha256((directory / "model.safetensors").read_bytes()).hexdigest()


def main() -> None:
    """Read the command line, score, and write it down for the weights that ship."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?", default=WEIGHTS)
    directory = parser.parse_args().directory
    result = score(directory.absolute(), recordings())
    print(json.dumps(result, ensure_ascii=False, indent=2))
    if directory == WEIGHTS:
        kept = {"sha256": digest(directory), "engines": result}
        SCORE.write_text(json.dumps(kept, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
