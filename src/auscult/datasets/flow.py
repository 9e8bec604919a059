"""What became of each recording that was found in a dataset: a table, its account in numbers, and that in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from auscult.config import DatasetSettings, FilesCsvDataset, ManifestDataset
from auscult.datasets.folder import is_source, printable
from auscult.datasets.lost_and_kept import Difference, find_differences
from auscult.formatting.numbers import p_text, plural, recordings_text
from auscult.storage.flow import (
    COPY,
    FLOW_COLUMNS,
    NO_AUDIO,
    NOT_TAKEN,
    READ,
    REJECTED,
    UNREADABLE,
    class_of,
    count_lost,
    count_rows,
)
from auscult.storage.tables import LABEL_PREFIX, Recording, Rejection

MAX_LOST_SHARE = 0.01
"""When more of the recordings or patients are lost, the terminal and the report warn."""

_UNREADABLE = ("unreadable", "empty", "truncated", "not finite", "length not stated")
_NOT_TAKEN = ("not in the table", "not taken")
_COPY = ("duplicate", "contradiction")
READ_COLUMNS = ("recording_id", "patient_id", "path", "sex", "age_years", "site")
"""What the flow says of a recording that was read, beside its labels."""


def status_of(rejection: Rejection) -> str:
    """Return what became of the recording that a rejection stands for, by the class of its reason."""
    opens = class_of(rejection.reason)
    if opens.startswith("missing"):
        return NO_AUDIO
    if opens in _NOT_TAKEN:
        return NOT_TAKEN
    if opens in _UNREADABLE:
        return UNREADABLE
    return COPY if opens.startswith(_COPY) else REJECTED


def is_a_recording(rejection: Rejection, settings: DatasetSettings) -> bool:
    """Tell whether a rejection stands for a recording: it says so, or it refuses a sound file or a recording's row.

    Whether that recording is read all the same, the ingest knows.
    """
    if rejection.lost is not None:
        return True
    if rejection.event_of is not None:
        return False
    if rejection.line is None:
        is_one = is_source(rejection.file, of_pictures=settings.holds_pictures)
        return is_one or class_of(rejection.reason) == "missing wav"
    if isinstance(settings, ManifestDataset):
        table = settings.manifest if settings.columns.event is None else None
    else:
        table = settings.info if isinstance(settings, FilesCsvDataset) else None
    return rejection.file == table


def flow_table(recordings: pd.DataFrame, lost: Iterable[Rejection], unknown_patients: set[str]) -> pd.DataFrame:
    """Return the flow: what was read, then what was lost, in the order in which it was met.

    Args:
        recordings: `READ_COLUMNS` and labels of `tables.RECORDINGS`.
        lost: Rejections that stand for recordings which were not read, and one for each sound file that nothing takes.
        unknown_patients: Ids of recordings that were read though nobody knows whose they are.
    """
    labels = [str(name) for name in recordings.columns if str(name).startswith(LABEL_PREFIX)]
    is_known = pd.Series([name not in unknown_patients for name in recordings["recording_id"]], index=recordings.index)
    read = (
        recordings[[*READ_COLUMNS, *labels]]
        .drop(columns="path")
        .assign(
            file=recordings["path"],
            patient_id=recordings["patient_id"].where(is_known),
            patient_is_known=is_known,
            status=READ,
        )
    )
    rows = [_lost_row(rejection) for rejection in lost]
    # A file that nothing describes has a row of its own; a recording that several rows describe is lost once.
    once = {(row["recording_id"] or (row["file"], row["line"])): row for row in reversed(rows)}
    gone = pd.DataFrame([row for row in rows if once[row["recording_id"] or (row["file"], row["line"])] is row])
    columns = pd.Index([*FLOW_COLUMNS, *labels])
    whole = read.reindex(columns=columns)
    if len(gone):
        gone = gone.reindex(columns=columns).astype(whole.dtypes.to_dict() | {"line": "object", "reason": "object"})
        whole = pd.concat([whole.astype({"line": "object", "reason": "object"}), gone], ignore_index=True)
    return whole.astype({"line": "Int64", "patient_is_known": bool})


def _lost_row(rejection: Rejection) -> dict[str, Any]:
    described = rejection.lost or Recording("", "", rejection.file)
    return {
        "recording_id": _text(described.recording_id),
        "file": printable(rejection.file),
        "line": rejection.line,
        "patient_id": _text(described.patient_id),
        "patient_is_known": bool(described.patient_id),
        "sex": described.sex,
        "age_years": described.age_years,
        "site": _text(described.site),
        "status": status_of(rejection),
        "reason": printable(rejection.reason),
        **{LABEL_PREFIX + name: _text(value) for name, value in described.labels.items()},
    }


def _text(value: str | None) -> str | None:
    return printable(value) if value else None


def account(flow: pd.DataFrame, dataset: str) -> dict[str, Any]:
    """Return the flow in numbers, as `summary.json` holds it.

    Returns:
        `found`, `read`: recordings, patients, and recordings without a known patient (`patients_unknown`); `lost`: the
        same by status and class of reason; `patients_lost`: known patients of whom nothing was read; `differences`
        between the lost and the kept; `warnings`, as sentences.
    """
    is_read = flow["status"] == READ
    kept_patients = set(flow.loc[is_read, "patient_id"].dropna())
    found: dict[str, Any] = {
        "found": count_rows(flow),
        "lost": count_lost(flow),
        "read": count_rows(pd.DataFrame(flow[is_read])),
        "patients_lost": len(set(flow["patient_id"].dropna()) - kept_patients),
        "differences": [vars(difference) for difference in find_differences(flow)],
    }
    return {**found, "warnings": account_warnings(found, dataset)}


def account_lines(found: Mapping[str, Any], dataset: str) -> list[str]:
    """Return an account as lines for the terminal."""
    lines = [f"{dataset}: {recordings_text(found['found'])} found, {found['read']['recordings']:,} read"]
    lines += [f"  lost: {row['reason']}: {recordings_text(row)}" for row in found["lost"]]
    if found["patients_lost"]:
        lines.append(f"  {plural(found['patients_lost'], 'patient')} lost whole: nothing of theirs is read")
    return lines


def account_warnings(found: Mapping[str, Any], dataset: str) -> list[str]:
    """Return what an account must not pass over in silence, as sentences without names of patients or files."""
    warnings: list[str] = []
    n_not_taken = sum(row["recordings"] for row in found["lost"] if row["status"] == NOT_TAKEN)
    n_found, n_read = found["found"]["recordings"] - n_not_taken, found["read"]["recordings"]
    if n_found - n_read > MAX_LOST_SHARE * n_found:
        warnings.append(
            f"{_share(n_found - n_read, n_found)} recordings of {dataset} are lost; rejected.csv beside its tables "
            "names each"
        )
    n_patients, n_lost = found["found"]["patients"], found["patients_lost"]
    if n_lost > MAX_LOST_SHARE * n_patients:
        warnings.append(
            f"{_share(n_lost, n_patients)} patients of {dataset} are lost: none of their recordings is read"
        )
    warnings += [_difference_words(Difference(**row), dataset) for row in found["differences"]]
    unknown = found["read"]["patients_unknown"]
    if unknown:
        warnings.append(
            f"patients unknown for {unknown:,} of {plural(n_read, 'recording')} of {dataset}: each counts as a person "
            "of its own; split and intervals are over recordings"
        )
    return warnings


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} ({100 * part / whole:.1f}%)"


def _difference_words(found: Difference, dataset: str) -> str:
    opens = f"the lost of {dataset} differ from the kept by {found.by}"
    if found.value is None:
        what = f"their median is {found.lost:g} against {found.kept:g} years"
    else:
        what = f"{found.value!r} holds for {_share(int(found.lost), found.n_lost)} against "
        what += _share(int(found.kept), found.n_kept)
    p = p_text(found.p)
    return f"{opens}: {what} (p {p if p.startswith('<') else f'= {p}'}, after Holm)"
