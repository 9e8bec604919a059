"""What the rules of the workflow ask: the jobs of an experiment, the files they read, what each file is made with.

A rule's path holds a key, a hash that cannot be turned back into settings; the plan knows which settings made it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from auscult.config import paths
from auscult.config.dataset import DatasetSettings
from auscult.config.experiment import Experiment, JobSettings
from auscult.config.plugins import plugins_used
from auscult.config.project import ProjectSettings, load_dataset
from auscult.config.protocol import protocol_path
from auscult.config.resolve import list_experiments, load_experiment, load_task
from auscult.config.study import study_paths
from auscult.config.task import TaskSettings
from auscult.config.trials import (
    CHOSEN_FILE,
    list_trials,
    read_chosen,
    read_trial,
    study_dir,
    trial_dir,
    trial_job,
    with_chosen,
)
from auscult.config.upstream import META_FILE, RunName, Upstream, UpstreamResults
from auscult.errors import AuscultError, ConfigError
from auscult.storage.files import read_json

logger = logging.getLogger(__name__)

_OPTIONS_OF_FILES = ("--report", "--report-stylesheet", "--archive")
"""Options of Snakemake whose value is a file to write or read, and no target."""
TABLES = ("recordings", "events")
"""What a split, a training and an evaluation read of a dataset."""


class JobFiles(NamedTuple):
    """The keyed files that a job reads.

    Attributes:
        spectrograms: Dataset -> its spectrogram stores, in order.
        clips: Dataset -> the clip stores that they are made of.
        split: The split table.
        embeddings: Dataset -> the stores of its embeddings, in the same order; empty unless the job is a probe.
    """

    spectrograms: dict[str, list[str]]
    clips: dict[str, list[str]]
    split: str
    embeddings: dict[str, list[str]]


class Plan:
    """The configuration as the rules see it; each file is read once, each experiment expanded once.

    Args:
        config_dir: The folder `config`.
        project: Gives the roots of datasets.

    Attributes:
        experiments: Task and name of all.
        written: Returns an experiment by folder and name, as its file says it.
        experiment: Returns one with the settings that its study chose, where it has a search.
        task: Returns a task by name.
        dataset: Returns a dataset by name.
        inventory: Returns what tells that a folder changed which DVC does not track.
    """

    def __init__(self, config_dir: Path, project: ProjectSettings) -> None:
        self.experiments = list_experiments(config_dir)
        self._config_dir = config_dir
        self._project = project
        self._made_with: dict[str, dict[str, Any]] = {}
        # Of hundreds of experiments each is expanded once, not once for each of its jobs and their inputs.
        self.written = cache(self._written)
        self.experiment = cache(self._experiment)
        self.task = cache(self._task)
        self.dataset = cache(self._dataset)
        self.runs = cache(self._runs)
        self.files = cache(self._files)
        self.trial_job = cache(self._trial_job)
        self.trial_files = cache(self._trial_files)
        self.inventory = cache(self._inventory)
        self._upstream = UpstreamResults(self.experiments, self.runs)

    def _written(self, group: str, name: str) -> Experiment:
        return load_experiment(self._config_dir, group, name)

    def _experiment(self, group: str, name: str) -> Experiment:
        return with_chosen(self._config_dir, self.written(group, name))

    def _task(self, name: str) -> TaskSettings:
        return load_task(self._config_dir, name)

    def task_of(self, group: str, experiment: str) -> TaskSettings:
        """Return the task of an experiment."""
        return self.task(self.written(group, experiment).task)

    def _dataset(self, name: str) -> DatasetSettings:
        return load_dataset(self._config_dir, name, self._project.roots)

    def dataset_params(self, name: str) -> dict[str, Any]:
        """Return the settings of a dataset, with the number of its shards: another number reads it again."""
        dataset = self.dataset(name)
        return dataset.model_dump(mode="json") | {"shards": paths.n_shards(name, dataset)}

    def _runs(self, group: str, experiment: str) -> dict[str, JobSettings]:
        return {run.id: run.settings for run in self.experiment(group, experiment).runs}

    def _inventory(self, folder: str) -> str:
        return paths.inventory(Path(folder))

    def job(self, group: str, experiment: str, run: str) -> JobSettings:
        """Return the settings of one training.

        Raises:
            ConfigError: The experiment has no such job.
        """
        runs = self.runs(group, experiment)
        if run not in runs:
            raise ConfigError(f"{group}/{experiment} has the jobs {', '.join(runs)}; {run} was asked for")
        return runs[run]

    def _files(self, group: str, experiment: str, run: str) -> JobFiles:
        return self._files_of(self.job(group, experiment, run), RunName(group, experiment, run))

    def _files_of(self, job: JobSettings, owner: RunName) -> JobFiles:
        """Note for every keyed file of a job what it is made with, and return the files."""
        task = self.task(job.task)
        split = paths.split_path(job, task)
        self._made_with[split] = {
            "datasets": job.datasets,
            "settings": job.split.model_dump(mode="json"),
            "task": task_params(task),
        }
        files = JobFiles({}, {}, split, {})
        for name in job.datasets:
            dataset = self.dataset(name)
            files.clips[name] = paths.clips_paths(name, dataset, job.clips)
            files.spectrograms[name] = paths.features_paths(name, dataset, job)
            for number, (clips, spectrograms) in enumerate(
                zip(files.clips[name], files.spectrograms[name], strict=True)
            ):
                self._made_with[clips] = {
                    "settings": job.clips.model_dump(mode="json"),
                    "all": paths.clips_settings(dataset, job.clips),
                    "shard": {"index": number, "count": len(files.clips[name])},
                }
                if job.clips.is_image:
                    continue  # pictures are taken as they are: one file is both
                self._made_with[spectrograms] = {
                    "clips": clips,
                    "settings": job.spectrogram.model_dump(mode="json"),
                    "all": paths.features_settings(dataset, job),
                }
            if job.probe is not None:
                files.embeddings[name] = self._remember_embeddings(owner, job, files, name)
        return files

    def _remember_embeddings(self, name: RunName, job: JobSettings, files: JobFiles, dataset: str) -> list[str]:
        """Note for the embeddings of a dataset what they are made with, and return their stores."""
        upstream = self._upstream.of(name)
        if upstream is None:
            raise ValueError(f"{name} has no encoder")
        settings = paths.embeddings_settings(self.dataset(dataset), job, _encoder_key(upstream))
        stores = paths.embeddings_paths(dataset, self.dataset(dataset), job, settings)
        inputs = files.spectrograms if job.model.frontend is None else files.clips
        for store, stored in zip(stores, inputs[dataset], strict=True):
            self._made_with[store] = {
                "stored": stored,
                "encoder": upstream.read,
                "needs": list(upstream.needs),
                "all": settings,
            }
        return stores

    def made_with(self, path: str) -> dict[str, Any]:
        """Return what a keyed file is made with; a job on a cluster starts here, without the experiment that wants it.

        Raises:
            ConfigError: No experiment makes it.
        """
        if path not in self._made_with:
            self._remember_all(path)
        if path not in self._made_with:
            raise ConfigError(
                f"no experiment in {self._config_dir / 'experiments'} makes {path}; ask for a result, such as "
                "results/pneumonia/train2356, and its clips, spectrograms and splits are made as needed"
            )
        return self._made_with[path]

    def _remember_all(self, path: str) -> None:
        for group, name in self.experiments:
            try:
                if self._awaits_its_study(group, name):
                    self._files_of(self.written(group, name).job(1), RunName(group, name, "1"))
                    continue
                for run in self.runs(group, name):
                    self.files(group, name, run)
            except AuscultError as error:
                logger.warning("passed over while looking for the settings of %s: %s", path, error)
        # Most trials share the files of their job.
        for group, name in self.experiments:
            for trial in list_trials(group, name):
                if path in self._made_with:
                    return
                try:
                    self.trial_files(group, name, trial)
                except AuscultError as error:
                    logger.warning("passed over while looking for the settings of %s: %s", path, error)

    # --- the trials of a study

    def _awaits_its_study(self, group: str, experiment: str) -> bool:
        written = self.written(group, experiment)
        return written.tune is not None and read_chosen(written) is None

    def _trial_job(self, group: str, experiment: str, trial: str, seed: int) -> JobSettings:
        """Return what is trained for a trial with one seed.

        Raises:
            ConfigError: There is no such trial, or its values do not go together.
        """
        written, where = self.written(group, experiment), str(trial_dir(group, experiment, trial))
        settings = read_trial(group, experiment, trial)
        job = trial_job(self._config_dir, written, settings, self.task(written.task), seed=seed, where=where)
        upstream = self._upstream.of_job(RunName(group, experiment, f"trial {trial}"), job)
        return job if upstream is None else upstream.read_by(job)

    def _trial_files(self, group: str, experiment: str, trial: str) -> JobFiles:
        """Return the files that a trial reads: those of any job with equal settings of clips and spectrograms."""
        job = self.trial_job(group, experiment, trial, 0)
        return self._files_of(job, RunName(group, experiment, f"trial {trial}"))

    def trial_upstream_files(self, group: str, experiment: str, trial: str) -> list[str]:
        """Return the files of earlier trainings that have to be there before a trial."""
        job = self.trial_job(group, experiment, trial, 0)
        upstream = self._upstream.of_job(RunName(group, experiment, f"trial {trial}"), job)
        return [] if upstream is None else list(upstream.needs)

    def search(self, group: str, experiment: str) -> list[str]:
        """Return what the study of an experiment chose, as a file; empty where it has no search.

        Raises:
            ConfigError: The study is not finished.
        """
        found = self.experiment(group, experiment)
        return [] if found.tune is None else [(study_dir(group, experiment) / CHOSEN_FILE).as_posix()]

    # --- what a job takes from an earlier training

    def upstream(self, group: str, experiment: str, run: str) -> Upstream | None:
        """Return what a training takes from an earlier one; None: nothing."""
        self.job(group, experiment, run)
        return self._upstream.of(RunName(group, experiment, run))

    def upstream_files(self, group: str, experiment: str, run: str) -> list[str]:
        """Return the files, or the result's folder, that have to be there before a training.

        Raises:
            ConfigError: A file from elsewhere is missing.
        """
        upstream = self.upstream(group, experiment, run)
        if upstream is None:
            return []
        for path in () if upstream.runs else upstream.needs:
            if not Path(path).is_file():
                raise ConfigError(
                    f"{group}/{experiment}, job {run}: {upstream.setting}: {path}: no such file; give a path from the "
                    "project's folder, such as results/pneumonia/train2356/1 of an experiment of this project, which "
                    "is then made first"
                )
        return list(upstream.needs)

    def upstream_facts(self, group: str, experiment: str, run: str) -> dict[str, list[int]]:
        """Return size and time of files from elsewhere: an older one in their place is a change too."""
        upstream = self.upstream(group, experiment, run)
        if upstream is None or upstream.runs:
            return {}
        return {path: paths.file_facts(Path(path)) for path in upstream.needs}

    def member_splits(self, group: str, experiment: str, run: str) -> list[str]:
        """Return the split table of each member of an ensemble whose members have validation sets of their own."""
        job = self.job(group, experiment, run)
        if not isinstance(job.ensemble, tuple) or job.split.val_fold is None:
            return []
        return [self.files(group, experiment, member).split for member in job.ensemble]

    # --- inputs

    def raw_data(self, dataset: str) -> list[str]:
        """Return what says that raw data changed: a .dvc file or a bucket's listing, not thousands of audio files."""
        settings = self.dataset(dataset)
        if paths.is_remote(settings.root):
            return [paths.raw_listing_path(dataset)]
        return [settings.tracked_by] if settings.tracked_by else []

    def raw_inventory(self, dataset: str) -> str:
        """Return a digest of names, sizes and times of the files in a folder that DVC does not track.

        Raises:
            ConfigError: There is no such folder.
        """
        settings = self.dataset(dataset)
        if settings.tracked_by or paths.is_remote(settings.root):
            return ""
        if not Path(settings.root).is_dir():
            raise ConfigError(paths.say_missing_root(dataset, settings))
        return self.inventory(settings.root)

    def noise_inventories(self, job: JobSettings) -> dict[str, str]:
        """Return what tells that a folder of noise changed which a training mixes into its clips."""
        return {folder: self.inventory(folder) for folder in job.augment.noise_folders}

    def clips_read(self, group: str, experiment: str, run: str) -> dict[str, list[str]]:
        """Return the clip stores that a training reads; none where it reads stored spectrograms."""
        return clips_of(self.job(group, experiment, run), self.files(group, experiment, run))

    def audits(self, group: str, experiment: str) -> list[str]:
        """Return the audit of each training's split."""
        return [paths.audit_path(self.files(group, experiment, run).split) for run in self.runs(group, experiment)]

    def summaries(self, group: str, experiment: str) -> list[str]:
        """Return the summary of each dataset's ingest, in the order in which jobs name the datasets."""
        return [f"{paths.tables_dir(name)}/summary.json" for name in self._datasets(group, experiment)]

    def recordings(self, group: str, experiment: str) -> list[str]:
        """Return the table of each dataset's recordings, in the same order."""
        return [f"{paths.tables_dir(name)}/recordings.parquet" for name in self._datasets(group, experiment)]

    def _datasets(self, group: str, experiment: str) -> list[str]:
        return list(dict.fromkeys(name for job in self.written(group, experiment).jobs for name in job.datasets))

    def protocols(self, group: str, experiment: str) -> list[str]:
        """Return the protocol of an experiment, where one was frozen."""
        path = protocol_path(self._config_dir, group, experiment)
        return [path.as_posix()] if path.is_file() else []

    def studies(self, group: str, experiment: str) -> list[str]:
        """Return the `study.yaml` of the project and of an experiment's folder, where they are."""
        del experiment
        return [path.as_posix() for path in study_paths(self._config_dir, group)]

    def plugins(self, group: str, experiment: str) -> dict[str, str]:
        """Return the files of plugins that an experiment and its datasets use, each with its digest."""
        datasets = [self.dataset(name) for name in self._datasets(group, experiment)]
        return plugins_used([*self.experiment(group, experiment).jobs, *datasets])

    def untracked(self, group: str, experiment: str) -> list[str]:
        """Return the datasets of an experiment that DVC does not track: of them `data.dvc` says nothing."""
        return [name for name in self._datasets(group, experiment) if not self.dataset(name).tracked_by]

    def results_of_tracked_data(self) -> list[str]:
        """Return the results of every experiment whose datasets DVC brings; one that awaits its study is left out."""
        tracked = [
            (group, name)
            for group, name in self.experiments
            if all(self.dataset(dataset).tracked_by for dataset in self._datasets(group, name))
        ]
        waiting = [owner for owner in tracked if self._awaits_its_study(*owner)]
        for group, name in waiting:
            logger.warning(
                "%s/%s is left out, for its study is not finished: auscult tune run %s/%s", *(group, name) * 2
            )
        return [paths.result_dir(*owner) for owner in tracked if owner not in waiting]

    def check_targets(self, arguments: Sequence[str]) -> None:
        """Read the experiments that a command line names, so that a fault is told before any rule is asked.

        Raises:
            ConfigError: A fault in one of them.
        """
        for before, argument in zip(("", *arguments), arguments, strict=False):
            kind, owner, inner = paths.place_of(argument.rstrip("/"))
            # A path may as well be the value of another option, such as --report.
            if owner is None or owner not in self.experiments or before in _OPTIONS_OF_FILES:
                continue
            if kind == "results" and inner:
                result = paths.result_dir(*owner)
                raise ConfigError(
                    f"{argument} is made with the whole result; ask for that: snakemake --cores all {result}"
                )
            for run in self.runs(*owner):
                self.files(*owner, run)
                self.upstream(*owner, run)

    # --- params: each rule is handed the slice of settings that it uses, so that only a change of that slice reruns it

    def train_params(self, group: str, experiment: str, run: str) -> dict[str, Any]:
        """Return what a training depends on: of the evaluation's settings, only what is frozen with the model."""
        job, upstream = self.job(group, experiment, run), self.upstream(group, experiment, run)
        if upstream is not None:
            job = upstream.read_by(job)
        return {**job_params(job), "evaluate": job.evaluate.frozen()}


def clips_of(job: JobSettings, files: JobFiles) -> dict[str, list[str]]:
    """Return the clip stores that a training of a job reads; none where it reads stored spectrograms."""
    return {} if job.frontend == "stored" else files.clips


def job_params(job: JobSettings) -> dict[str, Any]:
    """Return a job's settings; its note shapes nothing, and a run's `val_folds` or `matrix` are in its split."""
    return {**job.model_dump(mode="json", exclude={"val_folds", "matrix"}), "note": ""}


def _encoder_key(upstream: Upstream) -> dict[str, str]:
    """Return what tells encoders apart: a training of this project by its place, for its weights may not be there yet.

    One from elsewhere is known by the digest of its weights, wherever it lies.
    """
    description = Path(upstream.read) / META_FILE
    if not upstream.runs and description.is_file():
        with suppress(OSError, ValueError, KeyError, TypeError):  # a damaged one is named by what loads it
            return {"weights_sha256": str(read_json(description)["weights_sha256"])}
    return {"encoder": upstream.read}


def task_params(task: TaskSettings) -> dict[str, Any]:
    """Return a task's settings; its description shapes nothing."""
    return {**task.model_dump(mode="json"), "description": ""}


def tables_of(datasets: Sequence[str]) -> list[str]:
    """Return the tables of datasets.

    >>> tables_of(["icbhi"])
    ['work/tables/icbhi/recordings.parquet', 'work/tables/icbhi/events.parquet']
    """
    return [f"{paths.tables_dir(name)}/{table}.parquet" for name in datasets for table in TABLES]


def accounts_of(datasets: Sequence[str]) -> list[str]:
    """Return what says which recordings of datasets were found, and which were lost.

    >>> accounts_of(["icbhi"])
    ['work/tables/icbhi/flow.csv', 'work/tables/icbhi/summary.json']
    """
    return [f"{paths.tables_dir(name)}/{file}" for name in datasets for file in ("flow.csv", "summary.json")]


def all_of(stores: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the files of all datasets in one list.

    >>> all_of({"icbhi": ["a.h5"], "bd": ["b.h5", "c.h5"]})
    ['a.h5', 'b.h5', 'c.h5']
    """
    return [path for files in stores.values() for path in files]
