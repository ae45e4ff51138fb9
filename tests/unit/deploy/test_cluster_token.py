"""The cluster's token: where it is looked for, how it is made, and what is said without one."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from xinfer.deploy.cluster_token import NoToken, find, find_or_make
from xinfer.settings import Settings

TEXT = "0123456789abcdef" * 4


def test_a_supervisor_makes_one_for_its_user_alone_and_keeps_it(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path / "new"))
    made = find_or_make(settings)
    path = tmp_path / "new" / "cluster-token"
    assert made.source == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(bytes.fromhex(path.read_text())) == 32
    assert path.read_text().strip() not in made.key.hex()
    assert find_or_make(settings) == find(settings) == made
    assert [each.name for each in path.parent.iterdir()] == ["cluster-token"]
    other = find_or_make(Settings(home=str(tmp_path / "other")))
    assert other.key != made.key


def test_the_variable_comes_before_the_file_and_makes_none(tmp_path: Path) -> None:
    given = find_or_make(Settings(home=str(tmp_path), cluster_token=TEXT))
    assert "XINFERENCE_CLUSTER_TOKEN" in given.source
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "cluster-token").write_text(f"{TEXT}\n")
    assert find(Settings(home=str(tmp_path))).key == given.key


def test_without_one_a_worker_is_told_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(NoToken) as raised:
        find(Settings(home=str(tmp_path)))
    message = str(raised.value)
    assert f"copy it to {tmp_path}/cluster-token" in message
    assert "XINFERENCE_CLUSTER_TOKEN" in message


def test_one_that_could_be_guessed_is_refused_with_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NoToken, match=r"has 6 characters; at least 32 .*openssl rand -hex 32"):
        find(Settings(home=str(tmp_path), cluster_token=" secret "))


def test_a_file_that_others_may_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "cluster-token"
    path.write_text(TEXT)
    path.chmod(0o600)
    find(Settings(home=str(tmp_path)))
    assert caplog.text == ""
    path.chmod(0o640)
    find(Settings(home=str(tmp_path)))
    assert f"chmod 600 {path}" in caplog.text


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NoToken, match="cannot be written"):
        find_or_make(Settings(home=str(tmp_path / "file")))
