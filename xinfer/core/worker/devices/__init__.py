"""What a node can compute on: its accelerators by their drivers, its processors and memory."""

from xinfer.core.worker.devices.devices import Devices, Measurement, drivers

__all__ = ["Devices", "Measurement", "drivers"]
