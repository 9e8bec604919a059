# What all rules share. The plan (auscult.config.plan) knows the experiments and their files; here it is asked with wildcards.
# Only auscult.config is imported: a dry run needs neither torch nor pandas.

import gc
import os
import sys
from functools import wraps
from pathlib import Path

from snakemake.caching import LOCATION_ENVVAR
from snakemake.caching.rule import CacheFlag, RuleCache
from snakemake.exceptions import WorkflowError
from snakemake.jobs import Job
from snakemake.settings.types import DeploymentMethod

from auscult.config import load_project, paths
from auscult.config.files import defined_names
from auscult.config.plan import (
    Plan,
    accounts_of,
    all_of,
    clips_of,
    job_params,
    tables_of,
    task_params,
)
from auscult.config.project import require_device, require_image
from auscult.config.run_events import require_clients
from auscult.config.trials import TRIAL_PATTERN
from auscult.errors import AuscultError
from auscult.ops.bucket_work import (
    PREFIX_VARIABLE,
    bucket_of,
    require_files_in_bucket,
    use_project_as_copies,
)
from auscult.ops.snakemake_faults import Faults, speak_briefly
from auscult.ops.workflow_lock import take_over

# A plan of thousands of jobs is millions of objects that all live to its end: garbage collection after every 700 new ones
# took a quarter of a dry run's time and freed nothing.
gc.set_threshold(200_000, 20, 100)

# Stages and what they start read and write UTF-8 whatever the locale says, names of files too.
os.environ.update(PYTHONUTF8="1")

CONFIG_DIR = Path("config")
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


# Settings and input stay what they are: a job that ends by a fault of them ends once, with one message.
if workflow.is_main_process:
    FAULTS = Faults()
    FAULTS.never_again(Job)
    speak_briefly(logger, FAULTS)
    # Kept open: it tells other runs that this one lives.
    WORKFLOW_LOCK = None if workflow.dryrun else take_over()

# Where jobs share no disk, all files of rules lie in a bucket; what belongs to the repository is marked with local(...).
STORAGE = workflow.storage_settings
BUCKET = clear_errors(bucket_of)(
    STORAGE.default_storage_provider, STORAGE.default_storage_prefix
)
if BUCKET is not None and not workflow.dryrun:
    clear_errors(use_project_as_copies)(
        workflow.storage_registry.default_storage_provider.object(f"{BUCKET}/work")
        .local_path()
        .parent,
        BUCKET,
    )
    os.environ[PREFIX_VARIABLE] = BUCKET

PROJECT = clear_errors(load_project)(config)
PLAN = clear_errors(Plan)(CONFIG_DIR, PROJECT)
if workflow.is_main_process:
    clear_errors(require_clients)(PROJECT.events)
if DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method:
    clear_errors(require_image)(PROJECT.image)


wildcard_constraints:
    task=NAME,
    group=NAME,
    experiment=NAME,
    dataset=NAME,
    # A job, or one of its folds, left-out values and seeds, or their ensemble: 2, 2/fold1, 2/val1_seed0, 2/seed0,
    # 2/without_icbhi, 2/ensemble.
    job=r"[1-9][0-9]*(/((fold|val)[1-9][0-9]*(_seed[0-9]+)?|without_[A-Za-z0-9_.-]+|seed[0-9]+|ensemble))?",
    file=NAME,
    trial=TRIAL_PATTERN,
    seed=r"[0-9]+",
    epoch=r"[1-9][0-9]*",
    steps=r"[1-9][0-9]*",


def by_dataset(answer):
    """Return a function of wildcards that asks the plan about a dataset."""
    return clear_errors(lambda wildcards: answer(wildcards.dataset))


def by_experiment(answer):
    """Return a function of wildcards that asks the plan about an experiment."""
    return clear_errors(lambda wildcards: answer(wildcards.group, wildcards.experiment))


def by_job(answer):
    """Return a function of wildcards that asks the plan about one training."""
    return clear_errors(
        lambda wildcards: answer(wildcards.group, wildcards.experiment, wildcards.job)
    )


def by_trial(answer):
    """Return a function of wildcards that gives `answer` the job of a trial and its files."""

    def of_trial(wildcards):
        name = (wildcards.group, wildcards.experiment, wildcards.trial)
        return answer(
            PLAN.trial_job(*name, int(wildcards.seed)), PLAN.trial_files(*name)
        )

    return clear_errors(of_trial)


def by_path(pattern, answer=lambda made_with: made_with):
    """Return a function of wildcards that asks what the file of `pattern` is made with."""
    return clear_errors(
        lambda wildcards: answer(PLAN.made_with(pattern.format(**wildcards)))
    )


def jobs_files(pattern):
    """Return a function that gives the file `pattern` of every job of an experiment."""
    return by_experiment(
        lambda group, experiment: [
            pattern.format(group=group, experiment=experiment, job=job)
            for job in PLAN.runs(group, experiment)
        ]
    )


dataset_params = by_dataset(PLAN.dataset_params)
experiment_params = by_experiment(
    lambda *name: PLAN.experiment(*name).model_dump(mode="json")
)


def require_device_here():
    # A dry run does not tell where the jobs would run.
    if workflow.is_main_process and workflow.local_exec and not workflow.dryrun:
        require_device(PROJECT.device, visible=os.environ.get("CUDA_VISIBLE_DEVICES"))


def raw_inputs(dataset):
    """What says that raw data changed: a bucket's listing, which a rule makes, or a file of the repository."""
    found = PLAN.raw_data(dataset)
    is_made = paths.is_remote(PLAN.dataset(dataset).root)
    return found if is_made else [local(path) for path in found]


def of_repository(answer):
    """Return `answer` with its files marked as the repository's, which lie in no bucket."""
    return lambda *arguments: [local(path) for path in answer(*arguments)]


@by_job
def training_inputs(*job):
    require_device_here()
    if BUCKET is not None:
        require_files_in_bucket(
            "/".join(job),
            PLAN.job(*job),
            PLAN.upstream(*job),
            is_tuned=PLAN.written(*job[:2]).tune is not None,
        )
    files = PLAN.files(*job)
    return {
        "features": all_of(files.spectrograms),
        "tables": tables_of(PLAN.job(*job).datasets),
        "split": files.split,
        "embeddings": all_of(files.embeddings),
    }


@by_trial
def trial_inputs(job, files):
    require_device_here()
    if BUCKET is not None:
        require_files_in_bucket(f"a trial of {job.task}", job, None, is_tuned=True)
    return {
        "features": all_of(files.spectrograms),
        "tables": tables_of(job.datasets),
        "split": files.split,
    }


all_clips = by_job(lambda *job: all_of(PLAN.files(*job).clips))


def evaluation_inputs(wildcards):
    """An evaluation shows waveforms, so it reads clips whatever its model takes."""
    return {**training_inputs(wildcards), "clips": all_clips(wildcards)}


@clear_errors
def share_in_cache(*names):
    """With `snakemake --cache`, share what the rules of these names make between clones and people.

    The hash is made of data.dvc, or of an inventory of the raw folder, and of all settings. What a bucket holds is not in
    it: with a root there nothing is shared, for one might be handed the clips of files that have changed since.
    """
    roots = {
        name: PLAN.dataset(name).root for name in defined_names(CONFIG_DIR, "dataset")
    }
    remote = [name for name, root in roots.items() if paths.is_remote(root)]
    if remote:
        logger.warning(
            f"--cache is passed over: the raw data of {', '.join(remote)} lie in a bucket, and its hash does not know them"
        )
        return
    # STAGE_VERSIONS tell of changed code; another release of a library makes no other file.
    flags, in_bucket = CacheFlag.output | CacheFlag.omit_software, None
    if paths.is_remote(os.environ.get(LOCATION_ENVVAR, "")):
        from auscult.ops.bucket_cache import BucketCache, BucketRuleCache

        in_bucket = BucketCache()
    # With no rule named, Snakemake would not tell a cluster's jobs about the cache.
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
