"""Turn what was trained into the files that ship: `python -m training.tiny_audio.export RUN OUT`.

`OUT` receives what Transformers loads (safetensors in F16), and in `ct2` the same weights as
CTranslate2 has them, for faster-whisper. The latter takes a vocabulary of this size for that of a
model for English alone; tiny-whisper was taught to be asked so, too.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import ctranslate2
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from training.tiny_audio.model import HEADS, LAYERS, build_model
from training.tiny_audio.tokenizer import (
    END,
    LANGUAGES,
    NO_TIMESTAMPS,
    START,
    TRANSCRIBE,
    TRANSLATE,
    build_tokenizer,
    language_token,
)

ALIGNING = [[LAYERS - 1, head] for head in range(HEADS)]
"""Layer and head of attention to the sound that words' times are taken from."""


def export(run: Path, out: Path) -> None:
    """Write all files of the model; what `train` wrote is in `run`."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    kept = torch.load(run / "training.pt", weights_only=True)
    model.load_state_dict(kept["model"])
    weights = {
        name: tensor.half().contiguous()
        for name, tensor in model.state_dict().items()
        if name != "proj_out.weight"  # the same as the embeddings
    }
    save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)  # save_file leaves it readable by its owner alone
    config = model.config.to_dict() | {
        "architectures": ["WhisperForConditionalGeneration"],
        "dtype": "float16",
        "transformers_version": None,
    }
    _write_json(out / "config.json", {k: v for k, v in config.items() if v is not None})
    _write_json(out / "generation_config.json", generation_config(tokenizer))
    _write_json(out / "preprocessor_config.json", preprocessor_config())
    tokenizer.save(str(out / "tokenizer.json"))
    _write_json(out / "tokenizer_config.json", tokenizer_config())
    export_ctranslate2(out, out / "ct2")


def export_ctranslate2(source: Path, out: Path) -> None:
    """Convert what Transformers loads, and put beside it what faster-whisper reads."""
    shutil.rmtree(out, ignore_errors=True)
    ctranslate2.converters.TransformersConverter(
        str(source), copy_files=["tokenizer.json", "preprocessor_config.json"]
    ).convert(str(out), quantization="float16")
    for file in out.iterdir():
        file.chmod(0o644)


def generation_config(tokenizer: Tokenizer) -> dict[str, Any]:
    """What Transformers, and the engine here, read of tokens and of attention."""
    id_of = tokenizer.token_to_id
    space = tokenizer.encode(" ").ids
    return {
        "alignment_heads": ALIGNING,
        "begin_suppress_tokens": [*space, id_of(END)],
        "bos_token_id": id_of(END),
        "decoder_start_token_id": id_of(START),
        "eos_token_id": id_of(END),
        "pad_token_id": id_of(END),
        "is_multilingual": True,
        "lang_to_id": {language_token(one): id_of(language_token(one)) for one in LANGUAGES},
        "task_to_id": {"transcribe": id_of(TRANSCRIBE), "translate": id_of(TRANSLATE)},
        "no_timestamps_token_id": id_of(NO_TIMESTAMPS),
        "max_initial_timestamp_index": 150,
        "max_length": 448,
        "return_timestamps": False,
        "suppress_tokens": [],
    }


def preprocessor_config() -> dict[str, Any]:
    """How sound is made what the model hears: as every Whisper with 80 bands."""
    return {
        "chunk_length": 30,
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": 80,
        "hop_length": 160,
        "n_fft": 400,
        "n_samples": 480000,
        "nb_max_frames": 3000,
        "padding_side": "right",
        "padding_value": 0.0,
        "processor_class": "WhisperProcessor",
        "return_attention_mask": False,
        "sampling_rate": 16000,
    }


def tokenizer_config() -> dict[str, Any]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 448,
        "clean_up_tokenization_spaces": False,
        "bos_token": END,
        "eos_token": END,
        "pad_token": END,
        "unk_token": END,
    }


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    export(arguments.run, arguments.out)


if __name__ == "__main__":
    main()
