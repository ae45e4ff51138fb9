"""The engine keeps its contract, on real models of a few hundred kilobytes."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest

from tests.support.gguf_models import byte_level, random_llama, sentencepiece
from tests.unit.model.llm.xllamacpp.conftest import SCRIPT
from tests.unit.model.llm.xllamacpp.driver import GREEDY, running
from xinfer.errors import InvalidRequest
from xinfer.model.engine import TokenEngine, find_engine
from xinfer.model.inspect.model import inspect_path
from xinfer.model.llm.constraint.support import KINDS
from xinfer.model.llm.xllamacpp.engine import XllamacppEngine
from xinfer.model.llm.xllamacpp.options import XllamacppOptions
from xinfer.types.model import ModelSpec, Progress
from xinfer.types.request import Sampling

pytestmark = pytest.mark.anyio

PROMPT = [72, 105, 32, 33]
WILD = Sampling(temperature=1.5, seed=7)


async def test_load_describes_itself_and_shows_progress(noise: Path) -> None:
    engine = XllamacppEngine(inspect_path(str(noise)), XllamacppOptions(n_threads=1, n_ctx=300))
    seen: list[Progress] = []
    loaded = await asyncio.to_thread(engine.load, seen.append)
    engine.close()
    assert isinstance(engine, TokenEngine)
    assert (loaded.context_length, loaded.concurrency, loaded.backend) == (300, 4, "cpu")
    assert loaded.abilities.resume
    assert loaded.abilities.constraint == KINDS
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


async def test_context_is_the_models_own_but_bounded(slow: Path, models: Path) -> None:
    long = random_llama(models / "long.gguf", context=100_000)
    for path, length in ((slow, 8192), (long, 8192)):
        async with running(path, n_ctx=None, n_parallel=1) as driver:
            assert driver.loaded.context_length == length


async def test_context_beyond_the_models_own_is_refused_before_loading(noise: Path) -> None:
    engine = XllamacppEngine(inspect_path(str(noise)), XllamacppOptions(n_ctx=2049))
    with pytest.raises(InvalidRequest, match="own context is 2048") as raised:
        engine.load(lambda _: None)
    assert raised.value.param == "n_ctx"
    engine.close()


async def test_says_its_script_and_stops(script: Path) -> None:
    async with running(script) as driver:
        answer = await driver.ask(PROMPT, 100)
        pieces = [driver.engine.tokenizer.piece(token) for token in answer.ids]
    assert pieces == SCRIPT
    assert (answer.finish, answer.failure) == ("stop", None)


@pytest.mark.parametrize("length", range(1, len(SCRIPT) + 1))
async def test_length_is_exact_even_inside_a_character(script: Path, length: int) -> None:
    async with running(script) as driver:
        answer = await driver.ask(PROMPT, length)
        pieces = [driver.engine.tokenizer.piece(token) for token in answer.ids]
    assert pieces == SCRIPT[:length]
    assert answer.finish == "length"


async def test_goes_on_where_the_end_is_ignored(script: Path) -> None:
    async with running(script) as driver:
        answer = await driver.ask(PROMPT, 50, Sampling(temperature=0.0, ignore_eos=True))
    assert (len(answer.ids), answer.finish) == (50, "length")


async def test_greedy_repeats_itself(noise: Path) -> None:
    async with running(noise) as driver:
        first = await driver.ask(PROMPT, 100)
        second = await driver.ask(PROMPT, 100)
    assert first.ids == second.ids
    assert second.cached_tokens == len(PROMPT) - 1


async def test_same_seed_same_output_another_seed_another(noise: Path) -> None:
    async with running(noise) as driver:
        first = await driver.ask(PROMPT, 50, WILD)
        second = await driver.ask(PROMPT, 50, WILD)
        other = await driver.ask(PROMPT, 50, Sampling(temperature=1.5, seed=8))
    assert first.ids == second.ids != other.ids


async def test_ids_are_llama_cpps_own_though_most_characters_are_broken(noise: Path) -> None:
    async with running(noise) as driver:
        assert driver.engine._server is not None
        for number in range(40):
            bias = {token: 10.0 * math.sin(token * (number + 1)) for token in range(256)}
            prompt = [72, 65 + number]
            answer = await driver.ask(prompt, 60, Sampling(temperature=0.0, logit_bias=bias))
            fields = {"temperature": 0.0, "logit_bias": [list(pair) for pair in bias.items()]}
            reference = await asyncio.to_thread(
                driver.engine._server.complete,
                {
                    **fields,
                    "prompt": prompt,
                    "max_tokens": 60,
                    "return_tokens": True,
                    "verbose": True,
                },
            )
            assert answer.ids == reference["__verbose"]["tokens"]


async def test_penalties_change_what_is_said(noise: Path) -> None:
    async with running(noise) as driver:
        plain = await driver.ask(PROMPT, 40)
        assert len(set(plain.ids)) < 40
        presence = Sampling(temperature=0.0, presence_penalty=100.0)
        penalised = await driver.ask(PROMPT, 40, presence)
    assert len(set(penalised.ids)) == 40


async def test_logit_bias_forbids_a_token(noise: Path) -> None:
    async with running(noise) as driver:
        first = (await driver.ask(PROMPT, 1)).ids[0]
        sampling = Sampling(temperature=0.0, logit_bias={first: -100.0})
        assert (await driver.ask(PROMPT, 1, sampling)).ids != [first]


@pytest.mark.parametrize(
    "sampling", [GREEDY, Sampling(temperature=0.0, frequency_penalty=1.5, repetition_penalty=1.2)]
)
async def test_resumed_output_goes_on_as_if_it_had_never_stopped(
    noise: Path, sampling: Sampling
) -> None:
    async with running(noise) as driver:
        whole = (await driver.ask(PROMPT, 60, sampling)).ids
        for position in (1, 17, 59):
            rest = await driver.ask(PROMPT, 60, sampling, resume=whole[:position])
            assert whole[:position] + rest.ids == whole
            assert rest.finish == "length"
            assert rest.cached_tokens <= len(PROMPT)


async def test_resuming_a_finished_output_ends_at_once(noise: Path) -> None:
    async with running(noise) as driver:
        answer = await driver.ask(PROMPT, 3, resume=[1, 2, 3])
    assert (answer.ids, answer.finish) == ([], "length")


async def test_models_own_sampling_defaults_are_taken(models: Path) -> None:
    path = random_llama(models / "cool.gguf", extra={"general.sampling.temp": 0.0})
    async with running(path) as driver:
        greedy = await driver.ask(PROMPT, 40, GREEDY)
        silent = await driver.ask(PROMPT, 40, Sampling())
    assert silent.ids == greedy.ids


async def test_requests_run_together_and_answer_alike(script: Path) -> None:
    async with running(script, n_parallel=4) as driver:
        answers = await asyncio.gather(*(driver.ask([65 + n, 33], 100) for n in range(4)))
    assert {tuple(answer.ids) for answer in answers} == {tuple(answers[0].ids)}
    assert {answer.finish for answer in answers} == {"stop"}


async def test_second_request_is_served_while_the_first_runs(slow: Path) -> None:
    async with running(slow, n_ctx=8192) as driver:
        number, long = driver.submit(PROMPT, 8000, Sampling(temperature=0.0, ignore_eos=True))
        await asyncio.wait_for(long.begun.wait(), 60)
        short = await driver.ask(PROMPT, 5)
        assert len(short.ids) == 5
        assert not long.ended.is_set()
        driver.engine.abort(number)
        await asyncio.wait_for(long.ended.wait(), 60)
    assert long.finish == "abort"


async def test_abort_while_decoding_frees_the_only_slot(slow: Path) -> None:
    async with running(slow, n_ctx=8192, n_parallel=1) as driver:
        number, answer = driver.submit(PROMPT, 8000, Sampling(temperature=0.0, ignore_eos=True))
        await asyncio.wait_for(answer.begun.wait(), 60)
        driver.engine.abort(number)
        await asyncio.wait_for(answer.ended.wait(), 60)
        assert answer.finish == "abort"
        assert 0 < len(answer.ids) < 8000
        driver.engine.abort(number)
        assert (await driver.ask(PROMPT, 5)).finish == "length"


async def test_abort_before_it_began_makes_nothing(slow: Path) -> None:
    async with running(slow, n_ctx=8192, n_parallel=1) as driver:
        number, answer = driver.submit([72] * 8000, 10)
        driver.engine.abort(number)
        await asyncio.wait_for(answer.ended.wait(), 60)
        assert (answer.ids, answer.finish) == ([], "abort")


async def test_abort_of_an_unknown_request_is_nothing(noise: Path) -> None:
    async with running(noise) as driver:
        driver.engine.abort(12345)
        assert (await driver.ask(PROMPT, 1)).finish == "length"


async def test_request_that_llama_cpp_refuses_ends_with_its_reason(noise: Path) -> None:
    async with running(noise, n_ctx=256) as driver:
        answer = await driver.ask([72] * 1000, 1)
        assert answer.finish == "error"
        assert answer.failure is not None
        assert answer.failure.kind == "InvalidRequest"
        assert "exceeds the available context size" in answer.failure.message
        assert (await driver.ask(PROMPT, 1)).finish == "length"


async def test_close_ends_what_runs(slow: Path) -> None:
    async with running(slow, n_ctx=8192) as driver:
        _, answer = driver.submit(PROMPT, 8000, Sampling(temperature=0.0, ignore_eos=True))
        await asyncio.wait_for(answer.begun.wait(), 60)
    assert answer.finish == "abort"


async def test_stats_count_what_was_done(script: Path) -> None:
    async with running(script) as driver:
        assert driver.engine.stats().running == 0
        await driver.ask(PROMPT, 100)
        await driver.ask(PROMPT, 2)
        stats = driver.engine.stats()
    assert stats.running == 0
    assert stats.prompt_tokens == 2 * len(PROMPT)
    assert stats.completion_tokens == len(SCRIPT) + 2
    assert stats.cached_tokens == len(PROMPT) - 1


async def test_sentencepiece_model_with_a_first_token(models: Path) -> None:
    vocabulary = sentencepiece()
    path = random_llama(
        models / "spm.gguf", vocabulary=vocabulary, pre=None, add_bos=True, context=512
    )
    async with running(path) as driver:
        tokenizer = driver.engine.tokenizer
        assert tokenizer.native
        assert tokenizer.prompt_prefix() == [vocabulary.tokens.index("<|endoftext|>")]
        prompt = tokenizer.prompt_prefix() + tokenizer.encode("the world", special=False)
        assert len((await driver.ask(prompt, 30, WILD)).ids) == 30


async def test_end_tokens_are_llama_cpps(noise: Path) -> None:
    tokens = byte_level().tokens
    async with running(noise) as driver:
        assert driver.engine.tokenizer.eos_ids == {
            tokens.index("<|endoftext|>"),
            tokens.index("<|im_end|>"),
        }


async def test_unknown_tokenizer_kind_keeps_the_engines_own(models: Path) -> None:
    path = random_llama(models / "odd.gguf", pre="default")
    async with running(path) as driver:
        tokenizer = driver.engine.tokenizer
        assert not tokenizer.native
        assert tokenizer.encode("H<|im_end|>", special=True) == [
            72,
            byte_level().tokens.index("<|im_end|>"),
        ]


def test_truncated_file_is_refused_by_name(noise: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.gguf"
    path.write_bytes(noise.read_bytes()[:-1000])
    spec = ModelSpec(name="short", format="ggufv2", path=str(path))
    engine = XllamacppEngine(spec, XllamacppOptions())
    with pytest.raises(InvalidRequest, match=r"short\.gguf.*incomplete"):
        engine.load(lambda _: None)
    engine.close()


def test_absent_file_is_refused_by_name() -> None:
    spec = ModelSpec(name="gone", format="ggufv2", path="/no/such.gguf")
    engine = XllamacppEngine(spec, XllamacppOptions())
    with pytest.raises(InvalidRequest, match=r"Cannot read /no/such\.gguf: No such file"):
        engine.load(lambda _: None)
    engine.close()


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (ModelSpec(name="a", format="pytorch"), "ggufv2"),
        (ModelSpec(name="a", format="ggufv2", type="embedding"), "models of type embedding"),
    ],
)
def test_support_says_why_not(spec: ModelSpec, reason: str) -> None:
    support = XllamacppEngine.support(spec)
    assert not support.ok
    assert reason in support.reason


def test_support_of_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "xinfer.model.llm.xllamacpp.engine.find_spec"
    monkeypatch.setattr(module, lambda _: None)
    support = XllamacppEngine.support(ModelSpec(name="a", format="ggufv2"))
    assert "pip install xllamacpp" in support.reason


def test_is_registered() -> None:
    assert find_engine("XllamaCpp") == ("xllamacpp", XllamacppEngine)
