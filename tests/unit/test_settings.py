"""Settings: each documented, each with its variable, and bad values named."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

import xinfer
from xinfer.settings import LOG_LEVELS, Settings

FIELDS = dataclasses.fields(Settings)
NUMBERS = [f for f in FIELDS if type(f.default) in (int, float)]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_setting_has_a_default_a_sentence_and_a_variable(
    field: dataclasses.Field[object],
) -> None:
    assert field.default is not dataclasses.MISSING
    assert type(field.default) in (str, bool, int, float)
    assert re.fullmatch(r"[A-Z/].{15,}\.", field.metadata["doc"])
    assert re.fullmatch(r"XINFERENCE_[A-Z_]+", field.metadata["env"])


def test_no_two_settings_share_a_variable() -> None:
    names = [field.metadata["env"] for field in FIELDS]
    assert len(set(names)) == len(names)


def test_nothing_set_is_the_defaults() -> None:
    assert Settings.from_env({}) == Settings()


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_setting_is_read_from_its_variable(field: dataclasses.Field[object]) -> None:
    value: Any
    if isinstance(field.default, bool):
        value = not field.default
    elif isinstance(field.default, (int, float)):
        value = field.default + 1
    else:
        choices = field.metadata["choices"]
        value = next((each for each in choices if each != field.default), "something")
    read = Settings.from_env({field.metadata["env"]: str(value)})
    assert getattr(read, field.name) == value
    assert type(getattr(read, field.name)) is type(field.default)
    assert read == dataclasses.replace(Settings(), **{field.name: value})


@pytest.mark.parametrize("field", NUMBERS, ids=lambda field: field.name)
@pytest.mark.parametrize("raw", ["many", "-1", "nan", "inf", "-inf", "1s"])
def test_a_number_that_is_none_is_refused_naming_the_variable(
    field: dataclasses.Field[object], raw: str
) -> None:
    name = field.metadata["env"]
    bound = "more than 0" if field.metadata["positive"] else "0 or more"
    with pytest.raises(ValueError, match=rf"^{name}='{raw}': expected a .*number, {bound}$"):
        Settings.from_env({name: raw})


@pytest.mark.parametrize("field", NUMBERS, ids=lambda field: field.name)
def test_zero_is_refused_where_it_would_stop_the_work(field: dataclasses.Field[object]) -> None:
    name = field.metadata["env"]
    if field.metadata["positive"]:
        with pytest.raises(ValueError, match=rf"^{name}='0': expected a .*number, more than 0$"):
            Settings.from_env({name: "0"})
    else:
        assert getattr(Settings.from_env({name: "0"}), field.name) == 0


def test_a_whole_number_has_no_fraction() -> None:
    with pytest.raises(ValueError, match=r"XINFERENCE_MAX_QUEUE='1\.5': expected a whole number"):
        Settings.from_env({"XINFERENCE_MAX_QUEUE": "1.5"})


@pytest.mark.parametrize(
    ("raw", "value"),
    [("1", True), ("true", True), ("YES", True), ("on", True), ("0", False), ("No", False)],
)
def test_switches_are_read_in_the_usual_words(raw: str, value: bool) -> None:
    assert Settings.from_env({"XINFERENCE_DOCS_PUBLIC": raw}).docs_public is value


def test_a_switch_that_is_neither_is_refused() -> None:
    with pytest.raises(ValueError, match=r"XINFERENCE_DOCS_PUBLIC='perhaps': expected 1 or 0"):
        Settings.from_env({"XINFERENCE_DOCS_PUBLIC": "perhaps"})


def test_a_level_is_one_of_those_there_are_in_any_case() -> None:
    assert Settings.from_env({"XINFERENCE_LOG_LEVEL": "debug"}).log_level == "DEBUG"
    with pytest.raises(ValueError, match=f"'loud': expected one of {', '.join(LOG_LEVELS)}"):
        Settings.from_env({"XINFERENCE_LOG_LEVEL": "loud"})


def test_an_empty_variable_is_an_unset_one() -> None:
    assert Settings.from_env({"XINFERENCE_MAX_QUEUE": "", "XINFERENCE_HOME": ""}) == Settings()


def test_flags_win_over_variables_and_flags_not_given_do_not() -> None:
    read = Settings.from_env({"XINFERENCE_MAX_QUEUE": "5"}, max_queue=7, log_level=None)
    assert read == dataclasses.replace(Settings(), max_queue=7)


def test_the_process_s_own_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINFERENCE_MAX_QUEUE", "3")
    assert Settings.from_env().max_queue == 3


def test_a_home_below_the_users_is_found() -> None:
    assert Settings(home="~/x").home_path == Path.home() / "x"


def test_nothing_else_reads_the_environment() -> None:
    """A variable that only some module knew would be documented nowhere."""
    reading = re.compile(r'getenv\(|environ\.get\(|environ\["\w+"\](?! =)')
    package = Path(xinfer.__file__).parent
    assert [p for p in package.rglob("*.py") if reading.search(p.read_text())] == []
