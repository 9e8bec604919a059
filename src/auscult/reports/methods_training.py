"""Sentences of a methods section on clips, model and training, from the settings of a job."""

from __future__ import annotations

from auscult.config import JobSettings, LossSettings, TaskSettings
from auscult.config.train import PictureStandard
from auscult.formatting.numbers import METRIC_NAMES, in_sentence, plural
from auscult.formatting.text import join_words
from auscult.provenance import redact
from auscult.reports.jobs import JobResult

_LOSSES = {
    "bce": "binary cross-entropy",
    "cross_entropy": "cross-entropy",
    "mse": "the mean squared error",
    "focal": "the focal loss",
    "asymmetric": "the asymmetric loss",
    "dice": "the Dice loss",
}
_PADDING = {"zero": "with zeros", "reflect": "by reflection", "repeat": "by repeating them"}
_DECODERS = {"soundfile": "libsndfile", "ffmpeg": "FFmpeg"}


def clips_text(job: JobSettings) -> str:
    """Return how recordings became clips, or pictures were brought to one size."""
    clips = job.clips
    if clips.is_image:
        fitted = {
            "resize": "stretched to",
            "padding": "scaled to fit into",
            "reflect": "scaled to fit into",
        }[clips.trim]
        filled = {"resize": "", "padding": ", the rest filled with their mean", "reflect": ", the rest mirrored"}
        return (
            f"Pictures were decoded with Pillow and {fitted} {clips.size[1]} x {clips.size[0]} pixels (bilinear)"
            f"{filled[clips.trim]}."
        )
    if clips.unit == "window":
        step = "without overlap" if clips.hop_s in (None, clips.length_s) else f"every {clips.hop_s:g} s"
        cut = f"cut into windows of {clips.length_s:g} s {step}"
    elif clips.unit == "cycle":
        cut = f"cut into respiratory cycles, each brought to {clips.length_s:g} s"
    else:
        cut = f"each brought to {clips.length_s:g} s"
    band = clips.band_pass
    filtered = (
        ""
        if band is None
        else f"filtered ({band.low_hz:g} to {band.high_hz:g} Hz, Butterworth of order {band.order}, zero phase), "
    )
    return (
        f"Recordings were decoded with {_DECODERS[clips.decoder]}, reduced to one channel, resampled to "
        f"{clips.sample_rate_hz / 1000:g} kHz, {filtered}and {cut}; shorter ones were padded {_PADDING[clips.pad]}."
    )


def spectrogram_text(job: JobSettings) -> str:
    """Return how clips became what the model is given."""
    made = job.spectrogram
    frontend = job.model.frontend
    part = "the training part" if job.evaluate_only is None else "what the model was trained on"
    if job.clips.is_image:
        kind = {1: "in grey", 3: "in colour"}.get(job.clips.channels, f"of {job.clips.channels} channels")
        given = {None: part, "training": part, "pretrained": "the architecture's pretrained weights"}
        by = (
            "given numbers"
            if isinstance(job.train.normalise, PictureStandard)
            else f"mean and deviation of {given[job.train.normalise]}"
        )
        return f"The input was the picture {kind}, each channel standardised by {by}."
    if frontend is not None and frontend.name == "published":
        return f"The model computes the bands that the encoder {getattr(frontend, 'encoder', '')} was trained on."
    rate = job.clips.sample_rate_hz
    kind = {
        None: f"log-mel spectrograms of {made.n_mels} bands",
        "mel": f"log-mel spectrograms of {made.n_mels} bands",
        "learnable_mel": f"log-mel spectrograms of {made.n_mels} bands, whose filters were trained with the model",
        "linear": "log spectrograms with bands of equal width",
        "cqt": "the logarithm of a constant-Q transform",
    }[None if frontend is None else frontend.name]
    top = made.f_max_hz or rate / 2
    return (
        f"The input was {kind} from {made.f_min_hz:g} to {top:g} Hz ({made.window.capitalize()} window of {made.n_fft} "
        f"samples, {1000 * made.n_fft / rate:g} ms; step {made.hop_samples} samples, "
        f"{1000 * made.hop_samples / rate:g} ms), each band standardised by mean and deviation of {part}."
    )


def input_text(job: JobSettings) -> str:
    """Return what else the model knows of a patient, and whether anybody judged its input."""
    what = "picture" if job.clips.is_image else "sound"
    text = f"The model was given the {what} alone: no label, and nothing else that is known of a patient."
    if job.clips.unit == "cycle":
        return f"{text} Where cycles begin and end was taken from the annotations of the data."
    return f"{text} No judgement of a person entered its input."


def model_text(result: JobResult) -> str:
    """Return which model it was, and with which weights it began."""
    job, size = result.settings, f"{result.metrics['n_parameters']:,} parameters"
    if job.evaluate_only is not None:
        whose = f"The model of {redact(job.evaluate_only)} ({job.model.name}, {size})"
        if result.metrics.get("recalibration") is not None:
            return f"{whose} was recalibrated on patients apart from the test part; its weights stayed as they were."
        return f"{whose} was evaluated as it was, with its own thresholds: nothing was trained or chosen on these data."
    if job.probe is not None:
        what = "a logistic regression" if job.probe.method == "linear" else "a vote of nearest neighbours"
        where = "pooled features of the backbone" if job.probe.layer == "backbone" else "first dense layer of the head"
        return (
            f"The encoder {redact(job.probe.encoder)} ({job.model.name}) stayed frozen; {what} was fitted on its "
            f"embeddings ({where}) of the training part."
        )
    pretrained = job.train.pretrained
    if pretrained is None:
        return f"The model was {job.model.name} with {size}, its initial weights random."
    source = next(name for name in ("result", "weights", "timm", "published") if getattr(pretrained, name) is not None)
    if pretrained.state:
        return (
            f"The model was {job.model.name} with {size}; its training went on where that of "
            f"{redact(str(pretrained.result))} had ended, with the state of the optimizer."
        )
    parts = "" if pretrained.parts == "all" else ", the head's random"
    return f"The model was {job.model.name} with {size}, initialised with pretrained weights ({source}){parts}."


def _is_trained(job: JobSettings) -> bool:
    return job.evaluate_only is None and job.probe is None


def augment_text(job: JobSettings) -> str:
    """Return what was changed of training clips at random."""
    if not _is_trained(job):
        return ""
    names = [step.name for step in (*job.augment.waveform, *job.augment.spectrogram)]
    return f"Training clips were augmented by {join_words(names)}." if names else "Training clips were not augmented."


def training_text(job: JobSettings, task: TaskSettings) -> str:
    """Return how the model was trained."""
    if not _is_trained(job):
        return ""
    train, optimizer = job.train, job.train.optimizer
    loss = train.loss.name
    if loss == "auto":
        loss = "cross_entropy" if task.type == "multi_class" else "bce"
    minimised = _LOSSES.get(loss, f"the loss {loss} (a plugin)")
    decay = f", weight decay {optimizer.weight_decay:g}" if optimizer.weight_decay else ""
    smoothing = ""
    if isinstance(train.loss, LossSettings) and train.loss.label_smoothing:
        smoothing = f" with label smoothing {train.loss.label_smoothing:g}"
    schedule = ""
    if train.schedules:
        schedule = f" The learning rate followed {join_words([one.name.replace('_', ' ') for one in train.schedules])}."
    frozen = "" if train.freeze is None else f" The {train.freeze} stayed frozen"
    if frozen:
        frozen += "." if train.thaw_epoch is None else f" before epoch {train.thaw_epoch}."
    batch = plural(train.batch_size * train.accumulate_batches, "clip")
    return (
        f"It was trained for at most {plural(train.epochs, 'epoch')} with the optimizer {optimizer.name} (learning "
        f"rate {optimizer.lr:g}{decay}) in batches of {batch}, minimising {minimised}{smoothing}.{schedule}{frozen}"
    )


def imbalance_text(job: JobSettings) -> str:
    """Return what was done about rare classes."""
    if job.evaluate_only is not None:
        return ""
    if job.train.sampler == "balanced":
        return "Against class imbalance, every combination of labels was drawn equally often."
    if job.train.loss.class_weights != "none":
        return f"Against class imbalance, the loss was weighted by class ({job.train.loss.class_weights})."
    return "Class imbalance was left as it was: no weights and no resampling."


def choice_text(job: JobSettings) -> str:
    """Return how epoch or hyperparameter were chosen."""
    if job.evaluate_only is not None:
        return ""
    metric = _monitor(job.train.monitor)
    if job.probe is not None:
        what = "penalty" if job.probe.method == "linear" else "number of neighbours"
        return f"The {what} with the best {metric} on the validation part was chosen."
    order = "lowest" if job.train.mode == "min" else "highest"
    stop = job.train.early_stopping
    stopping = "" if stop is None else f" Training stopped after {stop.patience} validations without improvement."
    return f"The epoch with the {order} {metric} on the validation part was kept.{stopping}"


def _monitor(name: str) -> str:
    plain = name.removeprefix("val/")
    shown = METRIC_NAMES.get(plain, plain.replace("_", " "))
    return {"icbhi_score": "ICBHI score"}.get(plain, in_sentence(shown))


def repeats_text(job: JobSettings) -> str:
    """Return which folds and seeds were trained, and what was made of them."""
    if job.evaluate_only is not None:
        return ""
    in_folds = "" if job.folds is None else " in each fold"
    in_folds = in_folds if job.val_folds is None else " for each validation part"
    if job.matrix is not None:
        return _matrix_repeats_text(job, job.matrix.leave_out)
    if not job.seeds:
        over = "the folds" if job.folds is not None else "these trainings"
        mean = f"; results are means over {over}" if in_folds else ""
        if job.probe is not None:
            return f"One probe was fitted{in_folds}{mean}." if in_folds else ""
        once = f"Training was run once{in_folds}, with the random seed {job.train.seed}{mean or _SINGLE}."
        return f"{once}{_averaged_text(job)}"
    seeds = join_words([str(seed) for seed in job.seeds])
    repeated = f"Training was repeated with the seeds {seeds}{in_folds}; results are means over the trainings."
    return f"{repeated}{_averaged_text(job)}"


def _matrix_repeats_text(job: JobSettings, by: str) -> str:
    each = f"for each left-out {by}"
    if job.seeds:
        seeds = join_words([str(seed) for seed in job.seeds])
        return f"Training was repeated with the seeds {seeds} {each}; results of a {by} are means over its trainings."
    if job.probe is not None:
        return f"One probe was fitted {each}."
    return f"Training was run once {each}, with the random seed {job.train.seed}{_SINGLE}."


_SINGLE = "; no models were combined"


def _averaged_text(job: JobSettings) -> str:
    """Return a sentence on the ensemble, after a blank; empty where there is none."""
    if not job.ensemble:
        return ""
    thresholds = "thresholds of its own"
    if job.val_folds is not None:
        thresholds += ", chosen out of fold: each patient was judged by the trainings that had not learned from them"
    return f" Their probabilities were also averaged to an ensemble with {thresholds}."
