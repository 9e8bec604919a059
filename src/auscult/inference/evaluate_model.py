"""`auscult evaluate`: a stored model on another dataset, whose patients form the test set."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from auscult import provenance
from auscult.config import Experiment, JobSettings, TaskSettings, load_task
from auscult.config.files import STUDY_FILE
from auscult.config.paths import METRICS_FILE, SETTINGS_FILE
from auscult.config.project import project_settings
from auscult.config.upstream import WEIGHTS_FILE
from auscult.errors import ConfigError, DataError
from auscult.evaluation.evaluate import evaluate
from auscult.formatting.metric_tables import headline
from auscult.inference.dataset import PreparedDataset, job_like, prepare, settings_of
from auscult.inference.loaded_model import choose_device, require_model
from auscult.inference.recalibrate import Draw, draw_patients, recalibrate
from auscult.labels import recording_targets
from auscult.models.saved import META_FILE, datasets_seen, load_model, save_model
from auscult.reports.jobs import few_patients
from auscult.reports.publish import publish
from auscult.splits.audit import build_audit
from auscult.splits.flow import split_flow
from auscult.splits.leaks import Declared, find_leaks
from auscult.splits.rule_check import check_rules
from auscult.storage.files import read_json, temporary_folder, write_json
from auscult.storage.flow import FLOW_FILE, read_flow
from auscult.storage.study_ids import KEY_FILE, StudyIds
from auscult.storage.tables import read_events, read_predictions, read_recordings, write_csv
from auscult.storage.test_readings import READINGS
from auscult.training.history import HISTORY_FILE

_OPTIONAL_FILES = (METRICS_FILE, "train.log")


def evaluate_model(
    model_dir: Path,
    dataset: str,
    *,
    output_dir: Path,
    task_name: str | None = None,
    config_dir: Path = Path("config"),
    root: str | None = None,
    device: str = "auto",
    test_set_only: bool = False,
    recalibrate_share: float | None = None,
    seed: int = 0,
    is_forced: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Evaluate a stored model, with its own thresholds or such of the new site, on a dataset, and publish the result.

    Args:
        model_dir: A trained job.
        dataset: Its name in the configuration.
        output_dir: The result: `report.html` and, below `1/`, the files of the job.
        task_name: Task whose labels are used; default: the model's own task, as it is in the configuration now.
        config_dir: The folder `config`.
        root: Read the dataset in this folder instead of its own.
        device: `auto`, `cpu` or `cuda`.
        test_set_only: Of a dataset that the model was trained on, evaluate only its own test set.
        recalibrate_share: Of the dataset's patients, who refit calibration and operating points; the rest is judged.
        seed: By which they are drawn.
        is_forced: Replace an earlier result in `output_dir`.
        say: Receives progress messages.

    Returns:
        The path of `report.html`. Beside the folder, not in it, lies the key of its study ids; see `key_path`.

    Raises:
        DataError: There is no such model, it was trained on the dataset's patients, or they are too few to refit it.
        ConfigError: There is no such dataset or task, the task does not fit, or the output exists already.
    """
    require_model(model_dir)
    _require_output(output_dir, is_forced=is_forced)
    _require_share(recalibrate_share, test_set_only=test_set_only)
    meta = load_model(model_dir).meta
    task_name = task_name or str(meta["task_name"])
    task = _task(meta, task_name, dataset, config_dir)
    chosen = _test_recordings(model_dir, meta, dataset, task, is_wanted=test_set_only)
    subset = " (its own test set)" if test_set_only else ""
    chosen_by = "thresholds from its own validation set"
    if recalibrate_share is not None:
        chosen_by = "calibration and thresholds refitted on other patients of it"
    job = job_like(
        meta,
        (dataset,),
        task=task_name,
        evaluate_only=model_dir.as_posix(),
        allow_doubtful=[dataset] if dataset in task.doubtful else [],
        note=f"The model of {provenance.redact(str(model_dir))}, trained on {', '.join(meta['datasets'])}, evaluated "
        f"on {dataset}{subset}; {chosen_by}",
    )
    settings = settings_of(dataset, config_dir, root)
    with temporary_folder(output_dir) as folder:
        say(f"preparing {dataset}: tables, clips and spectrograms")
        prepared = prepare(dataset, settings, job, folder, ignores_workflow=root is not None)
        run_dir, split, audit = folder / "run", folder / "split.csv", folder / "audit.json"
        draw = None if recalibrate_share is None else Draw(recalibrate_share, seed)
        n_patients = _write_split(prepared, task, job, chosen, draw, split=split, audit=audit)
        _copy_model(model_dir, meta, run_dir)
        if draw is not None:
            say("refitting calibration and operating points")
            refitted = recalibrate(
                load_model(model_dir, choose_device(device)),
                dataset=dataset,
                features=prepared.features,
                clips=prepared.clips,
                tables=prepared.tables,
                split=split,
                task=task,
                draw=draw,
            )
            save_model(run_dir, refitted)
        say(f"evaluating {n_patients} patients")
        show_names = project_settings(config_dir).publish.names
        evaluate(
            model_dir=run_dir,
            features={dataset: prepared.features},
            clips={dataset: prepared.clips},
            tables={dataset: prepared.tables},
            split=split,
            job=job,
            task=task,
            output_dir=run_dir,
            device=choose_device(device),
            show_names=show_names,
            # Outside of a project nobody keeps count.
            readings=READINGS if READINGS.parent.is_dir() else None,
        )
        summaries = {dataset: prepared.tables / "summary.json"}
        command = f"auscult evaluate {shlex.quote(str(model_dir))} --dataset {dataset} --task {task_name}"
        command += " --test-part" if test_set_only else ""
        command += "" if draw is None else f" --recalibrate {draw.fraction:g} --seed {draw.seed}"
        if output_dir.exists():
            shutil.rmtree(output_dir)
        ids = StudyIds.read({dataset: prepared.tables}, show_names=show_names)
        ids.write_key(key_path(output_dir))
        publish(
            experiment=Experiment(
                name=f"{'/'.join(model_dir.resolve().parts[-2:])} on {dataset}",
                group=task_name,
                task=task_name,
                description=_description(dataset, draw, test_set_only=test_set_only),
                jobs=(job,),
            ),
            task=task,
            job_dirs=[run_dir],
            audits=[audit],
            summaries=summaries,
            output_dir=output_dir,
            provenance=provenance.collect(
                command=command,
                inputs={**summaries, "model": model_dir / WEIGHTS_FILE},
                contents=None if settings.tracked_by else {dataset: read_json(summaries[dataset])["content_sha256"]},
                uses_pointer=bool(settings.tracked_by),
            ),
            ids=ids,
            studies=[path for path in (config_dir / STUDY_FILE,) if path.is_file()],
        )
    return output_dir / "report.html"


def _description(dataset: str, draw: Draw | None, *, test_set_only: bool) -> str:
    if draw is not None:
        return f"A stored model, recalibrated on {draw.fraction:.0%} of the patients of {dataset}, on the others"
    if test_set_only:
        return f"A stored model on its own test set of {dataset}"
    return f"A stored model on {dataset}, all of whose patients form the test set"


def _require_share(share: float | None, *, test_set_only: bool) -> None:
    if share is None:
        return
    if not 0 < share < 1:
        raise ConfigError(f"--recalibrate {share:g}: expected a share of the patients above 0 and below 1, such as 0.3")
    if test_set_only:
        raise ConfigError(
            "--recalibrate is for a dataset that the model was not trained on, --test-part for one that it was; leave "
            "one of them out"
        )


def _require_output(output_dir: Path, *, is_forced: bool) -> None:
    if not output_dir.exists() or (output_dir.is_dir() and not any(output_dir.iterdir())):
        return
    if not (output_dir / SETTINGS_FILE).is_file():
        raise ConfigError(f"--out {output_dir}: exists already and is no result; name another folder")
    if not is_forced:
        raise ConfigError(
            f"--out {output_dir}: holds a result already; name another folder, or replace it with --force"
        )


def _task(meta: Mapping[str, Any], name: str, dataset: str, config_dir: Path) -> TaskSettings:
    """Return the task; it must have the model's type and targets, and labels for the dataset."""
    task = load_task(config_dir, name, "--task")
    for what in ("type", "targets"):
        wanted, predicted = task.model_dump(mode="json")[what], meta["task"][what]
        if wanted != predicted:
            raise ConfigError(
                f"task {name}: its {what} is {wanted}, the model predicts {predicted}; name the right task with --task"
            )
    if dataset not in task.supported_datasets:
        raise ConfigError(
            f"task {name} has labels for {', '.join(task.supported_datasets)}, not for {dataset!r}: add it to the "
            "task's file, or name another task with --task"
        )
    return task


def _test_recordings(
    model_dir: Path, meta: Mapping[str, Any], dataset: str, task: TaskSettings, *, is_wanted: bool
) -> set[str] | None:
    """Return the recordings to evaluate; None: all of them."""
    is_known = dataset in meta["datasets"]
    if dataset == meta.get("recalibration", {}).get("dataset"):
        raise DataError(
            f"{model_dir}: the model was recalibrated on patients of {dataset} and would look better than it is; the "
            "others are judged in its own result, or recalibrate the model that it was made of"
        )
    if not is_known and dataset in datasets_seen(meta):
        raise DataError(
            f"{model_dir}: the encoder of this probe was trained on {dataset}, so it knows patients of it and would "
            "look better than it is; name another dataset"
        )
    if not is_known:
        if is_wanted:
            raise ConfigError(
                f"--test-part: the model was not trained on {dataset}, so all of it is evaluated; leave the option out"
            )
        return None
    if not is_wanted:
        raise DataError(
            f"{model_dir}: the model was trained on {', '.join(meta['datasets'])}, so it knows patients of {dataset} "
            "and would look better than it is; name another dataset, or evaluate only its own test set with --test-part"
        )
    provenance.require_as_published(model_dir / "predictions.parquet")
    predictions = read_predictions(model_dir / "predictions.parquet", task)
    is_test = (predictions["split"] == "test") & (predictions["dataset"] == dataset)
    return set(predictions.loc[is_test, "recording_id"])


def _write_split(
    prepared: PreparedDataset,
    task: TaskSettings,
    job: JobSettings,
    chosen: set[str] | None,
    draw: Draw | None,
    *,
    split: Path,
    audit: Path,
) -> int:
    """Write a split: a test set, and a calibration subset where one is drawn; return the patients of the former."""
    recordings = read_recordings(prepared.tables / "recordings.parquet")
    events = read_events(prepared.tables / "events.parquet")
    summary = read_json(prepared.tables / "summary.json")
    rules = [asdict(note) for note in check_rules(recordings, events, task, {prepared.name: summary}, job.task)]
    ids = recordings["recording_id"]
    is_known = ~np.isnan(recording_targets(recordings, events, task)).all(axis=1)
    is_chosen = np.ones(len(ids), dtype=bool) if chosen is None else ids.isin(list(chosen)).to_numpy()
    kept = pd.DataFrame(recordings.loc[is_known & is_chosen])
    if not len(kept):
        raise DataError(
            f"{prepared.name}: none of its {len(ids)} recordings can be evaluated on this task; "
            "compare the task's rules with what `auscult data describe` shows"
        )
    table = kept[["recording_id", "patient_id", "dataset"]].assign(split="test").astype({"split": "str"})
    if draw is not None:
        table.loc[table["patient_id"].isin(list(draw_patients(kept, events, task, draw))), "split"] = "calibration"
    table = table.reset_index(drop=True)
    left_out = {
        "no target is known": ids[~is_known].tolist(),
        "not in the model's test set": ids[is_known & ~is_chosen].tolist(),
    }
    report = build_audit(
        (recordings, events),
        table,
        task,
        find_leaks(recordings, table, Declared()),
        {reason: found for reason, found in left_out.items() if found},
    )
    flow = split_flow({prepared.name: read_flow(prepared.tables / FLOW_FILE)}, table, left_out)
    report |= {"rules": rules, "flow": flow.to_dict("records"), "warnings": summary["flow"]["warnings"]}
    write_csv(split, table)
    write_json(audit, {"settings": job.split.model_dump(mode="json"), **report})
    return len(set(table.loc[table["split"] == "test", "patient_id"]))


def _copy_model(model_dir: Path, meta: Mapping[str, Any], run_dir: Path) -> None:
    """Copy a trained job; without its history, write one of the epoch that was kept."""
    run_dir.mkdir()
    for name in (WEIGHTS_FILE, META_FILE, HISTORY_FILE, *_OPTIONAL_FILES):
        if (model_dir / name).is_file():
            shutil.copyfile(model_dir / name, run_dir / name)
    if not (run_dir / HISTORY_FILE).is_file():
        write_csv(run_dir / HISTORY_FILE, pd.DataFrame([meta["training"]["at_best_epoch"]]))


def default_output(model_dir: Path, dataset: str, task_name: str | None, *, is_recalibrated: bool = False) -> Path:
    """Return the default folder of a result: by task, dataset, the model's weights and whether it is recalibrated.

    Raises:
        DataError: There is no such model.
    """
    require_model(model_dir)
    meta = load_model(model_dir).meta
    name = str(meta["weights_sha256"])[:8] + ("-recalibrated" if is_recalibrated else "")
    return Path("evaluations") / (task_name or str(meta["task_name"])) / dataset / name


def key_path(output_dir: Path) -> Path:
    """Return where the key of a result's study ids lies: beside the folder, which can then be given away.

    >>> key_path(Path("evaluations/perch")).as_posix()
    'evaluations/perch.study_ids.csv'
    """
    return output_dir.with_name(f"{output_dir.name}.{KEY_FILE}")


def headline_of(output_dir: Path) -> str:
    """Return the main metrics of a result with intervals and patients, one a line, and whether patients are few."""
    metrics, meta = (read_json(output_dir / "1" / name) for name in ("metrics.json", META_FILE))
    task = TaskSettings.model_validate({**meta["task"], "level": metrics["level"]})
    test = metrics["test"]
    lines = [f"{name:<24} {number.text:<24} {number.people}".rstrip() for name, number in headline(test, task).items()]
    few = few_patients(test, task)
    return "\n".join([*lines, *([f"few patients: {few}"] if few else [])])
