"""What a model in Transformers' layout is for, by its configuration: its type and abilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xinfer.errors import InvalidRequest
from xinfer.model.inspect.card import Card
from xinfer.model.inspect.config_shape import text_config
from xinfer.model.inspect.json_files import Listing, section, strings

LLM, EMBEDDING, RERANK, IMAGE, AUDIO, VIDEO = (
    "LLM",
    "embedding",
    "rerank",
    "image",
    "audio",
    "video",
)

_HEARS = (
    *("Whisper", "Wav2Vec2", "Hubert", "Moonshine", "SeamlessM4T", "Speech2Text", "Parakeet"),
    *("Wav2Vec2Bert", "UniSpeech", "Data2VecAudio", "Qwen3ASR", "Canary", "SenseVoice"),
)
_SPEAKS = (
    *("SpeechT5", "Vits", "Bark", "Musicgen", "Dia", "Csm", "Kokoro", "Parler", "FastSpeech2"),
    *("Qwen3TTS", "ChatTTS", "CosyVoice", "VoxCPM", "Higgs"),
)
_WRITES = (
    *("ForCausalLM", "LMHeadModel", "ForConditionalGeneration", "ForVision2Seq", "CausalLM"),
    *("ForImageTextToText", "ForMultimodalLM", "ForDiffusionLM", "LMModel"),
)
_WRITERS = frozenset(
    {
        *("ChatGLMModel", "InternVLChatModel", "MiniCPMV", "MiniCPMO", "InternLM2ForRewardModel"),
        *("QWenLMHeadModel", "OvisModel", "KimiVLModel", "MolmoModel"),
    }
)
_READS = ("ForMaskedLM", "ForTextEncoding", "Model", "TextEncoder", "ForPreTraining")
"""Encoders without a head: their vectors are what one wants of them."""
_RANKS = ("ForSequenceClassification", "ForRanking", "ForReranking")

_LONGEST = 100  # characters of a name

_VISION = ("vision_config", "visual", "vision_tower", "mm_vision_tower", "image_token_id")
_SOUND = ("audio_config", "audio_encoder_config", "speech_config", "audio_processor")


def architecture(config: Mapping[str, Any]) -> str:
    """The first that the configuration names; empty if it names none."""
    names = strings(config.get("architectures"))
    return names[0][:_LONGEST] if names else ""


def type_of(config: Mapping[str, Any], files: Listing, card: Card, name: str) -> str:
    """LLM, embedding, rerank or audio.

    A language model that ranks has nothing of its own that would tell; its card does, or else its
    name.

    Raises:
        InvalidRequest: it is for something else, or does not say for what.
    """
    made = str(files.json("config_sentence_transformers.json").get("model_type", ""))
    if made == "CrossEncoder":
        return RERANK
    head = architecture(config)
    if head.endswith(_RANKS):
        return RERANK
    if "modules.json" in files:
        return RERANK if _ranks(card, name) else EMBEDDING
    if head.startswith(_HEARS) or head.endswith(("ForCTC", "ForSpeechSeq2Seq")):
        return AUDIO
    if head.startswith(_SPEAKS):
        return AUDIO
    if head.endswith(_WRITES) or head in _WRITERS or _generates(config):
        return RERANK if _ranks(card, name) else LLM
    if head.endswith(_READS):
        return EMBEDDING
    if head:
        raise InvalidRequest(
            f"{files.where} is a {head}, which is for none of the things that are served: "
            "language models, embedding, rerank, image and audio models."
        )
    raise InvalidRequest(
        f"{files.where} does not say what its model is for: its config.json names no "
        "architectures. Expected one, such as Qwen2ForCausalLM."
    )


def _ranks(card: Card, name: str) -> bool:
    task = card.get("pipeline_tag", [])
    return task == ["text-ranking"] or "rerank" in name.lower()


def _generates(config: Mapping[str, Any]) -> bool:
    return "AutoModelForCausalLM" in section(config, "auto_map")


def llm_abilities(
    config: Mapping[str, Any], files: Listing, from_template: list[str]
) -> tuple[str, ...]:
    """The incumbent's words for what a language model does."""
    abilities = ["generate", *from_template]
    sees = _has(config, _VISION) or "image_processor_type" in files.json("preprocessor_config.json")
    hears = _has(config, _SOUND)
    if sees:
        abilities.append("vision")
    if hears:
        abilities.append("audio")
    if sees and hears:
        abilities.append("omni")
    return tuple(abilities)


def _has(config: Mapping[str, Any], keys: tuple[str, ...]) -> bool:
    """Whether a configuration, or that of its part that thinks, has one of these with a value."""
    places = (config, section(config, "thinker_config"), text_config(config))
    return any(place.get(key) for place in places for key in keys)


def audio_abilities(config: Mapping[str, Any]) -> tuple[str, ...]:
    head = architecture(config)
    if not head.startswith(_SPEAKS) or head.endswith("ForSpeechToText"):
        return ("audio2text",)
    if head.startswith("Csm"):
        return ("text2audio", "text2audio_voice_cloning")
    return ("text2music",) if head.startswith("Musicgen") else ("text2audio",)
