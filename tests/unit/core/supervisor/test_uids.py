"""Names of deployments."""

from __future__ import annotations

import re

import pytest

from xinfer.core.supervisor.uids import (
    MAX_ALIASES,
    MAX_LENGTH,
    check_aliases,
    check_uid,
    default_uid,
)
from xinfer.errors import InvalidRequest


@pytest.mark.parametrize("uid", ["m", "qwen2.5-instruct", "a b", "模型", "x" * MAX_LENGTH, "..."])
def test_a_uid_that_fits_a_path_passes(uid: str) -> None:
    check_uid(uid)


@pytest.mark.parametrize(
    "uid",
    [
        *("", " ", ".", "..", "instances", "families", "prompts", "a/b", "a?b", "a#b", "a%2e"),
        *("a\nb", "\0", "\x7f", "\ud800", "\u2028", "x" * (MAX_LENGTH + 1)),
    ],
)
def test_a_uid_that_does_not_is_refused_by_name(uid: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_uid(uid)
    assert caught.value.param == "model_uid"
    assert caught.value.message.isprintable()


@pytest.mark.parametrize(
    ("name", "uid"),
    [
        ("tiny-chat", "tiny-chat"),
        ("/models/tiny chat.Q4_0.gguf", "tiny chat.Q4_0"),
        ("/models/Qwen3-0.6B/", "Qwen3-0.6B"),
        ("Qwen/Qwen3-0.6B", "Qwen3-0.6B"),
        ("model.gguf", "model"),
        ("/models/instances.gguf", "model"),
        ("/", "model"),
        ("", "model"),
        ("/models/50%#?.gguf", "50---"),
    ],
)
def test_an_unnamed_model_is_called_by_its_name_or_its_file(name: str, uid: str) -> None:
    assert default_uid(name, taken=()) == uid
    check_uid(default_uid(name, taken=()))


def test_a_name_that_is_taken_gets_a_suffix_and_never_grows_too_long() -> None:
    assert re.fullmatch(r"echo-[a-z0-9]{8}", default_uid("echo", taken={"echo"}))
    long = "x" * 300
    uid = default_uid(long, taken={default_uid(long, taken=())})
    assert len(uid) <= MAX_LENGTH
    check_uid(uid)


def test_an_alias_may_be_the_name_of_a_repository() -> None:
    check_aliases(["gpt-4o-mini", "meta-llama/Llama-3", *map(str, range(MAX_ALIASES - 2))])


@pytest.mark.parametrize(
    "aliases", [[""], ["a?b"], ["a\nb"], ["x" * (MAX_LENGTH + 1)], ["a", "a"], ["instances"]]
)
def test_an_alias_that_cannot_be_is_refused_by_name(aliases: list[str]) -> None:
    with pytest.raises(InvalidRequest, match="The alias") as caught:
        check_aliases(aliases)
    assert caught.value.param == "aliases"
    assert "model_uid" not in caught.value.message


def test_aliases_are_limited_in_number() -> None:
    with pytest.raises(InvalidRequest, match=f"at most {MAX_ALIASES}"):
        check_aliases(list(map(str, range(MAX_ALIASES + 1))))
