"""Accelerators as their drivers show them, and PyTorch as it sees them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import msgspec

from xinfer.core.worker.devices.devices import drivers
from xinfer.deploy.doctor.finding import Finding, State

AREA = "accelerators"
_TORCH_TIMEOUT = 120.0  # seconds; the first import on a cold disk takes tens of them
_TORCH = """
import json, torch
cuda = torch.cuda.is_available()
count = range(torch.cuda.device_count() if cuda else 0)
print(json.dumps({
    "version": torch.__version__,
    "cuda": torch.version.cuda or "",
    "hip": getattr(torch.version, "hip", None) or "",
    "available": cuda,
    "devices": [torch.cuda.get_device_name(i) for i in count],
    "capabilities": [list(torch.cuda.get_device_capability(i)) for i in count],
    "architectures": torch.cuda.get_arch_list() if cuda else [],
}))
"""


class Torch(msgspec.Struct, frozen=True):
    """What PyTorch tells of itself."""

    version: str = ""
    cuda: str = ""
    """The CUDA that it was built for; empty for a build without."""
    hip: str = ""
    """The same for ROCm."""
    available: bool = False
    devices: tuple[str, ...] = ()
    capabilities: tuple[tuple[int, int], ...] = ()
    """Of each device: its compute capability."""
    architectures: tuple[str, ...] = ()
    """That this build has code for: sm_80, compute_90, …"""
    error: str = ""
    """Why it cannot be loaded."""


class Nvidia(msgspec.Struct, frozen=True):
    """What NVIDIA's driver tells of itself."""

    version: str
    cuda: tuple[int, int]
    """The newest CUDA that it runs."""


def examine_devices() -> Iterator[Finding]:
    """Each accelerator, or why it cannot be used."""
    seen = False
    for driver in drivers(os.environ):
        reading = driver.read()
        for device in reading.devices:
            seen = True
            memory = f"{device.memory_free >> 30} of {device.memory_total >> 30} GiB free"
            text = f"{device.label} {device.name}: {device.problem or memory}"
            state = State.FAULT if device.problem else State.OK
            yield Finding(AREA, state, text, "nvidia-smi -q" if device.problem else "")
        if reading.problem and not reading.devices:
            seen = True
            yield Finding(AREA, State.FAULT, reading.problem, "nvidia-smi")
    if not seen:
        yield Finding(
            AREA,
            State.ABSENT,
            "no accelerator: models run on the processor",
            "in a container, start it with --gpus all",
        )


def examine_torch(torch: Torch | None, nvidia: Nvidia | None, gpus: int) -> Iterator[Finding]:
    """Whether PyTorch can use what is there.

    Args:
        torch: None when it is not installed.
        nvidia: None without the driver.
        gpus: NVIDIA's GPUs that the driver shows.
    """
    if nvidia is not None:
        newest = ".".join(map(str, nvidia.cuda))
        text = f"NVIDIA's driver {nvidia.version}, for CUDA up to {newest}"
        yield Finding(AREA, State.OK, text)
    if torch is None:
        yield Finding(
            AREA,
            State.ABSENT,
            "PyTorch is not installed; llama.cpp needs none",
            "pip install 'xinfer[transformers]'",
        )
    elif torch.error:
        text = f"PyTorch cannot be loaded: {torch.error}"
        yield Finding(AREA, State.FAULT, text, "pip install --force-reinstall torch")
    elif torch.available:
        yield from _examine_architectures(torch)
    else:
        yield _without_devices(torch, nvidia, gpus)


def _examine_architectures(torch: Torch) -> Iterator[Finding]:
    built = f"CUDA {torch.cuda}" if torch.cuda else f"ROCm {torch.hip}"
    yield Finding(
        AREA, State.OK, f"PyTorch {torch.version} for {built} sees {', '.join(torch.devices)}"
    )
    if not torch.cuda:
        return
    for name, capability in zip(torch.devices, torch.capabilities, strict=True):
        if not _has_code(capability, torch.architectures):
            yield Finding(
                AREA,
                State.FAULT,
                f"PyTorch {torch.version} has no code for {name} (sm_{capability[0]}"
                f"{capability[1]}), only for {', '.join(torch.architectures)}",
                "install a PyTorch that is built for it: a newer one for a newer GPU, an older one "
                "for an older GPU",
            )


def _has_code(capability: tuple[int, int], architectures: tuple[str, ...]) -> bool:
    """A binary runs on later devices of its own generation, PTX on all later ones."""
    for architecture in architectures:
        found = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", architecture)
        if found is None:
            continue
        kind, built = found[1], (int(found[2]), int(found[3]))
        if found[4] == "a":
            matches = built == capability
        elif kind == "sm" or found[4]:
            matches = built[0] == capability[0] and built <= capability
        else:
            matches = built <= capability
        if matches:
            return True
    return False


def _without_devices(torch: Torch, nvidia: Nvidia | None, gpus: int) -> Finding:
    if gpus == 0 or nvidia is None:
        return Finding(AREA, State.OK, f"PyTorch {torch.version}, on processors")
    if not torch.cuda:
        return Finding(
            AREA,
            State.FAULT,
            f"PyTorch {torch.version} is a build without CUDA, and there are {gpus} NVIDIA GPU(s)",
            "pip install --force-reinstall torch, from an index that has it for CUDA",
        )
    if _numbers(torch.cuda) > nvidia.cuda:
        newest = ".".join(map(str, nvidia.cuda))
        return Finding(
            AREA,
            State.FAULT,
            f"PyTorch {torch.version} is built for CUDA {torch.cuda}, and the driver is for CUDA "
            f"up to {newest}",
            f"update NVIDIA's driver, or install a PyTorch for CUDA {newest} or older",
        )
    return Finding(
        AREA,
        State.FAULT,
        f"PyTorch {torch.version} for CUDA {torch.cuda} sees none of the driver's {gpus} GPU(s)",
        'python -c "import torch; torch.zeros(1).cuda()" tells why; restart the machine after an '
        "update of the driver",
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def ask_torch() -> Torch:
    """Ask it in a process of its own: it takes seconds, wakes drivers, and may crash."""
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", _TORCH],
            capture_output=True,
            text=True,
            timeout=_TORCH_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return Torch(error=f"nothing came of it in {_TORCH_TIMEOUT:.0f} s")
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        return Torch(error=lines[-1] if lines else f"it ended with status {done.returncode}")
    return msgspec.convert(json.loads(done.stdout.splitlines()[-1]), Torch)


def ask_nvidia() -> tuple[Nvidia | None, int]:
    """The driver, and how many GPUs it shows."""
    import pynvml

    with suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        try:
            version = pynvml.nvmlSystemGetDriverVersion()
            cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
            found = Nvidia(str(version), (cuda // 1000, cuda % 1000 // 10))
            return found, pynvml.nvmlDeviceGetCount()
        finally:
            pynvml.nvmlShutdown()
    return None, 0
