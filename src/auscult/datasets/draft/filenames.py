"""What the names of files and folders say: which part tells the patient, which the place, which a label."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from auscult.datasets.draft.words import FEMALE, MALE, PLACES, SOUNDS, fold, is_normal, is_unknown
from auscult.datasets.folder import split_name

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}|\d{2}\.\d{2}\.\d{4}|(?:19|20)\d{6}")
_SEPARATORS = re.compile(r"[_\-\s.]+")
_ID = re.compile(r"[A-Za-z]{1,8}[-_]?\d+[A-Za-z]?")
_VISIT = re.compile(r"(?:visit|v|session|day|tag|besuch|t)[-_ ]?\d+", re.IGNORECASE)
_RECORDING = re.compile(r"(?:rec|file|audio|track|clip|sample|take)[-_ ]?\d+", re.IGNORECASE)
MIN_ID_DIGITS = 5
MIN_PATIENTS_SHARE = 1 / 600
"""Fewer values than this share of the files are places or devices."""


@dataclass(frozen=True)
class Part:
    """A part of a name that all files have.

    Attributes:
        group: What its named group is called.
        role: `patient`, `label`, `sex`, `place`, `visit`, `date`, or None.
        values: What it is, file by file.
        score: How surely it is the patient; 0 to 10, 0 where it is not.
    """

    group: str
    role: str | None
    values: list[str]
    score: float = 0.0

    @property
    def n_distinct(self) -> int:
        """How many values it has."""
        return len(set(self.values))


@dataclass(frozen=True)
class NameGuess:
    """How files are named.

    Attributes:
        pattern: On the stem; None where that says nothing.
        path_pattern: On the path without suffix; None where the folders say nothing.
        parts: The groups of both.
        n_fit: Files that fit.
    """

    pattern: str | None
    path_pattern: str | None
    parts: list[Part]
    n_fit: int

    def part(self, role: str) -> Part | None:
        """Return the part of a role, the surest."""
        return max((part for part in self.parts if part.role == role), key=lambda part: part.score, default=None)


def split_stem(stem: str) -> list[tuple[str, bool]]:
    """Return a stem's parts and separators in turn; the flag tells a separator.

    >>> [part for part, _ in split_stem("2024-03-01_P007_left")]
    ['2024-03-01', '_', 'P007', '_', 'left']
    """
    parts: list[tuple[str, bool]] = []
    rest = stem
    while rest:
        date = _DATE.match(rest)
        match = date or _SEPARATORS.match(rest)
        if match is not None:
            parts.append((match.group(), date is None))
        else:
            match = re.match(r"[^_\-\s.]+", rest)
            if match is None:
                break
            parts.append((match.group(), False))
        rest = rest[match.end() :]
    return parts


def guess_names(audio: Sequence[str], taken: Collection[str] = ()) -> NameGuess:
    """Return what the names of all recordings have in common.

    Args:
        audio: Paths below the root.
        taken: Names of columns, which no group may have.
    """
    stems = [split_name(file)[0] for file in audio]
    pattern, parts, n_fit = _stem_parts(stems)
    folders = [file.split("/")[:-1] for file in audio]
    path_pattern = None
    folder_parts: list[Part] = []
    levels: list[list[str]] = []
    depths = {len(names) for names in folders}
    if len(depths) == 1 and depths != {0}:
        levels = [[names[level] for names in folders] for level in range(depths.pop())]
        folder_parts = [
            _judge(f"folder{n}", values, is_folder=True) for n, values in enumerate(levels, 1) if len(set(values)) > 1
        ]
    both = _settle([*folder_parts, *parts], taken)
    renamed = {old.group: new.group for old, new in zip([*folder_parts, *parts], both, strict=True)}
    if folder_parts:
        named = iter(folder_parts)
        texts = [_group(next(named).group, "[^/]+") if len(set(v)) > 1 else re.escape(v[0]) for v in levels]
        path_pattern = "/".join([*texts, "[^/]+"])
    if not parts:
        pattern = None
    return NameGuess(_rename(pattern, renamed), _rename(path_pattern, renamed), both, n_fit)


def _group(name: str, text: str) -> str:
    return f"(?P<{name}>{text})"


def _rename(pattern: str | None, names: dict[str, str]) -> str | None:
    return None if pattern is None else re.sub(r"\?P<(\w+)>", lambda match: f"?P<{names[match[1]]}>", pattern)


def _stem_parts(stems: Sequence[str]) -> tuple[str | None, list[Part], int]:
    """Return the pattern of the one shape of the stems and its groups."""
    split = [split_stem(stem) for stem in stems]
    shapes = Counter(tuple("/" if is_mark else "x" for _, is_mark in parts) for parts in split)
    shape, n_fit = shapes.most_common(1)[0]
    if n_fit < len(stems) or len(shape) < 1:
        return _by_id_alone(stems)
    parts: list[Part] = []
    texts: list[str] = []
    for place, kind in enumerate(shape):
        values = [parts_of[place][0] for parts_of in split]
        if kind == "/" or len(set(values)) == 1:
            texts.append(re.escape(values[0]) if len(set(values)) == 1 else r"[_\-\s.]+")
            continue
        part = _judge(f"part{len(parts) + 1}", values)
        parts.append(part)
        texts.append(_group(part.group, _form(values)))
    return "".join(texts), parts, n_fit


def _by_id_alone(stems: Sequence[str]) -> tuple[str | None, list[Part], int]:
    """Where names have several shapes: take out what looks like a patient's id, if every name holds one."""
    text = r"(?:(?:.*[_\-\s.])?(?P<part1>(?:[Pp]|[Pp]at|[Ss]ub|[Ss]ubj)[-_]?\d+)(?:[_\-\s.].*)?)"
    matches = [re.fullmatch(text, stem) for stem in stems]
    values = [match["part1"] for match in matches if match is not None]
    if len(values) < len(stems):
        return None, [], 0
    return text, [_judge("part1", values)], len(values)


def _form(values: Sequence[str]) -> str:
    for form in ("[0-9]+", "[A-Za-z]+", "[A-Za-z]+[0-9]+", r"\d{4}-\d{2}-\d{2}"):
        if all(re.fullmatch(form, value) for value in values):
            return form
    return r"[^_\-\s.]+" if not any(re.search(r"[_\-\s.]", value) for value in values) else ".+?"


def _judge(group: str, values: list[str], *, is_folder: bool = False) -> Part:
    """Tell what a part of the names is by its values."""
    distinct = set(values)
    folded = {fold(value) for value in distinct}
    n = len(distinct)
    if all(_DATE.fullmatch(value) for value in distinct):
        return Part(group, "date", values)
    if folded <= (FEMALE | MALE) and folded & FEMALE and folded & MALE:
        return Part(group, "sex", values)
    if all(SOUNDS.search(value) or is_normal(value) or is_unknown(value) for value in distinct) and not all(
        value.isdigit() for value in distinct
    ):
        return Part(group, "label", values)
    if folded <= PLACES:
        return Part(group, "place", values)
    if all(_VISIT.fullmatch(value) for value in distinct) and n <= 12 and "t" not in {v[0] for v in folded if n > 6}:
        return Part(group, "visit", values)
    if all(_RECORDING.fullmatch(value) for value in distinct):
        return Part(group, None, values)
    return Part(group, None, values, _patient_score(values, is_folder=is_folder))


def _patient_score(values: Sequence[str], *, is_folder: bool) -> float:
    """Return how much a part looks like patients: ids or names that several files share."""
    distinct = set(values)
    n = len(distinct)
    if n < 3 or n < MIN_PATIENTS_SHARE * len(values):
        return 0.0
    if n == len(values) and not all(re.match(r"(?i)p|sub", value) for value in distinct):
        return 0.0
    score = 1.0 + is_folder
    if all(_ID.fullmatch(value) for value in distinct):
        score += 3 + 2 * all(value[0] in "PpSs" for value in distinct)
    elif all(value.isalpha() and len(value) > 2 for value in distinct):
        score += 2
    elif all(value.isdigit() for value in distinct):
        widths = {len(value) for value in distinct}
        # Long numbers are ids; shorter ones count something.
        score += 3.0 if min(widths) >= MIN_ID_DIGITS else 1.5 if min(widths) >= 3 else 0.0
        counts = Counter(values)
        # A running number: each value as often as any other, from 0 or 1 without a gap.
        numbers = sorted(map(int, distinct))
        if numbers[0] in (0, 1) and numbers[-1] - numbers[0] == n - 1 and len(set(counts.values())) <= 3:
            score -= 1
    return max(score, 0.0)


def _settle(parts: list[Part], taken: Collection[str]) -> list[Part]:
    """Give the surest part the role of the patient, and every role its group's name."""
    best = max(parts, key=lambda part: part.score, default=None)
    has_label = any(part.role == "label" for part in parts)
    settled: list[Part] = []
    used: set[str] = set()
    for part in parts:
        role = part.role
        if part is best and part.score >= 2:
            role = "patient"
        elif role is None and not has_label and part is not parts[-1] and _is_digit_class(part):
            role, has_label = "label", True
        group = role if role and role not in used else part.group
        group = f"name_{group}" if group in taken else group
        used.add(group)
        settled.append(Part(group, role, part.values, part.score))
    return settled


def _is_digit_class(part: Part) -> bool:
    """Tell whether a part is one digit, of at least four: what stands last in a name is the number of a take."""
    return 4 <= part.n_distinct <= 10 and all(len(value) == 1 and value.isdigit() for value in part.values)
