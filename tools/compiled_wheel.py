"""Install a package that is compiled, compiling it only once for each version and set of flags.

    python tools/compiled_wheel.py llama-cpp-python==0.3.36

The wheel is kept under `$XINFER_WHEELS` (default `~/.cache/xinfer/wheels`) in a folder named after
what it depends on: the requirement, the compiler flags (`CMAKE_ARGS`), Python, the platform, and
the processor, whose own instructions it uses.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

FLAGS = ("CMAKE_ARGS", "CFLAGS", "CXXFLAGS")


def cache_key(requirement: str, environment: Mapping[str, str], options: Sequence[str] = ()) -> str:
    """The folder's name: readable first, then a digest of all that the build depends on."""
    parts = [requirement, sys.implementation.cache_tag or "", sysconfig.get_platform()]
    parts += [f"{name}={environment.get(name, '')}" for name in FLAGS]
    parts.append(processor())
    parts += options
    digest = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
    return f"{requirement.replace('==', '-')}-{digest}"


def processor() -> str:
    """What instructions it has, where that can be read; else its name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return " ".join(sorted(flags.partition(":")[2].split()))


def wheel_for(requirement: str, cache: Path, environment: Mapping[str, str]) -> Path:
    """The wheel out of the cache, compiled first where it is not there.

    Raises:
        subprocess.CalledProcessError: it does not compile.
    """
    kept = cache / cache_key(requirement, environment)
    found = sorted(kept.glob("*.whl"))
    if found:
        return found[0]
    print(f"compiling {requirement}; kept in {kept} for the next time", flush=True)
    cache.mkdir(parents=True, exist_ok=True)
    # Made elsewhere and renamed whole, so that an interrupted build leaves nothing half done.
    making = Path(tempfile.mkdtemp(dir=cache))
    try:
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", requirement],
            cwd=making,
            env=dict(environment),
            check=True,
        )
        making.rename(kept)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return next(kept.glob("*.whl"))


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or "==" not in arguments[0]:
        print(__doc__, file=sys.stderr)
        return 2
    cache = Path(os.environ.get("XINFER_WHEELS", "~/.cache/xinfer/wheels")).expanduser()
    wheel = wheel_for(arguments[0], cache, os.environ)
    install = [sys.executable, "-m", "pip", "install", "--quiet", str(wheel)]
    return subprocess.run(install, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
