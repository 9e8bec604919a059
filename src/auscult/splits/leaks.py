"""Whether anything leaks from one subset of a split to another: patients, equal sound, copies of a sound, siblings.

It reads the recordings table and the finished split, and nothing of how the split was made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from auscult.config.task import fold_label
from auscult.errors import DataError
from auscult.formatting.numbers import plural
from auscult.images.fingerprint import LEAST_SIDE_PX
from auscult.splits.alike_pictures import groups_of_alike
from auscult.splits.near_duplicates import groups_of_copies
from auscult.storage.patient_ids import SIMILAR_PATIENTS, alike_id
from auscult.storage.tables import ATTRIBUTE_PREFIX, LABEL_PREFIX

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Texts = NDArray[np.object_]
    Mask = NDArray[np.bool_]
    Codes = NDArray[np.int64]

N_EXAMPLES = 20
BYTE_EQUAL, NEAR_DUPLICATE = "byte_equal_audio", "near_duplicate_audio"
BYTE_EQUAL_PICTURES, NEAR_DUPLICATE_PICTURES = "byte_equal_pictures", "near_duplicate_pictures"
COPIES = (BYTE_EQUAL, NEAR_DUPLICATE, BYTE_EQUAL_PICTURES, NEAR_DUPLICATE_PICTURES)
"""Kinds of findings on copies, of sounds and of pictures."""
CONFLICTING_LABELS = "conflicting_labels"
_HOW = {
    BYTE_EQUAL: "recordings are byte for byte",
    NEAR_DUPLICATE: "recordings hold the same sound, by their fingerprints, as",
    BYTE_EQUAL_PICTURES: "pictures are byte for byte",
    NEAR_DUPLICATE_PICTURES: "pictures look the same, by their fingerprints, as",
}


@dataclass(frozen=True)
class Finding:
    """Something the reader of a result must know.

    Attributes:
        kind: `patient_overlap`, one of `COPIES`, `conflicting_labels`,
            `sibling_recordings`, `official_list_overlap`, `similar_patient_ids`, `not_compared`, `unused_exception`,
            and those of `splits.rule_check`.
        severity: `error` stops the run, `declared` was allowed in the experiment and is printed in the report, `note`
            is worth knowing.
        text: One sentence.
        ids: Of patients, recordings or values; every one. Copies of one sound stand beside each other.
        groups: Where it is about several of a kind: what belongs together, each with its recording or patient id, its
            subset, and the label that it contradicts with.
    """

    kind: str
    severity: str
    text: str
    ids: list[str]
    groups: list[list[dict[str, str]]] = field(default_factory=list)


@dataclass(frozen=True)
class Declared:
    """What an experiment allows itself.

    Attributes:
        patient_overlap: Patients may be in several subsets.
        leaks: Kind of finding -> why it may be.
    """

    patient_overlap: bool = False
    leaks: Mapping[str, str] | None = None

    def reason(self, kind: str) -> str | None:
        """Return why findings of a kind may be, None where they may not."""
        return (self.leaks or {}).get(kind)


def find_leaks(recordings: pd.DataFrame, split: pd.DataFrame, declared: Declared) -> list[Finding]:
    """Look for patients, sound and sibling recordings that are in several subsets.

    Args:
        recordings: The recordings table of all datasets.
        split: Rows of `tables.SPLIT`.
        declared: What the experiment allows.

    Raises:
        DataError: The split names recordings that the table lacks, or gives one another patient than the table.
    """
    at = pd.Index(recordings["recording_id"]).get_indexer(pd.Index(split["recording_id"]))
    rows = pd.DataFrame(recordings.iloc[at])
    strange = (at < 0) | (texts(rows, "patient_id") != texts(split, "patient_id"))
    if strange.any():
        ids = texts(split, "recording_id")[strange].tolist()[:5]
        raise DataError(f"the split does not fit the recordings table: {ids} are absent or of another patient")
    subsets = texts(split, "split")
    digests = pd.factorize(rows["sha256"])[0].astype(np.int64)
    of_pictures = _are_pictures(rows)
    byte_equal = BYTE_EQUAL_PICTURES if of_pictures else BYTE_EQUAL
    near_duplicate = NEAR_DUPLICATE_PICTURES if of_pictures else NEAR_DUPLICATE
    copies = _copies(rows, digests)
    found = [
        _patients_on_several_subsets(rows, subsets, declared),
        *_copied(byte_equal, digests, rows, subsets, declared),
        *_copied(near_duplicate, copies, rows, subsets, declared),
        *_conflicting_labels(digests, copies, rows, subsets),
        _not_compared(rows),
        *_similar_patient_ids(rows, subsets, declared),
        _siblings(rows, subsets, declared),
    ]
    findings = [finding for finding in found if finding is not None]
    unused = sorted(set(declared.leaks or {}) - {finding.kind for finding in findings if finding.severity != "note"})
    if unused:
        text = f"allow_leaks declares {', '.join(unused)}, and nothing of that kind crosses subsets: it can go"
        findings.append(Finding("unused_exception", "note", text, unused))
    return findings


def texts(table: pd.DataFrame, column: str) -> Texts:
    """Return a column as an array of texts."""
    return table[column].to_numpy(dtype=object)


def _copies(rows: pd.DataFrame, digests: Codes) -> Codes:
    """Number the recordings by sound, or pictures by looks; those with only files of equal bytes beside them alone."""
    first = np.unique(digests, return_index=True)[1]
    prints = [text if isinstance(text, str) else None for text in texts(rows, "fingerprint")[first]]
    found = groups_of_alike(prints) if _are_pictures(rows) else groups_of_copies(prints)
    several = np.bincount(found, minlength=len(first))[found] > 1
    alone = len(first) + np.arange(len(rows))
    return np.where(several[digests], found[digests], alone)


def _are_pictures(rows: pd.DataFrame) -> bool:
    return not (rows["duration_s"].to_numpy() > 0).any()


def _not_compared(rows: pd.DataFrame) -> Finding | None:
    n_without = int(np.count_nonzero(pd.isna(texts(rows, "fingerprint"))))
    if n_without == 0:
        return None
    if _are_pictures(rows):
        text = (
            f"{n_without} of {len(rows)} pictures are too small (less than {LEAST_SIDE_PX} pixels) or too plain to be "
            "compared: among them only those of equal bytes are found"
        )
        return Finding("not_compared", "note", text, [])
    text = (
        f"{n_without} of {len(rows)} recordings hold too little changing sound to be compared (some 2 s are needed): "
        "among them only files of equal bytes are found"
    )
    return Finding("not_compared", "note", text, [])


def _similar_patient_ids(rows: pd.DataFrame, subsets: Texts, declared: Declared) -> list[Finding]:
    """Find patients whose ids are spellings of one: likely one person, written in two ways."""
    codes, patients = pd.factorize(rows["patient_id"])
    alike = [alike_id(str(patient)) for patient in patients]
    groups = pd.factorize(np.array(alike, dtype=object))[0].astype(np.int64)[codes]
    several, across = _several(groups, texts(rows, "patient_id")), _several(groups, subsets)
    crossing = several & across
    reason = declared.reason(SIMILAR_PATIENTS)
    severity, because = ("error", "") if reason is None else ("declared", f"; declared: {reason}")
    kinds = [
        (severity, crossing, f"are in different subsets{because}"),
        ("note", several & ~across, "are in one subset"),
    ]
    return [
        Finding(
            SIMILAR_PATIENTS,
            level,
            f"patients whose ids differ in case, blanks, hyphens, leading zeros or Unicode form alone {where}",
            _spellings(texts(rows, "patient_id")[of], groups[of]),
        )
        for level, of, where in kinds
        if of.any()
    ]


def _spellings(patients: Texts, groups: Codes) -> list[str]:
    """Return the ids of each group, joined by `=`."""
    table = pd.DataFrame({"patient": patients, "group": groups}).drop_duplicates().sort_values("patient")
    return sorted(" = ".join(of["patient"]) for _, of in table.groupby("group"))


def _conflicting_labels(digests: Codes, copies: Codes, rows: pd.DataFrame, subsets: Texts) -> list[Finding]:
    """Find recordings of one sound that bear different labels: at most one of them can be right."""
    found: dict[tuple[str, ...], list[dict[str, str]]] = {}
    names = texts(rows, "recording_id")
    for column in (name for name in map(str, rows.columns) if name.startswith(LABEL_PREFIX)):
        labels = texts(rows, column)
        known = ~pd.isna(labels)
        folded = np.array([fold_label(str(label)) for label in labels], dtype=object)
        for groups in (digests, copies):
            alone = groups.max(initial=0) + 1 + np.arange(len(groups))
            differing = np.flatnonzero(_several(np.where(known, groups, alone), folded) & known)
            for code in np.unique(groups[differing]):
                members = differing[groups[differing] == code]
                said = [
                    {"recording": str(names[at]), "subset": str(subsets[at]), "label": f"{column}: {labels[at]}"}
                    for at in sorted(members, key=lambda at: str(names[at]))
                ]
                found.setdefault((column, *(entry["recording"] for entry in said)), said)
    if not found:
        return []
    pairs = sorted(
        " = ".join(f"{entry['recording']} ({entry['label']})" for entry in group) for group in found.values()
    )
    what = "picture" if _are_pictures(rows) else "sound"
    text = f"{plural(len(found), what)} under labels that contradict each other: at most one of them is right"
    return [Finding(CONFLICTING_LABELS, "note", text, pairs, list(found.values()))]


def _several(groups: Codes, values: Texts) -> Mask:
    """Return which rows are of a group that holds more than one distinct value."""
    pairs = pd.DataFrame({"group": groups, "value": values}).drop_duplicates()
    counts = np.bincount(pairs["group"].to_numpy(dtype=np.int64), minlength=int(groups.max(initial=-1)) + 1)
    return counts[groups] > 1


def _patients_on_several_subsets(rows: pd.DataFrame, subsets: Texts, declared: Declared) -> Finding | None:
    codes, patients = pd.factorize(rows["patient_id"], sort=True)
    crossing = _several(codes.astype(np.int64), subsets)
    ids = [str(patient) for patient in patients[np.unique(codes[crossing])]]
    if not ids:
        return None
    text = f"{len(ids)} of {len(patients)} patients are in several subsets: the test set knows them from training"
    return Finding("patient_overlap", "declared" if declared.patient_overlap else "error", text, ids)


def _copied(kind: str, groups: Codes, rows: pd.DataFrame, subsets: Texts, declared: Declared) -> list[Finding]:
    """Find recordings of one group: across subsets they leak, in one subset they are worth a look."""
    names = texts(rows, "recording_id")
    twice, across = _several(groups, names), _several(groups, subsets)
    shared = _several(groups, texts(rows, "patient_id"))
    with_overlap = across & ~shared & declared.patient_overlap
    leaking = across & ~with_overlap
    reason = declared.reason(kind)
    severity, because = ("error", "") if reason is None else ("declared", f"; declared: {reason}")
    kinds = [
        (severity, leaking, f"another in a different subset{because}"),
        ("declared", with_overlap, "another of the same patient in a different subset"),
        ("note", twice & ~across & shared, "one of another patient in the same subset"),
    ]
    if kind in (BYTE_EQUAL, BYTE_EQUAL_PICTURES):
        # Copies of one sound for one patient are common (KAUH's filters); equal files are not.
        kinds.append(("note", twice & ~across & ~shared, "another of the same patient and subset"))
    return [
        Finding(
            kind,
            severity,
            f"{np.count_nonzero(of)} {_HOW[kind]} {text}",
            _beside(names[of], groups[of]),
            _partners(pd.DataFrame(rows.assign(subset=subsets)[of]), groups[of]),
        )
        for severity, of, text in kinds
        if of.any()
    ]


def _partners(rows: pd.DataFrame, groups: Codes) -> list[list[dict[str, str]]]:
    """Return the recordings of each group with patient and subset."""
    entries = rows[["recording_id", "patient_id", "subset"]].set_axis(["recording", "patient", "subset"], axis=1)
    ordered = entries.assign(group=groups).sort_values("recording")
    return sorted(
        ([dict(entry) for entry in of.drop(columns="group").to_dict("records")] for _, of in ordered.groupby("group")),
        key=lambda group: group[0]["recording"],
    )


def _beside(names: Texts, groups: Codes) -> list[str]:
    """Sort names, those of a group beside each other."""
    table = pd.DataFrame({"name": names, "group": groups}).sort_values("name")
    table["first"] = table.groupby("group")["name"].transform("first")
    return table.sort_values(["first", "name"])["name"].tolist()


def _siblings(rows: pd.DataFrame, subsets: Texts, declared: Declared) -> Finding | None:
    """Check that the filtered copies of one recording (KAUH's bell, diaphragm and extended) stay together."""
    column = ATTRIBUTE_PREFIX + "filter"
    if column not in rows.columns:
        return None
    copies = rows[column].notna().to_numpy(dtype=bool)
    codes, patients = pd.factorize(rows.loc[copies, "patient_id"], sort=True)
    codes = codes.astype(np.int64)
    several = _several(codes, texts(rows, column)[copies])
    crossing = several & _several(codes, subsets[copies])
    ids = [str(patient) for patient in patients[np.unique(codes[crossing])]]
    if ids:
        text = f"the filtered copies of one recording are in several subsets, for {len(ids)} patients"
        return Finding("sibling_recordings", "declared" if declared.patient_overlap else "error", text, ids)
    n_patients = len(np.unique(codes[several]))
    if n_patients == 0:
        return None
    return Finding("sibling_recordings", "note", f"the filtered copies of {n_patients} patients stay together", [])


def refuse_leaks(findings: list[Finding]) -> None:
    """Stop at findings that are errors.

    Raises:
        DataError: With the ids, and what can be done.
    """
    copies = (
        "remove the copies from the raw folder, or, where they are of one person, give them one patient id (kind "
        "`manifest`: the patient column), or declare them in the experiment: `split: {allow_leaks: {%s: REASON}}`"
    )
    proposals = {
        "patient_overlap": "divide by patients (`split: {kind: patients}`), or declare `allow_patient_overlap: true`",
        **{kind: copies % kind for kind in COPIES},
        "sibling_recordings": "divide by patients (`split: {kind: patients}`)",
        SIMILAR_PATIENTS: "write each person's id in one way, or, where they are different persons, declare it: "
        f"`split: {{allow_leaks: {{{SIMILAR_PATIENTS}: REASON}}}}`",
    }
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        lines = [
            f"  {finding.kind}: {finding.text}: {', '.join(finding.ids[:N_EXAMPLES])}"
            f"{', ...' if len(finding.ids) > N_EXAMPLES else ''}\n    To fix it: {proposals[finding.kind]}"
            for finding in errors
        ]
        raise DataError("this split leaks:\n" + "\n".join(lines))
