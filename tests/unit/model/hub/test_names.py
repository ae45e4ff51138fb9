"""Names of repositories, revisions and files stay within what they are for."""

from __future__ import annotations

import pytest

from xinfer.errors import InvalidRequest
from xinfer.model.hub.names import check_file, check_repo, check_revision

ESCAPES = [
    "",
    "..",
    "../x",
    "a/../b",
    "/etc/passwd",
    "a\\b",
    "a\0b",
    "a\nb",
    "%2e%2e/x",
    "x" * 10_000,
]


@pytest.mark.parametrize("name", ["Qwen/Qwen3-0.6B", "gpt2", "a/b_c.d-e"])
def test_a_repository_is_owner_and_name(name: str) -> None:
    assert check_repo(name) == name


@pytest.mark.parametrize(
    "name", [*ESCAPES, "a/b/c", "a//b", ".a/b", "a/.b", "a/b?c", "a b/c", "é/x"]
)
def test_what_is_no_repository_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="expected owner/name"):
        check_repo(name)


@pytest.mark.parametrize("name", ["main", "refs/pr/3", "v1.0", "0123abc"])
def test_a_revision_is_a_branch_a_tag_or_a_commit(name: str) -> None:
    assert check_revision(name) == name


@pytest.mark.parametrize("name", [*ESCAPES, "a//b", "a b", "-x"])
def test_what_is_no_revision_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="expected a branch"):
        check_revision(name)


@pytest.mark.parametrize("name", ["config.json", "a/b/c.txt", "名.txt", "..a", "a..b", "%2e%2e/x"])
def test_a_file_may_have_any_name_that_stays_below(name: str) -> None:
    assert check_file(name, "it") == name


@pytest.mark.parametrize(
    "name",
    [each for each in ESCAPES if "%" not in each]
    + ["./a", "a//b", "a/", "C:/x", "x/" + "y" * 300, "a/\x1b[2J"],
)
def test_a_file_whose_name_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(InvalidRequest, match="leads out of the model's directory") as refused:
        check_file(name, "it")
    assert refused.value.code == "unsafe_file_name"
