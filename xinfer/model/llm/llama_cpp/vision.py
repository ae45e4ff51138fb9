"""Pictures and recordings through llama.cpp's mtmd: from bytes to tokens in the KV cache."""

from __future__ import annotations

import ctypes
import hashlib
import threading
from collections.abc import Sequence
from typing import Any

from xinfer.errors import InvalidRequest, Unavailable
from xinfer.model.engine import MediaPrompt
from xinfer.model.llama_cpp.binding import error_lines, media_library
from xinfer.model.llama_cpp.model import LlamaModel
from xinfer.model.llm.llama_cpp.options import LlamaCppOptions
from xinfer.model.llm.scheduling.layout import Layout, Span
from xinfer.types.request import Media

# Where mtmd looks for ffmpeg, which it would ask about what it cannot decode itself.
_NOWHERE = b"/dev/null"


class Pictures:
    """The pictures of one prompt: what they were made from, and where they are in it.

    Their pixels are kept only while they are computed: many requests may wait.
    """

    def __init__(
        self,
        texts: Sequence[bytes],
        media: Sequence[Media],
        sizes: Sequence[tuple[int, int]],
        layout: Layout,
        sources: Sequence[tuple[int, int]],
    ) -> None:
        self.texts = texts
        self.media = media
        self.sizes = sizes
        self.layout = layout
        self.sources = sources
        """For each span, its picture and its chunk of mtmd's."""
        self.decoded: tuple[int, _Chunks] | None = None
        """The picture that is being computed, and the prompt's chunks with its pixels."""


class Vision:
    """A model's projector, with the tower before it that sees, the one that hears, or both.

    Args:
        path: the projector's file, which has been checked.
        most: tokens that the context can compute at once.

    Raises:
        InvalidRequest: llama.cpp does not take the file, or not for this model.
    """

    def __init__(self, model: LlamaModel, path: str, options: LlamaCppOptions, most: int) -> None:
        mtmd = self._mtmd = media_library()
        self.path = path
        self._most = most
        self._lock = threading.Lock()
        params = mtmd.mtmd_context_params_default()
        params.use_gpu = options.n_gpu_layers != 0
        params.n_threads = options.n_threads_batch or options.threads
        params.print_timings = False
        with error_lines() as lines:
            self._pointer = mtmd.mtmd_init_from_file(path.encode(), model.pointer, params)
        if not self._pointer:
            reason = "; ".join(dict.fromkeys(filter(None, map(str.strip, lines))))
            raise InvalidRequest(
                f"llama.cpp cannot use {path} with this model: {reason or 'it gave no reason'}.",
                param="mmproj",
            )
        self.sees = bool(mtmd.mtmd_support_vision(self._pointer))
        self.hears = bool(mtmd.mtmd_support_audio(self._pointer))
        # Such pictures have to be computed in one piece.
        self._whole = bool(mtmd.mtmd_decode_use_non_causal(self._pointer, None))
        self._options = mtmd.mtmd_helper_init_opt_default()
        self._options.video_params.ffmpeg_bin_dir = _NOWHERE

    def prompt(self, texts: Sequence[str], media: Sequence[Media]) -> MediaPrompt:
        """As of `MediaEngine`. One picture is decoded at a time."""
        with self._lock:
            if not self._pointer:
                raise Unavailable("The model is being closed.")
            return self._prompt([text.encode() for text in texts], media)

    def compute(
        self, context: Any, pictures: Pictures, number: int, slot: int, position: int, batch: int
    ) -> int:
        """Compute span `number` in a context; on the context's thread.

        Args:
            batch: tokens that are computed at once, where the model allows that.

        Returns:
            As of llama_decode; negative also when the picture cannot be encoded.
        """
        mtmd = self._mtmd
        picture, index = pictures.sources[number]
        chunk = self._chunks_of(pictures, picture)[index]
        if mtmd.mtmd_encode_chunk(self._pointer, chunk) != 0:
            return -1
        code: int = mtmd.mtmd_helper_decode_image_chunk(
            self._pointer,
            context,
            chunk,
            mtmd.mtmd_get_output_embd(self._pointer),
            position,
            slot,
            batch,
            ctypes.byref(ctypes.c_int32()),
            mtmd.mtmd_helper_post_decode_callback(),
            None,
        )
        following = pictures.sources[number + 1 : number + 2]
        if not following or following[0][0] != picture:
            pictures.decoded = None
        return code

    def close(self) -> None:
        """Release it, once no prompt is being made."""
        with self._lock:
            if self._pointer:
                self._mtmd.mtmd_free(self._pointer)
                self._pointer = None

    def _prompt(self, texts: list[bytes], media: Sequence[Media]) -> MediaPrompt:
        mtmd = self._mtmd
        sizes = []
        for medium in media:
            bitmap = self._decode(medium, keep=False)
            sizes.append((mtmd.mtmd_bitmap_get_nx(bitmap), mtmd.mtmd_bitmap_get_ny(bitmap)))
            mtmd.mtmd_bitmap_free(bitmap)
        chunks = self._tokenize(texts, media, sizes, None)
        ids: list[int] = []
        spans, sources = [], []
        for index in range(len(chunks)):
            chunk = chunks[index]
            if mtmd.mtmd_input_chunk_get_type(chunk) == mtmd.MTMD_INPUT_CHUNK_TYPE_TEXT:
                count = ctypes.c_size_t()
                tokens = mtmd.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
                ids += tokens[: count.value]
                continue
            number = int(mtmd.mtmd_input_chunk_get_id(chunk))
            tokens = mtmd.mtmd_input_chunk_get_n_tokens(chunk)
            self._check_size(media[number], tokens)
            spans.append(Span(len(ids), tokens, mtmd.mtmd_input_chunk_get_n_pos(chunk)))
            sources.append((number, index))
            ids += [_stand_in(media[number])] * tokens
        if ids[-1] < 0:
            raise InvalidRequest(
                "The prompt ends with a picture; expected text behind it. The model's chat "
                "template does not begin an answer.",
                param="messages",
            )
        layout = Layout(spans)
        return MediaPrompt(ids, Pictures(texts, media, sizes, layout, sources))

    def _check_size(self, medium: Media, tokens: int) -> None:
        if self._whole and tokens > self._most:
            raise InvalidRequest(
                f"The {medium.kind} in {medium.where} takes {tokens} tokens, and this model "
                f"computes all of them at once; its launch allows {self._most}. Launch it with "
                f"n_batch and n_ubatch of {tokens}, or send a smaller one.",
                param=medium.where,
            )

    def _chunks_of(self, pictures: Pictures, picture: int) -> _Chunks:
        if pictures.decoded is None or pictures.decoded[0] != picture:
            chunks = self._tokenize(pictures.texts, pictures.media, pictures.sizes, picture)
            pictures.decoded = picture, chunks
        return pictures.decoded[1]

    def _tokenize(
        self,
        texts: Sequence[bytes],
        media: Sequence[Media],
        sizes: Sequence[tuple[int, int]],
        decoded: int | None,
    ) -> _Chunks:
        """The whole prompt in mtmd's chunks, with the pixels of one picture or of none.

        All of it each time: some models count pictures, or what is before them.
        """
        mtmd = self._mtmd
        parts, kept, bitmaps = [], [], []
        try:
            for number, text in enumerate(texts):
                if text:
                    kept.append(mtmd.mtmd_input_text(text, len(text), False, True))
                    parts.append(mtmd.mtmd_input_part(text=ctypes.pointer(kept[-1])))
                if number < len(media):
                    if number == decoded:
                        bitmaps.append(self._decode(media[number], keep=True))
                    elif media[number].kind == "recording":
                        bitmaps.append(mtmd.mtmd_bitmap_init_from_audio(sizes[number][0], None))
                    else:
                        bitmaps.append(mtmd.mtmd_bitmap_init(*sizes[number], None))
                    mtmd.mtmd_bitmap_set_id(bitmaps[-1], str(number).encode())
                    parts.append(mtmd.mtmd_input_part(bitmap=bitmaps[-1]))
            pointers = [ctypes.pointer(part) for part in parts]
            array = (ctypes.POINTER(mtmd.mtmd_input_part) * len(parts))(*pointers)
            chunks = _Chunks(mtmd)
            code = mtmd.mtmd_tokenize_from_parts(
                self._pointer, chunks.pointer, array, len(parts), False
            )
        finally:
            for bitmap in bitmaps:
                mtmd.mtmd_bitmap_free(bitmap)
        if code != 0:
            where = ", ".join(medium.where for medium in media)
            raise InvalidRequest(
                f"llama.cpp cannot prepare these pictures or recordings: {where}. The model's log "
                "has its reason.",
                param=media[0].where,
            )
        return chunks

    def _decode(self, medium: Media, *, keep: bool) -> Any:
        """mtmd's bitmap of a picture; without `keep` it only has the size."""
        mtmd = self._mtmd
        size = len(medium.data)
        found = mtmd.mtmd_helper_bitmap_init_from_buf_wrapper(
            self._pointer,
            (ctypes.c_uint8 * size).from_buffer_copy(medium.data),
            size,
            not keep,
            self._options,
        )
        if found.video_ctx:
            mtmd.mtmd_helper_video_free(found.video_ctx)
        heard = bool(found.bitmap) and bool(mtmd.mtmd_bitmap_is_audio(found.bitmap))
        if not found.bitmap or found.video_ctx or heard != (medium.kind == "recording"):
            if found.bitmap:
                mtmd.mtmd_bitmap_free(found.bitmap)
            raise InvalidRequest(
                f"The {medium.kind} in {medium.where} is damaged: it cannot be decoded.",
                param=medium.where,
            )
        return found.bitmap


class _Chunks:
    """mtmd's list of chunks, released with this object."""

    def __init__(self, mtmd: Any) -> None:
        self._mtmd = mtmd
        self.pointer = mtmd.mtmd_input_chunks_init()

    def __len__(self) -> int:
        return int(self._mtmd.mtmd_input_chunks_size(self.pointer))

    def __getitem__(self, index: int) -> Any:
        return self._mtmd.mtmd_input_chunks_get(self.pointer, index)

    def __del__(self) -> None:
        self._mtmd.mtmd_input_chunks_free(self.pointer)


def _stand_in(medium: Media) -> int:
    """A number for a picture's tokens, the same for the same bytes only."""
    return -1 - int.from_bytes(hashlib.sha256(medium.data).digest(), "big")
