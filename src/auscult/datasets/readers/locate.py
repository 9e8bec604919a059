"""From what a table says of a file to the file below the root."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from auscult.config.columns import PathColumn
from auscult.config.dataset import REMOTE
from auscult.datasets.folder import fold_name, is_audio, say_absent, split_name, walk_files
from auscult.datasets.readers.reading import MalformedError

SHOWN = 3
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff"))


class FileNames:
    """Recordings by the name that they bear, with and without suffix.

    Args:
        files: Relative to the root; those that are no audio are passed over.
        is_one: Tells by its name whether a file is a recording.
    """

    def __init__(self, files: Iterable[str], is_one: Callable[[str], bool] = is_audio) -> None:
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._is_one = is_one
        for file in files:
            if is_one(file):
                self._by_name[fold_name(file.rsplit("/", 1)[-1])].append(file)
                self._by_name[fold_name(split_name(file)[0])].append(file)

    def like(self, path: str) -> list[str]:
        """Return the recordings of that name, or of that stem where it has no suffix of a sound, sorted.

        >>> FileNames(["a/1.wav", "b/1.wav"]).like("1.mp3"), FileNames(["a/1.wav", "b/1.wav"]).like("b/1")
        (['a/1.wav', 'b/1.wav'], ['b/1.wav'])
        """
        folders, _, name = path.rpartition("/")
        files = self._by_name.get(fold_name(name), [])
        if not files and self._is_one(name):
            files = self._by_name.get(fold_name(split_name(name)[0]), [])
        # A path that names folders must agree with them, as far as it goes.
        return sorted({file for file in files if not folders or f"/{folders}/" in f"/{file}"})


class Locator:
    """Finds the files of a table's path column: as written, by its template, or by a name that one file alone has.

    Args:
        root: The dataset's folder.
        remote_root: The root as it is written; where that is `gs://...`, paths below it may be written so.
        column: How the column is read; None where paths are walked.
        follow_links: Whether a link may lead out of the root.
        is_one: Tells by its name whether a file is a recording.
    """

    def __init__(
        self,
        root: Path,
        remote_root: str,
        column: PathColumn | None,
        *,
        follow_links: bool,
        is_one: Callable[[str], bool] = is_audio,
    ) -> None:
        self._is_one = is_one
        self._root = root
        self._real_root = os.path.realpath(root)
        self._remote_root = remote_root
        self._template = None if column is None else column.template
        self._follow_links = follow_links
        self._names: FileNames | None = None
        self.n_by_name = 0

    def by_template(self, cell: str) -> str:
        """Return the path that a cell means as it is written, whether there is such a file or not."""
        text = clean_path(cell)
        return text if self._template is None or not text else self._template.replace("{}", text)

    def find(self, cell: str) -> str:
        """Return the file that a cell means, relative to the root.

        Raises:
            MalformedError: It leads out of the root, or there is no such file; the message names near ones.
        """
        text = self.by_template(cell)
        if not text:
            raise MalformedError("path: it is empty")
        path = self._below_root(text)
        if self._exists(path):
            return path
        named = self._named_like(path) if self._template is None else []
        if len(named) == 1:
            self.n_by_name += 1
            return self._below_root(named[0])
        if named:
            shown = ", ".join(repr(file) for file in named[:SHOWN])
            raise MalformedError(
                f"ambiguous: {path!r} is no path, and {len(named)} files have that name: {shown}; "
                "write their folders, or give a `template` for columns.path"
            )
        raise MalformedError(say_absent(self._real_root, path))

    def _below_root(self, text: str) -> str:
        text = path_below(self._remote_root, text)
        return relative_path(self._real_root, text, follow_links=self._follow_links)

    def _exists(self, path: str) -> bool:
        # Not Path.exists: it raises where the name is too long for a file.
        return os.path.exists(f"{self._real_root}/{path}")  # noqa: PTH110

    def _named_like(self, path: str) -> list[str]:
        if self._names is None:
            self._names = FileNames(walk_files(self._root), self._is_one)
        return self._names.like(path)


def clean_path(cell: str) -> str:
    r"""Return a path without what cannot be seen: blanks around it, no-break spaces, zero-width characters.

    >>> clean_path("\u00a0audio/a.wav\u200b ")
    'audio/a.wav'
    """
    return cell.translate(_INVISIBLE).strip()


def path_below(remote_root: str, text: str) -> str:
    """Return a path that is written in full (`gs://...`) relative to its root; any other as it is.

    Raises:
        MalformedError: It lies elsewhere.

    >>> path_below("gs://lungs/icbhi", "gs://lungs/icbhi/a/101.wav"), path_below("data", "a/101.wav")
    ('a/101.wav', 'a/101.wav')
    """
    if not text.startswith(REMOTE):
        return text
    start = f"{remote_root.rstrip('/')}/"
    if remote_root.startswith(REMOTE) and text.startswith(start):
        return text.removeprefix(start)
    raise MalformedError(f"path: {text!r} lies outside the root {remote_root!r}")


def relative_path(real_root: str, text: str, *, follow_links: bool) -> str:
    """Return a path below the root in its plain form.

    Raises:
        MalformedError: It is empty, absolute, holds a null character, or leads out of the root.
    """
    if not text:
        raise MalformedError("path: it is empty")
    if "\0" in text:
        raise MalformedError(f"path: {text!r} holds a null character")
    if text.startswith("/"):
        inside = text.startswith(f"{real_root.rstrip('/')}/")
        hint = f"; below the root it is {text.removeprefix(real_root).lstrip('/')!r}" if inside else ""
        raise MalformedError(f"path: {text!r} is absolute, expected one relative to the root{hint}")
    path = os.path.normpath(text)
    if path in ("..", ".") or path.startswith("../"):
        raise MalformedError(f"path: {text!r} leads out of the root")
    real = os.path.realpath(f"{real_root}/{path}")
    if not follow_links and not real.startswith(f"{real_root.rstrip('/')}/"):
        raise MalformedError(
            f"path: {text!r} is a link that leads out of the root; `follow_links: true` in the dataset's YAML allows it"
        )
    return path
