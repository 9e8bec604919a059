"""From a survey to the settings of a dataset in the layout `manifest`."""

from __future__ import annotations

import re
from typing import Any

from auscult.config.columns import Columns
from auscult.datasets.draft.annotations import guess_annotations
from auscult.datasets.draft.columns import (
    SURE,
    ColumnGuesser,
    Source,
    label_score,
    label_settings,
    patient_score,
)
from auscult.datasets.draft.filenames import Part, guess_names
from auscult.datasets.draft.joins import find_joins
from auscult.datasets.draft.paths import PathGuess, guess_path
from auscult.datasets.draft.proposal import Ask, Proposal
from auscult.datasets.draft.survey import Survey
from auscult.datasets.draft.values import codebook, distinct
from auscult.datasets.draft.wide import MARK, Wide, find_wide
from auscult.datasets.readers.cells import tidy_id
from auscult.formatting.numbers import plural

MIN_LABEL_SCORE = 2.0
MIN_PATIENT_SCORE = 2.0
MIN_SCORE_BEFORE_NAMES = 3.0
"""A column of patients that is less sure than this gives way to ids in the names of files."""
MAX_UNUSED = 20
_KEYS = ("layout", "manifest", "table", "wide", "raters", "pattern", "path_pattern", "columns", "join", "annotations")
NO_PATIENT = (
    "No patient was found: every recording counts as a person of its own, and one who was recorded twice may be "
    "trained on and tested on. Name a column under `columns.patient`, or a group `patient` in `pattern`."
)


def propose_dataset(survey: Survey, ask: Ask | None = None) -> Proposal:
    """Return the settings of the dataset that a folder seems to be, without name and root.

    Args:
        survey: Of the folder.
        ask: Asks where a guess is not sure; None: the best guess is taken.
    """
    return _Drafter(survey, Proposal(ask)).run()


class _Drafter:
    def __init__(self, survey: Survey, proposal: Proposal) -> None:
        self._survey = survey
        self._draft = proposal
        self._names = guess_names(survey.audio, {name for sheet in survey.sheets for name in sheet.columns})
        path = guess_path(survey.sheets, survey.audio)
        self._path = path
        self._wide = None if path is None else find_wide(path.columns, path.sheet.columns)
        self._joins = find_joins(survey.sheets, path, self._names)
        self._groups: set[str] = set()
        sources = [] if path is None else _sources(path, self._wide)
        sources += [source for join in self._joins for source in join.sources]
        self._guesser = ColumnGuesser(sources, codebook(survey.sheets), proposal)

    def run(self) -> Proposal:
        draft, columns = self._draft, self._draft.columns
        draft.settings["layout"] = "manifest"
        if self._path is not None:
            self._table(self._path)
            self._rows(self._path)
        self._patient()
        self._labels()
        self._guesser.facts()
        self._name_facts()
        guess_annotations(self._survey, draft, has_labels="labels" in columns)
        if not {"labels", "event"} & set(columns) and "annotations" not in draft.settings:
            self._label_of_last_resort()
        self._write_joins()
        self._write_patterns()
        self._say_unused()
        settings = draft.settings | {"columns": {key: columns[key] for key in Columns.model_fields if columns.get(key)}}
        draft.settings = {key: settings[key] for key in _KEYS if key in settings}
        return draft

    def _table(self, path: PathGuess) -> None:
        draft = self._draft
        draft.settings["manifest"] = path.sheet.file
        if path.sheet.sheet is not None:
            draft.settings["table"] = {"sheet": path.sheet.sheet}
        name = path.column
        if self._wide is not None:
            name = next(form for form, names in self._wide.columns.items() if path.column in names)
            draft.settings["wide"] = {"name": MARK.strip("{}"), "values": self._wide.values}
            draft.say(f"{len(self._wide.values)} recordings in a row", "wide")
        n_audio = len(self._survey.audio)
        found = f"{path.n_found} of {path.n_filled} cells lead to a file, to {len(path.files)} of {n_audio} files"
        draft.put("path", {"column": name, "template": path.template} if path.template else name, found)
        draft.say(plural(len(path.sheet.rows), "row"), "manifest")

    def _rows(self, path: PathGuess) -> None:
        """Where several rows name one file: they are events, or the words of several raters."""
        draft, guesser = self._draft, self._guesser
        if path.n_found <= len(path.files):
            return
        start, end, rater = (guesser.first(role) for role in ("start", "end", "rater"))
        if start and end and start is not end and (kind := self._kind(start)):
            draft.columns.update({"start_s": start.name, "end_s": end.name, "event": kind.name})
            draft.say(f"events: {plural(len(distinct(kind.filled)), 'kind')}", "columns", "event")
            guesser.take(start, end, kind)
        elif rater is not None:
            draft.settings["raters"] = {"column": rater.name, "keep": "agreement"}
            draft.say("where they differ the label is unknown", "raters")
            guesser.take(rater)

    def _kind(self, start: Source) -> Source | None:
        """Return the column that says what an event is: the one that stands just where its start stands."""
        likely = [source for source in self._guesser.left.values() if label_score(source) > 0]

        def fit(source: Source) -> tuple[int, float]:
            pairs = zip(source.cells, start.cells, strict=True)
            return sum(bool(kind.strip()) == bool(time.strip()) for kind, time in pairs), label_score(source)

        return max(likely, key=fit, default=None)

    def _patient(self) -> None:
        draft, guesser = self._draft, self._guesser
        n_recordings = len(self._survey.audio)
        scores = {name: patient_score(source, n_recordings) for name, source in guesser.left.items()}
        likely = sorted((n for n in scores if scores[n] >= MIN_PATIENT_SCORE), key=lambda name: -scores[name])
        part = self._names.part("patient")
        answers = list(likely)
        if part is not None:
            is_column = bool(likely) and scores[likely[0]] >= MIN_SCORE_BEFORE_NAMES
            answers.insert(int(is_column), f"{part.group} (in the names of files)")
        if not answers:
            draft.doubts.append(NO_PATIENT)
            return
        n_sure = sum(score >= SURE for score in scores.values())
        chosen = draft.choose("Which column tells one patient from another?", answers, answers[0], is_sure=n_sure == 1)
        if chosen in guesser.left:
            source = guesser.left[chosen]
            name, values, where = source.name, source.filled, "row"
            guesser.take(source)
        elif part is not None:
            name, values, where = part.group, part.values, "name"
            self._groups.add(part.group)
        else:
            raise ValueError(f"{chosen!r} is none of {answers}")
        n_patients = len({tidy_id(value) for value in values})
        draft.put("patient", name, f"{plural(n_patients, 'patient')} in {plural(len(values), where)}")

    def _labels(self) -> None:
        draft, guesser = self._draft, self._guesser
        labels: dict[str, Any] = {} if self._path is None else guesser.boxes(self._path.sheet)
        if labels:
            draft.columns["labels"] = labels
        scores = {name: label_score(source) for name, source in guesser.left.items()}
        likely = sorted((n for n in scores if scores[n] >= MIN_LABEL_SCORE), key=lambda name: -scores[name])
        if likely and not labels:
            is_sure = len(likely) == 1 or scores[likely[0]] - scores[likely[1]] >= 1.0
            chosen = draft.choose("Which column is the label?", likely, likely[0], is_sure=is_sure)
            likely = [chosen, *(name for name in likely if name != chosen)]
        for name in likely:
            self._add_label(guesser.left[name])
        part = self._names.part("label")
        if part is not None and "labels" not in draft.columns:
            self._add_label(Source(part.group, part.group, part.values))

    def _add_label(self, source: Source) -> None:
        labels = self._draft.columns.setdefault("labels", {})
        key = re.sub(r"\W+", "_", source.plain.casefold()).strip("_") or "label"
        key = key if key not in labels else f"{key}_{len(labels) + 1}"
        labels[key], note = label_settings(source)
        self._draft.say(note, "columns", "labels", key)
        if source.name in self._guesser.left:
            self._guesser.take(source)
        else:
            self._groups.add(source.name)

    def _label_of_last_resort(self) -> None:
        """Where nothing is called a label: a column, or a part of the names, with few values that are no numbers."""
        scores = {name: score for name, source in self._guesser.left.items() if (score := label_score(source)) > 0}
        sources = {name: self._guesser.left[name] for name in sorted(scores, key=lambda name: -scores[name])}
        sources |= {
            part.group: Source(part.group, part.group, part.values) for part in self._names.parts if _is_few(part)
        }
        if sources:
            names = list(sources)
            chosen = self._draft.choose("Which is the label? No name says so.", names, names[0], is_sure=False)
            self._add_label(sources[chosen])

    def _name_facts(self) -> None:
        """Take from the names what no column says: sex, place, visit, date."""
        if self._path is not None and not self._groups:
            return
        for part in self._names.parts:
            if part.role in ("sex", "place", "visit", "date") and part.role not in self._draft.section(part.role)[0]:
                self._draft.put(part.role, part.group, "in the names of the files")
                self._groups.add(part.group)

    def _write_joins(self) -> None:
        """Keep the joined tables of which a column is used."""
        draft = self._draft
        kept = [join for join in self._joins if any(source.name not in self._guesser.left for source in join.sources)]
        for number, join in enumerate(kept):
            draft.settings.setdefault("join", []).append(join.settings)
            draft.say(join.comment, "join", str(number))
            self._groups |= {join.on} if self._path is None else set()
        self._joins = kept

    def _write_patterns(self) -> None:
        for key, text in (("pattern", self._names.pattern), ("path_pattern", self._names.path_pattern)):
            if text is not None and self._groups.intersection(re.findall(r"\?P<(\w+)>", text)):
                kept = re.sub(r"\(\?P<(\w+)>", lambda match: match[0] if match[1] in self._groups else "(?:", text)
                self._draft.settings[key] = kept
                self._draft.say(f"all {len(self._survey.audio)} names fit", key)

    def _say_unused(self) -> None:
        draft = self._draft
        kept = [join.sheet for join in self._joins] + ([] if self._path is None else [self._path.sheet])
        left = {source.plain for source in self._guesser.left.values()}
        for sheet in self._survey.sheets:
            names = [name for name in sheet.columns if name in left]
            if sheet not in kept:
                draft.unused.append(f"{sheet.title}: no column of it leads to the recordings")
            elif names:
                draft.unused.append(f"{sheet.title}: {plural(len(names), 'column')} {', '.join(names[:8])}")
        unused = [f"{file}: {reason}" for file, reason in self._survey.unused.items()]
        draft.unused += unused[:MAX_UNUSED]
        if len(unused) > MAX_UNUSED:
            draft.unused.append(f"{len(unused) - MAX_UNUSED} files more")


def _sources(path: PathGuess, wide: Wide | None) -> list[Source]:
    """Return the columns of the table of recordings, but for those of paths; cells stand once for each recording."""
    rows = path.sheet.rows
    forms = {} if wide is None else wide.columns
    repeated = range(1 if wide is None else len(wide.values))
    found = [
        Source(form, form.replace(MARK, "").strip("_ -"), [row[name] for row in rows for name in names])
        for form, names in forms.items()
        if not set(names) & set(path.columns)
    ]
    taken = {*path.columns, *(name for names in forms.values() for name in names)}
    for name in path.sheet.columns:
        if name not in taken:
            found.append(Source(name, name, [row[name] for row in rows for _ in repeated]))
    return found


def _is_few(part: Part) -> bool:
    most = min(12, len(part.values) // 5)
    return part.role is None and 2 <= len(set(part.values)) <= most and not any(v.isdigit() for v in part.values)
