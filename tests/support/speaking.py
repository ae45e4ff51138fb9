"""An engine that speaks, loaded, and what it makes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from xinfer.errors import Cancelled, InvalidRequest
from xinfer.model.audio.speaking.engine import SpeakingEngine
from xinfer.types.model import Loaded
from xinfer.types.product import Advance, Product, Sound
from xinfer.types.request import SpeechRequest

TEXT = "A sentence of words. And one more of them, no?"


class Speaking:
    """Loads the engine."""

    def __init__(self, engine: SpeakingEngine[Any]) -> None:
        self.engine = engine
        self.loaded: Loaded = engine.load(lambda _: None)

    def sounds(self, text: str = TEXT, **more: Any) -> list[NDArray[np.int16]]:
        request = SpeechRequest(text=text, **more)
        self.engine.check(request)
        made: list[Product] = []
        self.engine.work(request, made.append)
        rate = self.loaded.details["sample_rate"]
        assert all(one.sample_rate == rate for one in made if isinstance(one, Sound))
        return [np.frombuffer(one.data, "<i2") for one in made if isinstance(one, Sound)]

    def refusal(self, text: str = TEXT, **more: Any) -> InvalidRequest:
        with pytest.raises(InvalidRequest) as caught:
            self.sounds(text, **more)
        return caught.value

    def sounds_until_cancelled(self) -> int:
        """Of fifty sentences, where it is cancelled when the first has been spoken."""
        made: list[Product] = []

        def report(product: Product) -> None:
            if any(isinstance(one, Sound) for one in made):
                assert isinstance(product, Advance)  # the next one has not been computed
                raise Cancelled("gone")
            made.append(product)

        with pytest.raises(Cancelled):
            self.engine.work(SpeechRequest(text="one. " * 50), report)
        return sum(isinstance(one, Sound) for one in made)
