"""An engine on PyTorch whose process is killed: nothing of its group is left."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil

from tests.support.gguf_models import random_llama
from tests.support.server import Server
from tests.support.waiting import eventually
from tools.hf_llama import llama_directory


def _group(leader: int) -> list[psutil.Process]:
    """Processes of a group that run."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def test_a_killed_replica_on_transformers_leaves_no_process_of_its_group(
    server: Server, tmp_path: Path
) -> None:
    path = llama_directory(random_llama(tmp_path / "m.gguf"), tmp_path / "m")
    uid = server.launch(str(path), model_uid="killed", model_engine="transformers", n_threads=2)
    try:
        pid = server.replicas(uid)[0]["pid"]
        assert [process.pid for process in _group(pid)][:1] == [pid]
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not _group(pid), 10, "the end of its group")
    finally:
        server.terminate(uid)
