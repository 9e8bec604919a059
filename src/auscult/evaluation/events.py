"""Events found in validation and test recordings, and what they are worth: the figures of a task of type `events`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auscult.config import JobSettings, TaskSettings
from auscult.config.events import Collars, KindDecoding
from auscult.datasets.event_maps import UNKNOWN, ClipEvents
from auscult.errors import DataError
from auscult.evaluation.predict import map_blocks
from auscult.evaluation.slices import judged_sections
from auscult.labels import Intervals
from auscult.metrics.event_decoding import decode, decodings_of, over_bands
from auscult.metrics.events import EventCounts, count_cells, count_events, count_segments, match_events, score_estimates
from auscult.metrics.intervals import estimate, resample_weights
from auscult.metrics.psds import count_intersections, psds_values
from auscult.metrics.score_intervals import undefined
from auscult.models import SavedModel
from auscult.storage.tables import write_csv
from auscult.training.dataset import ClipDataset

EVENT_COLUMNS = (
    "split",
    "recording_id",
    "patient_id",
    "kind",
    "start_s",
    "end_s",
    "outcome",
    "true_start_s",
    "true_end_s",
)
PSDS_THRESHOLDS = tuple(np.linspace(0.02, 0.98, 49).round(2).tolist())


@dataclass(frozen=True)
class JudgedEvents:
    """What the events found are worth.

    Attributes:
        scores: Subset (or `test:<part>`) -> `by_event`, `by_segment`, `objects` and `boundaries` (frames), each
            `{kind, micro or macro: {score: estimate}}`; `psds`, an estimate; `over_tolerance`: a list of `collar_s` and
            `f1` (kind -> value); and `n`: kind -> true, found, patients.
        events: The content of `events.csv`.
    """

    scores: dict[str, Any]
    events: pd.DataFrame


def judge_events(
    model: SavedModel,
    examples: ClipDataset,
    *,
    job: JobSettings,
    task: TaskSettings,
    tables: Mapping[str, Path],
    generator: np.random.Generator,
    folder: Path,
) -> JudgedEvents:
    """Write `events.csv` and judge each subset, and each part that the split names of the test set.

    `events.csv` holds each known part of an event: a `hit` with the times of its true partner, a `false alarm`, or a
    `miss` with its true times; what an unknown stretch left of an event and no collar judges is `not judged`.

    Args:
        model: Finds events.
        examples: The clips of validation and test.
        job: Gives the batch size, the resamples and the parts of the test set.
        task: Of type `events`.
        tables: Dataset -> folder of its tables.
        generator: The only source of randomness.
        folder: Of the job.

    Raises:
        DataError: The model was trained without decoding.
    """
    if examples.events is None or "event_decoding" not in model.meta:
        raise DataError(
            "the model finds no events in time: it has no `event_decoding`; train it on a task of type events"
        )
    decodings = decodings_of(model.meta["event_decoding"], task.targets)
    maps, cells = _predicted(model, examples, examples.events, decodings, job.train.n_at_once)
    sections = judged_sections(examples, tables, job)
    subsets = {name: sections[name] for name in ("val", "test") if name in sections}
    listed = _event_rows(examples.events, maps, subsets, decodings, task)
    write_csv(folder / "events.csv", listed)
    scores = {
        name: _scores(
            examples.events.take(chosen),
            maps[chosen],
            {part: counts.take(chosen) for part, counts in cells.items()},
            decodings,
            task,
            rng,
            job.evaluate.bootstrap_draws,
        )
        for (name, chosen), rng in zip(sections.items(), generator.spawn(len(sections)), strict=True)
    }
    return JudgedEvents(scores, listed)


def _predicted(
    model: SavedModel,
    examples: ClipDataset,
    events: ClipEvents,
    decodings: Sequence[KindDecoding],
    batch_size: int,
) -> tuple[NDArray[np.float32], dict[str, EventCounts]]:
    """Return probabilities over frames, [clip, channel, frame], and what each clip's cells of maps come to.

    The cells are counted block by block: maps over bands of many clips would fill the memory.
    """
    n_kinds = len(decodings)
    cuts = {
        "objects": [decoding.threshold for decoding in decodings],
        "boundaries": [0.5 if decoding.boundary is None else decoding.boundary for decoding in decodings],
    }
    along_time: list[NDArray[np.floating]] = []
    counts: dict[str, list[EventCounts]] = {name: [] for name in cuts}
    for clips, maps in map_blocks(model, examples, batch_size):
        along_time.append(over_bands(maps))
        true_maps = events.take(clips).maps()
        for number, (name, thresholds) in enumerate(cuts.items()):
            channels = slice(number * n_kinds, (number + 1) * n_kinds)
            cut = np.asarray(thresholds, dtype=np.float32).reshape(-1, *[1] * (maps.ndim - 2))
            true = true_maps[:, channels]
            counts[name].append(count_cells(list(true == 1), list(maps[:, channels] >= cut), list(true != UNKNOWN)))
    return np.concatenate(along_time), {name: EventCounts.joined(parts) for name, parts in counts.items()}


def _scores(  # noqa: PLR0917 (in the order of the data flow)
    events: ClipEvents,
    maps: NDArray[np.float32],
    cells: Mapping[str, EventCounts],
    decodings: Sequence[KindDecoding],
    task: TaskSettings,
    rng: np.random.Generator,
    n_resamples: int,
) -> dict[str, Any]:
    settings, kinds, truth = task.event_settings, task.targets, events.truth
    tracks = events.lay_out(maps)
    found = decode(tracks, decodings)
    everyone, patients = np.unique(events.patient_ids.astype(str), return_inverse=True)
    weights = resample_weights(len(everyone), n_resamples, rng)
    by_event = count_events(truth, found, settings.collars)
    section: dict[str, Any] = {
        "by_event": score_estimates(by_event, kinds, patients, weights),
        "by_segment": score_estimates(count_segments(truth, found, settings.segment_s), kinds, patients, weights),
    }
    n_kinds = len(kinds)
    for name, counts in cells.items():
        section[name] = score_estimates(counts, kinds, patients[events.rows], weights, with_iou=True)
    points = [
        decode(tracks, [decoding.model_copy(update={"threshold": cut}) for decoding in decodings])
        for cut in PSDS_THRESHOLDS
    ]
    area = psds_values(
        count_intersections(truth, points, settings.intersection), patients, weights, settings.intersection
    )
    n_true = np.bincount(truth.events.rows % n_kinds, minlength=n_kinds)
    lacking = [kind for kind, n in zip(kinds, n_true, strict=True) if n == 0]
    holders = [
        len(np.unique(patients[truth.events.rows[truth.events.rows % n_kinds == k] // n_kinds])) for k in range(n_kinds)
    ]
    section["psds"] = (
        undefined(f"there is no true event of {', '.join(lacking)}")
        if np.isnan(area[0])
        else estimate(area, min(holders), "patients with a true event", (0.0, 1.0))
    )
    section["over_tolerance"] = [
        {"collar_s": collar_s, "f1": _f1(events, found, settings.collars, collar_s)}
        for collar_s in settings.tolerances_s
    ]
    n_found = np.bincount(found.rows % n_kinds, minlength=n_kinds)
    section["n"] = {
        kind: {"true": int(n_true[k]), "found": int(n_found[k]), "patients": holders[k]} for k, kind in enumerate(kinds)
    }
    return section


def _f1(events: ClipEvents, found: Intervals, collars: Collars, collar_s: float) -> dict[str, float | None]:
    """Return the F1 of each kind with another collar of onset and offset; None where it is undefined."""
    changes = {"onset_s": collar_s, "offset_s": None if collars.offset_s is None else collar_s}
    counts = count_events(events.truth, found, collars.model_copy(update=changes))
    tp, fp, fn = (part.sum(axis=0) for part in (counts.tp, counts.fp, counts.fn))
    whole = 2 * tp + fp + fn
    return {kind: float(2 * tp[k] / whole[k]) if whole[k] else None for k, kind in enumerate(events.truth.kinds)}


def _event_rows(
    events: ClipEvents,
    maps: NDArray[np.float32],
    sections: Mapping[str, NDArray[np.bool_]],
    decodings: Sequence[KindDecoding],
    task: TaskSettings,
) -> pd.DataFrame:
    parts: list[pd.DataFrame] = []
    for name, chosen in sections.items():
        of_section = events.take(chosen)
        found = decode(of_section.lay_out(maps[chosen]), decodings)
        matches = match_events(of_section.truth, found, task.event_settings.collars)
        partners = np.full(len(matches.found.rows), -1)
        partners[matches.partners[matches.is_hit]] = np.flatnonzero(matches.is_hit)
        is_right = matches.is_right
        heard = _rows_of(of_section, matches.found).assign(
            outcome=np.where(is_right, "hit", np.where(matches.is_found_judged, "false alarm", "not judged")),
            true_start_s=np.where(
                is_right, matches.true.starts[partners] if len(matches.true.rows) else np.nan, np.nan
            ),
            true_end_s=np.where(is_right, matches.true.ends[partners] if len(matches.true.rows) else np.nan, np.nan),
        )
        missed = matches.true.take(~matches.is_hit)
        not_heard = _rows_of(of_section, missed).assign(
            outcome=np.where(matches.is_judged[~matches.is_hit], "miss", "not judged"),
            true_start_s=missed.starts,
            true_end_s=missed.ends,
            start_s=np.nan,
            end_s=np.nan,
        )
        parts.append(pd.concat([heard, not_heard], ignore_index=True).assign(split=name))
    table = pd.concat(parts, ignore_index=True)
    table["first_s"] = table["start_s"].fillna(table["true_start_s"])
    table = table.sort_values(["split", "recording_id", "kind", "first_s"], kind="stable", ignore_index=True)
    times = ("start_s", "end_s", "true_start_s", "true_end_s")
    return pd.DataFrame(table[list(EVENT_COLUMNS)]).round(dict.fromkeys(times, 4))


def _rows_of(events: ClipEvents, intervals: Intervals) -> pd.DataFrame:
    recordings, kinds = np.divmod(intervals.rows, len(events.truth.kinds))
    return pd.DataFrame(
        {
            "recording_id": events.recording_ids[recordings],
            "patient_id": events.patient_ids[recordings],
            "kind": np.asarray(events.truth.kinds, dtype=object)[kinds],
            "start_s": intervals.starts,
            "end_s": intervals.ends,
        }
    )
