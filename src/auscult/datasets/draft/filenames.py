"""What the names of files and folders say: which part tells the patient, which the place, which a label."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from auscult.datasets.draft.words import FEMALE, MALE, PLACES, SOUNDS, fold, is_normal, is_unknown
from auscult.datasets.folder import split_name

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}|\d{2}\.\d{2}\.\d{4}|(?:19|20)\d{6}")
_PARTS = re.compile(rf"{_DATE.pattern}|(?P<mark>[_\-\s.]+)|[^_\-\s.]+")
_MARK = r"[_\-\s.]+"
_ID = re.compile(r"[A-Za-z]{1,8}[-_]?\d+[A-Za-z]?")
_VISIT = re.compile(r"(?:visit|v|session|day|tag|besuch)[-_ ]?\d+", re.IGNORECASE)
_RECORDING = re.compile(r"(?:rec|file|audio|track|clip|sample|take)[-_ ]?\d+", re.IGNORECASE)
MIN_ID_DIGITS = 5
MIN_PATIENTS_SHARE = 1 / 600
"""Fewer values than this share of the files are places or devices."""
MIN_SCORE = 2.0


@dataclass(frozen=True)
class Part:
    """A part of a name that all files have.

    Attributes:
        group: What its named group is called.
        role: `patient`, `label`, `sex`, `place`, `visit`, `date`, or None.
        values: What it is, file by file.
        score: How surely it is the patient; 0 where it is not.
    """

    group: str
    role: str | None
    values: list[str]
    score: float = 0.0


@dataclass(frozen=True)
class NameGuess:
    """How files are named: patterns on stem and on path without suffix (None where they say nothing), their groups."""

    pattern: str | None
    path_pattern: str | None
    parts: list[Part]

    def part(self, role: str) -> Part | None:
        """Return the part of a role, the surest."""
        return max((part for part in self.parts if part.role == role), key=lambda part: part.score, default=None)


def split_stem(stem: str) -> list[tuple[str, bool]]:
    """Return a stem's parts and the marks between them, in turn; the flag tells a mark.

    >>> [part for part, _ in split_stem("2024-03-01_P007_left")]
    ['2024-03-01', '_', 'P007', '_', 'left']
    """
    return [(match.group(), match["mark"] is not None) for match in _PARTS.finditer(stem)]


def guess_names(audio: Sequence[str], taken: Collection[str] = ()) -> NameGuess:
    """Return what the names of all recordings have in common.

    Args:
        audio: Paths below the root.
        taken: Names of columns, which no group may have.
    """
    folders = _folder_texts([file.split("/")[:-1] for file in audio])
    stem = _stem_texts([split_name(file)[0] for file in audio])
    parts = _settle([text for text in [*folders, *stem] if isinstance(text, Part)], taken)
    n_folders = sum(isinstance(text, Part) for text in folders)
    path_pattern = "/".join([*_written(folders, parts[:n_folders], "[^/]+"), "[^/]+"]) if n_folders else None
    pattern = "".join(_written(stem, parts[n_folders:])) if len(parts) > n_folders else None
    return NameGuess(pattern, path_pattern, parts)


def _written(texts: Sequence[str | Part], named: Sequence[Part], form: str | None = None) -> Iterator[str]:
    """Yield the pattern of each text; a part has the name that it was given in the end."""
    left = iter(named)
    for text in texts:
        part = next(left) if isinstance(text, Part) else None
        yield str(text) if part is None else f"(?P<{part.group}>{form or _form(part.values)})"


def _folder_texts(folders: Sequence[Sequence[str]]) -> list[str | Part]:
    """Return a part for each level of folders, or its name where it has but one; empty where depths differ."""
    depths = {len(names) for names in folders}
    if len(depths) > 1:
        return []
    levels = [[names[level] for names in folders] for level in range(depths.pop())]
    return [
        _judge(f"folder{number}", values, is_folder=True) if len(set(values)) > 1 else re.escape(values[0])
        for number, values in enumerate(levels, 1)
    ]


def _stem_texts(stems: Sequence[str]) -> list[str | Part]:
    """Return the parts and marks of the one shape that all stems have; empty where there are several."""
    split = [split_stem(stem) for stem in stems]
    if len({tuple(is_mark for _, is_mark in texts) for texts in split}) > 1:
        return []
    found: list[str | Part] = []
    for number, texts in enumerate(zip(*split, strict=True)):
        values = [value for value, _ in texts]
        if len(set(values)) == 1:
            found.append(re.escape(values[0]))
        else:
            found.append(_MARK if texts[0][1] else _judge(f"part{number // 2 + 1}", values))
    return found


def _form(values: Sequence[str]) -> str:
    for form in ("[0-9]+", "[A-Za-z]+", "[A-Za-z]+[0-9]+", r"\d{4}-\d{2}-\d{2}"):
        if all(re.fullmatch(form, value) for value in values):
            return form
    return ".+?" if any(re.search(_MARK, value) for value in values) else r"[^_\-\s.]+"


def _judge(group: str, values: list[str], *, is_folder: bool = False) -> Part:
    """Tell what a part of the names is by its values."""
    role = _role(set(values))
    if role is not None or all(_RECORDING.fullmatch(value) for value in values):
        return Part(group, role, values)
    return Part(group, None, values, _patient_score(values, is_folder=is_folder))


def _role(values: set[str]) -> str | None:
    folded = {fold(value) for value in values}
    is_said = {
        "date": all(_DATE.fullmatch(value) for value in values),
        "sex": folded <= (FEMALE | MALE) and folded & FEMALE and folded & MALE,
        "label": all(SOUNDS.search(value) or is_normal(value) or is_unknown(value) for value in values)
        and not all(value.isdigit() for value in values),
        "place": folded <= PLACES,
        "visit": all(_VISIT.fullmatch(value) for value in values),
    }
    return next((role for role, is_so in is_said.items() if is_so), None)


def _patient_score(values: Sequence[str], *, is_folder: bool) -> float:
    """Return how much a part looks like patients: ids or names that several files share."""
    counts = Counter(values)
    n = len(counts)
    if n < 3 or n < MIN_PATIENTS_SHARE * len(values):
        return 0.0
    if n == len(values) and not all(re.match(r"(?i)p|sub", value) for value in counts):
        return 0.0
    score = 1.0 + is_folder
    if all(_ID.fullmatch(value) for value in counts):
        return score + 3 + 2 * all(value[0] in "PpSs" for value in counts)
    if all(value.isalpha() and len(value) > 2 for value in counts):
        return score + 2
    if all(value.isdigit() for value in counts):
        width = min(map(len, counts))
        # Long numbers are ids; shorter ones count something.
        score += 3.0 if width >= MIN_ID_DIGITS else 1.5 if width >= 3 else 0.0
        numbers = sorted(map(int, counts))
        is_running = numbers[0] in (0, 1) and numbers[-1] - numbers[0] == n - 1
        # A running number stands as often as any other.
        score -= is_running and len(set(counts.values())) <= 3
    return max(score, 0.0)


def _settle(parts: list[Part], taken: Collection[str]) -> list[Part]:
    """Give the surest part the role of the patient, and every role its group's name."""
    best = max(parts, key=lambda part: part.score, default=None)
    has_label = any(part.role == "label" for part in parts)
    settled: list[Part] = []
    used: set[str] = set()
    for part in parts:
        role = part.role
        if part is best and part.score >= MIN_SCORE:
            role = "patient"
        elif role is None and not has_label and part is not parts[-1] and _is_digit_class(part):
            role, has_label = "label", True
        group = role if role and role not in used else part.group
        group = f"name_{group}" if group in taken else group
        used.add(group)
        settled.append(replace(part, group=group, role=role))
    return settled


def _is_digit_class(part: Part) -> bool:
    """Tell whether a part is one digit, of at least four: what stands last in a name is the number of a take."""
    return 4 <= len(set(part.values)) <= 10 and all(len(value) == 1 and value.isdigit() for value in part.values)
