"""Variables that look like settings and are none."""

from __future__ import annotations

import re

import pytest

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


THEIRS = {
    "HOME": ("/data", "home", "/data"),
    "ENDPOINT": ("http://10.0.0.1:9997", "endpoint", "http://10.0.0.1:9997"),
    "MODEL_SRC": ("modelscope", "model_src", "MODELSCOPE"),
    "HUB_DETECT_TIMEOUT": ("3", "hub_detect_timeout", 3.0),
    "DOWNLOAD_MAX_ATTEMPTS": ("3", "download_max_attempts", 3),
    "MODEL_DOWNLOAD_WORKERS": ("2", "download_workers", 2),
    "TRUST_REMOTE_CODE": ("1", "trust_remote_code", True),
    "LAUNCH_STRATEGY": ("idlefirst", "launch_strategy", "IDLEFIRST"),
    "ALLOW_MULTI_REPLICA_PER_GPU": ("0", "share_accelerators", False),
    "MAX_CONCURRENT_LAUNCHES": ("5", "max_concurrent_launches", 5),
    "ENABLE_VIRTUAL_ENV": ("0", "enable_virtual_env", False),
    "VIRTUAL_ENV_OFFLINE_INSTALL": ("1", "virtual_env_offline", True),
    "VIRTUAL_ENV_FIND_LINKS_ALLOWED_ROOTS": ("/w", "find_links_roots", "/w"),
    "HTTP_REQUEST_TIMEOUT": ("120", "http_request_timeout", 120.0),
    "HTTP_TIMEOUT_KEEP_ALIVE": ("5", "http_keep_alive", 5.0),
    "HTTP_LIMIT_CONCURRENCY": ("0", "http_limit_concurrency", 0),
    "TRUSTED_PROXIES": ("10.0.0.0/8", "trusted_proxies", "10.0.0.0/8"),
    "LOG_FORMAT": ("json", "log_format", "JSON"),
}
"""Xinference's variables that mean the same here: a value of its own, our field, and its value."""


@pytest.mark.parametrize("name", THEIRS)
def test_its_variables_are_read_with_its_values(name: str) -> None:
    value, field, read = THEIRS[name]
    assert getattr(Settings.from_env({f"XINFERENCE_{name}": value}), field) == read


def test_the_page_about_moving_names_those_that_stay() -> None:
    text = Page.read("docs/migration.md").text
    told = text.partition("These mean here what they mean there")[2].partition("Defaults may")[0]
    assert set(re.findall(r"`XINFERENCE_(\w+)`", told)) == THEIRS.keys()
