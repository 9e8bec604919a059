# The functions of all rules. They import auscult.config alone: a dry run needs neither torch nor pandas.

import gc
import os
import sys
from functools import cache, wraps
from pathlib import Path

from snakemake.caching import LOCATION_ENVVAR
from snakemake.caching.rule import CacheFlag, RuleCache
from snakemake.exceptions import WorkflowError

from auscult.config import (
    list_experiments,
    load_dataset,
    load_experiment,
    load_project,
    load_task,
    paths,
)
from auscult.config.files import defined_names
from auscult.config.upstream import EarlierResults, RunName
from auscult.errors import AuscultError

# A plan of thousands of jobs is millions of objects that all live to its end: Python's search among them for what nobody
# needs, after every 700 new ones, took a quarter of a dry run's time and found nothing.
gc.set_threshold(200_000, 20, 100)

CONFIG_DIR = Path("config")
EXPERIMENTS = list_experiments(CONFIG_DIR)
NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"


def clear_errors(function):
    """Show a user's mistake as one message, without the traceback of the workflow engine."""

    @wraps(function)
    def checked(*arguments, **keywords):
        try:
            return function(*arguments, **keywords)
        except AuscultError as error:
            raise WorkflowError(str(error)) from None

    return checked


PROJECT = clear_errors(load_project)(config)


wildcard_constraints:
    task=NAME,
    experiment=NAME,
    dataset=NAME,
    # A job, or one of its folds and seeds: 2, 2/fold1, 2/seed0, 2/fold1_seed0.
    job=r"[1-9][0-9]*(/(fold[1-9][0-9]*_seed[0-9]+|fold[1-9][0-9]*|seed[0-9]+))?",
    file=NAME,


@cache
@clear_errors
def experiment_of(task, name):
    return load_experiment(CONFIG_DIR, task, name)


@cache
@clear_errors
def task_of(name):
    return load_task(CONFIG_DIR, name)


@cache
@clear_errors
def dataset_of(name):
    return load_dataset(CONFIG_DIR, name, PROJECT.roots)


# In a workflow of hundreds of experiments each is expanded once, not once for each of its jobs and their inputs.
@cache
def runs_of(task, experiment):
    return {run.id: run.settings for run in experiment_of(task, experiment).runs}


@clear_errors
def job_of(wildcards):
    runs = runs_of(wildcards.task, wildcards.experiment)
    if wildcards.job not in runs:
        raise WorkflowError(
            f"{wildcards.task}/{wildcards.experiment} has the jobs {', '.join(runs)}; {wildcards.job} was asked for"
        )
    return runs[wildcards.job]


# --- what a job takes from an earlier training ---------------------------------------------------------------------------


EARLIER = EarlierResults(EXPERIMENTS, runs_of)


@clear_errors
def earlier_of(wildcards):
    job_of(wildcards)
    return EARLIER.of(RunName(wildcards.task, wildcards.experiment, wildcards.job))


def earlier_files(wildcards):
    """The files, or the result's folder, that have to be there before a job that begins with them or judges them."""
    earlier = earlier_of(wildcards)
    if earlier is None:
        return []
    for path in [] if earlier.runs else earlier.needs:
        if not Path(path).is_file():
            raise WorkflowError(
                f"{wildcards.task}/{wildcards.experiment}, job {wildcards.job}: {earlier.setting}: {path}: no such file; "
                "give a path from the project's folder, such as results/pneumonia/train2356/1 of an experiment of this "
                "project, which is then made first"
            )
    return list(earlier.needs)


def earlier_facts(wildcards):
    """Size and time of files from elsewhere: an older one in their place is a change too."""
    earlier = earlier_of(wildcards)
    return (
        {path: paths.file_facts(Path(path)) for path in earlier.needs}
        if earlier and not earlier.runs
        else {}
    )


# --- what shapes a file: its key cannot be turned back, so each path remembers the settings that made it ---------------

SHAPED_BY = {}


def remember(job):
    """Note for every keyed file of `job` what it is made with, and return the files a training reads."""
    task = task_of(job.task)
    split = paths.split_path(job, task)
    SHAPED_BY[split] = {
        "datasets": job.datasets,
        "settings": job.split.model_dump(mode="json"),
        "task": task_params(task),
    }
    features, sounds = {}, {}
    for name in job.datasets:
        dataset = dataset_of(name)
        clips = sounds[name] = paths.clips_paths(name, dataset, job.clips)
        features[name] = paths.features_paths(name, dataset, job)
        for number in range(dataset.shards):
            SHAPED_BY[clips[number]] = {
                "settings": job.clips.model_dump(mode="json"),
                "all": paths.clips_settings(dataset, job.clips),
                "shard": {"index": number, "count": dataset.shards},
            }
            SHAPED_BY[features[name][number]] = {
                "clips": clips[number],
                "settings": job.spectrogram.model_dump(mode="json"),
                "all": paths.features_settings(dataset, job),
            }
    return {"features": features, "clips": sounds, "split": split}


@cache
@clear_errors
def files_of_run(task, experiment, job):
    return remember(runs_of(task, experiment)[job])


def files_of(wildcards):
    """The keyed files of the job that `wildcards` name."""
    job_of(wildcards)
    return files_of_run(wildcards.task, wildcards.experiment, wildcards.job)


def shaped_by(path):
    """Return what `path` is made with; a cluster job starts here, without the experiment that asked for the file."""
    if path not in SHAPED_BY:
        for task, name in list_experiments(CONFIG_DIR):
            try:
                runs = load_experiment(CONFIG_DIR, task, name).runs
            except AuscultError as error:
                logger.warning(
                    f"passed over while looking for the settings of {path}: {error}"
                )
                continue
            for run in runs:
                remember(run.settings)
    if path not in SHAPED_BY:
        raise WorkflowError(
            f"no experiment in {CONFIG_DIR / 'experiments'} makes {path}; ask for a result, such as "
            "results/pneumonia/train2356, and its clips, spectrograms and splits are made as needed"
        )
    return SHAPED_BY[path]


def shape(pattern):
    """Return a function of wildcards that gives what the file of `pattern` is made with."""
    return lambda wildcards: shaped_by(pattern.format(**wildcards))


@clear_errors
def share_in_cache(*names):
    """With `snakemake --cache`, share what the rules of these names make between clones and people.

    The hash is made of data.dvc, or of an inventory of the raw folder, and of all settings. What a bucket holds is not in
    it: with a root there nothing is shared, for one might be handed the clips of files that have changed since.
    """
    roots = {
        name: dataset_of(name).root for name in defined_names(CONFIG_DIR, "dataset")
    }
    remote = [name for name, root in roots.items() if paths.is_remote(root)]
    if remote:
        logger.warning(
            f"--cache is passed over: the raw data of {', '.join(remote)} lie in a bucket, and its hash does not know them"
        )
        return
    # STAGE_VERSION tells of changed code; another release of a library makes no other file.
    flags, in_bucket = CacheFlag.output | CacheFlag.omit_software, None
    if paths.is_remote(os.environ.get(LOCATION_ENVVAR, "")):
        from auscult.project.bucket_cache import BucketCache, BucketRuleCache

        in_bucket = BucketCache()
    # With no rule named, Snakemake would not tell the jobs of a cluster that there is a cache.
    workflow.workflow_settings.cache = workflow.workflow_settings.cache or list(names)
    for name in names:
        shared = workflow.get_rule(name)
        # Snakemake takes no rule into its cache that has a benchmark, and no directive may depend on a condition.
        shared._benchmark = None
        shared.cache = (
            BucketRuleCache(shared, flags, in_bucket)
            if in_bucket
            else RuleCache(shared, flags)
        )


# --- inputs ------------------------------------------------------------------------------------------------------------


def tables_of(datasets):
    """The tables of datasets that a split, a training and an evaluation read."""
    return [
        f"{paths.tables_dir(name)}/{table}.parquet"
        for name in datasets
        for table in ("recordings", "events")
    ]


def raw_data(wildcards):
    """What says that the raw data changed: the .dvc file, or the listing of a bucket, not thousands of audio files."""
    dataset = dataset_of(wildcards.dataset)
    if paths.is_remote(dataset.root):
        return [paths.raw_listing_path(wildcards.dataset)]
    return [dataset.tracked_by] if dataset.tracked_by else []


@cache
def inventory_of(folder):
    return paths.inventory(Path(folder))


def raw_inventory(wildcards):
    """For a folder that DVC does not track: a digest of names, sizes and times of its files."""
    dataset = dataset_of(wildcards.dataset)
    if dataset.tracked_by or paths.is_remote(dataset.root):
        return ""
    return inventory_of(dataset.root)


def training_inputs(wildcards):
    job, files = job_of(wildcards), files_of(wildcards)
    return {
        "features": [path for stores in files["features"].values() for path in stores],
        "tables": tables_of(job.datasets),
        "split": files["split"],
    }


def features_of(wildcards):
    """The spectrogram stores of each dataset that a training reads."""
    return files_of(wildcards)["features"]


def clips_of(wildcards):
    """The clip stores of each dataset that a training reads; none where stored spectrograms do."""
    frontend = job_of(wildcards).frontend
    return files_of(wildcards)["clips"] if frontend != "stored" else {}


def clips_files(wildcards):
    return [path for stores in clips_of(wildcards).values() for path in stores]


def all_clips_of(wildcards):
    """The clip stores of each dataset: an evaluation shows the sound waves, whatever its model takes."""
    return files_of(wildcards)["clips"]


def evaluation_inputs(wildcards):
    stores = all_clips_of(wildcards).values()
    return {
        **training_inputs(wildcards),
        "clips": [path for paths in stores for path in paths],
    }


def audio_facts_of(wildcards):
    return paths.audio_facts_paths(wildcards.dataset, dataset_of(wildcards.dataset))


def jobs_files(pattern):
    """Return a function that gives the file `pattern` of every job of an experiment."""

    def files(wildcards):
        task, experiment = wildcards.task, wildcards.experiment
        return [
            pattern.format(task=task, experiment=experiment, job=job)
            for job in runs_of(task, experiment)
        ]

    return files


def audits_of(wildcards):
    task, experiment = wildcards.task, wildcards.experiment
    return [
        paths.audit_path(files_of_run(task, experiment, job)["split"])
        for job in runs_of(task, experiment)
    ]


def summaries_of(wildcards):
    experiment = experiment_of(wildcards.task, wildcards.experiment)
    names = dict.fromkeys(name for job in experiment.jobs for name in job.datasets)
    return [f"{paths.tables_dir(name)}/summary.json" for name in names]


@clear_errors
def results_of_tracked_data(wildcards):
    """The results of every experiment whose datasets DVC brings; read only when all are asked for."""
    return [
        paths.result_dir(task, name)
        for task, name in EXPERIMENTS
        if all(
            dataset_of(dataset).tracked_by
            for job in experiment_of(task, name).jobs
            for dataset in job.datasets
        )
    ]


@clear_errors
def read_what_is_asked_for():
    """Read the experiments named on the command line before any rule does.

    Snakemake wraps what it meets in a rule's function in a traceback, and knows its targets only after this file is read.
    """
    for argument in sys.argv[1:]:
        _, owner, _ = paths.place_of(argument.rstrip("/"))
        # A path may as well be the value of another option, such as --report.
        for job in runs_of(*owner) if owner in EXPERIMENTS else ():
            files_of_run(*owner, job)
            EARLIER.of(RunName(*owner, job))


# --- params: each rule is handed the slice of settings that it uses, so that only a change of that slice reruns it ------


def task_params(task):
    return {**task.model_dump(mode="json"), "description": ""}


def train_params(wildcards):
    """What a training depends on: of the evaluation's settings, only what is frozen with the model."""
    job, earlier = job_of(wildcards), earlier_of(wildcards)
    if earlier is not None:
        job = earlier.read_by(job)
    return {
        **job.model_dump(mode="json"),
        "note": "",
        "evaluate": job.evaluate.frozen(),
    }


def noise_of(wildcards):
    """What tells that a folder of noise changed which a training mixes into its clips."""
    folders = job_of(wildcards).augment.noise_folders
    return {folder: inventory_of(folder) for folder in folders}


def job_params(wildcards):
    return {**job_of(wildcards).model_dump(mode="json"), "note": ""}


def experiment_params(wildcards):
    return experiment_of(wildcards.task, wildcards.experiment).model_dump(mode="json")
