"""Which accelerators a worker may use, and which of them a replica sees."""

from __future__ import annotations

from collections.abc import Sequence

from xinfer.types.device import DeviceShare

_HIDE_ALL = "-1"
_VARIABLES = {"cuda": "CUDA_VISIBLE_DEVICES", "rocm": "HIP_VISIBLE_DEVICES"}
"""The variable that tells a program which devices of a kind there are for it."""


def visible(allowed: str | None, uuids: Sequence[str] = ()) -> list[int]:
    """Indices of the devices that a `*_VISIBLE_DEVICES` variable leaves.

    As the drivers read it: numbers or beginnings of UUIDs, up to the first that is neither.

    Args:
        allowed: the variable's value; None when it is not set, which leaves all.
        uuids: of all devices, by index.
    """
    if allowed is None:
        return list(range(len(uuids)))
    chosen: list[int] = []
    for word in (part.strip() for part in allowed.split(",")):
        if word.isdecimal() and int(word) < len(uuids):
            index = int(word)
        else:
            matches = [n for n, uuid in enumerate(uuids) if word and uuid.startswith(word)]
            if len(matches) != 1:
                break
            index = matches[0]
        if index not in chosen:
            chosen.append(index)
    return sorted(chosen)


def visibility(shares: Sequence[DeviceShare]) -> dict[str, str]:
    """Variables with which a process sees the devices of these shares and no other accelerator."""
    environment = {
        variable: ",".join(str(share.index) for share in shares if share.kind == kind) or _HIDE_ALL
        for kind, variable in _VARIABLES.items()
    }
    # CUDA's own order is the fastest first, which is not how drivers number devices.
    environment["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    return environment
