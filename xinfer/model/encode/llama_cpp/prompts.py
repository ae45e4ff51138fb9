"""The special tokens that a vocabulary puts around texts."""

from __future__ import annotations

from xinfer.errors import InvalidRequest
from xinfer.model.encode.prompts import SpecialTokens
from xinfer.model.llama_cpp.binding import library
from xinfer.model.llama_cpp.model import LlamaModel

_NONE = -1


def special_tokens(model: LlamaModel, path: str) -> SpecialTokens:
    """Those of a pair.

    Args:
        path: the model's file, for the message.

    Raises:
        InvalidRequest: the vocabulary asks for a token that it does not have; llama.cpp would end
            the process over the first text.
    """
    llama, vocabulary = library(), model.vocabulary
    bos = llama.llama_vocab_bos(vocabulary)
    sep = llama.llama_vocab_sep(vocabulary)
    eos = llama.llama_vocab_eos(vocabulary)
    add_bos = llama.llama_vocab_get_add_bos(vocabulary)
    add_eos = llama.llama_vocab_get_add_eos(vocabulary)
    add_sep = llama.llama_vocab_get_add_sep(vocabulary)
    # BERT's tokenizer begins and ends a text with them, whatever the flags say.
    bert = llama.llama_vocab_type(vocabulary) == llama.LLAMA_VOCAB_TYPE_WPM
    for name, needed, token in (
        ("beginning-of-text", add_bos or bert, bos),
        ("end-of-text", add_eos and not bert, eos),
        ("separator", add_sep or bert, sep),
    ):
        if needed and not 0 <= token < model.vocabulary_size:
            raise InvalidRequest(
                f"{path} cannot be used: its tokenizer puts a {name} token around every text and "
                "does not have one. Convert the model again.",
                param="model_path",
            )
    end = [sep if eos == _NONE else eos] if add_eos else []
    return SpecialTokens(
        [bos] if add_bos else [],
        end + ([sep] if add_sep else []),
        end,
    )
