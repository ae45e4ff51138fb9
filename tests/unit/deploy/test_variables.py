"""Variables that look like settings and are none."""

from __future__ import annotations

import re

from tests.support.markdown import Page
from xinfer.deploy.variables import REPLACED, without_effect
from xinfer.settings import Settings


def test_a_variable_of_xinferences_is_told_with_what_has_its_place() -> None:
    told = list(without_effect({"XINFERENCE_SSE_PING_ATTEMPTS_SECONDS": "600"}))
    assert told == [
        "XINFERENCE_SSE_PING_ATTEMPTS_SECONDS has no effect here; XINFERENCE_SSE_PING_INTERVAL "
        "has its place"
    ]


def test_a_misspelt_setting_is_told_with_the_one_that_is_meant() -> None:
    (told,) = without_effect({"XINFERENCE_API_KYE": "secret"})
    assert "did you mean XINFERENCE_API_KEY?" in told
    assert "secret" not in told


def test_others_share_a_line() -> None:
    (told,) = without_effect({"XINFERENCE_PORT_80_TCP": "x", "XINFERENCE_ZZZ": "y"})
    assert told.endswith("XINFERENCE_PORT_80_TCP, XINFERENCE_ZZZ")


def test_settings_and_what_is_empty_or_not_ours_are_not_told() -> None:
    settings = {spec.metadata["env"]: "1" for spec in Settings.__dataclass_fields__.values()}
    assert not list(without_effect({**settings, "XINFERENCE_ZZZ": "", "PATH": "/bin"}))


def test_the_page_about_moving_has_them_all() -> None:
    rows = re.findall(r"^\| ([A-Z_, ]+) \| (.*) \|$", Page.read("docs/migration.md").text, re.M)
    told = {name: here for names, here in rows for name in re.split(", ", names)}
    assert REPLACED.keys() <= told.keys()
    for name, instead in REPLACED.items():
        assert f"`{instead}`" in told[name]
