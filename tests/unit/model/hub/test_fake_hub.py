"""The hubs' own libraries take the fake hub for theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.fake_hub import FakeHub, fake_hub

FILES = {
    "config.json": b'{"architectures": ["LlamaForCausalLM"]}',
    "model.safetensors": os.urandom(200_000),
    "sub/folder/vocab.txt": b"a\nb\n",
}

HUGGINGFACE = """
import sys
from huggingface_hub import HfApi, snapshot_download
print(snapshot_download("owner/name", cache_dir=sys.argv[1]))
assert {each.path for each in HfApi().list_repo_tree("owner/name", recursive=True)}
"""
MODELSCOPE = """
import sys
from modelscope.hub.snapshot_download import snapshot_download
print(snapshot_download("owner/name", cache_dir=sys.argv[1]))
"""


def run(hub: FakeHub, script: str, cache: Path) -> Path:
    environment = {**os.environ, **hub.environment, "HOME": str(cache)}
    ran = subprocess.run(
        [sys.executable, "-c", script, str(cache)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    return Path(ran.stdout.strip().splitlines()[-1])


@pytest.mark.parametrize("script", [HUGGINGFACE, MODELSCOPE], ids=["huggingface", "modelscope"])
def test_the_library_downloads_what_the_fake_hub_has(tmp_path: Path, script: str) -> None:
    with fake_hub() as hub:
        hub.add("owner/name", FILES)
        directory = run(hub, script, tmp_path)
    for name, data in FILES.items():
        assert (directory / name).read_bytes() == data
