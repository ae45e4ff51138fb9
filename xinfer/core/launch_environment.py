"""What a launch may bring for the processes of its replicas: variables and packages. Pure.

A variable or a package can make a process run any code as the server's user. So variables are of an
allow-list, packages come from the index that the administrator has configured, or from directories
that he has named.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from xinfer.errors import InvalidRequest
from xinfer.settings import Settings
from xinfer.types.deployment import LaunchSpec

_FAMILIES = (
    "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "GGML_", "LLAMA_", "VLLM_", "PYTORCH_", "TORCH_",
    "CUDA_", "NCCL_", "TOKENIZERS_", "TRANSFORMERS_", "HF_HUB_", "LC_",
)  # fmt: skip
"""Beginnings of the names of libraries' own variables."""
_SINGLE = frozenset({"LANG", "TZ", "LOG_LEVEL", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"})
_OURS = frozenset({"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"})
"""Set by the worker, for the devices that a replica was given."""
_LOADING = frozenset({
    "BACKEND", "CACHE", "CLASS", "CMD", "COMMAND", "CONF", "CONFIG", "DIR", "ENDPOINT", "EXEC",
    "FILE", "HOME", "INJECTION", "INSECURE", "LIB", "LIBRARIES", "LIBRARY", "MODULE", "NET", "PATH",
    "PATHS", "PLUGIN", "PLUGINS", "PRELOAD", "PROFILER", "ROOT", "TOKEN", "TOOL", "TUNER", "URL",
})  # fmt: skip
"""Words in names of variables that make a library load or write files, or speak to somebody."""

_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,99}", re.ASCII)
_MAX_VALUE = 4096
_MAX_PACKAGES = 100
_VERSION = r"(===|==|~=|!=|<=|>=|<|>)\s*[A-Za-z0-9][A-Za-z0-9.*+!_-]*"
_REQUIREMENT = re.compile(
    rf"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?(\[[A-Za-z0-9._,\s-]*\])?\s*"
    rf"({_VERSION}(\s*,\s*{_VERSION})*)?",
    re.ASCII,
)


def check_environment(spec: LaunchSpec, settings: Settings) -> None:
    """Let a launch pass that brings nothing beyond what the administrator lets it bring.

    Raises:
        InvalidRequest: `param` is the field at fault.
    """
    check_envs(spec.envs, settings)
    if not spec.packages:
        if spec.find_links:
            raise InvalidRequest(
                "virtual_env_find_links says where packages are, and there are none: name them "
                "in virtual_env_packages.",
                param="virtual_env_find_links",
            )
        return
    if not settings.enable_virtual_env:
        raise InvalidRequest(
            "Launches bring no packages to this server: its administrator has set "
            "XINFERENCE_ENABLE_VIRTUAL_ENV=0. Install them where the server is.",
            param="virtual_env_packages",
        )
    check_packages(spec.packages)
    check_find_links(spec.find_links, settings)


def check_envs(envs: Mapping[str, str], settings: Settings) -> None:
    """Let variables pass that are on the allow-list.

    Raises:
        InvalidRequest: one is not, or its value cannot be one.
    """
    added = {name.strip() for name in settings.allowed_envs.split(",")}
    for name, value in envs.items():
        if not _NAME.fullmatch(name) or not (_is_harmless(name) or name in added):
            raise InvalidRequest(
                f"A launch does not set {name[:100]!r}: it may have the variables of libraries "
                f"that compute ({', '.join(f'{each}*' for each in _FAMILIES)}), but none that "
                "loads files. The administrator can allow others, by their names: "
                "XINFERENCE_ALLOWED_ENVS.",
                param="envs",
            )
        if len(value) > _MAX_VALUE or "\0" in value:
            raise InvalidRequest(
                f"The value of {name} has a NUL character or more than {_MAX_VALUE} characters.",
                param="envs",
            )


def check_packages(packages: Sequence[str]) -> None:
    """Let requirements pass that are names with versions.

    Raises:
        InvalidRequest: one is an option, an address or a path.
    """
    if len(packages) > _MAX_PACKAGES:
        raise InvalidRequest(
            f"There are {len(packages)} packages; {_MAX_PACKAGES} are the most.",
            param="virtual_env_packages",
        )
    for package in packages:
        if len(package) > 200 or not _REQUIREMENT.fullmatch(package.strip()):
            raise InvalidRequest(
                f"{package[:100]!r} is no package: expected a name, with versions if need be, "
                "such as transformers==5.2.0 or peft>=0.17,<1.",
                param="virtual_env_packages",
            )


def check_find_links(links: Sequence[str], settings: Settings) -> None:
    """Let directories pass that lie below one of the administrator's; links are followed.

    Raises:
        InvalidRequest: one is no path, or lies elsewhere.
    """
    roots = find_links_roots(settings)
    for link in links:
        try:
            path = Path(link).expanduser().resolve()
        except (RuntimeError, ValueError, OSError):  # ~nobody, a NUL, a loop
            path = None
        inside = path is not None and any(
            path == root or root in path.parents for root in (each.resolve() for each in roots)
        )
        if "://" in link or not inside:
            raise InvalidRequest(
                f"Packages are not taken from {link[:200]!r}: find-links are directories of the "
                f"server below {', '.join(map(str, roots))}. The administrator can name others: "
                "XINFERENCE_VIRTUAL_ENV_FIND_LINKS_ALLOWED_ROOTS.",
                param="virtual_env_find_links",
            )


def find_links_roots(settings: Settings) -> list[Path]:
    """Directories that find-links may lie in."""
    if not settings.find_links_roots:
        return [settings.home_path / "wheels"]
    return [Path(each).expanduser() for each in settings.find_links_roots.split(os.pathsep) if each]


def _is_harmless(name: str) -> bool:
    if name in _SINGLE:
        return True
    words = set(name.split("_"))
    return name.startswith(_FAMILIES) and name not in _OURS and not words & _LOADING
