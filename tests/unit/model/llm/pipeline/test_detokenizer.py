from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from xinfer.model.llm.pipeline.detokenizer import Detokenizer

# Bytes that are likely to form whole, broken and cut characters of every length.
BYTES = st.lists(
    st.one_of(
        st.binary(min_size=0, max_size=4),
        st.sampled_from(
            [b"\xe4", b"\xb8", b"\xad", b"\xf0\x9f", b"\x98\x80", b"\xed\xa0", b"\xc0"]
        ),
        st.text(max_size=3).map(str.encode),
    ),
    max_size=12,
)


@given(BYTES)
@example([b"\xf0", b"\x9f", b"\x98", b"\x80"])
@example([b"\xf0\x9f", b"a"])
@example([b"\xe4\xb8"])
def test_the_text_is_that_of_all_bytes_at_once_and_no_part_is_ever_taken_back(
    pieces: list[bytes],
) -> None:
    whole = b"".join(pieces).decode("utf-8", "replace")
    detokenizer = Detokenizer()
    text = ""
    for piece in pieces:
        text += detokenizer.feed(piece)
        assert whole.startswith(text)
    assert text + detokenizer.flush() == whole


def test_a_character_comes_with_its_last_byte_and_not_before() -> None:
    detokenizer = Detokenizer()
    assert [detokenizer.feed(bytes([byte])) for byte in "中".encode()] == ["", "", "中"]
    assert detokenizer.flush() == ""


def test_a_character_that_is_never_completed_becomes_one_replacement_character() -> None:
    detokenizer = Detokenizer()
    assert detokenizer.feed("😀".encode()[:3]) == ""
    assert detokenizer.flush() == "\ufffd"
    assert detokenizer.feed(b"a") == "a"
