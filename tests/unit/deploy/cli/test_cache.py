"""What pull, cached and remove-cache print and do, and how a download is shown."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.support.fake_hub import FakeHub, fake_hub
from tests.support.gguf_models import random_llama
from tests.support.llama_files import llama_files
from xinfer.deploy.cli import main
from xinfer.deploy.cli.progress import describe_download, duration, size

ENTRY = {
    "model_name": "one",
    "model_version": "one--0_5B--ggufv2--Q4_0",
    "model_hub": "huggingface",
    "model_id": "owner/one",
    "size_bytes": 1_234_567,
    "actor_ip_address": "127.0.0.1:4000",
    "path": "/cache/one",
}
FILES = llama_files(100_000)


def test_cached_prints_a_table(server: Any, xinference: Callable[..., Result]) -> None:
    server.on("GET /v1/cache/models", {"list": [ENTRY]})
    result = xinference("cached", "-n", "one", "--worker-ip", "h")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[2].split("  ") == [
        "one--0_5B--ggufv2--Q4_0",
        "huggingface: owner/one",
        "1.2 MB",
        "127.0.0.1:4000",
        "/cache/one",
    ]
    assert server.requests[-1].query == {"model_name": "one", "worker_ip": "h"}


def test_cached_says_when_there_is_nothing(server: Any, xinference: Callable[..., Result]) -> None:
    server.on("GET /v1/cache/models", {"list": []})
    assert "There are no cache files." in xinference("cached").stderr
    assert json.loads(xinference("cached", "--format", "json").stdout) == []


def test_remove_cache_asks_first(server: Any, xinference: Callable[..., Result]) -> None:
    server.on("GET /v1/cache/models/files", {"paths": ["/cache/one/a.gguf"]})
    server.on("DELETE /v1/cache/models", {"result": True})
    result = xinference("remove-cache", "--model_version", "owner/one", stdin="n\n")
    assert result.exit_code == 0
    assert "/cache/one/a.gguf" in result.stdout
    assert not server.bodies("DELETE /v1/cache/models")
    result = xinference("remove-cache", "-n", "owner/one", "--check")
    assert "Removed owner/one" in result.stdout
    assert server.requests[-1].query == {"model_version": "owner/one"}


def test_what_is_not_cached_cannot_be_removed(
    server: Any, xinference: Callable[..., Result]
) -> None:
    server.on("GET /v1/cache/models/files", server.failure(404, "No worker has it."))
    result = xinference("remove-cache", "-n", "owner/one", "--check")
    assert (result.exit_code, result.stderr) == (1, "Error: No worker has it.\n")


@dataclasses.dataclass
class Pulling:
    hub: FakeHub
    home: Path

    def __call__(self, *arguments: str) -> Result:
        environment = {
            **self.hub.environment,
            "XINFERENCE_HOME": str(self.home),
            "HF_HOME": str(self.home / "hf"),
            "MODELSCOPE_CACHE": str(self.home / "ms"),
        }
        return CliRunner(env=environment).invoke(main, ["pull", *arguments])


@pytest.fixture
def pull(tmp_path: Path) -> Iterator[Pulling]:
    with fake_hub() as hub:
        yield Pulling(hub, tmp_path)


@pytest.mark.parametrize("name", ["owner/name", "hf:owner/name", "ms:owner/name"])
def test_pull_downloads_a_repository_and_prints_where(pull: Pulling, name: str) -> None:
    pull.hub.add("owner/name", FILES)
    result = pull(name)
    assert result.exit_code == 0, result.output
    path = Path(result.stdout.strip())
    assert (path / "model.safetensors").read_bytes() == FILES["model.safetensors"]
    assert ("modelscope" in str(path)) is name.startswith("ms:")
    assert "Pulling name: 100% downloading 100 kB of 100 kB" in result.stderr


def test_pull_chooses_a_quantization(pull: Pulling, tmp_path: Path) -> None:
    weights = random_llama(tmp_path / "any.gguf").read_bytes()
    files = {f"m-{each}.gguf": weights for each in ("Q4_K_M", "Q8_0", "F16")}
    pull.hub.add("owner/name", {**files, "README.md": b""})
    assert Path(pull("owner/name").stdout.strip()).name in files
    assert Path(pull("owner/name", "-q", "q8_0").stdout.strip()).name == "m-Q8_0.gguf"
    assert Path(pull("hf:owner/name:F16").stdout.strip()).name == "m-F16.gguf"
    refused = pull("owner/name", "-q", "Q2_K")
    assert refused.exit_code == 1
    assert "Q4_K_M" in refused.stderr


def test_pull_verifies_and_mends(pull: Pulling) -> None:
    pull.hub.add("owner/name", FILES)
    path = Path(pull("owner/name").stdout.strip())
    weights = path / "model.safetensors"
    weights.write_bytes(FILES["model.safetensors"][:-1] + b"x")
    assert pull("owner/name").exit_code == 0
    assert weights.read_bytes() != FILES["model.safetensors"]
    result = pull("owner/name", "--verify")
    assert result.exit_code == 0
    assert "model.safetensors is corrupt: expected " in result.stderr
    assert weights.read_bytes() == FILES["model.safetensors"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["owner/absent"], "huggingface (owner/absent): "),
        (["hf:../../etc"], "names no repository"),
        (["owner/name", "--download-hub", "csghub"], "no hub 'csghub'"),
        (["owner/name@../x"], "names no repository"),
        (["echo"], "it needs no files"),
        (["no-such-model"], "There is no model 'no-such-model'"),
    ],
)
def test_pull_refuses_in_one_line(pull: Pulling, arguments: list[str], says: str) -> None:
    result = pull(*arguments)
    assert result.exit_code == 1
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_download_is_shown_with_bytes_speed_and_the_time_that_is_left() -> None:
    file = {
        "name": "a",
        "downloaded_bytes": 500_000_000,
        "total_bytes": 2_000_000_000,
        "speed_bytes_per_second": 25_000_000.0,
    }
    done = {"name": "b", "downloaded_bytes": 10, "total_bytes": 10, "speed_bytes_per_second": 0.0}
    assert describe_download([file, done]) == "downloading 500 MB of 2.0 GB, 25.0 MB/s, 1:00 left"
    assert describe_download([done]) == "downloading 10 B of 10 B"


def test_a_launch_shows_its_download(server: Any, xinference: Callable[..., Result]) -> None:
    file = {
        "name": "a",
        "downloaded_bytes": 1000,
        "total_bytes": 4000,
        "speed_bytes_per_second": 1000.0,
    }
    server.on("POST /v1/models", {"model_uid": "m"})
    instance = {"model_uid": "m", "replica_statuses": []}
    server.on(
        "GET /v1/models/instances",
        [{**instance, "status": "CREATING"}],
        [{**instance, "status": "READY"}],
    )
    server.on(
        "GET /v1/models/m/progress",
        {"progress": 0.2, "stage": "downloading", "download_files": [file]},
    )
    result = xinference("launch", "-n", "m")
    assert "20% downloading 1.0 kB of 4.0 kB, 1.0 kB/s, 0:03 left" in result.stderr


def test_sizes_and_durations_are_those_that_people_say() -> None:
    assert [size(each) for each in (0, 999, 1500, 250_000, 3_000_000_000, 2e12)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "250 kB",
        "3.0 GB",
        "2.0 TB",
    ]
    assert [duration(each) for each in (5, 65, 7200)] == ["0:05", "1:05", "2:00:00"]
