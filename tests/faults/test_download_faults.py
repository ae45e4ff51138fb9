"""Downloads that meet a full disk, an end, a damaged file, no network, or a hub that means ill."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_hub import FakeHub, fake_hub, sha256
from tests.support.llama_files import llama_files
from tests.support.waiting import eventually
from xinfer.errors import Unavailable
from xinfer.model.hub.fetch import fetch
from xinfer.settings import Settings
from xinfer.types.model import ModelSpec, Source

FILES = llama_files(600_000)
WEIGHTS = FILES["model.safetensors"]
PULL = (sys.executable, "-m", "xinfer.deploy.cli", "pull")
ROOT = Path(__file__).parents[2]

PULL_OF_A_TERMINAL = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from xinfer.deploy.cli import main; main(prog_name='xinference')"
)

CACHED = """
import sys, json
from xinfer.model.hub.fetch import fetch
from xinfer.settings import Settings
from xinfer.types.model import ModelSpec, Source
sources = (Source(hub="huggingface", repo="owner/name"),)
model = ModelSpec(name="m", format="pytorch", sources=sources)
print(fetch(model, Settings.from_env(), lambda _: None, lambda: False).path)
"""


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as hub:
        hub.add("owner/name", FILES)
        yield hub


def environment(home: Path, endpoint: str) -> dict[str, str]:
    return {
        **os.environ,
        "XINFERENCE_HOME": str(home),
        "HF_HOME": str(home / "hf"),
        "MODELSCOPE_CACHE": str(home / "ms"),
        "HF_ENDPOINT": endpoint,
        "MODELSCOPE_ENDPOINT": endpoint,
        "NO_PROXY": "127.0.0.1,localhost",
    }


def run(home: Path, endpoint: str, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env=environment(home, endpoint),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def visible(home: Path) -> list[Path]:
    """Files under the names that an engine would look for."""
    there = (path.parent for path in home.rglob(".xinfer.json"))
    return [path for parent in there for path in parent.glob("[!.]*")]


def test_f20_a_disk_that_is_too_small_or_becomes_full(tmp_path: Path) -> None:
    """In a mount namespace of its own, on one megabyte."""
    done = subprocess.run(
        ["unshare", "-Urm", sys.executable, "-m", "tests.faults.download_on_small_disk", tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["refused"].startswith("no_disk_space: too/large needs 2000002 more bytes")
    assert str(tmp_path / "cache") in found["refused"]
    assert found["asked too much"] == 0
    assert found["full"].startswith(f"no_disk_space: The disk of {tmp_path / 'cache'} became full")
    assert found["half there"] == 0
    assert found["whole"]
    assert found["continued at"] == found["kept"] > 300_000


def test_f21_a_killed_download_is_invisible_and_continued(hub: FakeHub, tmp_path: Path) -> None:
    hub.gate.clear()
    hub.gate_after = 300_000
    with subprocess.Popen(
        [*PULL, "hf:owner/name"], env=environment(tmp_path, hub.endpoint), cwd=ROOT
    ) as pulling:
        eventually(lambda: next(tmp_path.rglob(".xinfer-*.part")).stat().st_size >= 300_000, 30)
        pulling.kill()
    had = next(tmp_path.rglob(".xinfer-*.part")).stat().st_size
    assert visible(tmp_path) == []
    hub.gate.set()
    hub.requests.clear()
    done = run(tmp_path, hub.endpoint, *PULL, "hf:owner/name")
    assert done.returncode == 0, done.stderr
    assert (Path(done.stdout.strip()) / "model.safetensors").read_bytes() == WEIGHTS
    # Beside the header that a launch looks at, only what is missing.
    assert {each.start for each in hub.bodies("model.safetensors")} == {0, had}
    assert len([each for each in hub.bodies("model.safetensors") if "/cdn/" in each.path]) <= 3
    assert sorted(path.name for path in visible(tmp_path)) == sorted(FILES)


def test_f21_ctrl_c_ends_a_pull_at_once_while_the_hub_is_silent(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.gate.clear()
    hub.gate_after = 300_000
    with subprocess.Popen(
        # Under some shells a child starts with SIGINT ignored; a terminal's does not.
        [sys.executable, "-c", PULL_OF_A_TERMINAL, "pull", "hf:owner/name"],
        env=environment(tmp_path, hub.endpoint),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    ) as pulling:
        eventually(lambda: next(tmp_path.rglob(".xinfer-*.part")).stat().st_size >= 300_000, 30)
        pulling.send_signal(signal.SIGINT)
        assert pulling.wait(10) == 130
        assert pulling.stderr is not None
        assert "the next pull goes on with it" in pulling.stderr.read()
    assert visible(tmp_path) == []


def test_f22_a_file_with_another_digest_is_never_visible(hub: FakeHub, tmp_path: Path) -> None:
    hub.repos["owner/name"].digests["model.safetensors"] = "0" * 64
    done = run(tmp_path, hub.endpoint, *PULL, "hf:owner/name")
    assert done.returncode == 1
    assert "model.safetensors of huggingface: owner/name is corrupt" in done.stderr
    assert f"expected {'0' * 64}, got {sha256(WEIGHTS)}" in done.stderr
    assert visible(tmp_path) == []


@pytest.mark.parametrize("damage", ["flipped", "cut"])
def test_f22_a_file_that_was_damaged_later_is_named_and_had_again(
    hub: FakeHub, tmp_path: Path, damage: str
) -> None:
    path = Path(run(tmp_path, hub.endpoint, *PULL, "hf:owner/name").stdout.strip())
    weights = path / "model.safetensors"
    damaged = WEIGHTS[:1000] if damage == "cut" else WEIGHTS[:-1] + bytes([WEIGHTS[-1] ^ 1])
    weights.write_bytes(damaged)
    done = run(tmp_path, hub.endpoint, *PULL, "hf:owner/name", "--verify")
    assert done.returncode == 0, done.stderr
    assert weights.read_bytes() == WEIGHTS
    if damage == "flipped":  # what was cut is not even taken for whole
        assert f"expected {sha256(WEIGHTS)}, got {sha256(damaged)}" in done.stderr


def test_f23_no_hub_is_reached(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        began = time.monotonic()
        done = run(tmp_path, endpoint, *PULL, "owner/name")
        took = time.monotonic() - began
    assert done.returncode == 1
    assert "huggingface (owner/name): huggingface cannot be reached at" in done.stderr
    assert "modelscope (owner/name): modelscope cannot be reached at" in done.stderr
    assert took < 10


def test_f23_a_cached_model_is_had_without_any_network(hub: FakeHub, tmp_path: Path) -> None:
    """In a network namespace without even a loopback that is up."""
    pulled = run(tmp_path, hub.endpoint, *PULL, "hf:owner/name").stdout
    hub.requests.clear()
    alone = ("unshare", "-Urn", sys.executable, "-c", CACHED)
    found = run(tmp_path, "https://huggingface.co", *alone)
    assert found.returncode == 0, found.stderr
    assert found.stdout == pulled
    assert hub.requests == []


@pytest.mark.parametrize(
    "name", ["../../escaped", "/etc/escaped", "a/../../../escaped", "C:\\escaped", "a\x00b"]
)
@pytest.mark.parametrize("hub_name", ["hf", "ms"])
def test_s16_a_file_name_that_leads_elsewhere_refuses_the_repository(
    hub: FakeHub, tmp_path: Path, name: str, hub_name: str
) -> None:
    home = tmp_path / "a" / "b" / "home"
    hub.add("owner/evil", {**FILES, name: b"evil"})
    done = run(home, hub.endpoint, *PULL, f"{hub_name}:owner/evil")
    assert done.returncode == 1
    assert "leads out of the model's directory" in done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert not hub.bodies("model.safetensors")


def test_s16_a_link_in_the_place_of_a_download_is_not_followed(
    hub: FakeHub, tmp_path: Path
) -> None:
    """Left in the cache by somebody else who may write there."""
    home, target = tmp_path / "home", tmp_path / "target"
    target.mkdir()
    settings = Settings(
        home=str(home),
        hf_endpoint=hub.endpoint,
        hf_home=str(home),
        modelscope_cache=str(home),
        download_max_attempts=1,
    )
    source = Source(hub="huggingface", repo="owner/name")
    model = ModelSpec(name="m", format="pytorch", sources=(source,))
    hub.cuts["model.safetensors"] = [1000, 0]
    with pytest.raises(Unavailable):
        fetch(model, settings, lambda _: None, lambda: False)
    part = max(home.rglob(".xinfer-*.part"), key=lambda path: path.stat().st_size)
    victim = target / "victim"
    victim.write_bytes(b"untouched")
    part.unlink()
    part.symlink_to(victim)
    hub.cuts.clear()
    path = fetch(model, settings, lambda _: None, lambda: False).path
    assert (Path(path) / "model.safetensors").read_bytes() == WEIGHTS
    assert victim.read_bytes() == b"untouched"
