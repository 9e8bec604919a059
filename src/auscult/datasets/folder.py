"""Walk a dataset's folder in one fixed order; say what a path that leads to no file may have meant."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from auscult.errors import DataError

AUDIO_SUFFIXES = (
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2", ".aif", ".aiff", ".aifc", ".w64", ".rf64"),
    *(".au", ".snd", ".caf", ".voc", ".m4a", ".mp4", ".aac", ".ac3", ".amr", ".3gp", ".3g2", ".wma", ".mka", ".webm"),
    *(".m4b", ".sph", ".spx", ".dss", ".awb", ".bwf", ".weba", ".ra", ".rm"),
)
"""Names of files that libsndfile or FFmpeg decodes; one that holds what they do not know is refused by name."""
UNREAD_AUDIO_SUFFIXES = (".ds2", ".mid", ".midi", ".raw", ".pcm", ".vox", ".msv", ".dvf")
"""Names of files that are sound and are not read: dictation, notes instead of sound, samples without a header."""
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
"""Names of pictures that are read."""
_DOCUMENT_SUFFIXES = (".md", ".pdf", ".rst", ".html", ".dvc", ".zip", ".gz", ".docx")
_DOCUMENT_STEMS = ("readme", "license", "licence", "copying", "citation", "changelog", "thumbs", "desktop")


def walk_files(root: Path) -> Iterator[str]:
    """Yield the files below `root` as relative paths with `/`, sorted within each folder, files before folders.

    Hidden names, `__MACOSX` and Office's lock files (`~$...`) are passed over. Links are followed, a folder that
    links back to one above it is not entered again.
    """
    yield from _walk(root, "", frozenset())


def files_of(
    sources: Sequence[Path], is_wanted: Callable[[str], bool], what: str, suffixes: Sequence[str]
) -> list[Path]:
    """Return the files to read: those named, whatever they are called, and the wanted ones below folders.

    Args:
        sources: Files and folders.
        is_wanted: Whether the name of a file below a folder is one to read.
        what: What is looked for, in the plural.
        suffixes: Of these.

    Raises:
        DataError: A folder holds none.
    """
    found: dict[Path, None] = {}
    for source in sources:
        if not source.is_dir():
            found[source] = None
            continue
        below = [source / name for name in walk_files(source) if is_wanted(name)]
        if not below:
            raise DataError(f"{source}: no {what} in this folder; looked for {', '.join(suffixes)}")
        found |= dict.fromkeys(below)
    return list(found)


def _walk(folder: Path, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        return
    folders: list[str] = []
    with os.scandir(folder) as entries:
        names = sorted((entry.name, entry.is_dir()) for entry in entries if not _is_hidden(entry.name))
    for name, is_folder in names:
        if is_folder:
            folders.append(name)
        else:
            yield prefix + name
    for name in folders:
        yield from _walk(folder / name, f"{prefix}{name}/", above | {identity})


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "~$")) or name == "__MACOSX"


def is_document(file: str) -> bool:
    """Tell whether a file is meant for people (a README, a licence, an archive) and belongs to no reader.

    >>> is_document("docs/README.txt"), is_document("notes.txt")
    (True, False)
    """
    name = file.rsplit("/", 1)[-1].lower()
    return name.endswith(_DOCUMENT_SUFFIXES) or name.split(".")[0] in _DOCUMENT_STEMS


def split_name(file: str) -> tuple[str, str]:
    """Return a file's stem and its lower-case suffix.

    >>> split_name("a/Z02666-08.wav_F.WAV")
    ('Z02666-08.wav_F', '.wav')
    """
    name = file.rsplit("/", 1)[-1]
    stem, dot, suffix = name.rpartition(".")
    return (stem, f".{suffix.lower()}") if dot else (name, "")


def fold_name(name: str) -> str:
    """Return a name or path as it is compared where case and Unicode form may differ."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def is_audio(file: str) -> bool:
    """Tell whether a file's suffix, in any case, is one of those that are read.

    >>> is_audio("a/b.FLAC"), is_audio("a/b.txt"), is_audio("wav")
    (True, False, False)
    """
    return split_name(file)[1] in AUDIO_SUFFIXES


def is_sound(file: str) -> bool:
    """Tell whether a file's suffix says that it is sound, of a kind that is read or not.

    >>> is_sound("a/b.FLAC"), is_sound("a/b.DS2"), is_sound("a/b.txt")
    (True, True, False)
    """
    return is_audio(file) or looks_like_audio(file)


def is_picture(file: str) -> bool:
    """Tell whether a file's suffix, in any case, is one of a picture that is read.

    >>> is_picture("a/b.TIF"), is_picture("a/b.gif")
    (True, False)
    """
    return split_name(file)[1] in PICTURE_SUFFIXES


def is_source(file: str, *, of_pictures: bool) -> bool:
    """Tell whether a file's suffix says that it is what a dataset holds: sound of any kind, or a picture that is read.

    >>> is_source("a.png", of_pictures=True), is_source("a.png", of_pictures=False)
    (True, False)
    >>> is_source("a.ds2", of_pictures=False)
    True
    """
    return is_picture(file) if of_pictures else is_sound(file)


def say_other_suffix(file: str, *, of_pictures: bool) -> str:
    """Return why a file of another kind than its dataset holds is not read, with the class it is counted by."""
    _, suffix = split_name(file)
    reason = f"not part of the layout: {suffix or 'no'} suffix; expected "
    if of_pictures:
        return reason + ", ".join(PICTURE_SUFFIXES)
    hint = "; a dataset of pictures says `holds: pictures`" if is_picture(file) else ""
    return reason + ", ".join(AUDIO_SUFFIXES) + hint


def looks_like_audio(file: str) -> bool:
    """Tell whether a file's suffix says that it is sound of a kind that is not read: it is named, not passed over.

    >>> looks_like_audio("a/b.DS2"), looks_like_audio("a/b.wav"), looks_like_audio("a/b.txt")
    (True, False, False)
    """
    return split_name(file)[1] in UNREAD_AUDIO_SUFFIXES


def say_unread(file: str) -> str:
    """Return why a file that looks like sound is not read, with the class that rejections are counted by."""
    return (
        f"unread audio: not read, neither libsndfile nor FFmpeg decodes {split_name(file)[1]} files; convert it to wav "
        "or flac with the program that made it"
    )


def printable(text: str) -> str:
    """Return a file name, or a text with one, that any text file can hold: bytes that are no UTF-8 are escaped."""
    try:
        return os.fsencode(text).decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:
        # A surrogate that stands for no byte of a file name; it is named by its number.
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def matches(file: str, pattern: str) -> bool:
    """Tell whether a relative path matches a glob; `**/` stands for any folders, case does not matter.

    >>> matches("a/b/c.WAV", "**/*.wav"), matches("c.wav", "**/*.wav"), matches("a/c.wav", "*.wav")
    (True, True, False)
    """
    return _glob_expression(pattern).fullmatch(file) is not None


@lru_cache(maxsize=16)
def _glob_expression(pattern: str) -> re.Pattern[str]:
    wildcards = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    return re.compile("".join(wildcards.get(part, re.escape(part)) for part in parts), re.IGNORECASE | re.DOTALL)


def say_absent(root: str, path: str) -> str:
    """Return why a path below the root is refused, and which file was probably meant.

    Args:
        root: The dataset's folder.
        path: Relative to it, in its plain form; there is no such file.
    """
    reason = f"missing: there is no file {path!r}"
    slashed = path.replace("\\", "/")
    meant = _near(root, slashed)
    there = "" if meant is None else f"; there is {meant!r}"
    if slashed != path:
        return f"{reason}{there}; write folders with / instead of \\"
    return f"{reason}{there}: names must agree in case and Unicode form" if there else reason


def _near(root: str, path: str) -> str | None:
    """Return the file whose path differs at most in case and Unicode form; a folder is listed only where it must."""
    found = Path(root)
    try:
        for part in path.split("/"):
            exact = found / part
            if not exact.exists():
                near = sorted(other for other in found.iterdir() if fold_name(other.name) == fold_name(part))
                if not near:
                    return None
                exact = near[0]
            found = exact
        return found.relative_to(root).as_posix() if found.is_file() else None
    except OSError:
        return None  # a folder that cannot be listed, or a name too long for a file, gives no hint
