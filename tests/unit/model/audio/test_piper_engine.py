"""Voices of Piper that hum: what they say, who speaks, how fast, what is refused, and their end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("piper")
pytest.importorskip("onnx")

from onnx import TensorProto, helper

from tests.support.piper_voices import LETTERS, RATE, STEP, constants, describe, make_piper, save
from tests.support.sounds import pitch_of
from tests.support.speaking import Speaking
from xinfer.errors import Cancelled, InvalidRequest
from xinfer.model.audio.piper.engine import PiperEngine
from xinfer.model.audio.piper.options import PiperOptions
from xinfer.model.audio.piper.speaker import readable
from xinfer.model.inspect.model import inspect_path
from xinfer.model.work_engine import WorkEngine
from xinfer.types.model import ModelSpec
from xinfer.types.product import Advance, Product
from xinfer.types.request import Media, SpeechRequest, TranscribeRequest


class Voice(Speaking):
    def __init__(self, path: Path, **options: Any) -> None:
        super().__init__(PiperEngine(inspect_path(str(path)), PiperOptions(n_threads=1, **options)))


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Voice]]:
    path = tmp_path_factory.mktemp("piper")
    letters = {"phoneme_type": "text", "phoneme_id_map": LETTERS}
    made = {
        "english": Voice(make_piper(path / "english.onnx")),
        "letters": Voice(make_piper(path / "letters.onnx", **letters), noise_scale=0, noise_w=0),
        "two": Voice(
            make_piper(path / "two.onnx", speakers=2, **letters), noise_scale=0, noise_w=0
        ),
    }
    yield made
    for voice in made.values():
        voice.engine.close()


def test_each_sentence_is_a_sound_as_soon_as_it_is_made(voices: dict[str, Voice]) -> None:
    sounds = voices["english"].sounds()
    assert len(sounds) == 2
    # The graph hums for as long with each number: espeak-ng has made sounds of the words.
    assert all(len(one) % STEP == 0 and len(one) > 20 * STEP for one in sounds)
    assert all(np.abs(one).max() > 32000 for one in sounds)


def test_each_sound_has_its_own_number(voices: dict[str, Voice]) -> None:
    [low], [high] = voices["letters"].sounds("aaaa"), voices["letters"].sounds("zzzz")
    assert len(low) == len(high) == (2 * 4 + 3) * STEP
    assert pitch_of(high) > pitch_of(low)


@pytest.mark.parametrize("speed", [0.25, 0.5, 2.0, 4.0])
def test_speed_is_the_voices_own(voices: dict[str, Voice], speed: float) -> None:
    plain, other = (voices["letters"].sounds("zzzz", speed=one) for one in (1.0, speed))
    assert len(other[0]) * speed == pytest.approx(len(plain[0]), rel=0.01)
    assert pitch_of(other[0]) == pytest.approx(pitch_of(plain[0]), rel=0.3)


def test_speakers_are_voices_and_the_default_comes_first(voices: dict[str, Voice]) -> None:
    two = voices["two"]
    assert two.loaded.details["voices"] == ["bert", "anna"]  # by their numbers
    assert two.loaded.details["sample_rate"] == RATE
    default, bert, anna = (two.sounds("go on", voice=voice)[0] for voice in ("", "bert", "anna"))
    assert np.array_equal(default, bert)
    assert pitch_of(anna) > pitch_of(bert)
    refusal = two.refusal(voice="alloy")
    assert (refusal.param, "bert, anna" in refusal.message) == ("voice", True)
    assert "one voice, without a name" in voices["english"].refusal(voice="alloy").message


def test_another_default_speaker_comes_first(tmp_path: Path) -> None:
    path = make_piper(tmp_path / "a.onnx", speakers=3, default_speaker_id=2)
    assert Voice(path).loaded.details["voices"] == ["2", "bert", "anna"]


def test_without_noise_the_same_text_sounds_the_same(voices: dict[str, Voice]) -> None:
    quiet, noisy = voices["letters"], voices["english"]
    assert np.array_equal(quiet.sounds("go on")[0], quiet.sounds("go on")[0])
    assert not np.array_equal(noisy.sounds("go on.")[0], noisy.sounds("go on.")[0])


def test_a_long_sentence_is_spoken_in_parts(voices: dict[str, Voice]) -> None:
    assert len(voices["letters"].sounds("go on, " * 100)) > 2


def test_letters_with_dots_without_end_are_read_as_letters(voices: dict[str, Voice]) -> None:
    assert readable("e.g. the U.S.A. of A.") == "e.g. the U.S.A. of A."
    for letter in ("a", "é", "कि"):
        assert "." not in readable(f"{letter}." * 70)  # espeak-ng would end this process
        assert voices["english"].sounds(f"{letter}." * 70)


def test_a_nul_character_is_a_space(voices: dict[str, Voice]) -> None:
    [with_nul], [with_space] = (voices["letters"].sounds(text) for text in ("go\0on", "go on"))
    assert np.array_equal(with_nul, with_space)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"reference": Media(b"x", "prompt_speech")}, "prompt_speech"),
        ({"instructions": "sadly"}, "instructions"),
        ({"speed": 5.0}, "speed"),
        ({"seed": 1}, "seed"),
        ({"text": " "}, "input"),
        ({"text": "x" * 20_001}, "input"),
        ({"text": "你好"}, "input"),
        ({"text": "..."}, "input"),
    ],
)
def test_what_the_voice_cannot_do_is_refused(
    voices: dict[str, Voice], fields: dict[str, Any], param: str
) -> None:
    name = "english" if fields.get("text") == "..." else "letters"
    assert voices[name].refusal(**fields).param == param


def test_a_recording_to_be_written_down_is_for_another_model(voices: dict[str, Voice]) -> None:
    with pytest.raises(InvalidRequest, match="speaks"):
        voices["english"].engine.check(TranscribeRequest(sound=Media(b"", "file")))


def test_a_cancel_ends_it_behind_the_sentence_that_is_spoken(voices: dict[str, Voice]) -> None:
    assert voices["letters"].sounds_until_cancelled() == 1


class TestEndless:
    """A graph that would compute for years."""

    @pytest.fixture
    def voice(self, tmp_path: Path) -> Iterator[Voice]:
        path = make_piper(tmp_path / "endless.onnx", phoneme_type="text", phoneme_id_map=LETTERS)
        _compute_for_ever(path)
        made = Voice(path)
        yield made
        made.engine.close()

    def work(self, voice: Voice, at_look: Callable[[], None]) -> None:
        looks = 0

        def report(product: Product) -> None:
            nonlocal looks
            assert isinstance(product, Advance)
            looks += 1
            if looks == 5:
                at_look()

        with pytest.raises(Cancelled):
            voice.engine.work(SpeechRequest(text="go on"), report)
        assert looks == 5

    def test_a_cancel_ends_a_sentence_in_its_midst(self, voice: Voice) -> None:
        def cancel() -> None:
            raise Cancelled("gone")

        before = threading.active_count()
        self.work(voice, cancel)
        assert threading.active_count() == before

    def test_so_does_the_end_of_the_engine(self, voice: Voice) -> None:
        self.work(voice, voice.engine.close)


class TestLoading:
    def refusal(self, path: Path, **options: Any) -> InvalidRequest:
        with pytest.raises(InvalidRequest) as caught:
            Voice(path, **options)
        return caught.value

    @pytest.mark.parametrize("data", [b"", b"no graph", b"\x08\x09" * 100])
    def test_a_file_that_is_no_graph_is_refused(self, tmp_path: Path, data: bytes) -> None:
        path = make_piper(tmp_path / "a.onnx")
        path.write_bytes(data)
        assert "ONNX Runtime cannot load" in self.refusal(path).message

    def test_a_graph_of_something_else_is_refused(self, tmp_path: Path) -> None:
        path = make_piper(tmp_path / "a.onnx")
        value = helper.make_tensor_value_info("input", TensorProto.INT64, [1, None])
        output = helper.make_tensor_value_info("output", TensorProto.INT64, [1, None])
        save(path, [helper.make_node("Identity", ["input"], ["output"])], [value], output)
        assert "takes no input_lengths, scales" in self.refusal(path).message

    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"espeak": {"voice": "qqq"}}, "the voice 'qqq'"),
            ({"phoneme_type": "pinyin"}, "read aloud by pinyin needs more"),
            ({"phoneme_type": "runes"}, "read aloud by runes needs more"),
            ({"audio": {"sample_rate": 0}}, "$.audio.sample_rate"),
            ({"audio": {"rate": 1}}, "missing required field `sample_rate`"),
            ({"phoneme_id_map": {"a": [1]}}, "phoneme_id_map with"),
            ({"num_speakers": "many"}, "$.num_speakers"),
        ],
    )
    def test_a_description_that_cannot_be_is_refused(
        self, tmp_path: Path, changed: dict[str, Any], reason: str
    ) -> None:
        path = make_piper(tmp_path / "a.onnx")
        describe(path, **changed)
        assert reason in self.refusal(path).message

    def test_a_graph_of_one_speaker_described_as_of_several_is_refused(
        self, tmp_path: Path
    ) -> None:
        path = make_piper(tmp_path / "a.onnx")
        describe(path, speakers=2)
        assert "takes no sid" in self.refusal(path).message

    def test_a_device_that_is_not_there_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
        refusal = self.refusal(make_piper(tmp_path / "a.onnx"), device="cuda")
        assert (refusal.param, "onnxruntime-gpu" in refusal.message) == ("device", True)

    @pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider'")
    def test_a_device_without_the_libraries_for_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """ONNX Runtime falls back to processors then, which a launch that names cuda is not for."""
        built_for = ["CUDAExecutionProvider", "CPUExecutionProvider"]
        monkeypatch.setattr("onnxruntime.get_available_providers", lambda: built_for)
        path = make_piper(tmp_path / "a.onnx")
        refusal = self.refusal(path, device="cuda")
        assert (refusal.param, "could not begin with CUDA" in refusal.message) == ("device", True)
        assert Voice(path).loaded.backend == "cpu"


def test_it_has_the_contract_and_counts_its_file() -> None:
    spec = ModelSpec(name="v", type="audio", family="piper", format="onnx", size_bytes=60_000_000)
    assert isinstance(PiperEngine(spec, PiperOptions()), WorkEngine)
    assert PiperEngine.estimate(spec, PiperOptions()).weights == 60_000_000
    assert PiperEngine.support(spec).ok
    assert not PiperEngine.support(ModelSpec(name="v", type="audio", format="pytorch")).ok


def test_what_is_not_installed_is_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "xinfer.model.audio.engine.find_spec", lambda name: None if name == "piper" else name
    )
    spec = ModelSpec(name="v", type="audio", family="piper", format="onnx")
    support = PiperEngine.support(spec)
    assert (support.ok, support.reason, support.extra) == (
        False,
        "piper is not installed",
        "piper",
    )
    assert PiperEngine.accelerators() is None


def _compute_for_ever(path: Path) -> None:
    """Put a graph with a loop there that adds one to a sound, again and again."""
    node, tensor = helper.make_node, helper.make_tensor_value_info
    body = helper.make_graph(
        [
            node("Identity", ["on"], ["still_on"]),
            node("Add", ["sum", "sum"], ["doubled"]),
        ],
        "step",
        [
            tensor("number", TensorProto.INT64, []),
            tensor("on", TensorProto.BOOL, []),
            tensor("sum", TensorProto.FLOAT, [3]),
        ],
        [tensor("still_on", TensorProto.BOOL, []), tensor("doubled", TensorProto.FLOAT, [3])],
    )
    save(
        path,
        [
            *constants({"times": 1 << 62}),
            node("Loop", ["times", "", "scales"], ["output"], body=body),
        ],
        [
            tensor("input", TensorProto.INT64, [1, None]),
            tensor("input_lengths", TensorProto.INT64, [1]),
            tensor("scales", TensorProto.FLOAT, [3]),
        ],
        tensor("output", TensorProto.FLOAT, [3]),
    )
