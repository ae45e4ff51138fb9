"""NVIDIA's GPUs, by the driver's own library (NVML)."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from xinfer.core.worker.devices.driver import Reading
from xinfer.core.worker.devices.memory import MainMemory, main_memory
from xinfer.core.worker.devices.visible import visible
from xinfer.types.device import Device, Holder

KIND = "cuda"


class NvidiaDriver:
    """Reads through nvidia-ml-py, which is imported only where the driver is.

    Args:
        allowed: CUDA_VISIBLE_DEVICES as the worker was started with it; its numbers are taken in
            the order of the PCI bus.
        nvml: the module `pynvml`, or what answers in its place.
        memory: the node's main memory, for GPUs that have no other.
    """

    maker = "NVIDIA"

    def __init__(
        self,
        allowed: str | None,
        nvml: Any = None,
        memory: Callable[[], MainMemory] = main_memory,
    ) -> None:
        self._allowed = allowed
        self._nvml = nvml
        self._memory = memory
        self._initialised = False

    def present(self) -> bool:
        if self._nvml is not None or sys.platform == "win32":
            return True
        try:
            ctypes.CDLL("libnvidia-ml.so.1")
        except OSError:
            return False
        return True

    def read(self) -> Reading:
        if self._nvml is None:
            import pynvml

            self._nvml = pynvml
        nvml = self._nvml
        try:
            if not self._initialised:
                nvml.nvmlInit()
                self._initialised = True
            count = nvml.nvmlDeviceGetCount()
        except nvml.NVMLError as error:
            self._start_anew()
            if error.value == nvml.NVML_ERROR_LIBRARY_NOT_FOUND:
                return Reading()
            return Reading(
                problem=f"NVIDIA's driver does not work here ({error}), so its GPUs are not used. "
                "nvidia-smi should list them; after an update of the driver, restart the machine."
            )
        found = [self._device(index) for index in range(count)]
        shown = visible(self._allowed, [uuid for _, uuid in found])
        devices = tuple(found[index][0] for index in shown)
        lost = [f"{each.label}: {each.problem}" for each in devices if each.problem]
        return Reading(devices, " ".join(lost))

    def _device(self, index: int) -> tuple[Device, str]:
        """The device and its UUID; one that does not answer is listed with the reason."""
        nvml = self._nvml
        name, uuid = "NVIDIA GPU", ""
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            name = _text(nvml.nvmlDeviceGetName(handle))
            uuid = _text(nvml.nvmlDeviceGetUUID(handle))
            total, used, free, unified = self._memory_of(handle)
        except nvml.NVMLError as error:
            problem = f"it does not answer ({error}), and nothing is placed on it."
            return Device(kind=KIND, index=index, name=name, problem=problem), uuid
        device = Device(
            kind=KIND,
            index=index,
            name=name,
            memory_total=total,
            memory_used=used,
            memory_free=free,
            unified=unified,
            utilisation=self._utilisation(handle),
            holders=self._holders(handle),
        )
        return device, uuid

    def _memory_of(self, handle: Any) -> tuple[int, int, int, bool]:
        nvml = self._nvml
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        except nvml.NVMLError as error:
            if error.value != nvml.NVML_ERROR_NOT_SUPPORTED:
                raise
            main = self._memory()  # as on GB10 and Jetson
            return main.total, main.used, main.available, True
        return memory.total, memory.used, memory.free, False

    def _utilisation(self, handle: Any) -> float | None:
        with suppress(self._nvml.NVMLError):
            return float(self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
        return None

    def _holders(self, handle: Any) -> tuple[Holder, ...]:
        """None in most containers, and on Windows: there the driver does not tell."""
        with suppress(self._nvml.NVMLError):
            return tuple(
                Holder(process.pid, process.usedGpuMemory)
                for process in self._nvml.nvmlDeviceGetComputeRunningProcesses(handle)
                if process.usedGpuMemory
            )
        return ()

    def _start_anew(self) -> None:
        """The next reading begins with a new session: a driver can come back."""
        if self._initialised:
            self._initialised = False
            with suppress(self._nvml.NVMLError):
                self._nvml.nvmlShutdown()


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
