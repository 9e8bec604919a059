"""`auscult predict`, `embed`, `evaluate`, `export`, `compare`, `probes`: trained models and results put to use."""

from __future__ import annotations

import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from auscult.logs import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.table import Table

    from auscult.inference.loaded_model import LoadedModel


class Device(StrEnum):
    """Where a model runs."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class OutputFormat(StrEnum):
    """How predictions are written."""

    table = "table"
    csv = "csv"
    json = "json"


ModelArgument = Annotated[
    Path, typer.Argument(help="A trained job, such as results/pneumonia/train2356/1: model.json and model.safetensors.")
]
DeviceOption = Annotated[Device, typer.Option(help="auto takes a GPU where there is one.")]
BatchOption = Annotated[int | None, typer.Option(min=1, help="Clips at a time; by default 8 on a CPU, 64 on a GPU.")]
ChannelOption = Annotated[str, typer.Option(help="Of multi-channel audio: a number from 0, or mean.")]


def predict(
    model: ModelArgument,
    files: Annotated[list[Path], typer.Argument(help="Audio files, and folders of them.")],
    *,
    output_format: Annotated[
        OutputFormat | None, typer.Option("--format", help="By default as --out ends, else a table.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the predictions to this file.")] = None,
    clips: Annotated[
        bool, typer.Option("--clips", help="Show clips in the table too; CSV and JSON hold them.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw each file into this folder: spectrogram, and probability over time, or events."),
    ] = None,
    events: Annotated[
        Path | None,
        typer.Option(
            help="Of a model that finds events: write them, as the name ends: .csv, .json, .txt (Audacity), .TextGrid."
        ),
    ] = None,
    maps: Annotated[
        Path | None,
        typer.Option(help="Of a model of events or objects: write each file's maps into this folder (.npz, .png)."),
    ] = None,
    device: DeviceOption = Device.auto,
    batch: BatchOption = None,
    channel: ChannelOption = "mean",
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is written.")] = False,
) -> None:
    """Predict audio files of any length and rate, clip by clip and by recording; or pictures, and their objects.

    A file that cannot be read is named, the others are predicted, and the status is then 1. The threshold is the one
    that validation chose at the task's level.
    """
    from auscult.errors import ConfigError  # noqa: PLC0415 (`--help` stays quick)
    from auscult.inference import load_model  # noqa: PLC0415
    from auscult.inference.predict import predict_files  # noqa: PLC0415
    from auscult.inference.stream import find_audio  # noqa: PLC0415
    from auscult.reports import prediction_text  # noqa: PLC0415
    from auscult.reports.event_text import events_text, require_format  # noqa: PLC0415
    from auscult.storage.files import require_free, write_output  # noqa: PLC0415

    chosen = _format(output_format, out)
    for option, path in (("--out", out), ("--events", events)):
        if path is not None:
            require_free(path, is_forced=force, option=option)
    loaded = load_model(model, device.value)
    finds_objects = loaded.task.finds_objects
    takes_pictures = loaded.saved.meta["clips"]["unit"] == "image"
    for option, path in (("--events", events), ("--maps", None if finds_objects else maps)):
        if path is not None:
            _require_events_task(option, path, loaded)
    if takes_pictures:
        if plot is not None:
            hint = "--maps draws what it finds in them" if finds_objects else "leave it out"
            raise ConfigError(f"--plot {plot}: this model takes pictures; {hint}")
        _predict_pictures(loaded, files, maps, (chosen, out), is_forced=force)
        return
    if events is not None:
        require_format(events, len(find_audio(files)))
    found = predict_files(
        loaded,
        files,
        channel=parse_channel(channel),
        batch_clips=batch,
        plot_dir=plot,
        maps_dir=maps,
        is_forced=force,
        on_fault=lambda path, text: say(f"error: {path}: {text}", err=True),
    )
    for note in found.notes:
        say(f"note: {note}", err=True)
    if events is not None and found.events is not None:
        durations_s = dict(zip(found.recordings["file"], found.recordings["duration_s"], strict=True))
        write_output(events, events_text(events, found.events, loaded.targets, durations_s), "--events")
    _answer(
        chosen,
        out,
        lambda: prediction_text.tables(found, loaded, with_clips=clips),
        lambda is_json: prediction_text.json_text(found, loaded) if is_json else prediction_text.csv_text(found),
    )
    if found.errors:
        raise typer.Exit(1)


def _predict_pictures(
    model: LoadedModel,
    files: list[Path],
    maps: Path | None,
    output: tuple[OutputFormat, Path | None],
    *,
    is_forced: bool,
) -> None:
    """Predict pictures, and write what was found as a table, CSV or JSON."""
    from auscult.inference.pictures import classify_pictures, predict_pictures  # noqa: PLC0415
    from auscult.reports.prediction_text import class_table, picture_table, pictures_text  # noqa: PLC0415

    n_faults = 0

    def tell(path: Path, text: str) -> None:
        nonlocal n_faults
        n_faults += 1
        say(f"error: {path}: {text}", err=True)

    if model.task.finds_objects:
        found = predict_pictures(model, files, maps_dir=maps, is_forced=is_forced, on_fault=tell)
    else:
        found = classify_pictures(model, files, on_fault=tell)
    _answer(
        *output,
        lambda: [picture_table(found, model.targets[0]) if model.task.finds_objects else class_table(found, model)],
        lambda is_json: pictures_text(found, is_json=is_json),
    )
    if n_faults:
        raise typer.Exit(1)


def _answer(
    chosen: OutputFormat, out: Path | None, tables: Callable[[], list[Table]], text: Callable[[bool], str]
) -> None:
    """Show tables, or print or write the text of a CSV, or of a JSON where `text` is asked for one."""
    from auscult.storage.files import write_output  # noqa: PLC0415

    if chosen is OutputFormat.table:
        _print_tables(tables(), out)
    elif out is None:
        typer.echo(text(chosen is OutputFormat.json), nl=False)
    else:
        write_output(out, text(chosen is OutputFormat.json))


def _require_events_task(option: str, path: Path, model: LoadedModel) -> None:
    """Refuse, before anything is predicted, what a model does not find.

    Raises:
        ConfigError: The model finds no events.
    """
    from auscult.errors import ConfigError  # noqa: PLC0415

    if not model.task.finds_events:
        raise ConfigError(
            f"{option} {path}: this model says what is in a clip, not when; it needs a model of a task of type events"
        )


def parse_channel(text: str) -> int | Literal["mean"]:
    """Return the channel.

    Raises:
        ConfigError: It is neither `mean` nor a number.
    """
    from auscult.errors import ConfigError  # noqa: PLC0415

    if text != "mean" and not text.isdecimal():
        raise ConfigError(f"--channel: found {text!r}, expected mean or a number from 0")
    return "mean" if text == "mean" else int(text)


def _format(given: OutputFormat | None, out: Path | None) -> OutputFormat:
    if given is not None:
        return given
    ending = "" if out is None else out.suffix.lower().removeprefix(".")
    return OutputFormat(ending) if ending in {"csv", "json"} else OutputFormat.table


def _print_tables(tables: list[Table], out: Path | None) -> None:
    import io  # noqa: PLC0415
    import sys  # noqa: PLC0415

    from auscult.formatting.terminal import Console  # noqa: PLC0415
    from auscult.storage.files import write_output  # noqa: PLC0415

    # Into a file or a pipe long names stand whole; only a terminal has a width to fit.
    stream = io.StringIO() if out is not None else sys.stdout
    width = None if out is None and sys.stdout.isatty() else 10_000
    console = Console(file=stream, width=width, soft_wrap=width is not None)
    for table in tables:
        console.print(table)
    if out is not None and isinstance(stream, io.StringIO):
        write_output(out, "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n")


class Layer(StrEnum):
    """Where features are taken."""

    backbone = "backbone"
    head = "head"


def embed(
    model: ModelArgument,
    data: Annotated[list[str], typer.Argument(help="A dataset's name, or audio files and folders of them.")],
    *,
    out: Annotated[Path, typer.Option(help="PREFIX of PREFIX.parquet (ids and features) and PREFIX.npy (features).")],
    layer: Annotated[
        Layer, typer.Option(help="The pooled backbone, or the head's first dense layer before its activation.")
    ] = Layer.backbone,
    device: DeviceOption = Device.auto,
    batch: BatchOption = None,
    channel: ChannelOption = "mean",
    config: Annotated[Path, typer.Option(help="The folder with the configuration.")] = Path("config"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the two files.")] = False,
) -> None:
    """Write the features of every clip, one row each, with its ids.

    Clips of a dataset come as the workflow cuts them, cycles too; those of files as `auscult predict` does. A file that
    cannot be read is named, and the status is then 1.
    """
    from auscult.inference import dataset as datasets  # noqa: PLC0415 (`--help` stays quick)
    from auscult.inference import embeddings, load_model  # noqa: PLC0415
    from auscult.storage.files import require_free  # noqa: PLC0415

    for path in embeddings.output_paths(out):
        require_free(path, is_forced=force)
    loaded = load_model(model, device.value)
    errors: dict[str, str] = {}
    if _is_dataset(data, config):
        settings = datasets.settings_of(data[0], config)
        job = datasets.job_like(loaded.saved.meta, (data[0],))
        with tempfile.TemporaryDirectory(prefix="auscult-embed-") as folder:
            prepared = datasets.prepare(data[0], settings, job, Path(folder), ignores_workflow=False)
            ids, features = embeddings.embed_dataset(loaded, prepared, layer.value, batch_clips=batch)
    else:
        ids, features, errors = loaded.embed(data, layer.value, channel=parse_channel(channel), batch_clips=batch)
    for file, text in errors.items():
        say(f"error: {file}: {text}", err=True)
    if len(features):
        written = embeddings.write_embeddings(out, ids, features)
        say(f"wrote {' and '.join(map(str, written))}: {len(features)} clips, {features.shape[1]} features each")
    if errors:
        raise typer.Exit(1)


def _is_dataset(data: list[str], config: Path) -> bool:
    """Whether a dataset is named; a file or folder of that name goes before it."""
    from auscult.config.files import defined_names  # noqa: PLC0415
    from auscult.errors import ConfigError, unknown_name  # noqa: PLC0415

    if len(data) > 1 or Path(data[0]).exists():
        return False
    known = defined_names(config, "dataset")
    if data[0] not in known and not Path(data[0]).suffix:
        raise ConfigError(f"there is no file or folder {data[0]}, and {unknown_name('dataset', data[0], known)}")
    return data[0] in known


def evaluate(
    model: ModelArgument,
    *,
    dataset: Annotated[str, typer.Option(help="A dataset of config/datasets, without .yaml.")],
    task: Annotated[str | None, typer.Option(help="Whose labels are asked for; by default the model's task.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The result's folder; by default evaluations/<task>/<dataset>/<model>.")
    ] = None,
    root: Annotated[str | None, typer.Option(help="Read this folder instead of the root in the configuration.")] = None,
    test_part: Annotated[
        bool, typer.Option("--test-part", help="Of a dataset that the model was trained on: its own test set alone.")
    ] = False,
    recalibrate: Annotated[
        float | None,
        typer.Option(help="This share of the patients refits calibration and thresholds; the others are judged."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="By which --recalibrate draws patients.")] = 0,
    device: DeviceOption = Device.auto,
    config: Annotated[Path, typer.Option(help="The folder with the configuration.")] = Path("config"),
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier result.")] = False,
) -> None:
    """Evaluate a stored model on a dataset that it was not trained on: a full result, with its own thresholds.

    All patients form the test set, but for those that --recalibrate draws. What the workflow made of the dataset by
    equal settings is reused.
    """
    from auscult.inference.evaluate_model import default_output, evaluate_model, headline_of  # noqa: PLC0415

    folder = out or default_output(model, dataset, task, is_recalibrated=recalibrate is not None)
    report = evaluate_model(
        model,
        dataset,
        output_dir=folder,
        task_name=task,
        config_dir=config,
        root=root,
        device=device.value,
        test_set_only=test_part,
        recalibrate_share=recalibrate,
        seed=seed,
        is_forced=force,
        say=lambda text: say(text, err=True),
    )
    say(headline_of(folder))
    say(f"\nwrote {report}")


def export(
    model: ModelArgument,
    *,
    onnx: Annotated[
        bool, typer.Option("--onnx", help="As ONNX: waveforms in, probabilities out, the front end inside.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder of model.onnx and onnx.json; by default exports/<task>/<weights>.")
    ] = None,
    clips: Annotated[int, typer.Option(min=1, help="Clips to compare on, at most.")] = 64,
    audio: Annotated[
        list[Path] | None,
        typer.Option(help="Compare on this file or folder (may be repeated), not on the job's validation clips."),
    ] = None,
    config: Annotated[Path, typer.Option(help="The folder with the configuration.")] = Path("config"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the two files.")] = False,
) -> None:
    """Write a trained model as a file for other programs, and compare its probabilities with auscult's.

    Clips are those of the job's validation set where the workflow's files are there, else seeded noise.
    """
    from auscult.errors import ConfigError  # noqa: PLC0415 (`--help` stays quick)
    from auscult.inference import load_model, onnx_export  # noqa: PLC0415
    from auscult.reports.prediction_text import parity_lines  # noqa: PLC0415

    if not onnx:
        raise ConfigError("say what to export to: --onnx")
    loaded = load_model(model)
    folder = out or onnx_export.default_output(loaded)
    chosen = onnx_export.choose_clips(loaded, model, audio=audio or [], n_clips=clips, config_dir=config)
    report = onnx_export.export_onnx(loaded, chosen, folder, is_forced=force)
    for line in parity_lines(report["parity"]):
        say(line)
    say(f"\nwrote {folder / onnx_export.ONNX_FILE} and {folder / onnx_export.REPORT_FILE}")


def compare(
    results: Annotated[
        list[Path],
        typer.Argument(
            help="Jobs (results/<folder>/<experiment>/<job>), or experiments for all their jobs; first the base."
        ),
    ],
    *,
    out: Annotated[Path | None, typer.Option(help="Write a page too: one HTML file.")] = None,
    level: Annotated[
        str | None, typer.Option(help="clip, recording or patient; by default where the task is judged.")
    ] = None,
    draws: Annotated[int, typer.Option(min=0, max=100_000, help="Resamples of the bootstrap; 0: no intervals.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite --out.")] = False,
) -> None:
    """Compare results on one test set: differences with intervals, DeLong's test, the settings that differ.

    Results of different splits, or with other labels, are refused with what differs.
    """
    from auscult.evaluation.compare import compare as gather  # noqa: PLC0415
    from auscult.formatting.terminal import PIPED_WIDTH, Console  # noqa: PLC0415 (`--help` stays quick)
    from auscult.reports.comparison_page import print_comparison  # noqa: PLC0415
    from auscult.storage.files import require_free  # noqa: PLC0415

    if out is not None:
        require_free(out, is_forced=force)
    found = gather(results, level=level, resamples=draws, seed=seed)
    # Only a terminal has a width to fit.
    print_comparison(found, Console() if sys.stdout.isatty() else Console(width=PIPED_WIDTH))
    if out is not None:
        from auscult.reports.comparison_page import write_page  # noqa: PLC0415

        write_page(found, out)
        say(f"\nwrote {out}")


def probes(
    results: Annotated[
        list[Path],
        typer.Argument(help="Experiments with probes (results/<folder>/<experiment>), or single jobs of them."),
    ],
    *,
    metric: Annotated[
        str, typer.Option(help="What the cells show, such as auroc, auprc or balanced_accuracy.")
    ] = "auroc",
    out: Annotated[Path | None, typer.Option(help="Write a page too: one HTML file.")] = None,
    draws: Annotated[int, typer.Option(min=0, max=100_000, help="Resamples of the bootstrap; 0: no intervals.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite --out.")] = False,
) -> None:
    """Show encoders by tasks: a row for each frozen encoder (or trained model), a column for each test set.

    Folds and seeds of a job are one cell: their mean, with a 95% interval over patients.
    """
    from auscult.evaluation.probe_table import gather_probes  # noqa: PLC0415
    from auscult.formatting.terminal import PIPED_WIDTH, Console  # noqa: PLC0415 (`--help` stays quick)
    from auscult.reports.probe_page import print_probes, write_probes  # noqa: PLC0415
    from auscult.storage.files import require_free  # noqa: PLC0415

    if out is not None:
        require_free(out, is_forced=force)
    found = gather_probes(results, metric=metric, resamples=draws, seed=seed)
    print_probes(found, Console() if sys.stdout.isatty() else Console(width=PIPED_WIDTH))
    if out is not None:
        write_probes(found, out)
        say(f"\nwrote {out}")
