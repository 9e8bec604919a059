"""From a survey to the settings of a dataset in the layout `manifest`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from auscult.datasets.draft.annotations import guess_annotations
from auscult.datasets.draft.columns import (
    SURE,
    ColumnGuesser,
    Source,
    find_wide,
    label_score,
    label_settings,
    patient_score,
)
from auscult.datasets.draft.filenames import Part, guess_names
from auscult.datasets.draft.joins import Joined, find_joins
from auscult.datasets.draft.paths import AudioIndex, PathGuess, guess_path
from auscult.datasets.draft.proposal import Ask, Proposal
from auscult.datasets.draft.survey import Sheet, Survey
from auscult.datasets.draft.values import codebook, distinct
from auscult.datasets.draft.words import is_called, is_unknown
from auscult.datasets.readers.cells import tidy_id
from auscult.errors import ConfigError, unknown_name
from auscult.formatting.numbers import plural

MIN_LABEL_SCORE = 2.0
_ORDER = ("path", "patient", "site", "device", "age_years", "sex", "start_s", "end_s", "event", "labels", "attributes")


def propose_dataset(
    survey: Survey, *, ask: Ask | None = None, label: str | None = None, patient: str | None = None
) -> Proposal:
    """Return the settings of the dataset that a folder seems to be, without name and root.

    Args:
        survey: Of the folder.
        ask: Asks where a guess is not sure; None: the best guess is taken.
        label: The column of labels.
        patient: The column of patients, or a pattern on the stem with the group `patient`.

    Raises:
        ConfigError: There is no such column.
    """
    return _Drafter(survey, Proposal(ask=ask, label=label, patient=patient)).run()


class _Drafter:
    def __init__(self, survey: Survey, proposal: Proposal) -> None:
        self._survey = survey
        self._draft = proposal
        self._index = AudioIndex(survey.audio)
        self._names = guess_names(survey.audio, {name for sheet in survey.sheets for name in sheet.columns})
        self._path: PathGuess | None = guess_path(survey.sheets, self._index)
        self._sources: list[Source] = []
        self._joins: list[Joined] = []
        self._groups: set[str] = set()
        self._position: tuple[str, list[str]] | None = None

    def run(self) -> Proposal:
        draft = self._draft
        draft.settings["layout"] = "manifest"
        if self._path is not None:
            self._read_table(self._path)
        self._joins = find_joins(self._survey.sheets, self._path, self._names)
        joined = [source for join in self._joins for source in join.sources]
        guesser = ColumnGuesser([*self._sources, *joined], codebook(self._survey.sheets), draft.say)
        columns = draft.columns
        if self._path is not None:
            self._say_path(self._path)
        self._take_rows(guesser)
        self._patient(guesser)
        self._labels(guesser)
        guesser.facts(columns)
        self._name_facts()
        guess_annotations(self._survey, draft, has_labels=bool(columns.get("labels")))
        if not columns.get("labels") and "annotations" not in draft.settings and "event" not in columns:
            self._label_of_last_resort(guesser)
        self._write_joins()
        self._write_patterns()
        draft.doubts += guesser.doubts
        self._say_unused(guesser)
        draft.settings["columns"] = {key: columns[key] for key in _ORDER if key in columns}
        if not draft.settings["columns"]:
            del draft.settings["columns"]
        return draft

    def _read_table(self, path: PathGuess) -> None:
        sheet = path.sheet
        wide: dict[str, tuple[str, list[str]]] = {}
        if len(path.columns) > 1:
            self._position = find_wide(path.columns)
        if self._position is not None:
            wide = _other_wide(sheet, self._position[1])
            wide[self._position[0]] = (self._position[0], list(path.columns))
        taken = {name for _, names in wide.values() for name in names} | {path.column}
        for form, (_, names) in wide.items():
            if form == (self._position or ("",))[0]:
                continue
            cells = [row[name] for row in sheet.rows for name in names]
            self._sources.append(Source(form, form.replace("{position}", "").strip("_ -"), cells))
        repeat = len(path.columns) if self._position is not None else 1
        for name in sheet.columns:
            if name not in taken:
                self._sources.append(Source(name, name, [row[name] for row in sheet.rows for _ in range(repeat)]))

    def _say_path(self, path: PathGuess) -> None:
        draft = self._draft
        draft.settings["manifest"] = path.sheet.file
        if path.sheet.sheet is not None:
            draft.settings["table"] = {"sheet": path.sheet.sheet}
        name = path.column if self._position is None else self._position[0]
        draft.columns["path"] = {"column": name, "template": path.template} if path.template else name
        n_audio = len(self._survey.audio)
        found = f"{path.n_found} of {path.n_filled} cells lead to a file, to {len(path.files)} of {n_audio} files"
        draft.say(found, "columns", "path")
        draft.say(plural(len(path.sheet.rows), "row"), "manifest")
        if self._position is not None:
            draft.settings["wide"] = {"name": "position", "values": self._position[1]}
            draft.say(f"{len(self._position[1])} recordings in a row", "wide")

    def _take_rows(self, guesser: ColumnGuesser) -> None:
        """Where several rows name one file: they are events, or the words of several raters."""
        path, draft = self._path, self._draft
        if path is None or path.n_found <= len(path.files) or self._position is not None:
            return
        start, end = (next((s for s in guesser.left.values() if is_called(s.plain, role)), None) for role in ("start", "end"))
        if start is not None and end is not None and start is not end:
            kind = max(guesser.left.values(), key=label_score)
            if label_score(kind) > 0:
                draft.columns.update({"start_s": start.name, "end_s": end.name, "event": kind.name})
                draft.say(f"events: {plural(len(distinct(kind.filled)), 'kind')}", "columns", "event")
                for source in (start, end, kind):
                    del guesser.left[source.name]
                return
        rater = next((s for s in guesser.left.values() if is_called(s.plain, "rater")), None)
        if rater is not None:
            draft.settings["raters"] = {"column": rater.name, "keep": "agreement"}
            draft.say("where they differ the label is unknown", "raters")
            del guesser.left[rater.name]

    def _patient(self, guesser: ColumnGuesser) -> None:
        draft, wanted = self._draft, self._draft.patient
        if wanted is not None and "(?P<patient>" in wanted:
            _check_pattern(wanted, self._survey.audio)
            draft.settings["pattern"] = wanted
            draft.columns["patient"] = "patient"
            return
        if wanted is not None:
            source = _named(wanted, guesser)
            self._say_patient(source.name, source.filled, "as you said")
            return
        n_recordings = len(self._survey.audio)
        scores = {name: patient_score(source, n_recordings=n_recordings) for name, source in guesser.left.items()}
        part = self._names.part("patient")
        best = max(scores, key=lambda name: scores[name], default=None)
        group = None if part is None else f"{part.group} (in the names of files)"
        likely = sorted((name for name, score in scores.items() if score >= 2.0), key=lambda name: -scores[name])
        answers = [*likely, *([group] if group else [])]
        if not answers:
            draft.doubts.append(
                "No patient was found: every recording counts as a person of its own, and one who was recorded twice may be "
                "trained on and tested on. `--patient COLUMN` or `--patient PATTERN` says who is who."
            )
            return
        is_named = best is not None and scores[best] >= SURE
        guess = best if is_named or group is None or (best is not None and scores[best] >= 3.0) else group
        rivals = [name for name in answers if scores.get(name, SURE) >= SURE]
        chosen = draft.choose(
            "Which column tells one patient from another?", answers, str(guess), is_sure=is_named or len(rivals) < 2
        )
        if chosen == group and part is not None:
            self._groups.add(part.group)
            self._say_patient(part.group, part.values, "in the names of the files")
        else:
            self._say_patient(chosen, guesser.left[chosen].filled, "")
            del guesser.left[chosen]

    def _say_patient(self, name: str, values: Sequence[str], how: str) -> None:
        counts = Counter(tidy_id(value) for value in values)
        self._draft.columns["patient"] = name
        where = f", {how}" if how else ""
        said = f"{plural(len(counts), 'patient')} in {plural(len(values), 'recording')}{where}"
        self._draft.say(said, "columns", "patient")

    def _labels(self, guesser: ColumnGuesser) -> None:
        draft = self._draft
        labels: dict[str, Any] = {}
        sheet = None if self._path is None else self._path.sheet
        labels |= guesser.boxes(sheet) if draft.label is None else {}
        scores = {name: label_score(source) for name, source in guesser.left.items()}
        likely = sorted((n for n, s in scores.items() if s >= MIN_LABEL_SCORE), key=lambda n: -scores[n])
        if draft.label is not None:
            likely = [_named(draft.label, guesser).name]
        elif not labels and likely:
            first = likely[0]
            is_sure = len(likely) == 1 or scores[first] - scores[likely[1]] >= 1.0
            chosen = draft.choose("Which column is the label?", likely, first, is_sure=is_sure)
            likely = [chosen, *(name for name in likely if name != chosen)]
        for name in likely:
            source = guesser.left.pop(name)
            key = _label_name(source.plain, labels)
            labels[key], note = label_settings(source)
            draft.say(note, "columns", "labels", key)
        part = self._names.part("label")
        if not labels and part is not None:
            labels[part.group] = self._name_label(part)
        if labels:
            draft.columns["labels"] = labels

    def _name_label(self, part: Part) -> Any:
        self._groups.add(part.group)
        counts = distinct(part.values)
        shown = ", ".join(f"{value} ({count})" for value, count in counts.most_common(8))
        self._draft.say(f"in the names: {shown}", "columns", "labels", part.group)
        strange = [value for value in counts if is_unknown(value)]
        return {"column": part.group, "values": dict.fromkeys(strange)} if strange else part.group

    def _label_of_last_resort(self, guesser: ColumnGuesser) -> None:
        """Where nothing is called a label: a column, or a part of the names, with few values."""
        draft = self._draft
        scores = {name: score for name, source in guesser.left.items() if (score := label_score(source)) > 0}
        parts = {
            part.group: part
            for part in self._names.parts
            if part.role is None and 2 <= part.n_distinct <= 12 and part.n_distinct < 0.2 * len(part.values)
        }
        answers = [*sorted(scores, key=lambda name: -scores[name]), *parts]
        if not answers:
            draft.doubts.append("No label was found; `--label COLUMN` names its column.")
            return
        chosen = draft.choose("Which is the label? No name says so.", answers, answers[0], is_sure=False)
        if chosen in parts:
            draft.columns["labels"] = {chosen: self._name_label(parts[chosen])}
            return
        source = guesser.left.pop(chosen)
        key = _label_name(source.plain, {})
        settings, note = label_settings(source)
        draft.columns["labels"] = {key: settings}
        draft.say(note, "columns", "labels", key)

    def _name_facts(self) -> None:
        """Take from the names what no column says: sex, place, visit, date."""
        columns = self._draft.columns
        if self._path is not None and not self._groups:
            return
        for part in self._names.parts:
            if part.role == "sex" and "sex" not in columns:
                columns["sex"] = part.group
            elif part.role in ("place", "visit", "date") and part.role not in columns.get("attributes", {}):
                columns.setdefault("attributes", {})[part.role] = part.group
            else:
                continue
            self._groups.add(part.group)
            place = ("sex",) if part.role == "sex" else ("attributes", part.role)
            self._draft.say("in the names of the files", "columns", *place)

    def _write_patterns(self) -> None:
        groups = self._groups | {join.on for join in self._joins if join.is_group and join.used}
        for key, text in (("pattern", self._names.pattern), ("path_pattern", self._names.path_pattern)):
            held = set(re.findall(r"\?P<(\w+)>", text or ""))
            if text is not None and held & groups and key not in self._draft.settings:
                kept = re.sub(r"\(\?P<(\w+)>", lambda match: match[0] if match[1] in groups else "(?:", text)
                self._draft.settings[key] = kept
                self._draft.say(f"all {len(self._survey.audio)} names fit", key)

    def _write_joins(self) -> None:
        """Keep the joined tables that the columns name."""
        written = str(self._draft.columns)
        kept = [join for join in self._joins if any(repr(source.name) in written for source in join.sources)]
        for number, join in enumerate(kept):
            join.used = True
            self._draft.settings.setdefault("join", []).append(join.settings)
            self._draft.say(join.comment, "join", str(number))

    def _say_unused(self, guesser: ColumnGuesser) -> None:
        draft = self._draft
        kept = {join.sheet.title for join in self._joins if join.used}
        kept |= {self._path.sheet.title} if self._path else set()
        left = {source.plain for source in guesser.left.values()}
        for sheet in self._survey.sheets:
            names = [name for name in sheet.columns if name in left]
            if sheet.title not in kept:
                draft.unused.append(f"{sheet.title}: no column of it leads to the recordings")
            elif names:
                draft.unused.append(f"{sheet.title}: {plural(len(names), 'column')} {', '.join(names[:8])}")
        draft.unused += [f"{file}: {reason}" for file, reason in list(self._survey.unused.items())[:20]]


def _other_wide(sheet: Sheet, values: Sequence[str]) -> dict[str, tuple[str, list[str]]]:
    """Return the other columns that stand once for each of the values: form -> (form, columns)."""
    found: dict[str, tuple[str, list[str]]] = {}
    first = values[0]
    for name in sheet.columns:
        if name.endswith(first):
            before, after = name[: -len(first)], ""
        elif name.startswith(first):
            before, after = "", name[len(first) :]
        else:
            continue
        names = [f"{before}{value}{after}" for value in values]
        if all(other in sheet.columns for other in names):
            form = f"{before}{{position}}{after}"
            found[form] = (form, names)
    return found


def _named(wanted: str, guesser: ColumnGuesser) -> Source:
    for source in guesser.left.values():
        if wanted.casefold() in (source.name.casefold(), source.plain.casefold()):
            return source
    raise ConfigError(unknown_name("column", wanted, list(guesser.left)))


def _check_pattern(pattern: str, audio: Sequence[str]) -> None:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"--patient: {pattern!r} is no regular expression: {error}") from error
    stems = [file.rsplit("/", 1)[-1].rpartition(".")[0] for file in audio]
    odd = [stem for stem in stems if expression.fullmatch(stem) is None]
    if odd:
        raise ConfigError(f"--patient: {len(odd)} of {len(stems)} names do not fit {pattern!r}, such as {odd[0]!r}")


def _label_name(plain: str, taken: dict[str, Any]) -> str:
    name = re.sub(r"\W+", "_", plain.casefold()).strip("_") or "label"
    return name if name not in taken else f"{name}_{len(taken) + 1}"
