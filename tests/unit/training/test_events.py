"""A training that finds events: the same loop, masked maps, equal after an interruption."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from auscult.augment import Augmenter
from auscult.augment.pipeline import EpochItems
from auscult.config import ClipSettings, JobSettings, LossSettings, SpectrogramSettings, TaskSettings
from auscult.config.augment import AugmentSettings
from auscult.config.events import Collars
from auscult.datasets.event_maps import ClipEvents
from auscult.errors import InfeasibleError
from auscult.metrics.event_decoding import decode, decodings_of
from auscult.metrics.events import count_events
from auscult.models import load_model
from auscult.spectrograms.frames import BandGrid
from auscult.spectrograms.store import write_features
from auscult.storage.tables import BAND_COLUMNS, read_events, read_recordings, write_csv, write_parquet
from auscult.training import train as training
from auscult.training.batches import TrainingAugmentation
from auscult.training.dataset import load_clip_dataset
from auscult.training.losses import build_map_loss
from auscult.training.session import TrainingStopped

from .conftest import Setup

RATE_HZ = 4000
CLIPS = ClipSettings(length_s=2.0, sample_rate_hz=RATE_HZ, hop_s=2.0)
SPECTROGRAM = SpectrogramSettings(n_fft=256, hop_samples=80, n_mels=16)
N_FRAMES = SPECTROGRAM.n_frames(CLIPS.n_samples)
TASK = TaskSettings.model_validate(
    {
        "description": "toy",
        "type": "events",
        "targets": ["crackle", "wheeze"],
        "level": "clip",
        "events": {"boundary_s": 0.1, "collars": {"onset_s": 0.1, "offset_s": 0.1}},
        "datasets": {
            "toy": {
                "crackle": {"events": ["crackle"], "annotated_by": ["recording"], "unknown": ["unclear"]},
                "wheeze": {"events": ["wheeze"], "annotated_by": ["recording"]},
            }
        },
    }
)


def make_events(folder: Path, *, n_patients: int = 30, seed: int = 0) -> Setup:
    """Recordings of 4 s: crackles are loud in high bands for 60 to 150 ms, wheezes in low ones for 0.3 to 0.8 s.

    The tables say so; of one wheeze in four they do not know its frequencies.
    """
    edges_hz = BandGrid.of(SPECTROGRAM, RATE_HZ).edges_hz
    rng = np.random.default_rng(seed)
    recordings = pd.DataFrame(
        {
            "recording_id": [f"toy/r{n:02d}" for n in range(n_patients)],
            "dataset": "toy",
            "patient_id": [f"toy/p{n:02d}" for n in range(n_patients)],
            "path": [f"r{n:02d}.wav" for n in range(n_patients)],
            "site": pd.array([None] * n_patients, dtype="str"),
            "device": pd.array([None] * n_patients, dtype="str"),
            "age_years": np.nan,
            "sex": pd.array([None] * n_patients, dtype="str"),
            "sample_rate_hz": RATE_HZ,
            "n_channels": 1,
            "n_samples": 4 * RATE_HZ,
            "duration_s": 4.0,
            "encoding": "PCM_16",
            "sha256": [f"{n:064x}" for n in range(n_patients)],
            "fingerprint": pd.array([None] * n_patients, dtype="str"),
        }
    )
    middles = (np.arange(2 * CLIPS.n_samples // 80) + 0.5) * 80 / RATE_HZ
    levels = -50 + 4 * rng.standard_normal((n_patients, 16, len(middles)), dtype=np.float32)
    rows = []
    for n in range(n_patients):
        for kind, bands, lengths in (("crackle", slice(10, 15), (0.06, 0.15)), ("wheeze", slice(2, 6), (0.3, 0.8))):
            at = rng.uniform(0.1, 0.6)
            while at < 3.2:
                end = at + rng.uniform(*lengths)
                levels[n, bands, (middles >= at) & (middles < end)] += 25
                is_placed = kind == "crackle" or len(rows) % 4 > 0
                box = (edges_hz[bands.start], edges_hz[bands.stop]) if is_placed else (np.nan, np.nan)
                rows.append((f"toy/r{n:02d}", at, end, kind, "toy", *box))
                at = end + rng.uniform(0.3, 1.2)
        rows.append((f"toy/r{n:02d}", 3.8, 4.0, "unclear", "toy", np.nan, np.nan))
    tables = folder / "tables"
    write_parquet(tables / "recordings.parquet", recordings)
    columns = ["recording_id", "start_s", "end_s", "kind", "source", *BAND_COLUMNS]
    write_parquet(tables / "events.parquet", pd.DataFrame(rows, columns=columns))
    read_recordings(tables / "recordings.parquet")
    read_events(tables / "events.parquet")
    clips = pd.DataFrame(
        [
            {
                "clip_id": f"{row.recording_id}:{index:04d}",
                "recording_id": row.recording_id,
                "patient_id": row.patient_id,
                "dataset": "toy",
                "start_s": 2.0 * index,
                "end_s": 2.0 * (index + 1),
                "n_valid": CLIPS.n_samples,
            }
            for row in recordings.itertuples()
            for index in range(2)
        ]
    )
    # Frame f of a clip has its middle at 32 ms + 20 f ms: the level at that time.
    places = np.rint((SPECTROGRAM.n_fft / 2 + 80 * np.arange(N_FRAMES)) / 80 - 0.5).astype(int)
    spectrograms = np.stack(
        [levels[n][:, index * CLIPS.n_samples // 80 + places] for n in range(n_patients) for index in range(2)]
    )
    features = folder / "features.h5"
    settings = {"clips": CLIPS.model_dump(mode="json"), "spectrogram": SPECTROGRAM.model_dump(mode="json")}
    write_features(features, clips, spectrograms, np.full(len(clips), N_FRAMES), settings)
    subsets = ["train" if n % 5 < 3 else "val" if n % 5 == 3 else "test" for n in range(n_patients)]
    split = recordings[["recording_id", "patient_id", "dataset"]].assign(split=subsets)
    write_csv(folder / "split.csv", split)
    job = JobSettings.model_validate(
        {
            "task": "toy",
            "datasets": ["toy"],
            "clips": CLIPS.model_dump(mode="json"),
            "spectrogram": SPECTROGRAM.model_dump(mode="json"),
            "split": {"kind": "patients"},
            "model": {"name": "crnn", "channels": [8, 8], "gru_size": 8, "over_time": "max"},
            "train": {
                "epochs": 12,
                "batch_size": 6,
                "optimizer": {"lr": 0.02},
                "monitor": "val/event_f1",
            },
        }
    )
    return Setup({"toy": [features]}, {"toy": tables}, folder / "split.csv", TASK, job)


@pytest.fixture(scope="module")
def events_setup(tmp_path_factory) -> Setup:
    return make_events(tmp_path_factory.mktemp("events"))


def with_job(setup: Setup, **changes: object) -> JobSettings:
    values = setup.job.model_dump(mode="json")
    for key, value in changes.items():
        values[key] = {**values[key], **value} if key == "train" else value
    return JobSettings.model_validate(values)


def test_a_training_finds_the_events_of_patients_that_it_never_saw(events_setup: Setup, tmp_path: Path) -> None:
    job = with_job(events_setup, train={"live_examples": 3})
    training.train(**events_setup.inputs, job=job, output_dir=tmp_path, device="cpu", threads=1)
    model = load_model(tmp_path)
    assert model.meta["format_version"] == 6
    test = load_clip_dataset(events_setup.features, events_setup.tables, events_setup.split, TASK, ("test",))
    maps = model.maps(test.spectrograms(np.arange(len(test))))
    assert maps.shape == (len(test), 4, N_FRAMES)
    decodings = decodings_of(model.meta["event_decoding"], TASK.targets)
    found = decode(test.events.lay_out(maps), decodings)
    counts = count_events(test.events.truth, found, Collars(onset_s=0.1, offset_s=0.1))
    f1 = 2 * counts.tp.sum(axis=0) / (2 * counts.tp + counts.fp + counts.fn).sum(axis=0)
    assert f1.min() > 0.8, f1
    history = pd.read_csv(tmp_path / "history.csv")
    assert {"val/event_f1", "val/segment_f1", "val/auroc"} <= set(history.columns)
    followed = [name for name in history.columns if name.startswith("predictions/")]
    assert len(followed) == 3 * 2
    assert {name.split("/")[1] for name in followed} == {"crackle", "wheeze"}
    assert (history[followed].nunique() > 1).all()
    pictures = sorted(path.name for path in (tmp_path / "live_maps").iterdir())
    assert pictures == [f"epoch_{epoch:04d}.png" for epoch in range(1, 13)]
    # The probabilities of clips are the highest of their frames.
    clips = model.predict_proba(test.spectrograms([0, 1]))
    assert clips == pytest.approx(maps[:2, :2].max(axis=2), abs=1e-5)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_interrupted_training_equals_one_that_was_not(
    events_setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accumulate: int
) -> None:
    moving = [{"name": "roll_time"}, {"name": "resize_crop"}, {"name": "mixup", "label": "union"}]
    steps = {"spectrogram": [*moving, {"name": "mask_time", "quantity": 0.5}], "augments": 2}
    job = with_job(events_setup, train={"epochs": 2, "accumulate_batches": accumulate}, augment=steps)
    inputs = {**events_setup.inputs, "job": job, "device": "cpu", "threads": 1}
    training.train(**inputs, output_dir=tmp_path / "whole")
    original = training.Trainer._step
    n_calls = 0

    def stopping(self, *arguments):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 3:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *arguments)

    monkeypatch.setattr(training.Trainer, "_step", stopping)
    with pytest.raises(TrainingStopped):
        training.train(**inputs, output_dir=tmp_path / "parts")
    monkeypatch.setattr(training.Trainer, "_step", original)
    training.train(**inputs, output_dir=tmp_path / "parts")
    whole, parts = (json.loads((tmp_path / name / "model.json").read_text()) for name in ("whole", "parts"))
    assert whole["weights_sha256"] == parts["weights_sha256"]
    assert whole["event_decoding"] == parts["event_decoding"]
    shutil.rmtree(tmp_path / "parts")


@pytest.mark.parametrize("name", ["bce", "focal", "mse", "asymmetric", "dice"])
def test_noise_in_unknown_frames_changes_neither_loss_nor_gradient(name: str) -> None:
    rng = np.random.default_rng(4)
    maps = rng.integers(-1, 2, (5, 4, 30)).astype(np.int8)
    maps[3, 1] = -1
    settings = LossSettings(name=name, obj_weight=2.0, bnd_weight=0.5)
    loss = build_map_loss(maps, TASK, settings, torch.device("cpu"))
    targets, unknown = torch.from_numpy(maps), torch.from_numpy(maps < 0)
    logits = torch.randn(5, 4, 30)
    noise = torch.where(unknown, 50 * torch.randn(5, 4, 30), logits)
    noise[unknown & (torch.rand(5, 4, 30) < 0.2)] = 1e4
    values, gradients = [], []
    for given in (logits, noise):
        leaf = given.clone().requires_grad_()
        found = loss(leaf, targets)
        assert int(found.n_known) == loss.count_known(maps)
        found.mean().backward()
        values.append(found.mean().detach())
        gradients.append(leaf.grad)
    assert torch.equal(*values)
    assert torch.equal(*gradients)
    assert not gradients[1][unknown].any()


def test_dice_is_its_definition() -> None:
    maps = np.array([[[1, 1, 0, -1], [0, 0, 0, 0], [-1, -1, -1, -1], [1, 0, 0, 1]]], dtype=np.int8)
    settings = LossSettings(name="dice", obj_weight=3.0, bnd_weight=1.0)
    logits = torch.logit(torch.tensor([[[0.8, 0.6, 0.1, 0.9], [0.1, 0.2, 0.1, 0.1], [0.5] * 4, [0.9, 0.2, 0.1, 0.7]]]))
    found = build_map_loss(maps, TASK, settings, torch.device("cpu"))(logits, torch.from_numpy(maps))
    expected = [
        3 * (1 - (2 * 1.4 + 1) / (1.5 + 2 + 1)),
        3 * (1 - 1 / (0.5 + 1)),
        1 - (2 * 1.6 + 1) / (1.9 + 2 + 1),
    ]
    assert float(found.total) == pytest.approx(sum(expected), rel=1e-5)
    assert int(found.n_known) == 3


def test_weights_of_channels_and_classes_are_those_of_the_known_frames() -> None:
    maps = np.zeros((2, 4, 10), dtype=np.int8)
    maps[:, :, 0] = 1
    maps[:, :, 1:6] = -1
    settings = LossSettings(name="bce", class_weights="balanced", obj_weight=2.0, bnd_weight=0.0)
    loss = build_map_loss(maps, TASK, settings, torch.device("cpu"))
    found = loss(torch.zeros(2, 4, 10), torch.from_numpy(maps))
    # Of each object channel 2 positive and 8 negative frames, the mean weight one; boundaries weigh nothing.
    assert float(found.total) == pytest.approx(2 * 2 * 10 * np.log(2), rel=1e-5)
    assert int(found.n_known) == 40
    maps[:, 1] = 0
    with pytest.raises(InfeasibleError, match=r"wheeze \(objects\): 0 of 20 known frames are positive"):
        build_map_loss(maps, TASK, settings, torch.device("cpu"))


def test_maps_roll_with_their_spectrograms() -> None:
    n = 6
    rng = np.random.default_rng(1)
    maps = torch.from_numpy(rng.integers(-1, 2, (n, 4, 50)).astype(np.int8))
    # Two bands of the spectrogram are two channels of the maps.
    spectrograms = maps[:, :2].float()
    settings = AugmentSettings.model_validate(
        {"spectrogram": [{"name": "mask_time", "max_width_frames": 1}, {"name": "roll_time", "probability": 0.7}]}
    )
    items = EpochItems(np.arange(n), np.full(n, -1), np.zeros((n, 2), np.float32))
    augmenter = Augmenter(
        settings, n_valid=np.full(n, 100), n_samples=100, sample_rate_hz=4000, seed=3, device=torch.device("cpu")
    )
    batch = augmenter.batch(items, items.rows(np.arange(n)), 1, maps)
    found = batch.spectrograms(spectrograms)
    differs = (found != batch.maps[:, :2].float()).any(dim=1)
    # Only what mask_time silenced differs.
    assert (differs.sum(dim=1) <= 1).all()
    assert 0 < sum(not torch.equal(batch.maps[row], maps[row]) for row in range(n)) < n


def test_clips_of_several_datasets_keep_their_events() -> None:
    def of(name: str, start_s: float) -> ClipEvents:
        recordings = pd.DataFrame(
            {"recording_id": [f"{name}/a", f"{name}/b"], "patient_id": ["p", "q"], "dataset": "toy", "duration_s": 4.0}
        )
        clips = pd.DataFrame({"recording_id": [f"{name}/b", f"{name}/b"], "start_s": [0.0, 2.0]})
        events = pd.DataFrame(
            {"recording_id": [f"{name}/b"], "start_s": start_s, "end_s": start_s + 0.5, "kind": "wheeze"}
        )
        from auscult.spectrograms.frames import FrameGrid

        return ClipEvents.of(clips, recordings, events, TASK, FrameGrid.of(SPECTROGRAM, CLIPS))

    parts = [of("one", 0.5), of("two", 2.5)]
    joined = ClipEvents.joined(parts)
    assert joined.recording_ids.tolist() == ["one/b", "two/b"]
    assert np.array_equal(joined.maps(), np.concatenate([part.maps() for part in parts]))
    last = joined.take(np.array([3]))
    assert (last.recording_ids.tolist(), last.rows.tolist()) == (["two/b"], [0])
    assert np.array_equal(last.maps(), joined.maps()[3:])
    assert last.digest() != joined.digest()


BANDS_TASK = TaskSettings.model_validate(
    {**TASK.model_dump(mode="json"), "events": {**TASK.events.model_dump(mode="json"), "maps": "bands"}}
)


def over_bands(setup: Setup, **changes: object) -> dict:
    job = with_job(setup, model={"name": "unet", "channels": 4, "depth": 2, "over_time": "max"}, **changes)
    return {**setup.inputs, "task": BANDS_TASK, "job": job, "device": "cpu", "threads": 1}


def test_maps_over_bands_are_found_where_events_lie_in_time_and_frequency(events_setup: Setup, tmp_path: Path) -> None:
    training.train(**over_bands(events_setup, train={"epochs": 8}), output_dir=tmp_path)
    model = load_model(tmp_path)
    assert model.meta["format_version"] == 8
    assert model.meta["task"]["events"]["maps"] == "bands"
    test = load_clip_dataset(events_setup.features, events_setup.tables, events_setup.split, BANDS_TASK, ("test",))
    maps = model.maps(test.spectrograms(np.arange(len(test))))
    assert maps.shape == (len(test), 4, 16, N_FRAMES)
    true = test.events.maps()
    for kind, bands in enumerate((slice(10, 15), slice(2, 6))):
        is_there, is_known = true[:, kind] == 1, true[:, kind] >= 0
        assert set(np.nonzero(is_there)[1]) == set(range(16)[bands])
        inside, outside = maps[:, kind][is_there].mean(), maps[:, kind][is_known & ~is_there].mean()
        assert inside > outside + 0.5, (kind, inside, outside)
    decodings = decodings_of(model.meta["event_decoding"], TASK.targets)
    counts = count_events(
        test.events.truth, decode(test.events.lay_out(maps), decodings), Collars(onset_s=0.1, offset_s=0.1)
    )
    f1 = 2 * counts.tp.sum(axis=0) / (2 * counts.tp + counts.fp + counts.fn).sum(axis=0)
    assert f1.min() > 0.8, f1
    clips = model.predict_proba(test.spectrograms([0, 1]))
    assert clips == pytest.approx(maps[:2, :2].max(axis=(2, 3)), abs=1e-5)


def test_maps_over_bands_follow_augmentation_and_resume(
    events_setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crop = {"name": "resize_crop", "min_share_frequency": 1.0, "probability": 1.0}
    steps = {"spectrogram": [{"name": "roll_time"}, crop, {"name": "mixup", "label": "union"}]}
    inputs = over_bands(events_setup, train={"epochs": 2}, augment=steps)
    training.train(**inputs, output_dir=tmp_path / "whole")
    training.train(**inputs, output_dir=tmp_path / "parts", until_epoch=1)
    seen = []
    run = TrainingAugmentation.run

    def spied(self, model, batch, rows, epoch):
        logits, targets = run(self, model, batch, rows, epoch)
        seen.append((logits.shape, targets.numpy(), self._maps[rows.clips[: len(rows.items)]]))
        return logits, targets

    monkeypatch.setattr(TrainingAugmentation, "run", spied)
    training.train(**inputs, output_dir=tmp_path / "parts")
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert first == second
    for shape, targets, before in seen:
        assert shape == targets.shape == before.shape
        # Events moved in time, and stayed in their bands.
        assert (targets != before).any()
        present = [set(np.nonzero((maps[:, 0] == 1).any(axis=(0, 2)))[0]) for maps in (targets, before)]
        assert present[0] <= set(range(10, 15))
