"""Machines by what their drivers answer, in the shape of NVML's calls and of the kernel's files."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml

_HERE = Path(__file__).parent


def machine(name: str) -> dict[str, Any]:
    """The machine of this name."""
    found: dict[str, Any] = json.loads((_HERE / f"{name}.json").read_text())
    return found


def write_files(root: Path, name: str) -> None:
    """The files that a machine's kernel shows, under `root`."""
    for path, text in machine(name)["files"].items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


class RecordedNvml:
    """Answers in the place of the module `pynvml`; `spec` may be changed meanwhile."""

    NVMLError = pynvml.NVMLError
    NVML_ERROR_LIBRARY_NOT_FOUND = pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
    NVML_ERROR_NOT_SUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.sessions = 0

    @classmethod
    def of(cls, name: str) -> RecordedNvml:
        return cls(machine(name))

    def nvmlInit(self) -> None:
        self._fail(self.spec["init_error"])
        self.sessions += 1

    def nvmlShutdown(self) -> None:
        self.sessions -= 1

    def nvmlDeviceGetCount(self) -> int:
        assert self.sessions == 1
        self._fail(self.spec.get("count_error", 0))
        return len(self.spec["gpus"])

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:
        gpu: dict[str, Any] = self.spec["gpus"][index]
        return gpu

    def nvmlDeviceGetName(self, gpu: dict[str, Any]) -> Any:
        return gpu["name"]

    def nvmlDeviceGetUUID(self, gpu: dict[str, Any]) -> Any:
        return gpu["uuid"].encode()  # as older versions answer

    def nvmlDeviceGetMemoryInfo(self, gpu: dict[str, Any]) -> Any:
        self._check(gpu, "nvmlDeviceGetMemoryInfo")
        return SimpleNamespace(total=gpu["total"], used=gpu["used"], free=gpu["free"])

    def nvmlDeviceGetUtilizationRates(self, gpu: dict[str, Any]) -> Any:
        self._check(gpu, "nvmlDeviceGetUtilizationRates")
        return SimpleNamespace(gpu=gpu["utilisation"], memory=0)

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: dict[str, Any]) -> Any:
        self._check(gpu, "nvmlDeviceGetComputeRunningProcesses")
        return [
            SimpleNamespace(pid=process["pid"], usedGpuMemory=process["memory"])
            for process in gpu["processes"]
        ]

    def _check(self, gpu: dict[str, Any], call: str) -> None:
        self._fail(gpu["errors"].get(call, 0))

    def _fail(self, code: int) -> None:
        if code:
            raise pynvml.NVMLError(code)
