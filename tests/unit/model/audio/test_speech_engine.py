"""Text spoken by tiny models: how much of it, in whose voice, how fast, and when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("av")

from tests.support.speech_models import RATE, VOICES, make_speecht5, make_vits
from xinfer.errors import Cancelled, InvalidRequest
from xinfer.model.audio.speech.engine import SpeechEngine
from xinfer.model.audio.speech.options import SpeechOptions
from xinfer.model.inspect.model import inspect_path
from xinfer.types.model import Loaded
from xinfer.types.product import Advance, Product, Sound
from xinfer.types.request import Media, SpeechRequest, TranscribeRequest

# Transformers' own VITS is made with it.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")

TEXT = "A sentence of words. And one more of them, no?"


class Model:
    """A loaded engine and what it makes."""

    def __init__(self, path: Path) -> None:
        self.engine = SpeechEngine(inspect_path(str(path)), SpeechOptions(n_threads=1))
        self.loaded: Loaded = self.engine.load(lambda _: None)

    def sounds(self, text: str = TEXT, **more: object) -> list[np.ndarray]:
        request = SpeechRequest(text=text, **more)  # type: ignore[arg-type]
        self.engine.check(request)
        made: list[Product] = []
        self.engine.work(request, made.append)
        assert all(one.sample_rate == RATE for one in made if isinstance(one, Sound))
        return [np.frombuffer(one.data, "<i2") for one in made if isinstance(one, Sound)]

    def refusal(self, text: str = TEXT, **more: object) -> InvalidRequest:
        with pytest.raises(InvalidRequest) as caught:
            self.sounds(text, **more)
        return caught.value


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Model]]:
    path = tmp_path_factory.mktemp("speech")
    made = {
        "vits": Model(make_vits(path / "vits")),
        "voices": Model(make_vits(path / "voices", speakers=3)),
        "speecht5": Model(make_speecht5(path / "speecht5")),
    }
    yield made
    for model in made.values():
        model.engine.close()


def length(sounds: list[np.ndarray]) -> int:
    return sum(map(len, sounds))


@pytest.mark.parametrize("name", ["vits", "voices", "speecht5"])
def test_each_sentence_is_a_sound_as_soon_as_it_is_made(
    models: dict[str, Model], name: str
) -> None:
    sounds = models[name].sounds()
    assert len(sounds) == 2
    assert all(len(one) > 1000 and one.any() for one in sounds)


@pytest.mark.parametrize("name", ["vits", "speecht5"])
def test_twice_as_fast_takes_about_half_the_time(models: dict[str, Model], name: str) -> None:
    text = "go on and on."
    plain = length(models[name].sounds(text))
    for speed in (0.5, 2.0):
        assert length(models[name].sounds(text, speed=speed)) * speed == pytest.approx(
            plain, rel=0.35
        )


def test_the_same_request_sounds_the_same_and_another_seed_otherwise(
    models: dict[str, Model],
) -> None:
    first, again = models["vits"].sounds(), models["vits"].sounds()
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    other = models["vits"].sounds(seed=7)
    assert length(other) != length(first) or not np.array_equal(other[0], first[0])


@pytest.mark.parametrize(("name", "voices"), [("voices", ("0", "1", "2")), ("speecht5", VOICES)])
def test_voices_are_told_differ_and_the_first_is_the_default(
    models: dict[str, Model], name: str, voices: tuple[str, ...]
) -> None:
    model = models[name]
    assert tuple(model.loaded.details["voices"]) == voices
    default, first, second = (model.sounds("go on.", voice=voice) for voice in ("", *voices[:2]))
    assert np.array_equal(default[0], first[0])
    assert len(first[0]) != len(second[0]) or not np.array_equal(first[0], second[0])
    refusal = model.refusal(voice="alloy")
    assert refusal.param == "voice"
    assert ", ".join(voices) in refusal.message


def test_a_model_of_one_voice_says_so(models: dict[str, Model]) -> None:
    assert "one voice, without a name" in models["vits"].refusal(voice="alloy").message


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"reference": Media(b"x", "prompt_speech")}, "prompt_speech"),
        ({"reference_text": "x"}, "prompt_speech"),
        ({"instructions": "sadly"}, "instructions"),
        ({"speed": 5.0}, "speed"),
        ({"text": " "}, "input"),
        ({"text": "x" * 20_001}, "input"),
        ({"text": "你好"}, "input"),
    ],
)
def test_what_the_model_cannot_do_is_refused(
    models: dict[str, Model], fields: dict[str, object], param: str
) -> None:
    assert models["vits"].refusal(**{"text": TEXT, **fields}).param == param  # type: ignore[arg-type]


def test_a_recording_to_be_written_down_is_for_another_model(models: dict[str, Model]) -> None:
    with pytest.raises(InvalidRequest, match="speaks"):
        models["vits"].engine.check(TranscribeRequest(sound=Media(b"", "file")))


def test_a_cancel_ends_it_behind_the_sentence_that_is_spoken(models: dict[str, Model]) -> None:
    made: list[Product] = []

    def report(product: Product) -> None:
        if any(isinstance(one, Sound) for one in made):
            raise Cancelled("gone")
        made.append(product)

    with pytest.raises(Cancelled):
        models["vits"].engine.work(SpeechRequest(text="one. " * 50), report)
    assert sum(isinstance(one, Sound) for one in made) == 1


def test_speecht5_ends_in_the_midst_of_a_sentence(models: dict[str, Model]) -> None:
    looks = 0

    def report(product: Product) -> None:
        nonlocal looks
        assert isinstance(product, Advance)
        looks += 1
        if looks == 20:
            raise Cancelled("gone")

    with pytest.raises(Cancelled):
        models["speecht5"].engine.work(SpeechRequest(text="word " * 60), report)
    assert looks == 20
    assert models["speecht5"].sounds("go on.")


def test_speecht5_says_what_it_lacks(tmp_path: Path) -> None:
    path = make_speecht5(tmp_path / "model")
    for voice in (path / "voices").iterdir():
        voice.unlink()
    engine = SpeechEngine(inspect_path(str(path)), SpeechOptions(n_threads=1))
    with pytest.raises(InvalidRequest, match="voices"):
        engine.load(lambda _: None)
    np.save(path / "voices" / "wrong.npy", np.zeros(3, np.float32))
    with pytest.raises(InvalidRequest, match=r"wrong\.npy holds 3 numbers"):
        engine.load(lambda _: None)
    elsewhere = SpeechOptions(n_threads=1, vocoder=str(tmp_path))
    with pytest.raises(InvalidRequest, match="vocoder"):
        SpeechEngine(inspect_path(str(path)), elsewhere).load(lambda _: None)
