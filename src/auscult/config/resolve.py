"""From an experiment file to jobs with nothing left to look up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from auscult.config.augment import events_fault, mixing_fault
from auscult.config.claims import CLAIMS_FILE, load_claims
from auscult.config.evaluate import NORMAL_CLASS_RULES
from auscult.config.experiment import Experiment, ExperimentFile, JobSettings
from auscult.config.files import (
    check_definitions,
    check_name,
    defined_names,
    find_definition,
    is_defined,
    named_file,
    parse,
    read_yaml,
    require_config,
    yaml_of_experiments,
)
from auscult.config.layers import layer_shapes
from auscult.config.model import MODELS, HalvingSettings, LayersSettings
from auscult.config.plugins import PluginSettings, read_plugins
from auscult.config.pretrained import pretrained_fault
from auscult.config.project import load_dataset
from auscult.config.spectrogram import frontend_bands, frontend_fault, frontend_frames
from auscult.config.split import OfficialSplit
from auscult.config.task import TaskSettings
from auscult.config.train import losses_for, monitors_for
from auscult.config.tune import TuneSettings
from auscult.errors import ConfigError, unknown_name

PRESET_SECTIONS = ("clips", "spectrogram", "split")
_SELECTORS = ("name", "kind")
_FRONTENDS_OF_EVENTS = ("mel", "learnable_mel", "linear")
_FRONTENDS_OF_BANDS = ("mel", "learnable_mel")
_EXPERIMENT_FILE = TypeAdapter(ExperimentFile)
_JOB = TypeAdapter(JobSettings)
_TASK = TypeAdapter(TaskSettings)


def load_task(config_dir: Path, name: str, where: str = "task") -> TaskSettings:
    """Read `tasks/<name>.yaml`, or the task that an experiment of that folder defines.

    Raises:
        ConfigError: No such task, or a fault in its file.
    """
    definition = find_definition(config_dir, "task", name, where)
    return parse(_TASK, definition.values, definition.where)


def load_experiment(config_dir: Path, group: str, name: str) -> Experiment:
    """Read `experiments/<group>/<name>.yaml`, expand presets and jobs, and check it against task and datasets.

    Args:
        config_dir: The folder `config`.
        group: The folder's name.
        name: The file's stem.

    Raises:
        ConfigError: With file, key, what was found, what is allowed and the nearest match.
    """
    require_config(config_dir)
    read_plugins()  # a fault in a file that nobody names is told too
    folder = config_dir / "experiments" / group
    if not folder.is_dir():
        known = sorted({found for found, _ in list_experiments(config_dir)})
        raise ConfigError(f"{group}/{name}: {unknown_name('folder', group, known)} (in {folder.parent})")
    path = named_file(folder, name, "experiment", f"{group}/{name}")
    where = str(path)
    raw = read_yaml(path)
    written: ExperimentFile = parse(_EXPERIMENT_FILE, raw, where)
    check_definitions(config_dir, raw, written.task, where)
    task_settings = load_task(config_dir, written.task, f"{where}: task")
    shared = {key: raw[key] for key in raw if key in JobSettings.model_fields}
    for section in PRESET_SECTIONS:
        if section in shared:
            shared[section] = _expand_preset(config_dir, section, shared[section], where)
    jobs = [
        _resolve_job(config_dir, shared, difference, f"{where}: jobs[{number}]" if difference else where)
        for number, difference in enumerate(written.jobs, start=1)
    ]
    without = [number for number, job in enumerate(jobs, start=1) if not job.clips.is_image]
    if without and "spectrogram" not in raw:
        raise ConfigError(f"{where}: spectrogram: field required; jobs {without} take sound (pictures have none)")
    if not without and "spectrogram" in raw:
        raise ConfigError(f"{where}: spectrogram: pictures (clips.unit: image) have none; leave it out")
    if task_settings.learns_maps:
        jobs = [_with_frames(job) for job in jobs]
    for number, job in enumerate(jobs, start=1):
        _check_job(config_dir, job, task_settings, f"{where}: job {number}")
    if written.tune is not None:
        _check_tune(config_dir, written.tune, jobs, task_settings, where)
    return Experiment(
        name=check_name(name, "experiment", where),
        group=group,
        task=written.task,
        description=written.description,
        jobs=tuple(jobs),
        claims=load_claims(folder, name),
        tune=written.tune,
    )


def _resolve_job(config_dir: Path, shared: dict[str, Any], difference: dict[str, Any], where: str) -> JobSettings:
    if "task" in difference:
        raise ConfigError(f"{where}: task: a job cannot change the task; write another experiment for it")
    merged = dict(shared)
    for key, value in difference.items():
        if key not in JobSettings.model_fields:
            allowed = [name for name in JobSettings.model_fields if name != "task"]
            raise ConfigError(f"{where}: {unknown_name('key', key, allowed)}")
        if key in PRESET_SECTIONS and isinstance(value, dict) and "preset" in value:
            merged[key] = _expand_preset(config_dir, key, value, where)
        else:
            merged[key] = merge(merged.get(key), value)
    if not isinstance(merged.get("ensemble", False), bool):
        raise ConfigError(f"{where}: ensemble: found {merged['ensemble']!r}, expected true or false")
    return parse(_JOB, merged, where)


def merge(base: Any, difference: Any) -> Any:
    """Lay `difference` over `base`: mappings merge key by key, all else is replaced.

    A mapping that names another `name` or `kind` than the base replaces it whole: settings of one model mean nothing to
    another.

    >>> merge({"n_fft": 1024, "n_mels": 128}, {"n_fft": 512})
    {'n_fft': 512, 'n_mels': 128}
    >>> merge({"name": "mixednet", "dropout": 0.1}, {"name": "timm/resnet18"})
    {'name': 'timm/resnet18'}
    """
    if not isinstance(base, dict) or not isinstance(difference, dict):
        return difference
    for selector in _SELECTORS:
        if selector in difference and difference[selector] != base.get(selector):
            return difference
    return {**base, **{key: merge(base.get(key), value) for key, value in difference.items()}}


def _with_frames(job: JobSettings) -> JobSettings:
    """Let the model of a job decide at each frame or pixel; a clip gets its highest, if nothing else is asked for."""
    if job.model.over_time is not None or not job.model.decides_over_time:
        return job
    return job.model_copy(update={"model": job.model.model_copy(update={"over_time": "max"})})


def with_values(settings: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with the values of dotted keys in them; entries of lists are numbered from 1.

    A section that is not there is made; what does not belong there is the schema's to refuse.

    Raises:
        KeyError: A list has no such entry.

    >>> with_values({"train": {"ema": None, "lr": 0.1}, "steps": [{"p": 1}]}, {"train.ema.decay": 0.9, "steps.1.p": 2})
    {'train': {'ema': {'decay': 0.9}, 'lr': 0.1}, 'steps': [{'p': 2}]}
    """
    changed: Any = settings
    # A whole section first, then what is said of its parts.
    for key in sorted(values, key=lambda name: name.count(".")):
        changed = _with_value(changed, key.split("."), values[key], key)
    return changed


def _with_value(settings: Any, parts: list[str], value: Any, key: str) -> Any:
    if not parts:
        return merge(settings, value)
    first, *rest = parts
    if isinstance(settings, list | tuple):
        if not first.isdecimal() or not 1 <= int(first) <= len(settings):
            raise KeyError(f"{key}: {first}: the list has the entries 1 to {len(settings)}")
        entries = list(settings)
        entries[int(first) - 1] = _with_value(entries[int(first) - 1], rest, value, key)
        return entries
    section = dict(settings) if isinstance(settings, Mapping) else {}
    return {**section, first: _with_value(section.get(first), rest, value, key)}


def apply_values(
    config_dir: Path, job: JobSettings, values: Mapping[str, Any], task: TaskSettings, where: str
) -> JobSettings:
    """Return a job with the values of dotted settings in it, checked like a job of a file.

    Raises:
        ConfigError: A setting that the job does not have, or a value that it cannot take.
    """
    try:
        changed = with_values(job.model_dump(mode="json"), values)
    except KeyError as error:
        raise ConfigError(f"{where}: {error.args[0]}") from None
    made: JobSettings = parse(_JOB, changed, where)
    _check_job(config_dir, made, task, where)
    return made


def require_tunable(job: JobSettings, where: str) -> None:
    """Refuse to tune a job on validation patients that it would also be tested on, or that nothing is trained of.

    Raises:
        ConfigError: Its test set goes from patients to patients, or it trains nothing.
    """
    for name in ("folds", "matrix"):
        if getattr(job, name) is not None:
            raise ConfigError(
                f"{where}: {name}: what is tuned on validation patients is judged there on the same patients; take one "
                "split, and repeat the chosen job with `seeds`"
            )
    for name in ("evaluate_only", "probe"):
        if getattr(job, name) is not None:
            raise ConfigError(
                f"{where}: {name}: nothing is trained there that could be tuned; leave one of the two out"
            )


def _check_tune(
    config_dir: Path, tune: TuneSettings, jobs: Sequence[JobSettings], task: TaskSettings, path: str
) -> None:
    """Refuse a search of what the job does not have, or of values that it cannot take."""
    where = f"{path}: tune"
    if len(jobs) != 1:
        raise ConfigError(f"{where}: found {len(jobs)} jobs, expected one: the job that is tuned")
    job = jobs[0]
    require_tunable(job, where)
    monitors = monitors_for(task)
    if tune.metric is not None and tune.metric not in monitors:
        raise ConfigError(f"{where}.metric: {unknown_name('metric', tune.metric, monitors)}")
    too_long = [rung for rung in tune.rungs if rung >= job.train.epochs]
    if too_long:
        raise ConfigError(f"{where}.rungs: found {too_long}, expected epochs before the last, {job.train.epochs}")
    first = tune.rung_epochs(job.train.epochs)[0]
    if first < job.train.eval_every:
        raise ConfigError(
            f"{where}: the first rung is after epoch {first}, and train.eval_every: {job.train.eval_every} validates "
            "none before; begin later, with tune.min_epochs"
        )
    for key, search in tune.search.items():
        for value in search.tried():
            apply_values(config_dir, job, {key: value}, task, f"{where}.search.{key}: {value!r}")


def _expand_preset(config_dir: Path, section: str, value: dict[str, Any], where: str) -> dict[str, Any]:
    if "preset" not in value:
        return value
    path = named_file(
        config_dir / "presets" / section, str(value["preset"]), f"{section} preset", f"{where}: {section}"
    )
    overrides = {key: setting for key, setting in value.items() if key != "preset"}
    return merge(read_yaml(path), overrides)


def _check_job(config_dir: Path, job: JobSettings, task: TaskSettings, where: str) -> None:
    for dataset in job.datasets:
        if not is_defined(config_dir, "dataset", dataset):
            known = defined_names(config_dir, "dataset")
            raise ConfigError(f"{where}: datasets: {unknown_name('dataset', dataset, known)}")
        if dataset not in task.supported_datasets:
            raise ConfigError(
                f"{where}: datasets: {dataset!r} has no labels for task {job.task!r}; "
                f"supported: {', '.join(sorted(task.supported_datasets))}"
            )
        if dataset in task.doubtful and dataset not in job.allow_doubtful:
            raise ConfigError(
                f"{where}: datasets: the labels of {dataset!r} are in doubt for task {job.task!r}; "
                f"leave it out, or add `allow_doubtful: [{dataset}]` (the report will say so)"
            )
    _check_official_lists(config_dir, job, task, where)
    for dataset in job.allow_doubtful:
        if dataset not in task.doubtful:
            raise ConfigError(
                f"{where}: allow_doubtful: {dataset!r} is not doubtful for task {job.task!r}; "
                f"doubtful: {list(task.doubtful)}"
            )
    monitors = monitors_for(task)
    if job.train.monitor not in monitors:
        raise ConfigError(f"{where}: train.monitor: {unknown_name('metric', job.train.monitor, monitors)}")
    _check_evaluate(job, task, where)
    fitting = losses_for(task)
    if not isinstance(job.train.loss, PluginSettings) and job.train.loss.name not in fitting:
        raise ConfigError(
            f"{where}: train.loss.name: {job.train.loss.name!r} does not fit a task of type {task.type}; use one of "
            f"{', '.join(fitting)}"
        )
    for number, step in job.augment.mixings:
        fault = mixing_fault(step, task)
        if fault is not None:
            place = number - len(job.augment.waveform) + 1
            raise ConfigError(f"{where}: augment.spectrogram[{place}] ({step.name}): {fault}")
    _check_maps(job, task, where)
    _check_steps(job, task, where)
    _check_what_is_held(config_dir, job, where)
    if job.clips.is_image:
        _check_pictures(job, task, where)
    else:
        _check_shapes(job, where)
    _check_layers(job, where)
    _check_pretrained(job, where)


def _check_maps(job: JobSettings, task: TaskSettings, where: str) -> None:
    """Refuse what does not fit a task that learns maps, and what is of such tasks alone."""
    loss = job.train.loss
    if not task.learns_maps and (loss.obj_weight, loss.bnd_weight) != (1.0, 1.0):
        raise ConfigError(
            f"{where}: train.loss: obj_weight and bnd_weight belong to tasks of type events or objects; {job.task!r} "
            f"is {task.type}"
        )
    if task.learns_maps and task.finds_objects != job.clips.is_image:
        raise ConfigError(
            f"{where}: clips.unit: {job.clips.unit!r} does not fit a task of type {task.type}: objects are found in "
            "pictures (unit image), events in sound"
        )
    if task.finds_events:
        _check_events(job, where)
        if task.maps_bands:
            _check_bands(job, where)
    elif task.finds_objects:
        _check_objects(job, where)


def _check_what_is_held(config_dir: Path, job: JobSettings, where: str) -> None:
    """Refuse datasets of sound where pictures are asked for, and the other way round."""
    wanted, found = ("pictures", "sound") if job.clips.is_image else ("sound", "pictures")
    for name in job.datasets:
        if load_dataset(config_dir, name).holds_pictures != job.clips.is_image:
            raise ConfigError(
                f"{where}: datasets: {name!r} holds {found}, and clips.unit {job.clips.unit!r} takes {wanted}; change "
                f"clips.unit, or, of the layouts label_folders and files_csv, say `holds: {wanted}` in "
                f"config/datasets/{name}.yaml"
            )


def _check_pictures(job: JobSettings, task: TaskSettings, where: str) -> None:
    """Refuse a model that cannot take pictures, or cannot take these."""
    if not job.model.takes_pictures:
        able = [name for name, settings in MODELS.items() if settings.takes_pictures]
        raise ConfigError(
            f"{where}: model.name: {job.model.name!r} takes sound alone; those that take pictures: {', '.join(able)}, "
            "timm/<architecture>"
        )
    if job.model.over_time is not None and not task.finds_objects:
        raise ConfigError(f"{where}: model.over_time: a picture has no time to decide over; leave it out")


def _check_objects(job: JobSettings, where: str) -> None:
    if not isinstance(job.model, HalvingSettings):
        able = [name for name, settings in MODELS.items() if issubclass(settings, HalvingSettings)]
        raise ConfigError(
            f"{where}: model.name: {job.model.name!r} gives no maps of pictures; those that do: {', '.join(able)}"
        )
    if job.model.over_time == "attention":
        raise ConfigError(f"{where}: model.over_time: attention does not combine maps; use max, mean or log_mean_exp")


def _check_events(job: JobSettings, where: str) -> None:
    for key, value in {"probe": job.probe, "ensemble": job.ensemble or None}.items():
        if value is not None:
            raise ConfigError(f"{where}: {key}: a task of type events takes trained models alone; leave it out")
    if job.evaluate.shifts_s:
        raise ConfigError(f"{where}: evaluate.shifts_s: shifts would move events in time; leave it out")
    if job.clips.unit == "cycle" or job.clips.pad != "zero":
        raise ConfigError(
            f"{where}: clips: a task of type events takes windows or recordings padded with zeros; found unit "
            f"{job.clips.unit!r} and pad {job.clips.pad!r}"
        )
    if not job.model.decides_over_time:
        able = [name for name, settings in MODELS.items() if settings.decides_over_time]
        raise ConfigError(
            f"{where}: model.name: {job.model.name!r} pools its features over the clip and finds no events in time; "
            f"those that can: {', '.join(able)}, timm/<architecture>"
        )
    if job.model.over_time == "attention":
        raise ConfigError(f"{where}: model.over_time: attention does not combine maps; use max, mean or log_mean_exp")
    if job.model.frontend is not None and job.model.frontend.name not in _FRONTENDS_OF_EVENTS:
        raise ConfigError(
            f"{where}: model.frontend: {job.model.frontend.name!r} has frames of its own; a task of type events takes "
            f"{', '.join(_FRONTENDS_OF_EVENTS)}, or none"
        )
    for number, step in enumerate(job.augment.steps):
        fault = events_fault(step)
        if fault is not None:
            part = "waveform" if number < len(job.augment.waveform) else "spectrogram"
            place = number - (0 if part == "waveform" else len(job.augment.waveform)) + 1
            raise ConfigError(f"{where}: augment.{part}[{place}] ({step.name}): {fault}")


def _check_bands(job: JobSettings, where: str) -> None:
    """Refuse what does not keep the axis of frequency, or moves sound along it."""
    if not isinstance(job.model, HalvingSettings):
        able = [name for name, settings in MODELS.items() if issubclass(settings, HalvingSettings)]
        raise ConfigError(
            f"{where}: model.name: {job.model.name!r} does not keep the mel bands, and the task's events.maps is "
            f"bands; take {', '.join(able)}, or events.maps: frames"
        )
    if job.model.frontend is not None and job.model.frontend.name not in _FRONTENDS_OF_BANDS:
        raise ConfigError(
            f"{where}: model.frontend: {job.model.frontend.name!r} has no mel bands, and the task's events.maps is "
            f"bands; take {', '.join(_FRONTENDS_OF_BANDS)}, or none"
        )
    for step in job.augment.steps:
        moving = [one.name for one in (*getattr(step, "functions", ()), step) if one.moves_bands]
        if moving:
            raise ConfigError(
                f"{where}: augment: {moving[0]} moves sound in frequency, where maps over bands do not follow; leave "
                "it out (of resize_crop say `min_share_frequency: 1`), or take events.maps: frames"
            )


def _check_evaluate(job: JobSettings, task: TaskSettings, where: str) -> None:
    """Refuse a calibration or a rule that the task cannot have."""
    if job.evaluate.calibration in {"platt", "isotonic"} and task.type == "multi_class":
        raise ConfigError(
            f"{where}: evaluate.calibration: {job.evaluate.calibration} fits each target by itself, and the classes of "
            f"the multi-class task {job.task!r} share one softmax; use `temperature`"
        )
    if job.evaluate.threshold == "icbhi_score" and task.four_class is None:
        raise ConfigError(
            f"{where}: evaluate.threshold: icbhi_score needs a task with `four_class`; {job.task!r} has none"
        )
    if job.evaluate.threshold in NORMAL_CLASS_RULES and task.normal_class is None:
        raise ConfigError(
            f"{where}: evaluate.threshold: {job.evaluate.threshold} needs a task with `normal_class`; {job.task!r} has "
            "none"
        )


def _check_steps(job: JobSettings, task: TaskSettings, where: str) -> None:
    """Refuse steps of plugins where they would be handed something else than inputs and logits of clips."""
    if task.learns_maps and job.train.test_step is not None:
        raise ConfigError(f"{where}: train.test_step: a task of type {task.type} decides by its maps; leave it out")
    if task.learns_maps and job.train.train_step is not None and job.model.frontend is not None:
        raise ConfigError(
            f"{where}: train.train_step: with model.frontend, maps follow the augmentation inside the model; leave one "
            "of the two out"
        )
    if job.train.test_step is not None and job.evaluate_only is not None:
        raise ConfigError(f"{where}: train.test_step: evaluate_only takes a model as it decides; leave it out")


def _check_pretrained(job: JobSettings, where: str) -> None:
    """Refuse weights of another model: else only the training would notice."""
    fault = pretrained_fault(job)
    if fault is not None:
        raise ConfigError(f"{where}: train.pretrained.{fault}")


def _check_shapes(job: JobSettings, where: str) -> None:
    """Refuse a spectrogram that its clips cannot give, and declared layers that cannot take it."""
    n_frames = job.spectrogram.n_frames(job.clips.n_samples)
    if n_frames < 1:
        raise ConfigError(
            f"{where}: spectrogram.n_fft: {job.spectrogram.n_fft} samples do not fit into a clip of "
            f"{job.clips.n_samples} samples ({job.clips.length_s:g} s at {job.clips.sample_rate_hz} Hz)"
        )
    if job.model.frontend is not None:
        fault = frontend_fault(job.model.frontend, job.spectrogram, job.clips)
        if fault is not None:
            raise ConfigError(f"{where}: model.frontend: {fault}")
    nyquist_hz = job.clips.sample_rate_hz / 2
    if (job.spectrogram.f_max_hz or nyquist_hz) > nyquist_hz:
        raise ConfigError(
            f"{where}: spectrogram.f_max_hz: {job.spectrogram.f_max_hz} lies above {nyquist_hz:g} Hz, "
            "half the sample rate"
        )


def _check_layers(job: JobSettings, where: str) -> None:
    """Refuse declared layers that cannot take the spectrogram or picture, or each other."""
    if not isinstance(job.model, LayersSettings):
        return
    if job.clips.is_image:
        shape: tuple[int, ...] = job.clips.picture_shape
    else:
        n_bands = frontend_bands(job.model.frontend, job.spectrogram, job.clips)
        shape = (n_bands, frontend_frames(job.model.frontend, job.spectrogram, job.clips))
    try:
        layer_shapes(job.model.layers, shape)
    except ConfigError as error:
        raise ConfigError(f"{where}: model.layers: {error}") from None


def _check_official_lists(config_dir: Path, job: JobSettings, task: TaskSettings, where: str) -> None:
    """Refuse a target that, by what the datasets' files say, none of their official lists can judge."""
    if not isinstance(job.split, OfficialSplit):
        return
    reasons: dict[str, dict[str, str]] = {}
    for name in job.datasets:
        official = load_dataset(config_dir, name).official_split
        reasons[name] = official.cannot_judge if official else {}
    for target in task.targets:
        if all(target in of_dataset for of_dataset in reasons.values()):
            because = "; ".join(f"{name}: {of_dataset[target]}" for name, of_dataset in reasons.items())
            raise ConfigError(
                f"{where}: split.kind: the official split cannot judge {target!r} ({because}). Proposal: "
                f"`split: {{kind: patients}}` puts patients with it on every side; or add a dataset whose official "
                f"list can judge it, or take another task"
            )


def list_experiments(config_dir: Path) -> list[tuple[str, str]]:
    """Return (group, name) of every experiment file, sorted.

    Raises:
        ConfigError: There is no folder with a configuration.
    """
    require_config(config_dir)
    found = yaml_of_experiments(config_dir)
    return sorted((path.parent.name, path.stem) for path in found if path.name != CLAIMS_FILE)
