"""All that is looked at, in the order in which it is told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xinfer.deploy.doctor.accelerators import (
    ask_nvidia,
    ask_torch,
    examine_devices,
    examine_torch,
)
from xinfer.deploy.doctor.finding import Finding
from xinfer.deploy.doctor.machine import examine_home, examine_limits, examine_memory
from xinfer.deploy.doctor.network import examine_hubs, examine_server
from xinfer.deploy.doctor.packages import (
    examine_engines,
    examine_packages,
    installed_version,
)
from xinfer.settings import Settings


def examine(settings: Settings, endpoint: str, api_key: str | None) -> Iterator[Finding]:
    """Look at everything. Blocks, for seconds where PyTorch is installed; changes nothing."""
    yield from examine_packages()
    yield from examine_engines()
    yield from examine_devices()
    nvidia, gpus = ask_nvidia()
    torch = ask_torch() if installed_version("torch") is not None else None
    yield from examine_torch(torch, nvidia, gpus)
    yield from examine_home(Path(settings.home).expanduser())
    yield from examine_memory()
    yield from examine_limits(gpus=gpus)
    yield from examine_hubs(settings)
    yield from examine_server(endpoint, api_key)
