"""AMD's GPUs, as the kernel's driver shows them in files: no library of AMD's is needed.

Written by the documentation of amdgpu and amdkfd and tested on recorded files; never run on such
a GPU.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from xinfer.core.worker.devices.driver import Reading
from xinfer.core.worker.devices.visible import visible
from xinfer.types.device import Device, Holder

KIND = "rocm"


class AmdDriver:
    """Numbers the GPUs as HIP does, in the order of KFD's topology.

    Args:
        allowed: HIP_VISIBLE_DEVICES as the worker was started with it.
        sys: where the kernel shows its files.
    """

    maker = "AMD"

    def __init__(self, allowed: str | None, sys: Path = Path("/sys")) -> None:
        self._allowed = allowed
        self._kfd = sys / "class/kfd/kfd"
        self._pci = sys / "bus/pci/devices"

    def present(self) -> bool:
        return (self._kfd / "topology/nodes").is_dir()

    def read(self) -> Reading:
        try:
            nodes = sorted(
                (self._kfd / "topology/nodes").iterdir(), key=lambda node: int(node.name)
            )
            gpus = [node for node in nodes if self._gpu_id(node)]
        except (OSError, ValueError) as error:
            return Reading(
                problem=f"AMD's driver does not work here ({error}), so its GPUs are not used."
            )
        devices = [self._device(index, node) for index, node in enumerate(gpus)]
        shown = visible(self._allowed, [node.name for node in gpus])
        devices = [devices[index] for index in shown]
        lost = [f"{each.label}: {each.problem}" for each in devices if each.problem]
        return Reading(tuple(devices), " ".join(lost))

    def _gpu_id(self, node: Path) -> int:
        """KFD's number of a GPU; 0 for a processor."""
        return int((node / "gpu_id").read_text())

    def _device(self, index: int, node: Path) -> Device:
        try:
            card = self._pci / _pci_address(node)
            total = _number(card / "mem_info_vram_total")
            used = _number(card / "mem_info_vram_used")
        except (OSError, ValueError, KeyError) as error:
            problem = f"it does not answer ({error}), and nothing is placed on it."
            return Device(kind=KIND, index=index, name="AMD GPU", problem=problem)
        name, utilisation = "AMD GPU", None
        with suppress(OSError):
            name = (card / "product_name").read_text().strip() or name
        with suppress(OSError, ValueError):
            utilisation = _number(card / "gpu_busy_percent") / 100
        return Device(
            kind=KIND,
            index=index,
            name=name,
            memory_total=total,
            memory_used=used,
            memory_free=total - used,
            utilisation=utilisation,
            holders=self._holders(self._gpu_id(node)),
        )

    def _holders(self, gpu_id: int) -> tuple[Holder, ...]:
        holders: list[Holder] = []
        with suppress(OSError):
            for process in sorted((self._kfd / "proc").iterdir()):
                with suppress(OSError, ValueError):  # it may end meanwhile
                    memory = _number(process / f"vram_{gpu_id}")
                    if memory:
                        holders.append(Holder(int(process.name), memory))
        return tuple(holders)


def _node_number(node: Path) -> int:
    return int(node.name)


def _pci_address(node: Path) -> str:
    lines = (line.split() for line in (node / "properties").read_text().splitlines())
    properties = {words[0]: int(words[1]) for words in lines if len(words) == 2}
    location = properties["location_id"]
    bus, device, function = location >> 8 & 0xFF, location >> 3 & 0x1F, location & 7
    return f"{properties.get('domain', 0):04x}:{bus:02x}:{device:02x}.{function}"


def _number(file: Path) -> int:
    return int(file.read_text())
