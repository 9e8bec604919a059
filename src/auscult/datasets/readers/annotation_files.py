"""One annotation file a recording: which one it is, and the items that it gives."""

from __future__ import annotations

import bisect
import difflib
import itertools
import math
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import soundfile

from auscult.config.annotations import PLACEHOLDERS, AnnotationSettings
from auscult.datasets.folder import fold_name, is_audio, walk_files
from auscult.datasets.readers.annotation_events import parse_annotation
from auscult.datasets.readers.reading import Item, MalformedError, read_file
from auscult.storage.tables import ANNOTATED, UNPLACED, Event, Notice, Recording, Rejection

MAX_BYTES = 64 * 2**20
"""No annotation of one recording is larger: a template with * may lead to anything."""
_ANY = "\0"  # stands for a template's *: no file name holds it
_ANY_PATH = {"stem": _ANY, "name": _ANY, "path": _ANY + _ANY, "folder": _ANY + _ANY, "parent": _ANY + _ANY}
_WILDCARDS = {f"{_ANY}{_ANY}/": "(?:.*/)?", _ANY + _ANY: ".*", _ANY: "[^/]*"}
_SHOWN = 3
_LOOKED_AT = 2000


def fill_template(template: str, path: str) -> str:
    r"""Return a template with a recording's names filled in; a null character stands for each `*`.

    Args:
        template: With `{stem}` (the name without suffix), `{name}` (with it), `{path}` (the whole path without suffix),
            `{folder}` (the recording's folder, empty at the root) and `{parent}` (the folder above that).
        path: The recording, relative to the root, with `/`.

    >>> fill_template("{parent}/labels/{stem}.txt", "ward/101/audio/a.wav"), fill_template("{folder}/{stem}*", "b.wav")
    ('ward/101/labels/a.txt', 'b\x00')
    """
    folder, _, name = path.rpartition("/")
    stem = name.rpartition(".")[0] or name
    whole = f"{folder}/{stem}" if folder else stem
    values = {"stem": stem, "name": name, "path": whole, "folder": folder, "parent": folder.rpartition("/")[0]}
    return _fill(template, values)


def _fill(template: str, values: dict[str, str]) -> str:
    filled = template.replace("*", _ANY)
    pattern = re.compile("|".join(rf"\{{{name}\}}" for name in PLACEHOLDERS))
    filled = pattern.sub(lambda match: values[match.group()[1:-1]], filled)
    return re.sub(r"/{2,}", "/", filled).removeprefix("./").lstrip("/")


def _expression(filled: str) -> re.Pattern[str]:
    """Return what a filled template stands for; the case of a suffix that it writes out does not matter."""
    body, dot, suffix = filled.rpartition(".")
    if not dot or _ANY in suffix or "/" in suffix:
        body, suffix = filled, ""
    parts = re.split(f"({_ANY}{_ANY}/|{_ANY}{_ANY}|{_ANY})", body)
    text = "".join(_WILDCARDS.get(part, re.escape(part)) for part in parts)
    return re.compile(text + (rf"\.(?i:{re.escape(suffix)})" if suffix else ""), re.DOTALL)


def _without_suffix(path: str) -> str:
    return fill_template("{path}", path)


class AnnotationIndex:
    """The files below a root, and which of them is the annotation of which recording.

    A file that several templates fit (`a1*` and `a10*` fit `a10.txt`) belongs to the recording that says most of it.

    Args:
        files: All paths below the root, relative, with `/`: the recordings too.
        settings: Hold the template.
    """

    def __init__(self, files: Iterable[str], settings: AnnotationSettings) -> None:
        every = sorted(files)
        self._settings = settings
        self._audio = [file for file in every if is_audio(file)]
        self._files = [file for file in every if not is_audio(file)]
        self._folded = sorted((fold_name(file), file) for file in self._files)
        self._shape = _expression(_fill(settings.files, _ANY_PATH))
        self._found: dict[str, list[str]] = {}

    def find(self, path: str) -> str:
        """Return the annotation file of a recording.

        Raises:
            MalformedError: There is none (the message names a near one), there are several, or it belongs to others.
        """
        filled = fill_template(self._settings.files, path)
        matches = self._matches(filled)
        own = [file for file in matches if self._is_tightest(file, filled)]
        shown = filled.replace(_ANY, "*")
        if not own:
            belongs = f"; {matches[0]!r} belongs to {self._owners(matches[0])[0]!r}" if matches else ""
            raise MalformedError(f"missing annotation: no file {shown!r}{belongs or self._say_near(filled)}")
        if len(own) > 1:
            raise MalformedError(f"ambiguous annotation: {_some(own)} fit {shown!r}; make `files` narrower")
        others = [other for other in self._owners(own[0]) if _without_suffix(other) != _without_suffix(path)]
        if others and not self._settings.shared:
            raise MalformedError(
                f"ambiguous annotation: {own[0]!r} fits {_some(others)} too; name {{path}} or {{folder}} in `files`, "
                "or say `shared: true` if they share it"
            )
        return own[0]

    def is_annotation(self, file: str) -> bool:
        """Tell whether a file lies where annotations lie, whatever recording it belongs to."""
        return not is_audio(file) and self._shape.fullmatch(file) is not None

    def find_unclaimed(self) -> list[str]:
        """Return the files that lie where annotations lie and belong to no audio file."""
        return [file for file in self._files if self.is_annotation(file) and file not in self._claims]

    @cached_property
    def _claims(self) -> dict[str, list[tuple[int, str]]]:
        """File -> the audio files whose template fits it, each with how many characters of the file it says."""
        claims: dict[str, list[tuple[int, str]]] = {}
        for audio in self._audio:
            filled = fill_template(self._settings.files, audio)
            for file in self._matches(filled):
                claims.setdefault(file, []).append((_n_said(filled), audio))
        return claims

    def _owners(self, file: str) -> list[str]:
        claims = self._claims.get(file, [])
        most = max((said for said, _ in claims), default=0)
        return [audio for said, audio in claims if said == most]

    def _is_tightest(self, file: str, filled: str) -> bool:
        return all(said <= _n_said(filled) for said, _ in self._claims.get(file, []))

    def _matches(self, filled: str) -> list[str]:
        """Return the files that a filled template fits; only those that open as it does are looked at."""
        if filled in self._found:
            return self._found[filled]
        expression = _expression(filled)
        start = filled.split(_ANY, 1)[0]
        if _ANY not in filled:
            start = start.rpartition(".")[0] or start  # a suffix may differ in case
        first = bisect.bisect_left(self._files, start)
        found = [file for file in _while_prefix(self._files, first, start) if expression.fullmatch(file)]
        self._found[filled] = [file for file in found if file == filled] or found
        return self._found[filled]

    def _say_near(self, filled: str) -> str:
        """Return a hint at the file that was probably meant."""
        expression = _expression(fold_name(filled))
        start = fold_name(filled.split(_ANY, 1)[0]).rpartition(".")[0]
        first = bisect.bisect_left(self._folded, (start,))
        for folded, file in self._folded[first:]:
            if not folded.startswith(start):
                break
            if expression.fullmatch(folded):
                return f"; there is {file!r}: names must agree in case and Unicode form"
        folder, _, name = filled.rpartition("/")
        prefix = f"{folder}/" if folder else ""
        below = _while_prefix(self._files, bisect.bisect_left(self._files, prefix), prefix)
        beside = [rest for file in itertools.islice(below, _LOOKED_AT) if "/" not in (rest := file[len(prefix) :])]
        near = difflib.get_close_matches(name.replace(_ANY, ""), beside, n=1, cutoff=0.85)
        if near:
            return f"; the nearest is {prefix + near[0]!r}"
        return "" if beside or not folder else f"; there is no file in the folder {folder!r}"


def _n_said(filled: str) -> int:
    return len(filled) - filled.count(_ANY)


def _while_prefix(files: list[str], first: int, prefix: str) -> Iterator[str]:
    for index in range(first, len(files)):
        if not files[index].startswith(prefix):
            return
        yield files[index]


def _some(files: list[str]) -> str:
    shown = ", ".join(map(repr, files[:_SHOWN]))
    return shown if len(files) <= _SHOWN else f"{shown} and {len(files) - _SHOWN} more"


class AnnotationReader:
    """Reads the annotation file of each recording of a dataset; the files are listed once.

    Args:
        root: The dataset's folder.
        settings: Of its annotations.
        source: Who marked the events, for the events table.
    """

    def __init__(self, root: Path, settings: AnnotationSettings, source: str) -> None:
        self._root = root
        self._settings = settings
        self._source = source
        self._used: set[str] = set()
        self.index = AnnotationIndex(walk_files(root), settings)

    def read(self, recording: Recording) -> Iterator[Item]:
        """Yield what the annotation file of a recording holds; the recording itself must have been yielded."""
        try:
            file = self.index.find(recording.path)
        except MalformedError as error:
            reason = f"{error}; what {recording.path!r} holds is unknown"
            yield Rejection(recording.path, None, reason, event_of=recording.recording_id)
            return
        self._used.add(file)
        yield from read_annotations(self._root, file, recording, self._settings, self._source)

    def find_unused(self) -> Iterator[Notice]:
        """Yield a notice for each annotation file of no recording that was read; call it after all were."""
        for file in self.index.find_unclaimed():
            if file not in self._used:
                yield Notice("annotation_without_recording", file, "no audio file has this annotation; it is not read")


def read_annotations(
    root: Path, file: str, recording: Recording, settings: AnnotationSettings, source: str
) -> Iterator[Item]:
    """Yield the events of one annotation file, and a rejection for each that cannot be placed.

    Where the settings say that who wrote the file listened to all of its recording, and all of the file was read, an
    event of kind `ANNOTATED` spans the recording; it comes last.

    Args:
        root: The dataset's folder.
        file: The annotation file, relative to it.
        recording: Whose file it is; the audio is opened only for its sample rate or duration.
        settings: Of the dataset's annotations.
        source: Who marked the events.
    """
    recording_id = recording.recording_id
    try:
        if (root / file).stat().st_size > MAX_BYTES:
            raise MalformedError(f"too large: more than {MAX_BYTES // 2**20} MiB; is it an annotation file?")
        sample_rate_hz, duration_s = _sound_facts(root / recording.path, settings)
        annotation = parse_annotation(read_file(root / file), settings, sample_rate_hz, duration_s)
    except (MalformedError, OSError) as error:
        reason = f"unreadable: {error.strerror or error}" if isinstance(error, OSError) else str(error)
        yield Rejection(file, None, reason, event_of=recording_id)
        return
    for fault in annotation.faults:
        yield Rejection(file, fault.line, fault.reason, event_of=recording_id)
    for kind, text in annotation.notes.items():
        yield Notice(kind, file, text)
    if annotation.is_blank:
        known = settings.empty_file == "listened" and settings.listened == "whole"
        says = "nothing was heard, as `empty_file` says" if known else "what the recording holds is unknown"
        yield Notice("empty_annotation_file", file, f"the file holds no line; {says}")
        if not known:
            yield Event(recording_id, 0.0, math.inf, UNPLACED, source, file)
            return
    for event in annotation.events:
        yield Event(
            recording_id,
            event.start_s,
            event.end_s,
            event.kind,
            source,
            file,
            event.line,
            low_hz=event.low_hz,
            high_hz=event.high_hz,
        )
    if settings.listened == "whole" and not annotation.faults:
        yield Event(recording_id, 0.0, math.inf, ANNOTATED, source, file)


def _sound_facts(path: Path, settings: AnnotationSettings) -> tuple[int | None, float]:
    """Return the sample rate and the duration in s of a recording where the settings need them."""
    needs_rate = settings.unit == "samples" and settings.sample_rate_hz is None
    if not needs_rate and isinstance(settings.points, str):
        return None, math.inf
    try:
        info = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError) as error:
        if needs_rate:
            raise MalformedError(
                f"unit: the sample rate of {path.name!r} cannot be read ({error}); give `sample_rate_hz`"
            ) from None
        return None, math.inf
    return info.samplerate, info.frames / info.samplerate
