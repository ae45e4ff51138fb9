"""A graph of ONNX Runtime that is given up in its midst when its result is not wanted any more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

_LOOK = 0.05
"""Seconds between two looks at whether it is still wanted."""


class WatchedSession:
    """What Piper calls in the place of an `InferenceSession`. Called from one thread at a time.

    Args:
        path: the .onnx file.
        providers: of ONNX Runtime, the first that is there computes.
        threads: that compute.
    """

    def __init__(self, path: str, providers: Sequence[str], threads: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; what it warns of is of how a graph was exported
        self._session = onnxruntime.InferenceSession(path, options, providers=list(providers))
        self._still_wanted: Callable[[], None] = lambda: None

    @property
    def inputs(self) -> frozenset[str]:
        return frozenset(one.name for one in self._session.get_inputs())

    @property
    def device(self) -> str:
        """cpu or cuda."""
        return "cuda" if "CUDAExecutionProvider" in self._session.get_providers() else "cpu"

    def watch(self, still_wanted: Callable[[], None]) -> None:
        """What is called while the next runs compute; what it raises ends them."""
        self._still_wanted = still_wanted

    def run(
        self, names: Sequence[str] | None, inputs: Mapping[str, NDArray[Any]]
    ) -> list[NDArray[np.float32]]:
        options = onnxruntime.RunOptions()
        with ThreadPoolExecutor(1) as computing:
            made = computing.submit(self._session.run, names, inputs, options)
            try:
                while not wait([made], timeout=_LOOK).done:
                    self._still_wanted()
            except BaseException:
                options.terminate = True  # takes effect with the graph's next node
                raise
        result: list[NDArray[np.float32]] = made.result()
        return result
