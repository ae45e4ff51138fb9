"""Xinference, out of an environment of its own, with a model of sentence-transformers on it."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.harness import CannotMeasure, call, running_process
from benchmarks.retrieval_arms import Served, Subject
from benchmarks.settings import Settings

_HOST = "127.0.0.1"
_WITHIN = 180.0
_NAMES = {"embedding": "bge-small-en-v1.5", "rerank": "bge-reranker-base"}
"""Models that it knows, of the same architecture; the files are those of `model_path`."""


@contextmanager
def xinference_serving(settings: Settings, subject: Subject) -> Iterator[Served]:
    """The model on its engine sentence_transformers, with as many threads as the subject has.

    Raises:
        CannotMeasure: there is no Xinference, or it did not start.
    """
    if settings.xinference is None:
        raise CannotMeasure(
            "An environment with Xinference is needed: run `make bench-peers`, which makes one, or "
            "give the path of its program xinference-local with --xinference."
        )
    with tempfile.TemporaryDirectory(prefix="xinference-bench-") as home:
        port = _free_port()
        environment = {k: v for k, v in os.environ.items() if not k.startswith("XINFERENCE_")}
        environment |= {
            "XINFERENCE_HOME": home,
            "XINFERENCE_AUTH_ADVANCED": "0",
            "XINFERENCE_ENABLE_VIRTUAL_ENV": "0",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": str(subject.options["n_threads"]),
        }
        command = [str(Path(settings.xinference).absolute()), "-H", _HOST, "-p", str(port)]
        # Not here, where the package xinference is ours.
        with running_process(command, environment, home) as (process, _):
            _wait_for_answer(port)
            launch = {
                "model_uid": subject.kind,
                "model_type": subject.kind,
                "model_name": _NAMES[subject.kind],
                "model_engine": "sentence_transformers",
                "model_path": subject.path,
            }
            call(_HOST, port, "POST", "/v1/models", launch, within=_WITHIN)
            main = psutil.Process(process.pid)
            watch = {str(one.pid): one.pid for one in [main, *main.children(recursive=True)]}
            yield Served(port, subject.kind, subject.kind, watch, base64=False)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind((_HOST, 0))
        return int(taken.getsockname()[1])


def _wait_for_answer(port: int) -> None:
    until = time.monotonic() + _WITHIN
    while True:
        try:
            call(_HOST, port, "GET", "/v1/cluster/auth")
            return
        except CannotMeasure:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
