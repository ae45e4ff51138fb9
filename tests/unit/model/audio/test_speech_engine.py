"""Text spoken by tiny models: how much of it, in whose voice, how fast, and when it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("av")

from tests.support.sounds import tone, wav
from tests.support.speaking import TEXT, Speaking
from tests.support.speech_models import (
    CSM_RATE,
    PRESETS,
    VOICES,
    make_bark,
    make_csm,
    make_speecht5,
    make_vits,
)
from xinfer.errors import Cancelled, InvalidRequest, PayloadTooLarge
from xinfer.model.audio.speech.engine import SpeechEngine
from xinfer.model.audio.speech.options import SpeechOptions
from xinfer.model.inspect.model import inspect_path
from xinfer.types.model import ModelSpec
from xinfer.types.product import Advance, Product
from xinfer.types.request import Media, SpeechRequest, TranscribeRequest

# Transformers' own VITS is made with it.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")

PARTS = ("semantic_prompt", "coarse_prompt", "fine_prompt")


class Model(Speaking):
    def __init__(self, path: Path, **options: float) -> None:
        super().__init__(
            SpeechEngine(
                inspect_path(str(path)),
                SpeechOptions(n_threads=1, **options),  # type: ignore[arg-type]
            )
        )


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Model]]:
    path = tmp_path_factory.mktemp("speech")
    made = {
        "vits": Model(make_vits(path / "vits")),
        "voices": Model(make_vits(path / "voices", speakers=3)),
        "speecht5": Model(make_speecht5(path / "speecht5")),
        "bark": Model(make_bark(path / "bark")),
        "csm": Model(make_csm(path / "csm")),
    }
    yield made
    for model in made.values():
        model.engine.close()


def length(sounds: list[np.ndarray]) -> int:
    return sum(map(len, sounds))


@pytest.mark.parametrize("name", ["vits", "voices", "speecht5", "bark", "csm"])
def test_each_sentence_is_a_sound_as_soon_as_it_is_made(
    models: dict[str, Model], name: str
) -> None:
    sounds = models[name].sounds()
    assert len(sounds) == 2
    assert all(one.any() for one in sounds)


@pytest.mark.parametrize("name", ["vits", "speecht5"])
def test_twice_as_fast_takes_about_half_the_time(models: dict[str, Model], name: str) -> None:
    text = "go on and on."
    plain = length(models[name].sounds(text))
    for speed in (0.5, 2.0):
        assert length(models[name].sounds(text, speed=speed)) * speed == pytest.approx(
            plain, rel=0.35
        )


@pytest.mark.parametrize("name", ["vits", "bark", "csm"])
def test_the_same_request_sounds_the_same_and_another_seed_otherwise(
    models: dict[str, Model], name: str
) -> None:
    first, again = models[name].sounds(), models[name].sounds()
    assert all(np.array_equal(one, two) for one, two in zip(first, again, strict=True))
    other = models[name].sounds(seed=7)
    assert length(other) != length(first) or not np.array_equal(other[0], first[0])


@pytest.mark.parametrize(
    ("name", "voices"), [("voices", ("0", "1", "2")), ("speecht5", VOICES), ("bark", PRESETS)]
)
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
        ({"reference_text": "x"}, "prompt_text"),
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
    assert models["vits"].refusal(**{"text": TEXT, **fields}).param == param


@pytest.mark.parametrize(
    "fields", [{"reference": Media(b"x", "prompt_speech")}, {"instructions": "sadly"}]
)
def test_what_it_has_no_use_for_is_an_unsupported_parameter(
    models: dict[str, Model], fields: dict[str, Any]
) -> None:
    assert models["vits"].refusal(text=TEXT, **fields).code == "unsupported_parameter"


def test_a_recording_to_be_written_down_is_for_another_model(models: dict[str, Model]) -> None:
    with pytest.raises(InvalidRequest, match="speaks"):
        models["vits"].engine.check(TranscribeRequest(sound=Media(b"", "file")))


def test_a_cancel_ends_it_behind_the_sentence_that_is_spoken(models: dict[str, Model]) -> None:
    assert models["vits"].sounds_until_cancelled() == 1


@pytest.mark.parametrize("name", ["vits", "speecht5", "bark", "csm"])
def test_a_cancel_ends_it_at_any_step_of_a_sentence(models: dict[str, Model], name: str) -> None:
    request = SpeechRequest(text="word " * 12)
    made: list[Product] = []
    models[name].engine.work(request, made.append)
    steps = sum(isinstance(one, Advance) for one in made)
    assert steps > 4
    for last in (2, steps // 3 + 1, steps // 2 + 1, steps):
        looks = 0

        def report(product: Product, last: int = last) -> None:
            nonlocal looks
            assert isinstance(product, Advance)
            looks += 1
            if looks == last:
                raise Cancelled("gone")

        with pytest.raises(Cancelled):
            models[name].engine.work(request, report)
        assert looks == last
    assert models[name].sounds("go on.")


def test_characters_that_speecht5_writes_out_at_length_are_refused(
    models: dict[str, Model],
) -> None:
    with pytest.raises(InvalidRequest, match="1203 tokens to this model, which takes 450"):
        models["speecht5"].sounds("\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 200)


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


class TestBark:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return make_bark(tmp_path / "bark")

    def test_its_chances_are_options(self, path: Path) -> None:
        model = Model(path, text_temperature=0, waveform_temperature=0)
        greedy, again = model.sounds(seed=1), model.sounds(seed=2)
        # What is left to chance is the finest codes: the length is that of the tokens before.
        assert list(map(len, greedy)) == list(map(len, again))
        ends = Model(path, min_eos_p=1e-9)
        assert length(ends.sounds()) < length(greedy)

    def test_it_may_end_in_each_of_its_stages(self, models: dict[str, Model]) -> None:
        model = models["bark"].engine._speaker._model  # type: ignore[union-attr]
        seen: list[str] = []
        hooks = [
            getattr(model, stage)
            .layers[0]
            .register_forward_hook(lambda *_, stage=stage: seen.append(stage))
            for stage in ("semantic", "coarse_acoustics", "fine_acoustics")
        ]
        made: list[Product] = []
        models["bark"].engine.work(SpeechRequest(text="go on"), made.append)
        for hook in hooks:
            hook.remove()
        assert set(seen) == {"semantic", "coarse_acoustics", "fine_acoustics"}
        # One look before the sentence, then one with each step.
        assert sum(isinstance(one, Advance) for one in made) == 1 + len(seen)

    def test_a_model_without_presets_speaks_in_a_voice_by_chance(self, path: Path) -> None:
        (path / "speaker_embeddings_path.json").unlink()
        model = Model(path)
        assert model.loaded.details["voices"] == []
        assert model.sounds()

    def test_presets_that_are_not_whole_are_not_told(self, path: Path) -> None:
        (path / "speaker_embeddings" / f"{PRESETS[0]}_fine_prompt.npy").unlink()
        assert Model(path).loaded.details["voices"] == [PRESETS[1]]

    @pytest.mark.parametrize(
        ("damaged", "reason"),
        [
            (b"no array", "Cannot read"),
            (np.zeros(4, np.int64), "2 dimensions"),
            (np.zeros((4, 4), np.float32), "whole numbers"),
            (np.full((4, 4), 8, np.int64), "from 0 to 7"),
        ],
    )
    def test_a_damaged_preset_fails_those_who_ask_for_it(
        self, path: Path, damaged: bytes | np.ndarray, reason: str
    ) -> None:
        file = path / "speaker_embeddings" / f"{PRESETS[0]}_fine_prompt.npy"
        if isinstance(damaged, bytes):
            file.write_bytes(damaged)
        else:
            np.save(file, damaged)
        model = Model(path)
        refusal = model.refusal(voice=PRESETS[0])
        assert reason in refusal.message
        assert refusal.param == "voice"
        assert model.sounds(voice=PRESETS[1])

    @pytest.mark.parametrize(
        ("index", "reason"),
        [
            ("[", "Cannot read the list of voices"),
            ('{"v": {"semantic_prompt": "a.npy"}}', "Cannot read the list of voices"),
            (json.dumps({"v": dict.fromkeys(PARTS, "../../../etc/passwd")}), "outside of the"),
            (json.dumps({"v": dict.fromkeys(PARTS, "/etc/passwd")}), "outside of the"),
        ],
    )
    def test_a_list_of_presets_that_cannot_be_is_refused(
        self, path: Path, index: str, reason: str
    ) -> None:
        (path / "speaker_embeddings_path.json").write_text(index)
        with pytest.raises(InvalidRequest, match=reason):
            Model(path)

    def test_without_what_says_how_to_generate_it_is_refused(self, path: Path) -> None:
        (path / "generation_config.json").unlink()
        with pytest.raises(InvalidRequest, match=r"generation_config\.json"):
            Model(path)

    def test_a_part_with_more_tokens_than_it_reads_is_refused(
        self, models: dict[str, Model]
    ) -> None:
        assert "64 at once" in models["bark"].refusal("a" * 70).message

    def test_its_voices_are_among_the_files_that_are_needed(self, path: Path) -> None:
        files = inspect_path(str(path)).files
        assert f"speaker_embeddings/{PRESETS[0]}_coarse_prompt.npy" in files

    def test_memory_is_said_to_be_more_than_the_weights(self) -> None:
        spec = ModelSpec(
            name="b",
            type="audio",
            format="pytorch",
            architecture="BarkModel",
            abilities=("text2audio",),
            size_bytes=4_000_000_000,
        )
        assert SpeechEngine.support(spec).ok
        memory = SpeechEngine.estimate(spec, SpeechOptions())
        assert memory.weights == 4_000_000_000
        assert memory.overhead >= 1_000_000_000


def recording(pitch: float, seconds: float = 2.0) -> Media:
    samples = tone(seconds, pitch=pitch, rate=CSM_RATE)
    return Media(wav(samples, rate=CSM_RATE), "prompt_speech")


class TestVoicesOfRecordings:
    """CSM, which speaks with any."""

    def test_it_is_said_to_clone(self, tmp_path: Path) -> None:
        spec = inspect_path(str(make_csm(tmp_path / "csm")))
        assert spec.abilities == ("text2audio", "text2audio_voice_cloning")

    def test_what_it_keeps_of_all_its_positions_is_counted(self, tmp_path: Path) -> None:
        spec = inspect_path(str(make_csm(tmp_path / "csm")))
        # 600 positions of a layer, each with keys and values of 16 elements in 4 bytes.
        assert SpeechEngine.estimate(spec, SpeechOptions()).kv_cache == 600 * 2 * 16 * 4

    def test_another_recording_or_another_transcript_is_another_voice(
        self, models: dict[str, Model]
    ) -> None:
        made = [
            models["csm"].sounds("go on.", reference=recording(pitch), reference_text=text)[0]
            for pitch, text in ((200, "hello."), (200, "hello."), (900, "hello."), (200, "bye."))
        ]
        assert np.array_equal(made[0], made[1])
        assert not np.array_equal(made[0], made[2])
        assert not np.array_equal(made[0], made[3])

    def test_every_sentence_is_spoken_in_the_voice_of_the_recording(
        self, models: dict[str, Model], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        likes = self.likes(models["csm"], monkeypatch, reference_text="hello.")
        assert len(likes) == 3
        assert all(like is likes[0] for like in likes)
        assert likes[0].text == "hello."
        assert len(likes[0].sound) == 2 * CSM_RATE
        assert 0.1 < np.abs(likes[0].sound).max() <= 1

    def test_without_one_the_first_sentence_is_what_the_others_are_like(
        self, models: dict[str, Model], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second, third = self.likes(models["csm"], monkeypatch)
        assert first is None
        assert second is third
        assert second.text == "one."

    def likes(self, model: Model, monkeypatch: pytest.MonkeyPatch, **fields: str) -> list[Any]:
        speaker = model.engine._speaker
        assert speaker is not None
        speak, seen = speaker.speak, []

        def watched(*arguments: Any) -> Any:
            seen.append(arguments[-1])
            return speak(*arguments)

        monkeypatch.setattr(speaker, "speak", watched)
        more = {"reference": recording(300), **fields} if fields else {}
        model.sounds("one. two. three.", **more)
        return seen

    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"reference": recording(200)}, "prompt_text"),
            ({"reference": recording(200), "reference_text": " "}, "prompt_text"),
            ({"reference": recording(200), "reference_text": "x" * 1001}, "prompt_text"),
            ({"reference_text": "hello."}, "prompt_speech"),
            ({"reference": Media(b"PNG", "prompt_speech"), "reference_text": "a"}, "prompt_speech"),
            # With the longest text that is spoken at once there is no room for 25 seconds.
            (
                {
                    "reference": recording(200, 25),
                    "reference_text": "hello.",
                    "text": "word " * 39,
                },
                "prompt_speech",
            ),
        ],
    )
    def test_a_recording_that_is_of_no_use_is_refused(
        self, models: dict[str, Model], fields: dict[str, Any], param: str
    ) -> None:
        assert models["csm"].refusal(**{"text": "go on.", **fields}).param == param

    def test_a_recording_over_half_a_minute_is_too_long(self, models: dict[str, Model]) -> None:
        long = recording(200, 31)
        asked = SpeechRequest(text="go on.", reference=long, reference_text="hello.")
        with pytest.raises(PayloadTooLarge, match="may last 30 seconds"):
            models["csm"].engine.check(asked)

    def test_a_recording_that_cannot_be_read_is_refused_before_it_is_begun(
        self, models: dict[str, Model]
    ) -> None:
        damaged = Media(b"PNG", "prompt_speech")
        asked = SpeechRequest(text="go on.", reference=damaged, reference_text="hello.")
        with pytest.raises(InvalidRequest) as refused:
            models["csm"].engine.check(asked)
        assert refused.value.param == "prompt_speech"

    def test_a_sign_of_the_models_own_is_no_sign_in_a_text(self, models: dict[str, Model]) -> None:
        plain, signed = (models["csm"].sounds(text) for text in ("a b.", "a<|AUDIO|>b."))
        assert np.array_equal(plain[0], signed[0])

    def test_it_ends_where_the_model_says_so(self, tmp_path: Path) -> None:
        import torch

        model = Model(make_csm(tmp_path / "csm"))
        csm = model.engine._speaker._model  # type: ignore[union-attr]
        csm.generation_config.do_sample = False
        with torch.no_grad():  # the first code of all, which is the sign of the end
            csm.lm_head.weight.zero_()
            csm.depth_decoder.codebooks_head.weight.zero_()
        assert "nothing in this text" in model.refusal("go on.").message

    def test_without_its_chat_template_it_is_refused(self, tmp_path: Path) -> None:
        path = make_csm(tmp_path / "csm")
        (path / "chat_template.jinja").unlink()
        with pytest.raises(InvalidRequest, match=r"chat_template\.jinja"):
            Model(path)
