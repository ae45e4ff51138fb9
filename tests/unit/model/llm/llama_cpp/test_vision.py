"""Pictures: the text after them is what mtmd's own helper makes of them in a fresh context."""

from __future__ import annotations

import asyncio
import os
import stat
import zlib
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.gguf_additions import as_qwen2vl, vision_tower
from tests.support.gguf_models import random_llama
from tests.support.pictures import bmp, gif, jpeg, noise, png, png_file
from tests.unit.model.llm.llama_cpp.driver import Answer, Driver, running
from tests.unit.model.llm.llama_cpp.vision_reference import Reference
from xinfer.errors import InvalidRequest, Unavailable
from xinfer.model.llama_cpp.binding import media_library
from xinfer.model.llm.llama_cpp import computer
from xinfer.model.llm.llama_cpp.vision import Vision
from xinfer.model.llm.pipeline import TextPipeline
from xinfer.types.request import ChatRequest, Media, Sampling

pytestmark = pytest.mark.anyio

TOKENS = 16
ONE, OTHER = png(noise(1)), png(noise(2, 300, 200))
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
    "side by side": Ask([BEGIN, "", END], [ONE, OTHER]),
    "at the beginning": Ask(["", END], [OTHER]),
    "far apart": Ask([BEGIN, MIDDLE * 20, END * 3], [OTHER, ONE]),
    "text": Ask([BEGIN + END]),
    "long text": Ask([BEGIN + MIDDLE * 12 + END]),
}


KINDS = {"llava": "mlp", "qwen2vl": "qwen2vl_merger"}
"""Families, and the projectors of models of theirs. In Qwen2-VL a picture has fewer positions than
tokens, and pictures of different sizes have different numbers of both."""


@pytest.fixture(scope="module", params=KINDS)
def seeing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with its projector beside it."""
    directory = tmp_path_factory.mktemp(request.param)
    vision_tower(directory / "mmproj-seeing.gguf", 64, kind=KINDS[request.param])
    if request.param == "llava":
        return random_llama(directory / "seeing.gguf")
    return as_qwen2vl(directory / "seeing.gguf", random_llama(directory / "llama"))


llava = pytest.mark.parametrize("seeing", ["llava"], indirect=True)


@pytest.fixture(scope="module")
def projector(seeing: Path) -> Path:
    return seeing.with_name("mmproj-seeing.gguf")


@pytest.fixture(scope="module")
def truth(seeing: Path, projector: Path) -> dict[str, tuple[int, list[int]]]:
    """For each of ASKS the prompt's tokens and the answer."""
    reference = Reference(seeing, projector)
    answers = {n: reference.answer(a.texts, a.pictures, TOKENS) for n, a in ASKS.items()}
    reference.close()
    decided = sum(len(ids) for _, ids in answers.values())
    assert decided > 0.7 * TOKENS * len(answers), "too few of the tokens are decided"
    return answers


EXACT = {"flash_attn": "off", "cache_type_k": "f32", "cache_type_v": "f32", "n_ctx": 1024}


def submit(driver: Driver, ask: Ask, tokens: int = TOKENS, **fields: Any) -> tuple[int, Answer]:
    prompt = driver.engine.media_prompt(ask.texts, ask.media)
    return driver.submit(prompt.ids, tokens, media=prompt.media, **fields)


async def check(driver: Driver, name: str, truth: dict[str, tuple[int, list[int]]]) -> Answer:
    count, right = truth[name]
    ask = ASKS[name]
    prompt = driver.engine.media_prompt(ask.texts, ask.media)
    assert len(prompt.ids) == count
    _, answer = driver.submit(prompt.ids, TOKENS, media=prompt.media)
    await driver.wait(answer.ended)
    assert answer.ids[: len(right)] == right, (name, answer.failure)
    return answer


async def test_the_answer_to_pictures_is_the_references(
    seeing: Path, truth: dict[str, tuple[int, list[int]]]
) -> None:
    for one, other in (
        ("one", "the other"),
        ("both", "the other way round"),
        ("both", "twice the same"),
        ("one", "text"),
    ):
        assert truth[one][1] != truth[other][1], "pictures change nothing"
    async with running(seeing, **EXACT) as driver:
        assert driver.loaded.abilities.media
        for name in ASKS:
            await check(driver, name, truth)


@pytest.mark.parametrize(
    "options",
    [{}, {"kv_unified": True}, {"n_batch": 32, "n_kv": 1024}, {"n_parallel": 10, "n_batch": 40}],
)
async def test_pictures_and_text_together_are_answered_as_alone(
    seeing: Path, truth: dict[str, tuple[int, list[int]]], options: dict[str, Any]
) -> None:
    async with running(seeing, **{**EXACT, **options}) as driver:
        for names in (list(ASKS), list(reversed(ASKS))):  # then on what the first ones left
            slots = asyncio.Semaphore(driver.loaded.concurrency)

            async def one(name: str, slots: asyncio.Semaphore = slots) -> None:
                async with slots:
                    await check(driver, name, truth)

            await asyncio.gather(*map(one, names))


async def test_a_prefix_with_pictures_is_reused_up_to_the_first_that_differs(
    seeing: Path, truth: dict[str, tuple[int, list[int]]]
) -> None:
    names = ["both", "both", "twice the same", "one", "the other"]
    async with running(seeing, **EXACT, n_parallel=1) as driver:
        prompts = {
            name: driver.engine.media_prompt(ASKS[name].texts, ASKS[name].media).ids
            for name in names
        }
        assert (await check(driver, names[0], truth)).cached_tokens == 0
        for before, name in pairwise(names):
            prompt = prompts[name]
            pairs = enumerate(zip(prompts[before], prompt, strict=False))
            common = next((n for n, (one, other) in pairs if one != other), len(prompt) - 1)
            answer = await check(driver, name, truth)
            assert answer.cached_tokens == common > 0, name


async def test_an_output_after_pictures_goes_on_where_it_is_resumed(
    seeing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampling = Sampling(temperature=1.0, seed=7, repetition_penalty=1.3)
    histories: list[list[int]] = []
    sampler = computer.Sampler

    def record(*arguments: Any, history: list[int], **fields: Any) -> Any:
        histories.append(history)
        return sampler(*arguments, history=history, **fields)

    monkeypatch.setattr(computer, "Sampler", record)
    async with running(seeing, **EXACT) as driver:
        _, whole = submit(driver, ASKS["both"], sampling=sampling)
        await driver.wait(whole.ended)
        _, rest = submit(driver, ASKS["both"], sampling=sampling, resume=whole.ids[:5])
        await driver.wait(rest.ended)
        assert whole.ids[:5] + rest.ids == whole.ids
    # What penalties look back at is text alone.
    assert all(min(history) >= 0 for history in histories)


async def test_a_request_is_aborted_between_its_pictures(
    seeing: Path, truth: dict[str, tuple[int, list[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    compute = Vision.compute

    async with running(seeing, **EXACT) as driver:
        loop = asyncio.get_running_loop()

        def abort_after_the_first(self: Vision, *arguments: Any) -> int:
            code = compute(self, *arguments)
            computed.append(arguments[2])
            if len(computed) == 1:
                loop.call_soon_threadsafe(driver.engine.abort, 0)
                asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result()
            return code

        monkeypatch.setattr(Vision, "compute", abort_after_the_first)
        _, answer = submit(driver, ASKS["far apart"])
        await driver.wait(answer.ended)
        assert (answer.finish, answer.ids, computed) == ("abort", [], [0])
        monkeypatch.undo()
        await check(driver, "far apart", truth)


@llava
async def test_a_picture_that_cannot_be_computed_fails_its_request_alone(
    seeing: Path, truth: dict[str, tuple[int, list[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(seeing, **EXACT) as driver:
        monkeypatch.setattr(driver.engine._vision._mtmd, "mtmd_encode_chunk", lambda *arguments: 1)
        _, failed = submit(driver, ASKS["both"])
        text = await check(driver, "text", truth)
        await driver.wait(failed.ended)
        assert text.failure is None
        assert failed.failure is not None
        assert "failed to compute a picture" in failed.failure.message
        monkeypatch.undo()
        await check(driver, "both", truth)


@llava
@pytest.mark.parametrize(
    "picture", [png(noise(3)), bmp(noise(3)), gif(9, 5), jpeg()], ids=["png", "bmp", "gif", "jpeg"]
)
async def test_formats_that_are_read(seeing: Path, projector: Path, picture: bytes) -> None:
    reference = Reference(seeing, projector)
    _, right = reference.answer([BEGIN, END], [picture], TOKENS)
    reference.close()
    assert right
    async with running(seeing, **EXACT) as driver:
        _, answer = submit(driver, Ask([BEGIN, END], [picture]))
        await driver.wait(answer.ended)
        assert answer.ids[: len(right)] == right


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The file that appears when ffmpeg or ffprobe are called."""
    told = tmp_path / "told"
    for name in ("ffmpeg", "ffprobe"):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\ntouch {told}\nexit 1\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return str(told)


@llava
async def test_a_damaged_picture_is_refused_by_name_and_given_to_nobody_else(
    seeing: Path, told: str
) -> None:
    damaged = png_file(40, 30, zlib.compress(b"\0" * 1000))  # a third of its rows
    async with running(seeing, **EXACT) as driver:
        with pytest.raises(InvalidRequest, match="picture 1 is damaged") as raised:
            driver.engine.media_prompt(
                [BEGIN, MIDDLE, END], [Media(ONE, "picture 0"), Media(damaged, "picture 1")]
            )
        assert raised.value.param == "picture 1"
    assert not os.path.exists(told)  # noqa: ASYNC240


@llava
async def test_a_prompt_that_ends_with_a_picture_is_refused(seeing: Path) -> None:
    async with running(seeing, **EXACT) as driver:
        with pytest.raises(InvalidRequest, match="ends with a picture"):
            driver.engine.media_prompt([BEGIN, ""], [Media(ONE, "picture 0")])


@llava
async def test_a_picture_that_has_to_be_computed_whole_is_refused_where_it_is_too_large(
    seeing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mtmd = media_library()
    monkeypatch.setattr(mtmd, "mtmd_decode_use_non_causal", lambda *arguments: True)
    tower = vision_tower(seeing.with_name("large.gguf"), 64, size=112)  # 64 tokens
    async with running(seeing, **EXACT, n_batch=63, mmproj=str(tower)) as driver:
        with pytest.raises(InvalidRequest, match="64 tokens, and this model") as raised:
            driver.engine.media_prompt([BEGIN, END], [Media(ONE, "picture 0")])
        assert raised.value.param == "picture 0"
    async with running(seeing, **EXACT, n_batch=64, mmproj=str(tower)) as driver:
        driver.engine.media_prompt([BEGIN, END], [Media(ONE, "picture 0")])


@llava
async def test_a_closed_engine_makes_no_prompts(seeing: Path) -> None:
    async with running(seeing, **EXACT) as driver:
        pass
    with pytest.raises(Unavailable):
        driver.engine.media_prompt([BEGIN, END], [Media(ONE, "picture 0")])


async def test_a_conversation_goes_through_pipeline_and_engine(
    seeing: Path, truth: dict[str, tuple[int, list[int]]]
) -> None:
    async with running(seeing, **EXACT) as driver:
        engine = driver.engine
        pipeline = TextPipeline(engine.tokenizer, driver.loaded, driver.spec, engine)
        parts = [
            {"type": "text", "text": "Look at "},
            {"type": "image_url", "media": 0},
            {"type": "text", "text": " and at "},
            {"type": "image_url", "media": 1},
            {"type": "text", "text": ", what is it?"},
        ]
        request = ChatRequest(
            messages=[{"role": "user", "content": parts}],
            media=(Media(ONE, "a"), Media(OTHER, "b")),
            sampling=Sampling(temperature=0.0, max_tokens=TOKENS),
        )
        prepared = pipeline.prepare(request, id=0)
        count, right = truth["both"]
        assert prepared.prompt_tokens == count
        _, answer = driver.submit_request(prepared.token_request)
        await driver.wait(answer.ended)
        assert answer.ids[: len(right)] == right
