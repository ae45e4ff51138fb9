"""The tokenizer of a model in a GGUF file, as the engine contract asks for it."""

from __future__ import annotations

import logging

from xinfer.model.inspect.gguf import GgufMetadata
from xinfer.model.llm.tokenizer.pieces import CONTROL, Vocabulary
from xinfer.model.llm.tokenizer.selfcheck import Encode, first_difference

logger = logging.getLogger(__name__)

# Control tokens tried by the self-check; vocabularies have up to thousands of unused ones.
CHECKED_CONTROL_TOKENS = 16

_NAMED = {
    "bos_token": ("bos",),
    "eos_token": ("eos",),
    "unk_token": ("unknown",),
    "pad_token": ("padding",),
    "fim_pre_token": ("fim_pre", "prefix"),
    "fim_suf_token": ("fim_suf", "suffix"),
    "fim_mid_token": ("fim_mid", "middle"),
}
"""Special tokens by the names of chat templates and of the pipeline; of several keys of the file,
the later ones are older."""


class GgufTokenizer:
    """Encodes with `tokenizers` where that provably equals the engine, else with the engine.

    Args:
        gguf: the file's header.
        vocabulary: its tokens.
        reference: the engine's own tokenizer; slower, and right by definition.
        eos_ids: tokens after which the engine ends a text.
        prompt_prefix: ids that the engine puts before every plain prompt.
    """

    def __init__(
        self,
        gguf: GgufMetadata,
        vocabulary: Vocabulary,
        *,
        reference: Encode,
        eos_ids: frozenset[int],
        prompt_prefix: list[int],
    ) -> None:
        self.eos_ids = eos_ids
        self.chat_template = gguf.chat_template
        self.special_tokens = _special_tokens(gguf, vocabulary)
        self._prompt_prefix = prompt_prefix
        control = vocabulary.ids_of_type(CONTROL)
        self._pieces = list(vocabulary.pieces)
        for token in control:
            self._pieces[token] = b""
        self._encode = _choose_encoder(gguf, vocabulary, reference)
        self.native = self._encode is not reference
        """Whether it encodes by itself, and `reference` is not called any more."""

    def encode(self, text: str, *, special: bool) -> list[int]:
        return self._encode(text, special) if text else []

    def prompt_prefix(self) -> list[int]:
        return list(self._prompt_prefix)

    def piece(self, token: int) -> bytes:
        if token < 0:
            raise IndexError(token)
        return self._pieces[token]

    @property
    def vocabulary_size(self) -> int:
        return len(self._pieces)


def _choose_encoder(gguf: GgufMetadata, vocabulary: Vocabulary, reference: Encode) -> Encode:
    # Imported only where a model is loaded: whoever merely looks at engines does without.
    from xinfer.model.llm.tokenizer.encoder import build_encoder

    kind = f"{vocabulary.kind}/{gguf.values.get('tokenizer.ggml.pre', 'none')}"
    try:
        encoder = build_encoder(gguf, vocabulary)
    except Exception as error:  # tokenizers raises bare Exceptions at merges that do not fit
        logger.warning("Tokenizer %s cannot be built (%s); the engine's own encodes", kind, error)
        return reference
    if encoder is None:
        logger.info("Tokenizer %s is not one built here; the engine's own encodes", kind)
        return reference
    control = [vocabulary.tokens[token] for token in vocabulary.ids_of_type(CONTROL)]
    text = first_difference(encoder, reference, control[:CHECKED_CONTROL_TOKENS])
    if text is None:
        return encoder
    logger.warning(
        "Tokenizer %s differs from the engine's own on %r; the engine's own encodes", kind, text
    )
    return reference


def _special_tokens(gguf: GgufMetadata, vocabulary: Vocabulary) -> dict[str, str]:
    found = {}
    for name, keys in _NAMED.items():
        for key in keys:
            token = gguf.values.get(f"tokenizer.ggml.{key}_token_id")
            if isinstance(token, int) and 0 <= token < len(vocabulary.tokens):
                found[name] = vocabulary.tokens[token]
                break
    return found
