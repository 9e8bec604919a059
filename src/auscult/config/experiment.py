"""An experiment file: shared settings, and jobs that state only what differs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from auscult.config.augment import AugmentSettings, OnColours
from auscult.config.base import Settings
from auscult.config.claims import Claim
from auscult.config.clips import ClipSettings
from auscult.config.evaluate import EvaluateSettings
from auscult.config.matrix import MatrixSettings, folder_names, split_without
from auscult.config.model import TIMM_PREFIX, ModelSettings
from auscult.config.probe import ProbeSettings
from auscult.config.spectrogram import SpectrogramSettings
from auscult.config.split import WITH_CALIBRATION, FoldSplit, PatientSplit, SplitSettings, ValFold
from auscult.config.train import PictureStandard, TrainSettings
from auscult.config.tune import TuneSettings


class JobSettings(Settings):
    """One training with nothing left to look up: presets and differences are resolved."""

    task: str
    datasets: tuple[str, ...] = Field(min_length=1)
    clips: ClipSettings
    spectrogram: SpectrogramSettings = Field(default=SpectrogramSettings(), description="of sound; pictures have none")
    split: SplitSettings
    model: ModelSettings
    augment: AugmentSettings = AugmentSettings()
    train: TrainSettings = TrainSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    allow_doubtful: tuple[str, ...] = ()
    folds: int | None = Field(
        default=None,
        ge=2,
        le=100,
        description="train once for each of so many parts of the patients, which is the test set",
    )
    val_folds: int | None = Field(
        default=None,
        ge=2,
        le=100,
        description="train once for each of so many parts of the patients outside the test set; the part is the "
        "validation set of that training, and all of them share the test set",
    )
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(), description="train once for each, in place of train.seed"
    )
    matrix: MatrixSettings | None = Field(
        default=None,
        description="train once for each dataset, site or device, which is left out and makes the test set",
    )
    ensemble: bool | tuple[str, ...] = Field(
        default=False,
        description="average the trainings of `seeds`, of `val_folds` or of both into one model with an operating "
        "point of its own, which is judged as a row of its own (in a resolved run: the trainings)",
    )
    evaluate_only: str | None = Field(
        default=None,
        description="folder of a trained job, such as results/pneumonia/train2356/1: nothing is trained, that model is "
        "judged on this job's data",
    )
    probe: ProbeSettings | None = Field(
        default=None, description="instead of a training: a frozen encoder, and a classifier on its embeddings"
    )
    note: str = Field(default="", description="what this job is about, shown in the report")

    @model_serializer(mode="wrap")
    def _without_spectrogram_of_pictures(self, to_dict: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values: dict[str, Any] = to_dict(self)
        if self.clips.is_image:
            values.pop("spectrogram", None)
        return values

    @property
    def frontend(self) -> Literal["stored", "online", "model"]:
        """Where a training's spectrograms come from: read; computed from clips; or made by the model, from clips."""
        if self.model.frontend is not None:
            return "model"
        wanted = self.train.batches.frontend
        if wanted == "auto":
            return "online" if self.augment.waveform else "stored"
        return wanted

    @model_validator(mode="after")
    def _check_frontend(self) -> Self:
        if self.train.batches.frontend == "stored" and self.augment.waveform:
            raise ValueError("augment.waveform needs clips, and train.batches.frontend: stored reads none; use auto")
        if self.train.batches.frontend != "auto" and self.model.frontend is not None:
            raise ValueError(
                f"model.frontend takes clips; leave train.batches.frontend {self.train.batches.frontend!r} out"
            )
        return self

    @model_validator(mode="after")
    def _check_images(self) -> Self:
        """Refuse what only sound has, and what pictures do not have yet."""
        if not self.clips.is_image:
            if self.augment.picture:
                raise ValueError(
                    "augment.picture: its steps change pictures; sound takes augment.waveform, .spectrogram"
                )
            if self.train.normalise is not None:
                raise ValueError("train.normalise is of pictures; of sound each mel band is normalised: leave it out")
            return self
        self._check_normalise()
        height, width = self.clips.picture_shape[1:]
        if height != width and any(step.name == "turn" for step in self.augment.picture):
            raise ValueError(
                f"augment.picture: turn needs square pictures, and clips.size is {height} x {width}; take flip"
            )
        on_colours = [step.name for step in self.augment.picture if isinstance(step, OnColours)]
        if on_colours and self.clips.channels not in {1, 3}:
            raise ValueError(
                f"augment.picture: {', '.join(on_colours)} take grey or colours, and clips.channels is "
                f"{self.clips.channels}; take brightness_contrast"
            )
        unfit = {
            "spectrogram (a picture is taken as it is)": self.spectrogram != SpectrogramSettings(),
            "model.frontend (it makes spectrograms of sound)": self.model.frontend is not None,
            "augment.waveform and augment.spectrogram (their steps change sound; pictures take augment.picture)": (
                self.augment.waveform or self.augment.spectrogram
            ),
            "train.batches.frontend: online (spectrograms of sound are computed there)": self.train.batches.frontend
            == "online",
            "probe": self.probe is not None,
            "ensemble": self.ensemble,
            "evaluate.shifts_s (it moves sound in time)": bool(self.evaluate.shifts_s),
        }
        found = [what for what, is_set in unfit.items() if is_set]
        if found:
            raise ValueError(f"clips.unit: image does not go with {'; '.join(found)}: leave it out")
        return self

    def _check_normalise(self) -> None:
        wanted, n_channels = self.train.normalise, self.clips.channels
        if isinstance(wanted, PictureStandard) and {len(wanted.mean), len(wanted.std)} != {n_channels}:
            raise ValueError(
                f"train.normalise: found {len(wanted.mean)} means and {len(wanted.std)} deviations, expected "
                f"{n_channels} of each (clips.channels)"
            )
        if wanted == "pretrained" and (n_channels != 3 or not self.model.name.startswith(TIMM_PREFIX)):
            raise ValueError(
                f"train.normalise: pretrained needs a model {TIMM_PREFIX}... and clips.channels: 3, whose mean and "
                f"deviation timm knows; found {self.model.name} and {n_channels}: give {{mean: [...], std: [...]}}"
            )

    @model_validator(mode="after")
    def _check_shifts(self) -> Self:
        too_far = [shift_s for shift_s in self.evaluate.shifts_s if abs(shift_s) >= self.clips.length_s]
        if too_far:
            raise ValueError(
                f"evaluate.shifts_s {too_far}: clips are {self.clips.length_s:g} s long; shift by less than that"
            )
        return self

    @model_validator(mode="after")
    def _check_repeats(self) -> Self:
        if self.folds is not None and not isinstance(self.split, PatientSplit):
            raise ValueError(
                f"folds divides patients at random: split.kind must be patients, found {self.split.kind!r}"
            )
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} names one twice")
        return self

    @model_validator(mode="after")
    def _check_val_folds(self) -> Self:
        val_fold = self.split.val_fold
        if self.val_folds is None:
            has_validation = val_fold is None or val_fold.fold is not None
            if not has_validation and self.ensemble is False and self.evaluate_only is None:
                raise ValueError(
                    "split.val_fold without `fold` leaves a training without a validation set; name the part, or let "
                    "the job's `val_folds` name each in turn"
                )
            return self
        if self.folds is not None:
            raise ValueError(
                "folds with val_folds: choose whether the parts of the patients are tested or validated on"
            )
        if val_fold is not None:
            raise ValueError("val_folds names split.val_fold of each training itself; leave split.val_fold out")
        if self.split.calibration_fraction:
            raise ValueError(WITH_CALIBRATION)
        if self.split.names_validation:
            raise ValueError(
                f"val_folds divides the patients outside the test set anew, but {self.split.names_validation}"
            )
        if self.evaluate_only is not None:
            raise ValueError(
                "evaluate_only trains nothing: val_folds would evaluate one model several times; leave them out"
            )
        return self

    @model_validator(mode="after")
    def _check_matrix(self) -> Self:
        if self.matrix is None:
            return self
        unfit = {
            "folds (the left-out values are the test sets)": self.folds is not None,
            "val_folds (each training draws its validation set from the values that are not left out)": self.val_folds
            is not None,
            "ensemble (its members would have learned from each other's test sets)": self.ensemble,
            "evaluate_only (nothing is trained there)": self.evaluate_only is not None,
            f"split.kind: {self.split.kind} (it must be patients, whose train and val say how validation is drawn)": (
                not isinstance(self.split, PatientSplit)
            ),
        }
        found = [what for what, is_set in unfit.items() if is_set]
        if found:
            raise ValueError(f"matrix does not go with {'; '.join(found)}")
        if self.matrix.leave_out == "dataset":
            unknown = sorted(set(self.matrix.values) - set(self.datasets))
            if unknown:
                raise ValueError(f"matrix.values names {unknown}; the job's datasets are {list(self.datasets)}")
            if len(self.datasets) < 2:
                raise ValueError(f"matrix leaves one dataset out, and there is only {', '.join(self.datasets)}")
        return self

    @model_validator(mode="after")
    def _check_ensemble(self) -> Self:
        if self.ensemble is not True:
            return self
        if self.folds is not None:
            raise ValueError(
                "ensemble with folds: every patient is in the test set of one fold and in the training set of the "
                "others, so the average has no test set that none of its members has seen; use `seeds` or "
                "`val_folds`, whose trainings share one test set"
            )
        if self.val_folds is None and len(self.seeds) < 2:
            raise ValueError(
                f"ensemble averages the trainings of seeds, of val_folds or of both: of seeds found {len(self.seeds)}, "
                "expected 2 or more"
            )
        if self.probe is not None:
            raise ValueError("ensemble averages trained networks; a probe is none: leave one of the two out")
        return self

    @model_validator(mode="after")
    def _check_evaluation(self) -> Self:
        if self.evaluate_only is not None and self.seeds:
            raise ValueError(
                "evaluate_only trains nothing: seeds would evaluate one model several times; leave them out"
            )
        if self.evaluate_only is not None and self.evaluate.best_on_test:
            raise ValueError(
                "evaluate_only trains nothing: there are no epochs for evaluate.best_on_test; leave it out"
            )
        if self.evaluate_only is not None and self.evaluate.shifts_s:
            raise ValueError(
                "evaluate_only judges a model as it was frozen: evaluate.shifts_s belongs to its own experiment; leave "
                "it out"
            )
        return self

    @model_validator(mode="after")
    def _check_probe(self) -> Self:
        """Refuse what a probe would pass over in silence."""
        if self.probe is None:
            return self
        loss = self.train.loss
        unfit = {
            "evaluate_only (nothing is fitted there; leave one of the two out)": self.evaluate_only is not None,
            "augment (embeddings are computed once, of the clips as they are; give the job "
            "`augment: {waveform: [], spectrogram: []}`)": self.augment.waveform or self.augment.spectrogram,
            "train.pretrained (the encoder brings the weights; leave it out)": self.train.pretrained is not None,
            "train.sampler: balanced (use train.loss.class_weights)": self.train.sampler != "shuffle",
            f"train.loss.name: {loss.name} (logistic regression minimises the cross-entropy; use auto)": loss.name
            not in {"auto", "bce", "cross_entropy"},
            "train.loss.label_smoothing (leave it out)": getattr(loss, "label_smoothing", 0) > 0,
            "train.train_step and train.test_step (leave them out)": self.train.train_step or self.train.test_step,
            "train.metric_over: batch (use epoch)": self.train.metric_over != "epoch",
            "evaluate.best_on_test (there are no epochs; leave it out)": self.evaluate.best_on_test,
            "evaluate.shifts_s (embeddings are computed once, of the clips as they are; leave it out)": bool(
                self.evaluate.shifts_s
            ),
            "seeds with probe.resample: none (every seed would fit the same probe; with `resample: patients` each seed "
            "draws the training patients anew)": self.seeds and not self.probe.draws,
        }
        found = [what for what, is_set in unfit.items() if is_set]
        if found:
            raise ValueError(f"probe does not go with {'; '.join(found)}")
        return self

    @model_validator(mode="after")
    def _check_datasets(self) -> Self:
        twice = sorted({name for name in self.datasets if self.datasets.count(name) > 1})
        if twice:
            raise ValueError(f"datasets names {twice} more than once")
        return self


ENSEMBLE = "ensemble"
"""Last part of the id of the run that averages the others of a job."""


class Run(NamedTuple):
    """One training: a job, one of its folds, left-out values and seeds, or their ensemble.

    Attributes:
        id: Its folder below the experiment's: `2`, `2/fold1_seed0`, `2/val1_seed0`, `2/without_icbhi`, or
            `2/ensemble`.
        job: Number of its job, from 1.
        settings: With nothing left to expand.
        left_out: The value that a matrix leaves out; empty without one.
    """

    id: str
    job: int
    settings: JobSettings
    left_out: str = ""


class Experiment(Settings):
    """`config/experiments/<group>/<name>.yaml`, resolved.

    Most groups are called like their task; a group may hold several tasks of one dataset or paper.
    """

    name: str
    group: str
    task: str
    description: str
    jobs: tuple[JobSettings, ...] = Field(min_length=1)
    claims: tuple[Claim, ...] = Field(default=(), description="what is published on its task")
    tune: TuneSettings | None = None

    @model_serializer(mode="wrap")
    def _without_no_search(self, to_dict: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What was published before there were searches stays what it is.
        values: dict[str, Any] = to_dict(self)
        if self.tune is None:
            values.pop("tune", None)
        return values

    def job(self, number: int) -> JobSettings:
        """Return job `number`, counted from 1."""
        return self.jobs[number - 1]

    @property
    def runs(self) -> tuple[Run, ...]:
        """All trainings, job after job: its folds or left-out values, in each its seeds, and last their ensemble."""
        return tuple(run for number, job in enumerate(self.jobs, start=1) for run in _expand(number, job))


def _expand(number: int, job: JobSettings) -> Iterator[Run]:
    members = list(_repeats(number, job))
    yield from members
    if job.ensemble is True:
        # The epochs of its members are theirs.
        evaluation = job.evaluate.model_copy(update={"best_on_test": False})
        changes = {
            "seeds": (),
            "val_folds": None,
            "split": job.split if job.val_folds is None else _val_fold(job.split, job.val_folds),
            "ensemble": tuple(run.id for run in members),
            "evaluate": evaluation,
        }
        yield Run(f"{number}/{ENSEMBLE}", number, job.model_copy(update=changes))


def _repeats(number: int, job: JobSettings) -> Iterator[Run]:
    for part, split, left_out in _parts(job):
        for seed in job.seeds or [None]:
            names = [part] if part else []
            changes: dict[str, Any] = {
                "folds": None,
                "val_folds": None,
                "matrix": None,
                "seeds": (),
                "ensemble": False,
                "split": split,
            }
            if seed is not None:
                names.append(f"seed{seed}")
                changes["train"] = job.train.model_copy(update={"seed": seed})
            run_id = "/".join([str(number), *(["_".join(names)] if names else [])])
            yield Run(run_id, number, job.model_copy(update=changes), left_out)


def _parts(job: JobSettings) -> Iterator[tuple[str, SplitSettings, str]]:
    """Yield name, split and left-out value of each part of a job; one without a name where it has none."""
    if job.folds is not None and isinstance(job.split, PatientSplit):
        for fold in range(1, job.folds + 1):
            yield f"fold{fold}", _fold(job.split, job.folds, fold), ""
    elif job.val_folds is not None:
        for fold in range(1, job.val_folds + 1):
            yield f"val{fold}", _val_fold(job.split, job.val_folds, fold), ""
    elif job.matrix is not None and isinstance(job.split, PatientSplit):
        for value, name in folder_names(job.matrix.values or job.datasets).items():
            yield f"without_{name}", split_without(job.split, job.matrix, value), value
    else:
        yield "", job.split, ""


def _fold(split: PatientSplit, n_folds: int, fold: int) -> FoldSplit:
    """Return one fold of patients; validation takes the share of the rest that it has in `split`."""
    return FoldSplit(
        kind="folds",
        n_folds=n_folds,
        fold=fold,
        val_fraction=split.fractions.val_share,
        seed=split.seed,
        allow_leaks=split.allow_leaks,
        allow_absent=split.allow_absent,
        calibration_fraction=split.calibration_fraction,
    )


def _val_fold(split: SplitSettings, n_folds: int, fold: int | None = None) -> SplitSettings:
    """Return a split whose validation set is one part of the patients outside the test set; None: nobody is in it."""
    return split.model_copy(update={"val_fold": ValFold(n_folds=n_folds, fold=fold)})


class ExperimentFile(Settings):
    """The file as written: sections may be `{preset: name, key: override}`, jobs hold differences."""

    description: str
    task: str
    define: dict[str, Any] = Field(
        default={}, description="a task and datasets that have no file of their own (`config.definitions`)"
    )
    datasets: list[str]
    clips: dict[str, Any]
    spectrogram: dict[str, Any] = Field(default={}, description="needed for sound; pictures have none")
    split: dict[str, Any]
    model: dict[str, Any]
    augment: dict[str, Any] = Field(default={})
    train: dict[str, Any] = Field(default={})
    evaluate: dict[str, Any] = Field(default={})
    allow_doubtful: list[str] = Field(default=[])
    folds: int | None = None
    val_folds: int | None = None
    seeds: list[int] = Field(default=[])
    matrix: dict[str, Any] | None = None
    ensemble: bool = False
    evaluate_only: str | None = None
    probe: dict[str, Any] | None = None
    note: str = ""
    tune: TuneSettings | None = Field(default=None, description="search settings of the one job on validation")
    jobs: list[dict[str, Any]] = Field(default=[{}], min_length=1)
