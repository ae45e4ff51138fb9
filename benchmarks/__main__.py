"""`python -m benchmarks [R2 R5 …]`: take the figures, print them, keep them in `results/`.

Without names, all that need nothing but the project.
"""

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
from benchmarks.settings import Settings
from xinfer.errors import XinferError
from xinfer.model.engine import engine_names

_FIGURES = {
    "R2": "benchmarks.in_process",
    "R2T": "benchmarks.transformers_generation",
    "R3T": "benchmarks.transformers_first_token",
    "R5": "benchmarks.streamed_token",
    "R6": "benchmarks.request_cost",
    "R7": "benchmarks.stack",
    "R8": "benchmarks.retrieval",
    "R8T": "benchmarks.retrieval_transformers",
    "R11": "benchmarks.soak",
    "R12": "benchmarks.idle",
    "R13": "benchmarks.planner",
    "SCHEMA": "benchmarks.constraint",
    "SCALE": "benchmarks.control_plane",
}
_BESIDE_OTHERS = {
    "R1": "benchmarks.peer_throughput",
    "R3": "benchmarks.first_token",
    "R4": "benchmarks.inter_token",
    "R9": "benchmarks.retrieval_peer",
}
_ON_VLLM = {"R2V": "benchmarks.vllm_generation"}
"""Taken in an environment of its own."""
_ALL = {**_FIGURES, **_BESIDE_OTHERS, **_ON_VLLM}
_RESULTS = Path(__file__).parent / "results"


def main() -> None:
    options = _parser().parse_args()
    machine = _machine(_keep_to_cores(options.cores))
    settings = Settings(
        repeats=options.repeats,
        engine=options.engine,
        engine_options=dict(options.option),
        llama_server=options.llama_server,
        xinference=options.xinference,
        streams=tuple(options.streams) if options.streams else None,
    )
    taken: list[dict[str, Any]] = []
    for name in options.figures or _FIGURES:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            figure: Figure = importlib.import_module(_ALL[name]).measure(settings)
        except (CannotMeasure, XinferError) as error:
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
    parser.add_argument(
        "--repeats", type=_positive, help="turns of the arms, in place of each figure's own"
    )
    parser.add_argument(
        "--streams", type=_positive, nargs="+", help="concurrent streams of R1, R2 and R4"
    )
    parser.add_argument(
        "--engine",
        choices=engine_names(),
        default=Settings().engine,
        help="what runs the model of R1 to R4 (default %(default)s)",
    )
    parser.add_argument(
        "--option",
        type=_option,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a launch option of it; may be repeated",
    )
    parser.add_argument("--llama-server", metavar="PATH", help="what R1, R3 and R4 compare with")
    parser.add_argument(
        "--xinference", metavar="PATH", help="the xinference-local that R9 compares with"
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 on")
    return int(text)


def _option(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text} is not NAME=VALUE")
    return name, value


def _figure(text: str) -> str:
    name = text.upper()
    if name not in _ALL:
        raise argparse.ArgumentTypeError(f"{text} is none of {', '.join(_ALL)}")
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
