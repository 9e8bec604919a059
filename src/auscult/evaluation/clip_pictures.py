"""Pictures of single clips with the evidence for their predictions, and mean spectrograms of each outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from auscult.audio.clip_store import to_float32
from auscult.audio.listening import write_listening_copy
from auscult.config import JobSettings, TaskSettings
from auscult.config.spectrogram import ConstantQFrontend, LinearFrontend, frontend_range_hz
from auscult.evaluation.outcomes import OUTCOMES, choose_examples, sample_outcomes
from auscult.evaluation.saliency import CAPTIONS, Explainer, Maps
from auscult.formatting.numbers import OUTCOME_NAMES, probability_text
from auscult.models import SavedModel
from auscult.plots.clip import Evidence, Sound, clip_picture
from auscult.plots.spectrograms import Average, Axis, Mark, averages, level_range_db, mel_axis
from auscult.plots.style import save
from auscult.spectrograms.filterbanks import constant_q_frequencies
from auscult.storage.files import file_name, write_json
from auscult.storage.study_ids import StudyIds
from auscult.storage.tables import probability_column, read_events, target_column
from auscult.training.dataset import ClipDataset

CLIPS_AT_ONCE = 512
MAX_MARK_SHARE = 0.9
"""Events longer than this share of a clip are not marked: they say no more than the label does."""
_TITLE_CHARACTERS = 62


@dataclass
class _Sums:
    """Sum of levels and number of clips that are not padded, of each frame."""

    levels_db: NDArray[np.float64]
    n_sounding: NDArray[np.int64]
    n_clips: int = 0

    def mean(self) -> NDArray[np.float64]:
        return np.divide(
            self.levels_db,
            self.n_sounding[None, :],
            out=np.full(self.levels_db.shape, np.nan),
            where=self.n_sounding[None, :] > 0,
        )


def note_no_clips(outcomes: pd.DataFrame, job: JobSettings, folder: Path) -> None:
    """Write the lists of what is drawn of clips of sound, empty, for a job on pictures: its figures show these.

    Args:
        outcomes: Of the test set, from `find_outcomes`.
        job: Says how examples of outcomes would be chosen.
        folder: Of the job.
    """
    for name in ("index", "averages"):
        write_json(folder / "spectrograms" / f"{name}.json", [])
    for outcome in OUTCOMES:
        (folder / "outcomes" / outcome).mkdir(parents=True, exist_ok=True)
    n_of = {outcome: outcomes["outcome"].tolist().count(outcome) for outcome in OUTCOMES}
    write_json(folder / "outcomes" / "index.json", {"n": n_of, "sample": job.evaluate.outcomes.sample, "pictures": []})


def draw_averages(
    examples: ClipDataset, outcomes: pd.DataFrame, *, job: JobSettings, task: TaskSettings, folder: Path
) -> None:
    """Draw `average_<target>.png` for each target and list them in `averages.json`.

    The mean is over levels in dB, frame by frame, without padding.

    Args:
        examples: All examples.
        outcomes: Of the test set, from `find_outcomes`.
        job: Clip and spectrogram settings.
        task: What was predicted.
        folder: Where to write.
    """
    axis = mel_axis(job.spectrogram, job.clips.sample_rate_hz)
    of_outcomes = _sum_up(examples, outcomes, first_s=axis.first_s, hop_s=axis.hop_s, rate_hz=job.clips.sample_rate_hz)
    names = [file_name(target) for target in task.targets]
    entries: list[dict[str, object]] = []
    for column, target in enumerate(task.targets):
        found = {outcome: of_outcomes.get((target, outcome)) for outcome in OUTCOMES}
        panels = [
            Average(OUTCOME_NAMES[outcome], sums.n_clips if sums else 0, sums.mean() if sums else None)
            for outcome, sums in found.items()
        ]
        counts = {outcome: sums.n_clips if sums else 0 for outcome, sums in found.items()}
        if not any(counts.values()):
            continue
        name = names[column] if names.count(names[column]) == 1 else f"{names[column]}_{column + 1}"
        file = f"average_{name}.png"
        save(averages(panels, axis), folder / file)
        entries.append({"file": file, "target": target, "n": counts})
    write_json(folder / "averages.json", entries)


def _sum_up(
    examples: ClipDataset, outcomes: pd.DataFrame, *, first_s: float, hop_s: float, rate_hz: int
) -> dict[tuple[str, str], _Sums]:
    """Add up the levels of every (target, outcome); each spectrogram is read once."""
    n_mels, n_frames = examples.shape
    place = pd.Series(np.arange(len(examples)), index=examples.clips["clip_id"])
    rows = outcomes.assign(index=place.loc[outcomes["clip_id"]].to_numpy())
    frames = np.arange(n_frames)
    n_valid_frames = np.ceil((examples.clips["n_valid"].to_numpy() / rate_hz - first_s) / hop_s)
    sums: dict[tuple[str, str], _Sums] = {}
    wanted = np.unique(rows["index"].to_numpy())
    for start in range(0, len(wanted), CLIPS_AT_ONCE):
        block = wanted[start : start + CLIPS_AT_ONCE]
        is_sound = frames[None, :] < np.maximum(n_valid_frames[block], 1)[:, None]
        levels_db = examples.spectrograms(block).astype(np.float32) * is_sound[:, None, :]
        part = rows.loc[rows["index"].isin(block.tolist())]
        for key, members in part.groupby(["target", "outcome"]):
            target, outcome = (str(name) for name in key)
            chosen = np.searchsorted(block, members["index"].to_numpy())
            found = sums.setdefault(
                (target, outcome), _Sums(np.zeros((n_mels, n_frames)), np.zeros(n_frames, dtype=np.int64))
            )
            found.levels_db += levels_db[chosen].sum(axis=0, dtype=np.float64)
            found.n_sounding += is_sound[chosen].sum(axis=0)
            found.n_clips += len(chosen)
    return sums


@dataclass(frozen=True)
class Request:
    """A clip to draw, and the target whose evidence is shown."""

    clip_id: str
    target: str


class ClipPlotter:
    """Draws clips of one evaluated job, all on one colour scale, so that levels can be compared.

    Args:
        model: The model to explain.
        examples: All examples, with their clip stores; its rows are those of `predictions`.
        predictions: Rows of `predictions.parquet`, index as in `examples.clips`.
        outcomes: Of the test set, from `find_outcomes`.
        tables: Dataset -> folder with `events.parquet`, for the marks.
        job: Clip and spectrogram settings, and how much to draw.
        task: What was predicted.
        ids: What the pictures and their files call recordings.
    """

    def __init__(
        self,
        model: SavedModel,
        examples: ClipDataset,
        predictions: pd.DataFrame,
        outcomes: pd.DataFrame,
        *,
        tables: Mapping[str, Path],
        job: JobSettings,
        task: TaskSettings,
        ids: StudyIds,
    ) -> None:
        self._ids = ids
        self._model = model
        self._explainer = Explainer(model)
        self._examples = examples
        self._predictions = predictions
        self._outcomes = outcomes
        self._tables = tables
        self._job, self._task = job, task

    def draw(self, folder: Path, generator: np.random.Generator) -> None:
        """Draw examples into `spectrograms/` and clips of each outcome into `outcomes/` of the job's folder."""
        self.draw_examples(folder / "spectrograms")
        self.draw_outcomes(folder / "outcomes", generator)

    def draw_examples(self, folder: Path) -> None:
        """Draw the worst errors and the most confident correct predictions; `index.json` describes each picture.

        With `evaluate.example_sounds` the sound lies beside each, as MP3.
        """
        n_examples, is_exclusive = self._job.evaluate.n_examples, self._task.type == "multi_class"
        chosen = choose_examples(self._outcomes, n_examples, multi_class=is_exclusive)
        entries: list[dict[str, Any]] = []
        requests = [Request(clip_id, self._target_of(clip_id)) for clip_id in chosen]
        names = [
            f"{number:02d}_{file_name(self._ids.clip(clip_id))}.png" for number, clip_id in enumerate(chosen, start=1)
        ]
        for row, name in zip(self._draw(requests, [folder / name for name in names]), names, strict=True):
            of_clip = self._outcomes.loc[self._outcomes["clip_id"] == row["clip_id"]].to_dict("records")
            entries.append({**_entry(name, row, of_clip, self._task), "clip": self._ids.clip(str(row["clip_id"]))})
        if self._job.evaluate.example_sounds and chosen and not self._job.clips.is_image:
            for entry, sound in zip(entries, self._sounds(chosen), strict=True):
                entry["sound"] = str(Path(entry["file"]).with_suffix(".mp3"))
                write_listening_copy(sound, self._job.clips.sample_rate_hz, folder / entry["sound"])
        write_json(folder / "index.json", entries)

    def _sounds(self, clip_ids: Sequence[str]) -> list[NDArray[np.float32]]:
        """Return the sound of clips without padding, each of shape [sample]."""
        indices = pd.Index(self._predictions["clip_id"]).get_indexer(pd.Index(clip_ids, dtype="str"))
        n_valid = self._examples.clips["n_valid"].to_numpy()[indices]
        waveforms = self._examples.waveforms(indices)
        return [to_float32(waveform[:n]) for waveform, n in zip(waveforms, n_valid, strict=True)]

    def draw_outcomes(self, folder: Path, generator: np.random.Generator) -> None:
        """Draw some clips of each outcome into `folder/{tp,tn,fp,fn}/`; `index.json` lists them.

        Args:
            folder: Where to write; its four folders are made even for outcomes that did not occur.
            generator: The only source of randomness, of `sample: random`.
        """
        settings = self._job.evaluate.outcomes
        requests: list[Request] = []
        paths: list[Path] = []
        entries: list[dict[str, Any]] = []
        for outcome in OUTCOMES:
            (folder / outcome).mkdir(parents=True, exist_ok=True)
            rows = sample_outcomes(self._outcomes, outcome, settings.max_clips, settings.sample, generator)
            for number, row in enumerate(rows.to_dict("records"), start=1):
                suffix = f"_{file_name(row['target'])}" if len(self._task.targets) > 1 else ""
                clip = self._ids.clip(row["clip_id"])
                name = f"{outcome}/{number:02d}_{file_name(clip)}{suffix}.png"
                requests.append(Request(row["clip_id"], row["target"]))
                paths.append(folder / name)
                kept = {key: row[key] for key in ("target", "outcome", "probability")}
                entries.append({"file": name, "clip": clip, **kept})
        self._draw(requests, paths)
        n_of = {outcome: self._outcomes["outcome"].tolist().count(outcome) for outcome in OUTCOMES}
        write_json(folder / "index.json", {"n": n_of, "sample": settings.sample, "pictures": entries})

    def _places(self, requests: Sequence[Request]) -> NDArray[np.intp]:
        """Return where the clips of requests stand in the predictions."""
        place = pd.Index(self._predictions["clip_id"])
        return place.get_indexer(pd.Index([one.clip_id for one in requests], dtype="str"))

    def _draw(self, requests: Sequence[Request], paths: Sequence[Path]) -> list[dict[Any, Any]]:
        """Draw each clip to its path and return their rows of the predictions."""
        if not requests:
            return []
        indices = self._places(requests)
        levels_db = self._examples.spectrograms(indices)
        clips = self._examples.clips.iloc[indices]
        rate_hz = self._job.clips.sample_rate_hz
        valid_s = clips["n_valid"].to_numpy() / rate_hz
        axis = mel_axis(self._job.spectrogram, rate_hz)
        n_valid_frames = [max(1, int((seconds - axis.first_s) / axis.hop_s)) for seconds in valid_s]
        sound = [picture[:, :n] for picture, n in zip(levels_db, n_valid_frames, strict=True)]
        range_db = level_range_db(np.concatenate(sound, axis=1))
        marks = _marks(clips.drop_duplicates("clip_id"), self._tables)
        waveforms = self._examples.waveforms(indices)
        columns = [self._task.targets.index(one.target) for one in requests]
        maps = self._explainer.explain(self._examples.stored(self._model.takes, indices), columns).maps
        rows: list[dict[Any, Any]] = [self._predictions.iloc[int(index)].to_dict() for index in indices]
        for number, (one, path, row) in enumerate(zip(requests, paths, rows, strict=True)):
            title, subtitle = self._texts(one, row)
            figure = clip_picture(
                levels_db[number],
                axis,
                Sound(to_float32(waveforms[number]), rate_hz, float(valid_s[number])),
                self._evidence(one.target, on_mel_axis(maps[number], axis, self._job)),
                range_db=range_db,
                marks=marks[one.clip_id],
                title=title,
                subtitle=subtitle,
            )
            save(figure, path)
        return rows

    def _evidence(self, target: str, found: Maps) -> Evidence:
        method = self._explainer.method
        if method == "none":
            return Evidence(None, CAPTIONS[method])
        if method == "grad_cam":
            caption = "evidence for {target}; line: half of the maximum" if found.any() else "no evidence for {target}"
            return Evidence(found, f"{CAPTIONS[method]}: {caption.format(target=target)}")
        return Evidence(found, CAPTIONS[method])

    def _texts(self, one: Request, row: dict[Any, Any]) -> tuple[str, str]:
        of_clip = self._outcomes.loc[
            (self._outcomes["clip_id"] == one.clip_id) & (self._outcomes["target"] == one.target)
        ].to_dict("records")
        (found,) = of_clip
        title = f"{one.target}: {OUTCOME_NAMES[found['outcome']]}, probability {probability_text(found['probability'])}"
        where = self._ids.clip(one.clip_id)
        if not self._job.clips.is_image:
            where += f", {row['start_s']:.1f}–{row['end_s']:.1f} s"
        return title, where if len(where) <= _TITLE_CHARACTERS else f"…{where[-_TITLE_CHARACTERS:]}"

    def _target_of(self, clip_id: str) -> str:
        """Return the target that an example shows: one that was predicted wrong, else one that is positive."""
        of_clip = self._outcomes.loc[self._outcomes["clip_id"] == clip_id]
        for outcome in ("fn", "fp", "tp", "tn"):
            targets = of_clip.loc[of_clip["outcome"] == outcome, "target"]
            if len(targets):
                return str(targets.iloc[0])
        raise ValueError(f"{clip_id} has no outcome")


def on_mel_axis(found: Maps, axis: Axis, job: JobSettings) -> Maps:
    """Return evidence over the bands that are drawn; a model's own front end may have other bands.

    Args:
        found: Shape [band, frame], as the backbone sees the clip.
        axis: Of the spectrograms that are drawn.
        job: Its front end.

    Returns:
        Shape [mel, frame]; 0 outside the bands of the front end.
    """
    frontend = job.model.frontend
    if not isinstance(frontend, LinearFrontend | ConstantQFrontend):
        return found
    low_hz, high_hz = frontend_range_hz(frontend, job.spectrogram, job.clips)
    if isinstance(frontend, ConstantQFrontend):
        centres_hz = constant_q_frequencies(f_min_hz=low_hz, f_max_hz=high_hz, bins_per_octave=frontend.bins_per_octave)
    else:
        centres_hz = np.linspace(low_hz, high_hz, len(found))
    wanted_hz = axis.mel_centres_hz
    columns = [np.interp(wanted_hz, centres_hz, column, left=0.0, right=0.0) for column in found.T]
    return np.stack(columns, axis=1).astype(np.float32)


def _marks(clips: pd.DataFrame, tables: Mapping[str, Path]) -> dict[str, list[Mark]]:
    """Return the events within each clip that are shorter than it, in seconds from its start; without cycles."""
    marks: dict[str, list[Mark]] = {clip_id: [] for clip_id in clips["clip_id"]}
    for dataset, part in clips.groupby("dataset"):
        events = read_events(tables[str(dataset)] / "events.parquet")
        events = events.loc[(events["kind"] != "cycle") & events["recording_id"].isin(part["recording_id"])]
        for pair in part.merge(events, on="recording_id", suffixes=("", "_event")).to_dict("records"):
            length_s = pair["end_s"] - pair["start_s"]
            start_s = max(pair["start_s_event"] - pair["start_s"], 0.0)
            end_s = min(pair["end_s_event"] - pair["start_s"], length_s)
            if 0 < end_s - start_s < MAX_MARK_SHARE * length_s:
                marks[pair["clip_id"]].append(Mark(start_s, end_s, pair["kind"]))
    return marks


def _entry(name: str, row: dict[Any, Any], outcomes: list[dict[Any, Any]], task: TaskSettings) -> dict[str, Any]:
    probabilities = {target: float(row[probability_column(target)]) for target in task.targets}
    if task.type == "multi_class":
        truth = next((target for target in task.targets if row[target_column(target)] == 1), None)
        predicted = max(probabilities, key=lambda target: probabilities[target])
        is_error = truth != predicted
        text = f"{truth}: predicted {predicted} ({probability_text(probabilities[predicted])})"
        if is_error and truth:
            text += f", {truth} {probability_text(probabilities[truth])}"
    else:
        is_error = any(outcome["outcome"] in {"fp", "fn"} for outcome in outcomes)
        words = [
            f"{outcome['target']}: {OUTCOME_NAMES[outcome['outcome']]} ({probability_text(outcome['probability'])})"
            for outcome in outcomes
        ]
        text = ", ".join(words)
    return {
        "file": name,
        "dataset": str(row["dataset"]),
        "start_s": float(row["start_s"]),
        "end_s": float(row["end_s"]),
        "is_error": is_error,
        "text": text,
    }
