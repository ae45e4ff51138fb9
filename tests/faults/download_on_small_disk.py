"""Run by a test in a mount namespace of its own: downloads onto a disk of one megabyte, which one
model is too large for, and which becomes full while another comes. Prints one JSON line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.fake_hub import fake_hub
from tests.support.waiting import eventually
from xinfer.errors import XinferError
from xinfer.model.hub.cache import list_entries
from xinfer.model.hub.fetch import fetch
from xinfer.settings import Settings
from xinfer.types.model import ModelSpec, Source


def main(home: Path) -> dict[str, Any]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(home)], check=True)
    weights = os.urandom(600_000)
    with fake_hub() as hub:
        hub.add("too/large", {"config.json": b"{}", "model.safetensors": bytes(2_000_000)})
        hub.add("just/right", {"config.json": b"{}", "model.safetensors": weights})
        settings = Settings(
            home=str(home), hf_endpoint=hub.endpoint, hf_home=str(home), modelscope_cache=str(home)
        )

        def get(repo: str) -> str:
            source = Source(hub="huggingface", repo=repo)
            model = ModelSpec(name="m", format="pytorch", sources=(source,))
            try:
                return fetch(model, settings, lambda _: None, lambda: False).path
            except XinferError as error:
                return f"{error.code}: {error.message}"

        refused = get("too/large")
        asked_too_much = len(hub.bodies("model.safetensors"))
        hub.gate.clear()
        hub.gate_after = 300_000
        outcome: list[str] = []
        fetching = threading.Thread(target=lambda: outcome.append(get("just/right")))
        fetching.start()
        eventually(lambda: next(home.rglob(".xinfer-*.part")).stat().st_size >= 300_000)
        ballast = home / "ballast"
        with ballast.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        hub.gate.set()
        fetching.join()
        kept = next(home.rglob(".xinfer-*.part")).stat().st_size
        half_there = len(list_entries(settings))
        ballast.unlink()
        hub.requests.clear()
        path = get("just/right")
        return {
            "refused": refused,
            "asked too much": asked_too_much,
            "full": outcome[0],
            "kept": kept,
            "half there": half_there,
            "whole": (Path(path) / "model.safetensors").read_bytes() == weights,
            "continued at": hub.bodies("model.safetensors")[-1].start,
        }


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]))))
