"""llama.cpp's server inside this process, and the private socket it insists on.

What every engine on xllamacpp needs of it, whatever the model is for.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xinfer.errors import EngineFailed, InvalidRequest, Unavailable
from xinfer.model.xllamacpp.options import ModelOptions

Answer = dict[str, Any]

_ERROR_LINE = re.compile(r"^[\d.]+ E (.*)$", re.MULTILINE)
_CANNOT_LOAD = "error loading model: "
_LAST_LINE = "exiting due to model loading error"
_HTTP_TIMEOUT = 60.0
_LOG_PATIENCE = 2.0  # seconds


class EmbeddedServer:
    """One loaded model. Every method may be called from any thread.

    Its owner has to see an answer of it before it closes it: destroying it before it has begun to
    run would hang.

    Args:
        path: the model's file, or the first of its parts, for messages.
        params: xllamacpp's `CommonParams`; the socket is set here.

    Raises:
        InvalidRequest: llama.cpp cannot load this file; the message has its reason.
        Unavailable: no memory for it.
        EngineFailed: llama.cpp does not start for another reason.
    """

    def __init__(self, path: str, params: Any) -> None:
        import xllamacpp

        # Only its owner can enter the directory, and so nobody else reaches the socket.
        self._directory = Path(tempfile.mkdtemp(prefix="xinfer-"))
        self._socket = str(self._directory / "http.sock")
        self._key = secrets.token_hex(16)
        params.hostnames = [self._socket]
        params.port = 0
        params.api_keys = [self._key]
        try:
            with captured_stderr() as read:
                try:
                    self._server = xllamacpp.Server(params)
                except Exception as error:
                    raise _explain(path, _log_of_failure(read), error) from None
        except BaseException:
            self.remove_socket()
            raise

    def tokenize(self, text: str, special: bool, *, prefix: bool = False) -> list[int]:
        """llama.cpp's own ids of a text, 0.3 ms a call.

        Args:
            special: recognise control tokens in the text.
            prefix: put before it what llama.cpp puts before a plain prompt.
        """
        connection = _UnixConnection(self._socket)
        try:
            connection.request(
                "POST",
                "/tokenize",
                json.dumps({"content": text, "parse_special": special, "add_special": prefix}),
                {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
            )
            answer = connection.getresponse()
            content = answer.read()
        except OSError as error:
            raise EngineFailed(f"llama.cpp's tokenizer does not answer: {error}.") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise EngineFailed(f"llama.cpp cannot tokenize: {content.decode(errors='replace')}")
        ids: list[int] = json.loads(content)["tokens"]
        return ids

    def close(self) -> None:
        """Stop llama.cpp and release the model, once it computes nothing any more."""
        del self._server
        self.remove_socket()

    def remove_socket(self) -> None:
        """Shut the way in for good; `tokenize` does not work any more, the rest does.

        A process that is killed afterwards leaves nothing behind.
        """
        shutil.rmtree(self._directory, ignore_errors=True)


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_HTTP_TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def failure_of(answer: Answer) -> EngineFailed | InvalidRequest:
    """The error that llama.cpp answered a request with."""
    error = answer["error"]
    message = f"llama.cpp refused the request: {error.get('message', error)}."
    if 400 <= error.get("code", 500) < 500:
        return InvalidRequest(message)
    return EngineFailed(message)


def common_params(path: str, options: ModelOptions) -> Any:
    """xllamacpp's parameters as far as they are the same for every model.

    Sizes of the context and of batches, slots, and what the model is for, are left to the caller.
    """
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads
    params.n_gpu_layers = options.n_gpu_layers
    params.main_gpu = options.main_gpu
    flash = xllamacpp.llama_flash_attn_type
    params.flash_attn_type = {
        "auto": flash.LLAMA_FLASH_ATTN_TYPE_AUTO,
        "on": flash.LLAMA_FLASH_ATTN_TYPE_ENABLED,
        "off": flash.LLAMA_FLASH_ATTN_TYPE_DISABLED,
    }[options.flash_attn]
    types = xllamacpp.ggml_type
    params.cache_type_k = getattr(types, f"GGML_TYPE_{options.cache_type_k.upper()}")
    params.cache_type_v = getattr(types, f"GGML_TYPE_{options.cache_type_v.upper()}")
    mode = ("MMAP" if options.use_mmap else "", "MLOCK" if options.use_mlock else "")
    name = "_".join(filter(None, mode)) or "NONE"
    params.load_mode = getattr(xllamacpp.llama_load_mode, f"LLAMA_LOAD_MODE_{name}")
    # The engine's first request of its own does the same and more.
    params.warmup = False
    # Chat is not its business here, and it would refuse a model whose template it cannot parse.
    params.use_jinja = False
    params.chat_template = "chatml"
    params.verbosity = 1
    params.n_threads_http = 1
    params.ui = False
    params.endpoint_slots = False
    params.endpoint_props = False
    return params


def backend() -> str:
    """What it computes on, as a person would say it."""
    import xllamacpp

    devices = [device["name"] for device in xllamacpp.get_device_info()]
    return ", ".join(name for name in devices if name != "CPU") or "cpu"


def _log_of_failure(read: Callable[[], str]) -> str:
    """What llama.cpp has printed, once its reason is in it.

    A thread of its own prints it, and may come later than the failure.
    """
    deadline = time.monotonic() + _LOG_PATIENCE
    while _LAST_LINE not in (output := read()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return output


def _explain(path: str, output: str, error: Exception) -> Exception:
    """What llama.cpp printed while it failed to load, as an error for the user."""
    lines = list(dict.fromkeys(line.strip() for line in _ERROR_LINE.findall(output)))
    for line in lines:
        if "failed to allocate" in line or "unable to allocate" in line:
            return Unavailable(
                f"There is not enough memory for {path}: {line}. Launch it with a smaller n_ctx, "
                "n_parallel or quantisation.",
                code="no_capacity",
            )
    for line in lines:
        if _CANNOT_LOAD in line:  # the first is the most exact, the later ones only pass it on
            reason = line.rpartition(_CANNOT_LOAD)[2].rstrip(".")
            return InvalidRequest(f"llama.cpp cannot load {path}: {reason}.", param="model_path")
    reason = "; ".join(lines[-3:]) or str(error)
    return EngineFailed(f"llama.cpp did not start with {path}: {reason}.")


@contextmanager
def captured_stderr() -> Iterator[Callable[[], str]]:
    """Keep what anyone, C code included, writes to stderr; it is passed on at the end.

    Yields a function that reads what there is so far.
    """
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as file:

        def read() -> str:
            # Not by seeking: whoever writes meanwhile shares the position.
            size = os.fstat(file.fileno()).st_size
            return os.pread(file.fileno(), size, 0).decode(errors="replace")

        os.dup2(file.fileno(), 2)
        try:
            yield read
        finally:
            sys.stderr.flush()
            os.dup2(original, 2)
            os.close(original)
            os.write(2, read().encode())
