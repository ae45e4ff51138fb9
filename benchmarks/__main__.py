"""`python -m benchmarks [R5 R6 …]`: take the figures, print them, keep them in `results/`."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import CannotMeasure
from benchmarks.report import Figure, as_builtins, table

_FIGURES = {
    "R5": "benchmarks.streamed_token",
    "R6": "benchmarks.request_cost",
    "R7": "benchmarks.stack",
    "R12": "benchmarks.idle",
}
_RESULTS = Path(__file__).parent / "results"


def main() -> None:
    options = _parser().parse_args()
    machine = _machine(_keep_to_cores(options.cores))
    taken: list[dict[str, Any]] = []
    for name in options.figures or _FIGURES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            figure: Figure = importlib.import_module(_FIGURES[name]).measure()
        except CannotMeasure as error:
            sys.exit(f"{name}: {error}")
        result = as_builtins(figure, machine)
        taken.append(result)
        _RESULTS.mkdir(exist_ok=True)
        (_RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
        if not options.json:
            print(table(figure), end="\n\n", flush=True)
    if options.json:
        print(json.dumps(taken, indent=1))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("figures", nargs="*", type=_figure, metavar="FIGURE")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument(
        "--cores", type=int, default=2, help="processor cores for everything (default 2)"
    )
    return parser


def _figure(text: str) -> str:
    name = text.upper()
    if name not in _FIGURES:
        raise argparse.ArgumentTypeError(f"{text} is none of {', '.join(_FIGURES)}")
    return name


def _keep_to_cores(count: int) -> int:
    """Have this process and all that it starts share `count` cores; how many it got.

    Every arm runs on the same ones, and figures of large and small machines can be compared.
    """
    if not hasattr(os, "sched_setaffinity"):
        return os.cpu_count() or 1
    cores = sorted(os.sched_getaffinity(0))[:count]
    os.sched_setaffinity(0, cores)
    return len(cores)


def _machine(cores: int) -> dict[str, Any]:
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "cores": cores,
    }


if __name__ == "__main__":
    main()
