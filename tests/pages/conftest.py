"""A reader, a server, and a hub on loopback with stand-ins for the repositories that pages name."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.fake_hub import FakeHub, fake_hub
from tests.support.gguf_models import random_llama, random_lora, script_model
from tests.support.markdown import ROOT, Page
from tests.support.pages import reason_not_run
from tests.support.pictures import noise, png
from tests.support.reader import Reader, uids
from tests.support.server import Server, running_server
from tests.support.waiting import eventually

WEIGHTS = ROOT / "xinfer/model/catalog/weights"
SOME_PORTS = 6


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeHub]:
    small = script_model(tmp_path_factory.mktemp("hub") / "small.gguf", [b"Hello", b" ", b"there"])
    with fake_hub() as hub:
        forms = {f"Qwen3-0.6B-{each}.gguf": small.read_bytes() for each in ("Q4_K_M", "Q8_0")}
        hub.add("Qwen/Qwen3-0.6B-GGUF", forms)
        chat = (path for path in (WEIGHTS / "tiny-chat").iterdir() if path.suffix != ".gguf")
        hub.add("Qwen/Qwen3-0.6B", {path.name: path.read_bytes() for path in chat})
        yield hub


@pytest.fixture(scope="session")
def hub_environment(hub: FakeHub, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    caches = tmp_path_factory.mktemp("caches")
    own = {"HF_HOME": str(caches / "hf"), "MODELSCOPE_CACHE": str(caches / "ms")}
    return {**hub.environment, **own}


@pytest.fixture(scope="session")
def page_server(hub_environment: dict[str, str]) -> Iterator[Server]:
    with running_server(**hub_environment) as server:
        yield server


@pytest.fixture
def reader(
    tmp_path: Path, page_server: Server, hub_environment: dict[str, str]
) -> Iterator[Reader]:
    with ExitStack() as stack:
        probes = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(SOME_PORTS)
        ]
        ports = [probe.getsockname()[1] for probe in probes]
    reader = Reader(tmp_path, page_server, hub_environment, ports)
    (tmp_path / "training").symlink_to(ROOT / "training")
    script_model(tmp_path / "small.gguf", [b"Hello", b" ", b"there"])
    for path in ("weights/assistant.gguf", "models/my-model.gguf"):
        (tmp_path / path).parent.mkdir()
        shutil.copy(tmp_path / "small.gguf", tmp_path / path)
    random_llama(tmp_path / "model.gguf", context=8192)
    for name in ("polite", "terse"):
        random_lora(tmp_path / f"{name}.gguf", tmp_path / "model.gguf")
    (tmp_path / "photo.png").write_bytes(png(noise(1, 32, 32)))
    before = uids(page_server)
    try:
        yield reader
    finally:
        reader.close(before)


@pytest.fixture
def follow(reader: Reader, page_server: Server) -> Callable[[Page], None]:
    """Do all that a page says."""

    def follow(page: Page) -> None:
        before = uids(page_server)
        for block in page.blocks:
            if block.tested:
                reader.follow(block)
            elif reason_not_run(block) is None:
                reader.read(block)
        ends = "".join(block.code for block in page.blocks if block.tested)
        reader.end()
        if "xinference terminate" in ends:
            # A page that ends models leaves none, but for those that the reader goes on with.
            def is_clean() -> bool:
                left = uids(page_server) - before
                return all(uid.startswith("tiny-") for uid in left)

            eventually(is_clean, 30, "the end of what the page has ended")

    return follow
