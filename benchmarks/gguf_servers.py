"""The servers that run a .gguf file, with the same options."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.generation import Server
from benchmarks.harness import CannotMeasure, running_process, running_server
from benchmarks.model import model_path
from benchmarks.settings import Settings
from xinfer.model.engine import find_engine, parse_options

# One thread computes, so that client and server have a core beside it.
_THREADS = 1
_CONTEXT = 512
_BATCH = 512
_MICRO_BATCH = 512
_MOST_STREAMS = 128


def engine_options(settings: Settings, slots: int) -> dict[str, Any]:
    """Launch options of the engine for so many requests at once.

    Raises:
        InvalidRequest: the settings name an engine or an option that there is not.
    """
    options = {
        "n_ctx": _CONTEXT,
        "n_parallel": slots,
        "n_threads": _THREADS,
        "n_threads_batch": _THREADS,
        "n_batch": _BATCH,
        "n_ubatch": _MICRO_BATCH,
        "flash_attn": "auto",
        **settings.engine_options,
    }
    name, kind = find_engine(settings.engine)
    if getattr(parse_options(kind, name, options), "kv_unified", False):
        # As much in all as without sharing, and as llama-server has.
        options.setdefault("n_kv", slots * _CONTEXT)
    return options


@contextmanager
def both_servers(settings: Settings, slots: int) -> Iterator[tuple[Server, Server]]:
    """Ours and llama.cpp's own, both warm; the one that is not asked idles.

    Raises:
        CannotMeasure: one of them did not start, or answered wrongly.
    """
    with llama_server(settings, slots) as theirs, our_server(settings, slots) as ours:
        for server in (theirs, ours):
            server.warm_up(slots)
        yield ours, theirs


@contextmanager
def our_server(settings: Settings, slots: int) -> Iterator[Server]:
    """A whole xinfer server with the model on the engine."""
    with running_server() as server:
        server.wait_until_whole()
        options = engine_options(settings, slots)
        uid = server.launch(str(model_path()), settings.engine, max_queue=_MOST_STREAMS, **options)
        watch = {role: process.pid for role, process in server.processes().items()}
        yield Server(server.port, uid, watch)


@contextmanager
def llama_server(settings: Settings, slots: int) -> Iterator[Server]:
    """llama.cpp's own server; it divides its context among its slots.

    Raises:
        CannotMeasure: there is none, or it did not start.
    """
    if settings.llama_server is None:
        raise CannotMeasure(
            "A llama-server is needed: run `make bench-peers`, which builds one, or give the path "
            "of yours with --llama-server."
        )
    command = [
        settings.llama_server,
        *("--model", str(model_path())),
        *("--host", "127.0.0.1", "--port", "0"),
        *("--parallel", str(slots)),
        *("--ctx-size", str(slots * _CONTEXT)),
        *("--threads", str(_THREADS), "--threads-batch", str(_THREADS)),
        *("--batch-size", str(_BATCH), "--ubatch-size", str(_MICRO_BATCH)),
        *("--flash-attn", "auto"),
        *("--cache-ram", "0"),
        *("--no-ui", "--no-slots", "--no-jinja", "--offline"),
    ]
    with running_process(command, dict(os.environ)) as (process, log):
        port = int(log.wait_for("listening on http://127.0.0.1:"))
        yield Server(port, "random-llama", {"llama-server": process.pid})
