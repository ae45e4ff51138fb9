"""A model that llama.cpp has loaded: its vocabulary, and what it tells of itself."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from xinfer.errors import EngineFailed, InvalidRequest, Unavailable
from xinfer.model.llama_cpp.binding import computes_with_amx, error_lines, library
from xinfer.model.llama_cpp.options import ModelOptions

_CANNOT_LOAD = "error loading model: "
_TOO_MANY = -(1 << 31)
"""llama_tokenize's answer when it cannot count the tokens."""


class LlamaModel:
    """Loaded weights; blocks while it loads.

    Args:
        path: the file, or the first of its parts.
        gpu_layers: layers on the accelerator.
        progress: called with 0..1 as the weights come in.

    Raises:
        InvalidRequest: llama.cpp cannot load this file; the message has its reason.
        Unavailable: no memory for it.
    """

    def __init__(
        self,
        path: str,
        options: ModelOptions,
        *,
        gpu_layers: int,
        progress: Callable[[float], None],
    ) -> None:
        llama = self._llama = library()
        params = llama.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        params.main_gpu = options.main_gpu
        params.split_mode = getattr(llama, f"LLAMA_SPLIT_MODE_{options.split_mode.upper()}")
        split = self._tensor_split(options)
        params.tensor_split = split
        mode = ("MMAP" if options.use_mmap else "", "MLOCK" if options.use_mlock else "")
        name = "_".join(filter(None, mode)) or "NONE"
        params.load_mode = getattr(llama, f"LLAMA_LOAD_MODE_{name}")
        repack = options.use_extra_bufts
        params.use_extra_bufts = not computes_with_amx() if repack is None else repack
        raised: list[BaseException] = []

        def report(fraction: float, _: object) -> bool:
            try:
                progress(fraction)
            except BaseException as error:  # ends the load; raised again below
                raised.append(error)
                return False
            return True

        callback = llama.llama_progress_callback(report)
        params.progress_callback = callback
        with error_lines() as lines:
            self.pointer = llama.llama_model_load_from_file(path.encode(), params)
        if raised:
            raise raised[0]
        if not self.pointer:
            raise load_failure(path, lines)
        self.vocabulary = llama.llama_model_get_vocab(self.pointer)
        self.vocabulary_size: int = llama.llama_vocab_n_tokens(self.vocabulary)
        self.layers: int = llama.llama_model_n_layer(self.pointer)
        self.sliding_window: int = llama.llama_model_n_swa(self.pointer)
        self.end_ids = frozenset(
            token
            for token in range(self.vocabulary_size)
            if llama.llama_vocab_is_eog(self.vocabulary, token)
        )

    def _tensor_split(self, options: ModelOptions) -> Any:
        if not options.tensor_split:
            return None
        most = self._llama.llama_max_devices()
        if len(options.tensor_split) > most:
            raise InvalidRequest(
                f"tensor_split has {len(options.tensor_split)} shares; this build of llama.cpp "
                f"knows {most} devices.",
                param="tensor_split",
            )
        self._split = (ctypes.c_float * most)(*options.tensor_split)
        return self._split

    def suppressed_ids(self) -> list[int]:
        """Tokens that the file says are never to be generated."""
        count = ctypes.c_int32()
        found = self._llama.llama_vocab_get_suppress_tokens(self.vocabulary, ctypes.byref(count))
        return list(found[: count.value]) if found else []

    def tokenize(self, text: str, special: bool, *, prefix: bool = False) -> list[int]:
        """llama.cpp's own ids of a text.

        Args:
            special: recognise control tokens in the text.
            prefix: put before it what llama.cpp puts before a plain prompt.
        """
        data = text.encode("utf-8", "surrogatepass")
        room = len(data) + 16
        for _ in range(2):
            buffer = (self._llama.llama_token * room)()
            count = self._llama.llama_tokenize(
                self.vocabulary, data, len(data), buffer, room, prefix, special
            )
            if count >= 0:
                return list(buffer[:count])
            if count == _TOO_MANY:
                break
            room = -count  # normalising can make a text longer
        raise EngineFailed(f"llama.cpp cannot tokenize {len(data)} bytes of text.")

    def pieces(self) -> list[bytes]:
        """The bytes of every token, control tokens included; a call of llama.cpp for each."""
        return [self._piece(token) for token in range(self.vocabulary_size)]

    def _piece(self, token: int) -> bytes:
        for room in (64, 1 << 16):
            buffer = ctypes.create_string_buffer(room)
            size = self._llama.llama_token_to_piece(self.vocabulary, token, buffer, room, 0, True)
            if size >= 0:
                return buffer.raw[:size]
        raise EngineFailed(f"llama.cpp does not say what token {token} stands for.")

    def prompt_prefix(self) -> list[int]:
        """The ids that llama.cpp puts before every plain prompt."""
        text = "a"
        plain = self.tokenize(text, False)
        full = self.tokenize(text, False, prefix=True)
        starts = range(len(full) - len(plain) + 1)
        return next((full[:start] for start in starts if full[start:][: len(plain)] == plain), [])

    def close(self) -> None:
        """Release the weights, once no context uses them any more."""
        if self.pointer:
            self._llama.llama_model_free(self.pointer)
            self.pointer = None


def load_failure(path: str, lines: list[str]) -> Exception:
    """What llama.cpp logged while it failed to load, as an error for the user."""
    lines = list(dict.fromkeys(line.strip() for line in lines))
    for line in lines:
        if is_out_of_memory(line):
            return Unavailable(
                f"There is not enough memory for {path}: {line}. Launch it with a smaller n_ctx, "
                "n_kv, n_gpu_layers or quantisation.",
                code="no_capacity",
            )
    if any(_CANNOT_LOAD in line for line in lines):
        # The first line is the most exact; the later ones only pass the failure on.
        reason = lines[0].rpartition(_CANNOT_LOAD)[2].rstrip(".")
        return InvalidRequest(f"llama.cpp cannot load {path}: {reason}.", param="model_path")
    reason = "; ".join(lines[-3:]) or "it gave no reason"
    return EngineFailed(f"llama.cpp did not start with {path}: {reason}.")


def is_out_of_memory(line: str) -> bool:
    return "failed to allocate" in line or "unable to allocate" in line
