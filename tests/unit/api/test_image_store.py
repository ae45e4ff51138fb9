"""Pictures on disk: for a while, within a bound, and for several processes at once."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from xinfer.api.image_store import ImageStore
from xinfer.errors import NotFound, Unavailable
from xinfer.settings import Settings


def store(tmp_path: Path, **settings: Any) -> ImageStore:
    return ImageStore(Settings(home=str(tmp_path), **settings))


def content(made: ImageStore, name: str) -> bytes:
    with made.open(name) as file:
        return file.read()


def age(tmp_path: Path, name: str, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(tmp_path / "image" / name, (then, then))


def test_what_is_put_can_be_had_by_its_name_alone(tmp_path: Path) -> None:
    one, other = store(tmp_path), store(tmp_path)
    names = [one.put(b"a"), other.put(b"b")]
    assert [content(other, names[0]), content(one, names[1])] == [b"a", b"b"]
    assert len({*names}) == 2
    assert (tmp_path / "image").stat().st_mode & 0o077 == 0


def test_what_has_expired_is_gone_and_makes_room(tmp_path: Path) -> None:
    made = store(tmp_path, image_ttl=100.0)
    old, young = made.put(b"old"), made.put(b"young")
    age(tmp_path, old, 101)
    age(tmp_path, young, 50)
    with pytest.raises(NotFound, match="100 seconds"):
        content(made, old)
    assert content(made, young) == b"young"
    made.put(b"new")
    assert not (tmp_path / "image" / old).exists()
    assert content(made, young) == b"young"


def test_the_oldest_make_room_for_what_is_new(tmp_path: Path) -> None:
    made = store(tmp_path, image_store_bytes=10)
    names = []
    for number in range(4):
        names.append(made.put(b"1234"))
        age(tmp_path, names[-1], 40 - number)
    there = [(tmp_path / "image" / name).exists() for name in names]
    assert there == [False, False, True, True]


def test_what_is_removed_is_there_no_more(tmp_path: Path) -> None:
    made = store(tmp_path)
    name, other = made.put(b"a"), made.put(b"b")
    for _ in range(2):
        made.remove(name)
    with pytest.raises(NotFound):
        made.open(name)
    assert content(made, other) == b"b"


def test_what_a_process_did_not_finish_is_removed_later(tmp_path: Path) -> None:
    made = store(tmp_path)
    name = made.put(b"a")
    left = tmp_path / "image" / f"{name}.part"
    left.write_bytes(b"half")
    made.put(b"b")
    assert left.exists(), "it may still be written"
    age(tmp_path, left.name, 61)
    made.put(b"c")
    assert not left.exists()


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "image").write_text("a file in its place")
    with pytest.raises(Unavailable, match="b64_json") as refused:
        store(tmp_path).put(b"a")
    assert refused.value.code == "image_store_unavailable"


@pytest.mark.parametrize("name", ["", "../image", "a.png", "/etc/passwd", "x" * 32 + ".png"])
def test_names_that_it_did_not_give_lead_nowhere(tmp_path: Path, name: str) -> None:
    made = store(tmp_path)
    made.put(b"a")
    with pytest.raises(NotFound):
        content(made, name)
