"""Pictures: the text after them is what plain calls of the whole model say, without any cache."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.gguf_models import random_llama
from tests.support.pictures import bmp, gif, jpeg, noise, png, png_file
from tests.support.seeing_models import FAMILIES, seeing_model
from tests.support.token_engine import Answer, Driver, driving
from xinfer.errors import InvalidRequest
from xinfer.model.inspect.model import inspect_path
from xinfer.model.llm.pipeline import TextPipeline
from xinfer.model.llm.transformers.decoding import decode
from xinfer.model.llm.transformers.engine import TransformersEngine
from xinfer.model.llm.transformers.options import TransformersOptions
from xinfer.types.model import ModelSpec
from xinfer.types.request import ChatRequest, Media, Sampling

pytestmark = pytest.mark.anyio

TOKENS = 10
BLIND = ("gemma3", "rows")
"""Transformers' own cache and masks do not go together behind a picture's beginning."""
DECIDED = 1e-3
EXACT = 2e-4
"""By which a log-probability may be another when it is computed another way."""
GREEDY = Sampling(temperature=0.0, logprobs=0)
ONE, OTHER = png(noise(1)), png(noise(2, 90, 50))
BEGIN, MIDDLE, END = (
    "<|im_start|>user\nLook at ",
    " and at ",
    ", what is it?<|im_end|>\n<|im_start|>assistant\n",
)


@dataclass(frozen=True)
class Ask:
    """A prompt with pictures."""

    texts: list[str]
    pictures: list[bytes] = field(default_factory=list)

    @property
    def media(self) -> list[Media]:
        return [Media(data, f"picture {n}") for n, data in enumerate(self.pictures)]


ASKS = {
    "one": Ask([BEGIN, END], [ONE]),
    "the other": Ask([BEGIN, END], [OTHER]),
    "both": Ask([BEGIN, MIDDLE, END], [ONE, OTHER]),
    "the other way round": Ask([BEGIN, MIDDLE, END], [OTHER, ONE]),
    "twice the same": Ask([BEGIN, MIDDLE, END], [ONE, ONE]),
    "side by side": Ask([BEGIN, "\n", END], [ONE, OTHER]),
    "at the beginning": Ask(["", END], [OTHER]),
    "far apart": Ask([BEGIN, MIDDLE * 20, END * 3], [OTHER, ONE]),
    "text": Ask([BEGIN + END]),
}

SeeingModel = Callable[[str], Path]


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> SeeingModel:
    """A model's directory, by the name of its family."""
    home = tmp_path_factory.mktemp("seeing")
    vocabulary = random_llama(home / "vocabulary.gguf")

    def make(family: str) -> Path:
        target = home / family
        return target if target.exists() else seeing_model(family, target, vocabulary)

    return make


@dataclass(frozen=True)
class Expected:
    """What the model says.

    Attributes:
        prompt: tokens of it.
        ids: of the answer, as far as no rounding changes it.
        logprobs: of each of these.
    """

    prompt: int
    ids: list[int]
    logprobs: list[float]


class Reference:
    """The model's processor on the whole prompt, then a plain call for each token."""

    def __init__(self, path: Path) -> None:
        import torch
        from transformers import AutoModelForImageTextToText
        from transformers.models.auto.processing_auto import PROCESSOR_MAPPING

        from xinfer.model.llm.transformers.processor import _without_video
        from xinfer.model.llm.transformers.vision import image_token

        self._torch = torch
        self._model = AutoModelForImageTextToText.from_pretrained(path).eval()
        kind = _without_video(PROCESSOR_MAPPING[type(self._model.config)])
        self._processor = kind.from_pretrained(path)
        self._stop = image_token(self._model.config)

    def answer(self, ask: Ask) -> Expected:
        text = self._processor.image_token.join(ask.texts)
        given: dict[str, Any] = {"images": [[decode(medium) for medium in ask.media]]}
        made = self._processor(
            text=[text],
            return_tensors="pt",
            add_special_tokens=False,
            **(given if ask.pictures else {}),
        )
        prompt = made["input_ids"].shape[1]
        kinds = [name for name in made if name.endswith("token_type_ids")]
        ids: list[int] = []
        logprobs: list[float] = []
        while len(ids) < TOKENS:
            with self._torch.inference_mode():
                scores = self._model(**made, use_cache=False).logits[0, -1]
            (first, second), (token, _) = (part.tolist() for part in scores.topk(2))
            if first - second < DECIDED or token == self._stop:
                break
            ids.append(token)
            logprobs.append(float(scores.log_softmax(dim=-1)[token]))
            more = self._torch.tensor([[token]])
            made["input_ids"] = self._torch.cat([made["input_ids"], more], dim=1)
            for name, value in [*dict.fromkeys(kinds, 0).items(), ("attention_mask", 1)]:
                added = self._torch.full((1, 1), value)
                made[name] = self._torch.cat([made[name], added], dim=1)
        return Expected(prompt, ids, logprobs)


Truth = dict[str, Expected]
Truths = Callable[[str], Truth]


@pytest.fixture(scope="module")
def truths(seeing: SeeingModel) -> Truths:
    """For a family, what it says to each of ASKS."""
    found: dict[str, Truth] = {}

    def of(family: str) -> Truth:
        if family not in found:
            reference = Reference(seeing(family))
            found[family] = {name: reference.answer(ask) for name, ask in ASKS.items()}
            decided = sum(len(right.ids) for right in found[family].values())
            assert decided > 0.6 * TOKENS * len(ASKS), "too few of the tokens are decided"
        return found[family]

    return of


def engine_for(path: Path, **options: Any) -> tuple[TransformersEngine, ModelSpec]:
    spec = inspect_path(str(path))
    given = {"n_threads": 1, "max_model_len": 512, "max_num_seqs": 3, **options}
    return TransformersEngine(spec, TransformersOptions(**given)), spec


def submit(
    driver: Driver, ask: Ask, tokens: int = TOKENS, sampling: Sampling = GREEDY, **fields: Any
) -> tuple[int, Answer]:
    engine = driver.engine
    assert isinstance(engine, TransformersEngine)
    prompt = engine.media_prompt(ask.texts, ask.media)
    return driver.submit(prompt.ids, tokens, sampling, media=prompt.media, **fields)


async def check(driver: Driver, name: str, truth: Truth) -> Answer:
    right = truth[name]
    count = len(right.ids)
    async with driver.slots:
        _, answer = submit(driver, ASKS[name])
        assert len(answer.request.prompt) == right.prompt
        await driver.wait(answer.ended)
    assert answer.failure is None
    assert answer.ids[:count] == right.ids, name
    said = [each.logprob for each in answer.logprobs[:count]]
    assert said == pytest.approx(right.logprobs, abs=EXACT), name
    return answer


@pytest.mark.parametrize(
    ("family", "batching"),
    [(family, how) for family in FAMILIES for how in ("packed", "rows") if (family, how) != BLIND],
)
async def test_answers_to_pictures_are_those_of_the_whole_model(
    family: str, batching: str, seeing: SeeingModel, truths: Truths
) -> None:
    truth = truths(family)
    for one, other in (
        ("one", "the other"),
        ("both", "the other way round"),
        ("both", "twice the same"),
        ("one", "text"),
    ):
        firsts = [truth[name].logprobs[0] for name in (one, other)]
        assert abs(firsts[0] - firsts[1]) > 5 * EXACT, "pictures change nothing"
    engine, spec = engine_for(seeing(family), batching=batching, max_batch_tokens=32)
    async with driving(engine, spec) as driver:
        assert driver.loaded.abilities.media
        assert driver.loaded.details["pictures"] == "taken"
        for names in (list(ASKS), list(reversed(ASKS))):  # then on what the first ones left
            await asyncio.gather(*(check(driver, name, truth) for name in names))


@pytest.mark.parametrize("family", FAMILIES)
async def test_families_that_see_are_packed(family: str, seeing: SeeingModel) -> None:
    engine, _ = engine_for(seeing(family))
    try:
        details = (await asyncio.to_thread(engine.load, lambda _: None)).details
    finally:
        engine.close()
    assert (details["batching"], details["pictures"]) == ("packed", "taken")


async def test_pictures_are_not_taken_where_they_come_out_otherwise(seeing: SeeingModel) -> None:
    family, batching = BLIND
    engine, spec = engine_for(seeing(family), batching=batching)
    async with driving(engine, spec) as driver:
        assert not driver.loaded.abilities.media
        assert driver.loaded.details["pictures"] == "it gives other results so"
        assert len((await driver.ask([5, 6, 7], 3)).ids) == 3


@pytest.mark.parametrize("family", ["qwen2_vl", "gemma3"])
async def test_a_picture_that_was_computed_is_found_again_and_no_other_is(
    family: str, seeing: SeeingModel, truths: Truths
) -> None:
    truth = truths(family)
    engine, spec = engine_for(seeing(family), max_num_seqs=1)
    async with driving(engine, spec) as driver:
        begin = len(engine.tokenizer.encode(BEGIN, special=True))
        assert (await check(driver, "one", truth)).cached_tokens == 0
        again = await check(driver, "one", truth)
        assert again.cached_tokens == truth["one"].prompt - 1
        (span,) = again.request.media.layout.spans
        assert span.tokens > 1
        longer = await check(driver, "both", truth)
        assert longer.cached_tokens >= span.end
        assert begin - 1 <= (await check(driver, "the other", truth)).cached_tokens <= span.start


async def test_a_picture_is_prepared_once_for_all_requests_with_it(
    seeing: SeeingModel, monkeypatch: pytest.MonkeyPatch, truths: Truths
) -> None:
    from xinfer.model.llm.transformers import processor

    decoded = []

    def counting(medium: Media) -> Any:
        decoded.append(medium.data)
        return decode(medium)

    monkeypatch.setattr(processor, "decode", counting)
    engine, spec = engine_for(seeing("qwen2_vl"))
    async with driving(engine, spec) as driver:
        tried = len(decoded)
        for name in ("one", "both", "one"):
            await check(driver, name, truths("qwen2_vl"))
        assert decoded[tried:] == [ONE, OTHER]
    monkeypatch.setattr(processor, "_KEPT", 0)
    engine, spec = engine_for(seeing("qwen2_vl"))
    async with driving(engine, spec) as driver:
        tried = len(decoded)
        await check(driver, "one", truths("qwen2_vl"))
        assert decoded[tried:] == [ONE, ONE]  # for the prompt, and when it is computed


@pytest.mark.parametrize("batching", ["packed", "rows"])
async def test_an_answer_to_a_picture_is_resumed(
    batching: str, seeing: SeeingModel, truths: Truths
) -> None:
    right = truths("qwen2_vl")["both"].ids
    engine, spec = engine_for(seeing("qwen2_vl"), batching=batching)
    async with driving(engine, spec) as driver:
        _, answer = submit(driver, ASKS["both"], resume=right[:4])
        await driver.wait(answer.ended)
    assert answer.ids[: len(right) - 4] == right[4:]


async def test_a_sampled_answer_to_a_picture_counts_its_text_for_the_repetition_penalty(
    seeing: SeeingModel,
) -> None:
    engine, spec = engine_for(seeing("llava"))
    async with driving(engine, spec) as driver:
        sampling = Sampling(temperature=1.0, seed=5, repetition_penalty=1.3)
        _, first = submit(driver, ASKS["one"], sampling=sampling)
        await driver.wait(first.ended)
        _, second = submit(driver, ASKS["one"], sampling=sampling)
        await driver.wait(second.ended)
    assert first.failure is None
    assert first.ids == second.ids


async def test_an_aborted_picture_leaves_the_others_as_they_are(
    seeing: SeeingModel, truths: Truths
) -> None:
    truth = truths("qwen2_vl")
    engine, spec = engine_for(seeing("qwen2_vl"))
    async with driving(engine, spec) as driver:
        number, gone = submit(driver, ASKS["far apart"], 200)
        others = [asyncio.create_task(check(driver, name, truth)) for name in ("one", "both")]
        driver.engine.abort(number)
        await driver.wait(gone.ended)
        assert gone.finish == "abort"
        await asyncio.gather(*others)


async def test_a_picture_that_the_model_fails_on_ends_its_request_alone(
    seeing: SeeingModel, truths: Truths, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xinfer.model.llm.transformers.vision import Vision

    inputs = Vision.inputs

    def failing(self: Vision, pictures: Any, number: int, ids: Any = None) -> Any:
        if pictures.media[number].data == OTHER:
            raise ValueError("these patches do not fit\nand more")
        return inputs(self, pictures, number, ids)

    engine, spec = engine_for(seeing("qwen2_vl"))
    async with driving(engine, spec) as driver:
        monkeypatch.setattr(Vision, "inputs", failing)
        running = asyncio.create_task(check(driver, "one", truths("qwen2_vl")))
        _, answer = submit(driver, ASKS["the other"])
        await driver.wait(answer.ended)
        await running
        assert answer.finish == "error"
        assert answer.failure is not None
        assert "failed to compute a picture of this request: these patches do not fit." in (
            answer.failure.message
        )
        monkeypatch.undo()
        await check(driver, "the other", truths("qwen2_vl"))


async def test_what_is_no_picture_is_refused_before_it_is_computed(seeing: SeeingModel) -> None:
    engine, spec = engine_for(seeing("llava"))
    async with driving(engine, spec):

        def refusal(ask: Ask) -> InvalidRequest:
            with pytest.raises(InvalidRequest) as refused:
                engine.media_prompt(ask.texts, ask.media)
            return refused.value

        damaged = refusal(Ask([BEGIN, END], [png_file(40, 30, b"damaged")]))
        assert (damaged.param, "damaged" in damaged.message) == ("picture 0", True)
        sign = refusal(Ask([BEGIN + "<image>", END], [ONE]))
        assert "has '<image>' in it" in sign.message
        last = refusal(Ask([BEGIN, ""], [ONE]))
        assert "ends with a picture" in last.message


def test_a_picture_of_a_single_token_has_its_place(seeing: SeeingModel, tmp_path: Path) -> None:
    small = shutil.copytree(seeing("qwen2_vl"), tmp_path / "small")
    file = small / "preprocessor_config.json"
    settings = json.loads(file.read_text())
    settings["size"]["shortest_edge"] = 256
    file.write_text(json.dumps(settings))
    engine, _ = engine_for(small)
    engine.load(lambda _: None)
    try:
        made = engine.media_prompt([BEGIN, END], [Media(png(noise(1, 16, 16)), "here")])
    finally:
        engine.close()
    (span,) = made.media.layout.spans
    assert (span.tokens, sum(token < 0 for token in made.ids)) == (1, 1)


def test_the_text_that_a_picture_stands_in_has_the_models_sign_only_for_pictures(
    seeing: SeeingModel,
) -> None:
    engine, spec = engine_for(seeing("qwen2_vl"))
    loaded = engine.load(lambda _: None)
    pipeline = TextPipeline(engine.tokenizer, loaded, spec, engine)

    def prompt(parts: Any, media: Sequence[bytes]) -> list[int]:
        pictures = tuple(Media(data, "here") for data in media)
        request = ChatRequest(messages=[{"role": "user", "content": parts}], media=pictures)
        return pipeline.prepare(request, id=1).token_request.prompt

    picture = {"type": "image_url", "media": 0}
    try:
        ids = prompt([{"type": "text", "text": "Look:"}, picture], [ONE])
        start, end = (
            engine.tokenizer.encode(text, special=True)[0]
            for text in ("<|vision_start|>", "<|vision_end|>")
        )
        first = next(index for index, token in enumerate(ids) if token < 0)
        last = max(index for index, token in enumerate(ids) if token < 0)
        assert (ids[first - 1], ids[last + 1]) == (start, end)
        text = [{"type": "text", "text": "What is <|image_pad|>?"}]
        assert min(prompt(text, [])) >= 0
        with pytest.raises(InvalidRequest, match=r"has '<\|image_pad\|>' in it"):
            prompt([*text, picture], [ONE])
    finally:
        engine.close()


async def test_a_model_without_its_processor_takes_text_and_says_why(
    seeing: SeeingModel, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(seeing("llava"), tmp_path / "m"))
    (path / "preprocessor_config.json").unlink()
    engine, spec = engine_for(path)
    async with driving(engine, spec) as driver:
        assert not driver.loaded.abilities.media
        assert driver.loaded.details["pictures"].startswith("its processor cannot be loaded")
        assert len((await driver.ask([5, 6, 7], 3)).ids) == 3


def test_formats_are_decoded_to_the_same_pixels() -> None:
    pixels = noise(4, 5, 3)
    found = [decode(Media(data, "here")) for data in (png(pixels), bmp(pixels))]
    assert [picture.size for picture in found] == [(5, 3)] * 2
    assert [picture.tobytes() for picture in found] == [pixels.tobytes()] * 2
    assert decode(Media(gif(), "here")).getpixel((0, 0)) == (200, 10, 10)
    assert decode(Media(jpeg(), "here")).size == (8, 8)


@pytest.mark.parametrize(
    "data",
    [
        # A screen of 4 by 4, and a frame that is larger.
        gif()[:6] + b"\x01\x00\x01\x00" + gif()[10:],
        png(noise(1))[:200],
        png_file(40, 30, b"damaged"),
    ],
)
def test_pictures_that_are_not_what_their_header_says_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match="The picture in here is damaged"):
        decode(Media(data, "here"))
