"""Models' files are had before their replicas start, once for all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from tests.support.fake_hub import FakeHub, fake_hub, sha256
from xinfer.model.hub.cache import list_entries
from xinfer.types.deployment import DeploymentState as State
from xinfer.types.model import ModelSpec, Source

if TYPE_CHECKING:
    from tests.unit.core.worker.conftest import Bench

    MakeBench = Callable[..., AbstractAsyncContextManager[Bench]]

pytestmark = pytest.mark.anyio

WEIGHTS = os.urandom(400_000)
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS}
MODEL = ModelSpec(
    name="m",
    format="pytorch",
    sources=(
        Source(hub="huggingface", repo="owner/name"),
        Source(hub="modelscope", repo="owner/name"),
    ),
)


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> object:
    return ("asyncio", {"use_uvloop": request.param == "uvloop"})


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as hub:
        hub.add("owner/name", FILES)
        yield hub


@pytest.fixture
def towards(hub: FakeHub, tmp_path: Any) -> dict[str, Any]:
    """Settings that use it."""
    return {
        "hf_endpoint": hub.endpoint,
        "modelscope_endpoint": hub.endpoint,
        "hf_home": str(tmp_path / "huggingface"),
        "modelscope_cache": str(tmp_path / "modelscope"),
    }


def downloading() -> list[int]:
    """Pids of our children that download."""
    return [
        child.pid
        for child in psutil.Process().children()
        if "xinfer.model.hub" in " ".join(child.cmdline())
    ]


async def test_a_replica_starts_with_the_files_and_its_progress_goes_on(
    bench: MakeBench, hub: FakeHub, towards: dict[str, Any]
) -> None:
    hub.gate.clear()
    hub.gate_after = 200_000
    async with bench(**towards) as b:
        b.start("serve the file", model=MODEL)
        report = await b.until(lambda r: r.progress.fraction > 0)
        assert (report.state, report.progress.stage) == (State.LOADING, "downloading")
        assert report.pid is None
        assert 0 < report.progress.fraction < 0.8
        files = {file.name: file for file in report.progress.files}
        assert files["model.safetensors"].total_bytes == len(WEIGHTS)
        hub.gate.set()
        report = await b.until(lambda r: r.state is State.READY)
        assert report.progress.fraction == pytest.approx(0.9)  # half of the load
        assert report.progress.files == ()
        await b.until_logged(f"read {len(WEIGHTS)} bytes")
        # What was asked for stays as it was: the path is this node's affair.
        assert report.assignment.deployment.model == MODEL
        (entry,) = list_entries(b.settings)
        assert b.replicas.paths_in_use() == [str(entry.path)]


async def test_what_is_cached_is_loaded_without_a_hub(
    bench: MakeBench, hub: FakeHub, towards: dict[str, Any]
) -> None:
    async with bench(**towards) as b:
        b.start("serve the file", model=MODEL)
        await b.until(lambda r: r.state is State.READY)
        hub.requests.clear()
        b.start("serve the file", "m-0-bb", model=MODEL)
        report = await b.until(lambda r: r.state is State.READY, "m-0-bb")
        assert hub.requests == []
        assert report.progress.fraction == 0.5  # there was no download to count


async def test_replicas_of_a_node_share_a_download(
    bench: MakeBench, hub: FakeHub, towards: dict[str, Any]
) -> None:
    hub.gate.clear()
    async with bench(**towards) as b:
        for name in ("m-0-aa", "m-1-bb"):
            b.start("serve the file", name, model=MODEL)
            await b.until(lambda r: r.progress.files, name)
        assert len(downloading()) == 1
        # One that leaves does not end it for the other.
        b.replicas.stop("m-0-aa", drain=5.0)
        await b.until(lambda r: r.state is State.TERMINATED)
        assert len(downloading()) == 1
        hub.gate.set()
        await b.until(lambda r: r.state is State.READY, "m-1-bb")
        bodies = [each for each in hub.bodies("model.safetensors") if "/cdn/" in each.path]
        assert len(bodies) == 1


async def test_a_stop_ends_the_download_and_keeps_what_came(
    bench: MakeBench, hub: FakeHub, towards: dict[str, Any]
) -> None:
    hub.gate.clear()
    hub.gate_after = 200_000
    async with bench(**towards) as b:
        b.start("serve the file", model=MODEL)
        await b.until(lambda r: r.progress.fraction > 0.3)
        b.replicas.stop("m-0-aa", drain=30.0)
        report = await b.until(lambda r: r.state is State.TERMINATED)
        assert report.failure is None
        assert downloading() == []
        (part,) = b.settings.cache_path.rglob(".xinfer-*.part")
        had = part.stat().st_size
        hub.requests.clear()
        hub.gate.set()
        b.start("serve the file", "m-0-bb", model=MODEL)
        await b.until(lambda r: r.state is State.READY, "m-0-bb")
        assert {each.start for each in hub.bodies("model.safetensors")} == {had}


async def test_a_model_that_no_hub_has_fails_with_the_word_of_each(
    bench: MakeBench, hub: FakeHub, towards: dict[str, Any]
) -> None:
    hub.repos.clear()
    async with bench(**towards) as b:
        b.start("serve the file", model=MODEL)
        report = await b.until(lambda r: r.state is State.ERROR)
        assert report.failure is not None
        assert report.failure.kind == "NotFound"
        assert "huggingface (owner/name)" in report.failure.message
        assert "modelscope (owner/name)" in report.failure.message


async def test_a_download_whose_process_dies_is_a_failure_in_words(
    bench: MakeBench, hub: FakeHub, towards: dict[str, Any]
) -> None:
    hub.gate.clear()
    async with bench(**towards) as b:
        b.start("serve the file", model=MODEL)
        await b.until(lambda r: r.progress.files)
        (pid,) = downloading()
        psutil.Process(pid).kill()
        report = await b.until(lambda r: r.state is State.ERROR)
        assert report.failure is not None
        assert "SIGKILL" in report.failure.message
        assert "What has come is kept" in report.failure.message


async def test_a_worker_that_closes_ends_its_downloads(
    bench: MakeBench, hub: FakeHub, towards: dict[str, Any]
) -> None:
    hub.gate.clear()
    async with bench(**towards) as b:
        b.start("serve the file", model=MODEL)
        await b.until(lambda r: r.progress.files)
    assert downloading() == []


async def test_a_file_that_changed_is_named_when_the_load_fails(
    bench: MakeBench, hub: FakeHub, towards: dict[str, Any]
) -> None:
    async with bench(**towards) as b:
        b.start("serve the file", model=MODEL)
        await b.until(lambda r: r.state is State.READY)
        (entry,) = list_entries(b.settings)
        flipped = bytes([WEIGHTS[0] ^ 1]) + WEIGHTS[1:]
        (entry.path / "model.safetensors").write_bytes(flipped)
        b.start("crash", "m-0-bb", model=MODEL)
        report = await b.until(lambda r: r.state is State.ERROR, "m-0-bb")
        assert report.failure is not None
        assert report.failure.code == "corrupt_file"
        details = report.failure.details
        assert (details["expected"], details["actual"]) == (sha256(WEIGHTS), sha256(flipped))
        assert "xinference pull --verify hf:owner/name" in report.failure.message


async def test_a_load_that_fails_on_whole_files_keeps_its_own_reason(
    bench: MakeBench, hub: FakeHub, towards: dict[str, Any]
) -> None:
    async with bench(**towards) as b:
        b.start("fail", model=MODEL)
        report = await b.until(lambda r: r.state is State.ERROR)
        assert report.failure is not None
        assert report.failure.message == "no such file"


async def test_a_download_says_nothing_of_secrets_to_its_process(
    bench: MakeBench, hub: FakeHub, towards: dict[str, Any]
) -> None:
    hub.gate.clear()
    async with bench(**towards, cluster_token="sesame", api_key="hush") as b:
        b.start("serve the file", model=MODEL)
        await b.until(lambda r: r.progress.files)
        download = next(iter(b.replicas._downloads._running.values()))
        assert (download._settings.cluster_token, download._settings.api_key) == ("", "")
