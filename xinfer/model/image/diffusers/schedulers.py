"""Schedulers, by the names that people know them by."""

from __future__ import annotations

from typing import Any, NamedTuple

from xinfer.errors import InvalidRequest


class Kind(NamedTuple):
    """A class of diffusers, and what sets it apart from the others of that class."""

    name: str
    settings: dict[str, Any] = {}


_KARRAS = {"use_karras_sigmas": True}

KINDS: dict[str, Kind] = {
    "ddim": Kind("DDIMScheduler"),
    "ddpm": Kind("DDPMScheduler"),
    "deis": Kind("DEISMultistepScheduler"),
    "dpm++_2m": Kind("DPMSolverMultistepScheduler"),
    "dpm++_2m_karras": Kind("DPMSolverMultistepScheduler", _KARRAS),
    "dpm++_2m_sde": Kind("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpm++_2m_sde_karras": Kind(
        "DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", **_KARRAS}
    ),
    "dpm++_2s": Kind("DPMSolverSinglestepScheduler"),
    "dpm2": Kind("KDPM2DiscreteScheduler"),
    "dpm2_a": Kind("KDPM2AncestralDiscreteScheduler"),
    "euler": Kind("EulerDiscreteScheduler"),
    "euler_karras": Kind("EulerDiscreteScheduler", _KARRAS),
    "euler_a": Kind("EulerAncestralDiscreteScheduler"),
    "heun": Kind("HeunDiscreteScheduler"),
    "lcm": Kind("LCMScheduler"),
    "lms": Kind("LMSDiscreteScheduler"),
    # As Stable Diffusion has it; without, it fails in fewer than four steps.
    "pndm": Kind("PNDMScheduler", {"skip_prk_steps": True}),
    "unipc": Kind("UniPCMultistepScheduler"),
    "flow_euler": Kind("FlowMatchEulerDiscreteScheduler"),
    "flow_heun": Kind("FlowMatchHeunDiscreteScheduler"),
}

_ALSO = {
    "dpm++ 2m": "dpm++_2m",
    "dpm++ 2m karras": "dpm++_2m_karras",
    "dpm++ 2m sde": "dpm++_2m_sde",
    "dpm++ 2m sde karras": "dpm++_2m_sde_karras",
    "dpm++ 2s": "dpm++_2s",
    "dpm2 a": "dpm2_a",
    "euler a": "euler_a",
    "euler karras": "euler_karras",
}
"""What others call them."""


def names_for(scheduler: Any) -> list[str]:
    """Those that can take the place of a pipeline's own one."""
    classes = {type(scheduler).__name__, *(kind.__name__ for kind in scheduler.compatibles)}
    return sorted(name for name, kind in KINDS.items() if kind.name in classes)


def find_name(word: str, names: list[str], param: str = "scheduler") -> str:
    """The name that a word stands for, which may be another program's or that of a class.

    Raises:
        InvalidRequest: none of these.
    """
    lowered = word.strip().lower()
    name = _ALSO.get(lowered, lowered)
    if name not in names:
        name = next((one for one in names if KINDS[one].name == word.strip()), "")
    if not name:
        raise InvalidRequest(
            f"There is no scheduler {word[:100]!r} for this model. It has: {', '.join(names)}.",
            param=param,
        )
    return name


def make_scheduler(name: str, own: Any) -> Any:
    """A scheduler that goes on with what the model's own one says of its training."""
    import diffusers

    kind = KINDS[name]
    return getattr(diffusers, kind.name).from_config(own.config, **kind.settings)
