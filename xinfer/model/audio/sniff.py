"""What a file is that is no recording, in words for the one who sent it."""

from __future__ import annotations

_BEGINNINGS = (
    (b"\x89PNG", "is a PNG picture"),
    (b"\xff\xd8\xff", "is a JPEG picture"),
    (b"GIF8", "is a GIF picture"),
    (b"%PDF", "is a PDF document"),
    (b"PK\x03\x04", "is a ZIP archive, or a document made of one"),
    (b"\x1f\x8b", "is compressed by gzip"),
    (b"\x7fELF", "is a program"),
    (b"#EXTM3U", "is a playlist, which names recordings and holds none"),
    (b"RIFF", "begins as WAV does, and goes on otherwise"),
    (b"ID3", "begins as MP3 does, and goes on otherwise"),
    (b"OggS", "begins as Ogg does, and goes on otherwise"),
    (b"fLaC", "begins as FLAC does, and goes on otherwise"),
    (b"\x1a\x45\xdf\xa3", "begins as WebM does, and goes on otherwise"),
)


def describe(data: bytes) -> str:
    """A verb phrase: what these bytes seem to be."""
    if not data:
        return "is empty"
    for beginning, what in _BEGINNINGS:
        if data.startswith(beginning):
            return what
    start = data[:512].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "is a web page"
    if start.startswith((b"<?xml", b"<svg")):
        return "is XML"
    if start[:1] in (b"{", b"["):
        return "is text, and looks like JSON"
    if _is_text(data[:512]):
        return "is text"
    return f"has {len(data)} bytes of no kind that is known"


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(start) - 3:  # else a character that was cut through
            return False
        text = start[: error.start].decode("utf-8")
    return all(character.isprintable() or character.isspace() for character in text)
