"""Virtual environments: made once, shared, and telling why they cannot be made."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.wheels import make_wheel
from xinfer.core.worker.environments import Environments
from xinfer.core.worker.guard import Guard
from xinfer.core.worker.installer import Installer
from xinfer.errors import Conflict, DeadlineExceeded, InvalidRequest
from xinfer.model.hub.locks import EntryLock
from xinfer.settings import Settings

pytestmark = pytest.mark.anyio

SEEN = "import msgspec, xinfer, tiny_pkg; print(tiny_pkg.SAYS, xinfer.__name__)"


class Place:
    """A home with wheels, and what was said while environments were made."""

    def __init__(self, home: Path, guard: Guard, **settings: Any) -> None:
        self.settings = Settings(home=str(home), virtual_env_offline=True, **settings)
        self.wheels = home / "wheels"
        self.root = home / "virtualenv"
        make_wheel(self.wheels, "tiny_pkg", "1.0", "SAYS = 'one'")
        make_wheel(self.wheels, "tiny_pkg", "2.0", "SAYS = 'two'")
        self.environments = Environments(self.settings, Installer(self.settings, guard))
        self.said: list[str] = []

    @asynccontextmanager
    async def open(self, *packages: str, model: str = "m") -> AsyncIterator[str]:
        async with self.environments.interpreter(
            packages, [str(self.wheels)], model=model, engine="echo", say=self.said.append
        ) as python:
            yield python


@pytest.fixture
async def guard() -> AsyncIterator[Guard]:
    guard = Guard()
    yield guard
    await guard.close()


@pytest.fixture
def place(tmp_path: Path, guard: Guard) -> Place:
    return Place(tmp_path, guard)


async def run(python: str, code: str) -> str:
    done = await asyncio.to_thread(
        subprocess.run, [python, "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


async def test_the_interpreter_has_the_packages_and_all_that_the_worker_has(place: Place) -> None:
    async with place.open("tiny_pkg==1.0") as python:
        assert Path(python).is_relative_to(place.root)
        assert await run(python, SEEN) == "one xinfer"
    assert any("Successfully installed" in line for line in place.said)


async def test_equal_sets_share_one_and_others_have_their_own(place: Place) -> None:
    async with place.open("tiny_pkg==1.0") as first:
        place.said.clear()
        async with place.open(" tiny_pkg==1.0", "tiny_pkg==1.0", model="n") as second:
            assert second == first
            assert place.said == []
        async with place.open("tiny_pkg==2.0") as other:
            assert other != first
            assert await run(other, "import tiny_pkg; print(tiny_pkg.SAYS)") == "two"
    entries = [manifest for _, manifest in place.environments.entries()]
    assert sorted((one.packages, one.models) for one in entries) == [
        (("tiny_pkg==1.0",), ("m", "n")),
        (("tiny_pkg==2.0",), ("m",)),
    ]


async def test_two_at_once_make_it_once(place: Place) -> None:
    async def use() -> str:
        async with place.open("tiny_pkg==1.0") as python:
            return python

    first, second = await asyncio.gather(use(), use())
    assert first == second
    assert sum("Successfully installed" in line for line in place.said) == 1


async def test_packages_that_are_not_there_are_refused_with_the_installers_words(
    place: Place,
) -> None:
    with pytest.raises(InvalidRequest, match="No matching distribution") as raised:
        async with place.open("tiny_pkg==3.0"):
            pass
    assert raised.value.param == "virtual_env_packages"
    assert "XINFERENCE_VIRTUAL_ENV_OFFLINE_INSTALL is set" in raised.value.message
    assert raised.value.details["log"]
    assert place.environments.entries() == []


async def test_uv_installs_where_pip_is_not_there_and_says_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "xinfer.core.worker.installer.find_spec", lambda name: None if name == "pip" else name
    )
    async with place.open("tiny_pkg==1.0") as python:
        assert await run(python, SEEN) == "one xinfer"
    with pytest.raises(InvalidRequest, match=r"no version of tiny-pkg==3\.0") as raised:
        async with place.open("tiny_pkg==3.0"):
            pass
    assert raised.value.param == "virtual_env_packages"


async def test_what_a_failed_try_has_left_is_in_nobodys_way(place: Place) -> None:
    with pytest.raises(InvalidRequest):
        async with place.open("tiny_pkg==3.0"):
            pass
    make_wheel(place.wheels, "tiny_pkg", "3.0", "SAYS = 'three'")
    async with place.open("tiny_pkg==3.0") as python:
        assert await run(python, "import tiny_pkg; print(tiny_pkg.SAYS)") == "three"


async def test_one_that_takes_too_long_is_ended(tmp_path: Path, guard: Guard) -> None:
    place = Place(tmp_path, guard, virtual_env_timeout=0.01)
    with pytest.raises(DeadlineExceeded, match="XINFERENCE_VIRTUAL_ENV_TIMEOUT"):
        async with place.open("tiny_pkg==1.0"):
            pass


async def test_an_environment_goes_when_nobody_runs_in_it(place: Place) -> None:
    async with place.open("tiny_pkg==1.0"):
        with pytest.raises(Conflict, match="Terminate the models that run in it first: m"):
            place.environments.remove("m")
    assert not place.environments.remove("other")
    assert not place.environments.remove("m", engine="vllm")
    assert not place.environments.remove("m", python="2.7")
    assert place.environments.remove("m", engine="echo", python="3")
    assert place.environments.entries() == []


async def test_one_that_another_process_makes_is_not_removed(place: Place) -> None:
    async with place.open("tiny_pkg==1.0"):
        pass
    ((path, _),) = place.environments.entries()
    lock = EntryLock(path.with_suffix(".lock"))
    assert lock.acquire()
    with pytest.raises(Conflict):
        place.environments.remove("m")
    lock.release()


async def test_a_cancelled_wait_leaves_no_process_and_no_lock(place: Place) -> None:
    begun = asyncio.Event()

    async def use() -> None:
        async with place.environments.interpreter(
            ["tiny_pkg==1.0"],
            [str(place.wheels)],
            model="m",
            engine="echo",
            say=lambda line: begun.set(),
        ):
            pass

    task = asyncio.create_task(use())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with place.open("tiny_pkg==1.0") as python:
        assert await run(python, SEEN) == "one xinfer"


async def test_find_links_lie_where_the_administrator_lets_them(
    place: Place, tmp_path: Path
) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (place.wheels / "link").symlink_to(outside)
    for link in (str(outside), str(place.wheels / "link"), "https://example.com/simple"):
        with pytest.raises(InvalidRequest, match="FIND_LINKS_ALLOWED_ROOTS"):
            async with place.environments.interpreter(
                ["tiny_pkg"], [link], model="m", engine="echo", say=place.said.append
            ):
                pass
