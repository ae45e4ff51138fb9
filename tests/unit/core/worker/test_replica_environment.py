"""Replicas whose launch brings packages and variables."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import pytest

from tests.support.wheels import make_wheel
from tests.unit.core.worker.conftest import MODEL, assignment
from xinfer.types.deployment import DeploymentState as State
from xinfer.types.deployment import LaunchSpec

if TYPE_CHECKING:
    from tests.unit.core.worker.conftest import Bench

    MakeBench = Callable[..., AbstractAsyncContextManager[Bench]]

pytestmark = pytest.mark.anyio


def start(bench: Bench, **spec: Any) -> None:
    given = assignment("m-0-aa", "serve", MODEL)
    deployment = msgspec.structs.replace(given.deployment, spec=LaunchSpec(model_name="m", **spec))
    bench.replicas.start(msgspec.structs.replace(given, deployment=deployment))


def wheels(bench: Bench) -> str:
    directory = Path(bench.home) / "wheels"
    make_wheel(directory, "tiny_pkg", "1.0", "")
    return str(directory)


async def test_a_replica_runs_in_the_environment_of_its_packages(bench: MakeBench) -> None:
    async with bench(virtual_env_offline=True) as b:
        start(b, packages=("tiny_pkg==1.0",), find_links=(wheels(b),))
        report = await b.until(lambda r: r.state is State.READY)
        interpreter = psutil.Process(report.pid).cmdline()[0]
        ((path, environment),) = b.replicas.environments.entries()
        assert interpreter == str(path / "bin" / "python")
        assert environment.models == ("m",)
        assert any("Installing tiny_pkg==1.0" in line for line in b.replicas.log("m-0-aa", 100))


async def test_packages_that_are_not_there_fail_it_for_good(bench: MakeBench) -> None:
    async with bench(virtual_env_offline=True) as b:
        start(b, packages=("no_such_pkg",), find_links=(wheels(b),))
        report = await b.until(lambda r: r.state is State.ERROR)
        assert report.failure is not None
        assert (report.failure.kind, report.pid) == ("InvalidRequest", None)
        assert "No matching distribution found for no_such_pkg" in report.failure.message


async def test_one_that_is_asked_to_leave_does_not_wait_for_its_packages(bench: MakeBench) -> None:
    async with bench(virtual_env_offline=True) as b:
        start(b, packages=("tiny_pkg==1.0",), find_links=(wheels(b),))
        b.replicas.stop("m-0-aa", drain=60.0)
        report = await b.until(lambda r: r.state is State.TERMINATED)
        assert report.pid is None


async def test_variables_of_a_launch_are_its_processes(bench: MakeBench) -> None:
    async with bench() as b:
        start(b, envs={"OMP_NUM_THREADS": "7", "OMP_WAIT_POLICY": "active"})
        report = await b.until(lambda r: r.state is State.READY)
        environment = psutil.Process(report.pid).environ()
        assert environment["OMP_NUM_THREADS"] == "7"
        assert environment["OMP_WAIT_POLICY"] == "active"
