"""Which tokens may come next: text between two times, and no time before an earlier one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xinfer.model.audio.whisper.vocabulary import Vocabulary

if TYPE_CHECKING:
    from torch import Tensor


class TimeRules:
    """The grammar that Whisper writes times by."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def apply(self, logits: Tensor, written: Sequence[int]) -> None:
        """Take the chance from what may not follow, in place.

        Args:
            logits: (vocabulary,)
            written: tokens of this window.
        """
        vocabulary = self._vocabulary
        logits[vocabulary.suppressed] = -math.inf
        if not written:
            logits[vocabulary.suppressed_first] = -math.inf
        zero = vocabulary.first_time
        self._in_pairs(logits, written)
        if not written:
            logits[:zero] = -math.inf
            if vocabulary.latest_start is not None:
                logits[zero + vocabulary.latest_start + 1 :] = -math.inf
        elif self._time_is_due(logits):
            logits[:zero] = -math.inf

    def _in_pairs(self, logits: Tensor, written: Sequence[int]) -> None:
        zero = self._vocabulary.first_time
        times = [token for token in written if token >= zero]
        if not times:
            return
        begun = written[-1] >= zero and (len(written) < 2 or written[-2] >= zero)
        ended = written[-1] >= zero and not begun
        if begun:  # text has to follow; the end may, where a segment goes on beyond the window
            logits[zero:] = -math.inf
        elif ended:  # the next segment begins, or it is the end
            logits[: self._vocabulary.end] = -math.inf
        # A segment takes time, and the next one may begin at once.
        logits[zero : times[-1] + (0 if ended else 1)] = -math.inf

    def _time_is_due(self, logits: Tensor) -> bool:
        """Whether all times together are likelier than any other token."""
        zero = self._vocabulary.first_time
        together = logits[zero:].logsumexp(0)
        return bool(together > logits[:zero].max())
