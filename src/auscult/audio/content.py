"""What a file is that stands where sound is expected, told by its first bytes and not by its name."""

from __future__ import annotations

from auscult.errors import DataError

HEAD_BYTES = 512
"""So many bytes from a file's start are looked at."""
_TEXT_SHOWN = 30
_KINDS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, the sound itself was not fetched; run `git lfs pull` there"),
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a zip archive; unpack it"),
    (b"\x1f\x8b", "a gzip archive; unpack it"),
)
_SOUND_MARKS = (b"RIFF", b"RIFX", b"RF64", b"FORM", b"OggS", b"fLaC", b"ID3", b"caff", b".snd", b"#!AMR")
"""A file cut behind one of these is damaged sound, and no text."""
_PAGES = (b"<!doctype html", b"<html", b"<?xml")


def refuse_other_content(head: bytes) -> None:
    """Refuse a file that is no sound and can say what it is.

    Args:
        head: The file's first bytes, `HEAD_BYTES` or all.

    Raises:
        DataError: Naming what it is. Sound of any kind, and bytes that say nothing, pass.
    """
    for mark, name in _KINDS:
        if head.startswith(mark):
            raise DataError(f"no sound file: this is {name}")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.lower().startswith(_PAGES):
        raise DataError(
            "no sound file: this is a web page, as a server sends for a file that is not there or needs a login; "
            "download it again"
        )
    if not head.startswith(_SOUND_MARKS) and is_plain_text(head):
        raise DataError(f"no sound file: this is text, it begins with {head[:_TEXT_SHOWN].decode('utf-8', 'ignore')!r}")


def is_plain_text(head: bytes) -> bool:
    r"""Tell whether bytes are printable UTF-8 text; the last character may be cut.

    >>> is_plain_text("temp\u00e9rature, 37\n".encode()), is_plain_text(b"RIFF\x00\x00"), is_plain_text(b"")
    (True, False, False)
    """
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8")
    return bool(text) and all(letter.isprintable() or letter in "\t\r\n" for letter in text)
