"""Models as ONNX files: the same probabilities, one file that is enough, and what is refused."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import soundfile
import torch
from typer.testing import CliRunner

import auscult
from auscult.audio.clip_store import ClipStore
from auscult.cli import app
from auscult.config import paths
from auscult.config.description import write_description
from auscult.errors import ConfigError, DataError
from auscult.inference import onnx_export
from auscult.inference.dataset import job_like, prepare, settings_of
from auscult.inference.loaded_model import LoadedModel
from auscult.inference.stream import find_audio
from auscult.metrics.calibration import apply_maps, fit_maps
from auscult.models import SavedModel
from auscult.models.onnx_graph import CalibrationMaps
from auscult.models.saved import load_model as load_saved
from auscult.models.saved import save_model
from auscult_simulate.write import write_dataset

PROJECT = Path(__file__).resolve().parents[3]
CLIPS = {"length_s": 2.0, "sample_rate_hz": 4000, "pad": "repeat"}
SPECTROGRAM = {"n_fft": 256, "hop_samples": 56, "n_mels": 64}
SOAK = (pytest.mark.slow, pytest.mark.soak)
FAMILIES = (
    "mixednet",
    "sequence_net",
    "timm/mobilenetv3_small_050",
    pytest.param("inception_residual", marks=SOAK),
    pytest.param("timm/vit_tiny_patch16_224", marks=SOAK),
)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> list[Path]:
    """Recordings of patients where they are, else simulated ones."""
    folder = (
        Path(os.environ.get("AUSCULT_REAL_DATA", PROJECT.parent / "shared" / "data")) / "sprsound_2022" / "test_wav"
    )
    if not folder.is_dir():
        folder = tmp_path_factory.mktemp("simulated")
        write_dataset("icbhi", folder, n_patients=6, seed=5, duration_s=(3.0, 4.0))
    return find_audio([folder])[:12]


def settle(folder: Path, sounds: list[Path], *, spreads: bool) -> LoadedModel:
    """Let batch norm see the clips, as a training does; `spreads`: and let the probabilities differ."""
    saved = load_saved(folder)
    reader = LoadedModel(saved).reader()
    clips = onnx_export.choose_clips(LoadedModel(saved), folder, audio=sounds, n_clips=12, config_dir=Path("config"))
    stored = clips.waveforms if saved.takes == "waveform" else reader.log_mel(clips.waveforms, None, np.float16)
    saved.module.train()
    with torch.no_grad():
        for module in saved.module.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.momentum = None
            if isinstance(module, torch.nn.modules.dropout._DropoutNd):
                module.p = 0.0
        for _ in range(4):
            saved.module(saved.normalisation.apply(torch.from_numpy(stored)))
        saved.module.eval()
        if spreads:
            logits, linear = torch.from_numpy(saved.logits(stored)), saved.module.head.linear
            gain = 0.5 / logits.std(dim=0)
            linear.bias.copy_((linear.bias - logits.mean(dim=0)) * gain)
            linear.weight.mul_(gain[:, None])
    save_model(folder, SavedModel(saved.module, saved.normalisation, saved.meta))
    return auscult.load_model(folder)


def clips_of(model: LoadedModel, folder: Path, sounds: list[Path], n_clips: int = 12) -> onnx_export.ParityClips:
    return onnx_export.choose_clips(model, folder, audio=sounds, n_clips=n_clips, config_dir=Path("config"))


@pytest.mark.parametrize("name", FAMILIES)
def test_the_families_give_the_same_probabilities_on_recordings(make_model, sounds, tmp_path, name):
    folder = make_model("multi_label", model={"name": name}, clips=CLIPS, spectrogram=SPECTROGRAM)
    model = settle(folder, sounds, spreads=True)
    clips = clips_of(model, folder, sounds)
    parity = onnx_export.export_onnx(model, clips, tmp_path / "out")["parity"]
    assert parity["n_clips"] == 12
    assert parity["largest_difference"] < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    waveforms = clips.waveforms.astype(np.float32) / 32768
    many = session.run(["probability"], {"waveform": waveforms})[0]
    assert many.std(axis=0).min() > 0.05
    one, spectrogram = session.run(None, {"waveform": waveforms[3:4]})
    np.testing.assert_allclose(one, model.saved.predict_proba(spectrogram), atol=1e-5)


def test_shifts_are_part_of_the_graph(make_model, sounds, tmp_path):
    folder = make_model("multi_label", model={"name": "test_cnn"}, clips=CLIPS, spectrogram=SPECTROGRAM)
    plain = settle(folder, sounds, spreads=True)
    saved = plain.saved
    save_model(folder, SavedModel(saved.module, saved.normalisation, {**saved.meta, "shifts_s": [-0.3, 0.0, 0.4]}))
    model = auscult.load_model(folder)
    clips = clips_of(model, folder, sounds)
    report = onnx_export.export_onnx(model, clips, tmp_path / "out")
    assert report["parity"]["largest_difference"] < 1e-5
    stored = plain.reader().log_mel(clips.waveforms, None, np.float16)
    assert np.abs(model.saved.predict_proba(stored) - saved.predict_proba(stored)).max() > 1e-3


@pytest.mark.parametrize("frontend", ["learnable_mel", "linear", "cqt"])
def test_a_front_end_of_the_model_s_own_is_part_of_the_graph(make_model, sounds, tmp_path, frontend):
    settings = {"name": frontend, **({"f_min_hz": 100.0} if frontend == "cqt" else {})}
    folder = make_model(
        model={"name": "test_cnn", "frontend": settings}, clips=CLIPS, spectrogram={**SPECTROGRAM, "n_mels": 16}
    )
    model = settle(folder, sounds, spreads=False)
    report = onnx_export.export_onnx(model, clips_of(model, folder, sounds), tmp_path / "out")
    # Nothing is rounded on the way; quiet bands hold the noise of a Fourier transform in float32.
    assert report["parity"]["largest_difference"] < 5e-5
    assert report["parity"]["float32_effect"] == 0


@pytest.mark.parametrize(
    "changes", [{"centred": True}, {"power": 1.0, "window": "hamming"}, {"mel_scale": "htk", "floor_db": -60.0}]
)
def test_the_front_end_follows_the_settings_of_the_spectrogram(make_model, sounds, tmp_path, changes):
    folder = make_model(clips=CLIPS, spectrogram={**SPECTROGRAM, **changes})
    model = settle(folder, sounds, spreads=True)
    parity = onnx_export.export_onnx(model, clips_of(model, folder, sounds), tmp_path / "out")["parity"]
    assert parity["largest_difference"] < 1e-5


def test_temperature_softmax_and_the_weight_of_the_normal_class_are_inside(make_model, sounds, tmp_path):
    folder = make_model("multi_class", clips=CLIPS, spectrogram=SPECTROGRAM)
    plain = settle(folder, sounds, spreads=True)
    before = onnx_export.export_onnx(plain, clips_of(plain, folder, sounds), tmp_path / "plain")
    meta = json.loads((folder / "model.json").read_text())
    meta |= {"temperature": 1.7, "normal_offset": 0.9, "task": {**meta["task"], "normal_class": "b"}}
    write_description(folder, meta)
    model = auscult.load_model(folder)
    clips = clips_of(model, folder, sounds)
    report = onnx_export.export_onnx(model, clips, tmp_path / "out")
    assert report["parity"]["largest_difference"] < 1e-5
    sound = {"waveform": clips.waveforms.astype(np.float32) / 32768}
    one, other = (
        onnxruntime.InferenceSession(tmp_path / name / "model.onnx").run(None, sound)[0] for name in ("plain", "out")
    )
    np.testing.assert_allclose(other.sum(axis=1), 1, atol=1e-6)
    expected = np.log(one.astype(np.float64)) / 1.7 + np.array([0, 0.9, 0])
    expected = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(other, expected, atol=1e-5)
    assert before["thresholds"] == {}


def test_platt_scaling_and_isotonic_regression_are_inside(make_model, sounds, tmp_path):
    folder = make_model("multi_label", model={"name": "test_cnn"}, clips=CLIPS, spectrogram=SPECTROGRAM)
    plain = settle(folder, sounds, spreads=True).saved
    logits = np.linspace(-1.5, 1.5, 400)[:, None] + np.zeros(2)
    truth = np.random.default_rng(3).random((400, 2)) < 1 / (1 + np.exp(-2 * logits - 0.5))
    for name, method, left in (("platt", "platt", False), ("knots", "isotonic", False), ("mixed", "isotonic", True)):
        maps = fit_maps(logits, truth.astype(float), plain.targets, method).maps
        maps[1] = {"target": maps[1]["target"]} if left else maps[1]
        meta = {**plain.meta, "calibration": {"method": method, "maps": maps}}
        save_model(folder, SavedModel(plain.module, plain.normalisation, meta))
        model = auscult.load_model(folder)
        clips = clips_of(model, folder, sounds)
        report = onnx_export.export_onnx(model, clips, tmp_path / name)
        assert report["parity"]["largest_difference"] < 1e-4
        stored = model.reader().log_mel(clips.waveforms, None, np.float16)
        assert np.abs(model.saved.predict_proba(stored) - plain.predict_proba(stored)).max() > 0.05


@pytest.mark.parametrize("n_knots", [1, 2, 40])
def test_ramps_are_the_curve_through_the_knots_at_and_beyond_them(n_knots):
    generator = np.random.default_rng(n_knots)
    curve = {
        "target": "a",
        "logits": np.sort(generator.normal(size=n_knots)).tolist(),
        "probabilities": np.sort(generator.random(n_knots)).tolist(),
    }
    maps = [curve, {"target": "b"}, {"target": "c", "slope": 0.7, "intercept": 0.3}]
    logits = np.concatenate([generator.normal(size=(50, 3)) * 3, np.repeat(np.array(curve["logits"])[:, None], 3, 1)])
    found = CalibrationMaps(maps)(torch.from_numpy(logits))
    np.testing.assert_allclose(found.numpy(), apply_maps(logits, maps), atol=1e-6)


def test_samples_between_int16_steps_and_beyond_full_scale_are_taken_as_the_clips_of_a_training(make_model, tmp_path):
    folder = make_model(clips=CLIPS, spectrogram=SPECTROGRAM)
    model = auscult.load_model(folder)
    onnx_export.export_onnx(model, clips_of(model, folder, [], 2), tmp_path / "out")
    sound = (0.8 * np.random.default_rng(0).standard_normal((2, 8000))).astype(np.float32)
    assert (np.abs(sound) > 1).any()
    rounded = np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.float32) / 32768
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    one, other = (session.run(["spectrogram"], {"waveform": given})[0] for given in (sound, rounded))
    np.testing.assert_array_equal(one, other)


def test_the_file_says_all_that_its_user_needs(make_model, tmp_path):
    folder = make_model("multi_label", clips=CLIPS)
    model = auscult.load_model(folder)
    report = onnx_export.export_onnx(model, clips_of(model, folder, [], 3), tmp_path / "out")
    assert report == json.loads((tmp_path / "out" / "onnx.json").read_text())
    inside = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx").get_modelmeta().custom_metadata_map
    about = json.loads(inside["auscult"])
    assert about == {key: value for key, value in report.items() if key not in {"parity", "onnx_sha256"}}
    assert (about["targets"], about["thresholds"]) == (["crackle", "wheeze"], {"crackle": 0.5, "wheeze": 0.5})
    assert (about["sample_rate_hz"], about["n_samples"], about["clip_length_s"]) == (4000, 8000, 2.0)
    assert about["task_type"] == "multi_label"
    assert about["weights_sha256"] == model.saved.meta["weights_sha256"]
    assert report["parity"]["clips"].startswith("of seeded noise")
    assert report["parity"]["auroc"] is None
    onnx.checker.check_model(tmp_path / "out" / "model.onnx", full_check=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["model.onnx", "onnx.json"]


def test_an_export_that_differs_is_an_error_and_leaves_no_file(make_model, sounds, tmp_path, monkeypatch):
    folder = make_model(clips=CLIPS, spectrogram=SPECTROGRAM)
    model = settle(folder, sounds, spreads=True)
    write = onnx_export.write_onnx

    def write_another(saved, path, description):
        with torch.no_grad():
            saved.module.head.linear.bias.add_(0.05)
            write(saved, path, description)
            saved.module.head.linear.bias.sub_(0.05)

    monkeypatch.setattr(onnx_export, "write_onnx", write_another)
    with pytest.raises(DataError, match=r"differ from auscult's by up to 0\.01\d* on 12 clips .*No file was kept"):
        onnx_export.export_onnx(model, clips_of(model, folder, sounds), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_an_operator_that_onnx_does_not_have_is_named(make_model, tmp_path):
    folder = make_model(clips=CLIPS)
    model = auscult.load_model(folder)

    class Bessel(torch.nn.Module):
        def forward(self, features):
            return torch.special.bessel_j0(features)

    model.saved.module.head.dropout = Bessel()
    with pytest.raises(ConfigError, match=r"'test_cnn' cannot be exported .* operator \w+\.\w*bessel_j0"):
        onnx_export.export_onnx(model, clips_of(model, folder, [], 1), tmp_path / "out")
    assert not (tmp_path / "out" / "model.onnx").exists()


def test_a_transform_that_no_file_holds_is_refused(make_model, tmp_path):
    folder = make_model(
        clips={"length_s": 9.0, "sample_rate_hz": 8000}, spectrogram={"n_fft": 65_536, "hop_samples": 64, "n_mels": 32}
    )
    model = auscult.load_model(folder)
    with pytest.raises(
        ConfigError, match=r"n_fft 65536: its Fourier transform takes 32 GiB .* train with a smaller n_fft"
    ):
        onnx_export.export_onnx(model, clips_of(model, folder, [], 1), tmp_path / "out")


def test_missing_packages_are_named_with_how_to_install_them(make_model, tmp_path, monkeypatch):
    folder = make_model(clips=CLIPS)
    model = auscult.load_model(folder)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name))
    with pytest.raises(ConfigError, match=r"not installed: onnxscript\. .*pip install -e '\.\[onnx\]'"):
        onnx_export.export_onnx(model, clips_of(model, folder, [], 1), tmp_path / "out")


def test_the_command_compares_on_the_job_s_own_validation_clips(project, make_model):
    folder = make_model()
    job = job_like(json.loads((folder / "model.json").read_text()), ("clinic",))
    settings = settings_of("clinic", project / "config")
    prepared = prepare("clinic", settings, job, project, ignores_workflow=False)
    store_path = Path(paths.clips_paths("clinic", settings, job.clips)[0])
    assert prepared.clips == [project / store_path]
    with ClipStore(store_path) as store:
        table = store.table
    ids = table[["clip_id", "recording_id", "patient_id", "start_s", "end_s"]].assign(dataset="clinic", split="val")
    ids["target_ill"] = ids["recording_id"].str.contains("_ill_").astype(float)
    ids["prob_ill"] = 0.5
    pd.concat([ids, ids.assign(split="test", clip_id="gone")]).to_parquet(folder / "predictions.parquet")
    run = ["export", str(folder), "--onnx", "--clips", "9"]
    finished = CliRunner().invoke(app, [*run, "--out", "out"])
    assert finished.exit_code == 0, finished.output
    parity = json.loads((project / "out" / "onnx.json").read_text())["parity"]
    assert (parity["n_clips"], parity["clips"]) == (9, "of the job's validation set")
    areas = parity["auroc"]["ill"]
    assert areas["auscult"] == pytest.approx(areas["onnx"], abs=1e-3)
    assert f"AUROC of the clips, ill: auscult {areas['auscult']:.6f}, onnx {areas['onnx']:.6f}" in finished.stdout
    again = CliRunner().invoke(app, [*run, "--out", "out"])
    assert isinstance(again.exception, ConfigError)
    assert "--force" in str(again.exception)
    # Where the workflow's clips are gone, noise takes their place, and the report says so.
    store_path.unlink()
    forced = CliRunner().invoke(app, [*run, "--out", "out", "--force"])
    assert forced.exit_code == 0, forced.output
    assert "compared on 9 clips of seeded noise" in forced.stdout
    assert "AUROC: not known" in forced.stdout
    named = CliRunner().invoke(app, [*run, "--out", "other", "--audio", "raw/p1_well_0.wav"])
    assert "clips of the given audio" in named.stdout
    missing = CliRunner().invoke(app, ["export", str(folder)])
    assert "--onnx" in str(missing.exception)


def test_ten_lines_of_the_page_load_the_file(make_model, sounds, tmp_path):
    page = (PROJECT / "docs" / "use-a-model.md").read_text(encoding="utf-8")
    (program,) = (text for text in re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S) if "onnxruntime" in text)
    assert len(program.splitlines()) <= 10
    folder = make_model("binary", clips=CLIPS, spectrogram=SPECTROGRAM)
    model = settle(folder, sounds, spreads=True)
    onnx_export.export_onnx(model, clips_of(model, folder, sounds), tmp_path / "exports" / "pneumonia")
    (wanted,) = re.findall(r'soundfile\.read\("([^"]+)"', program)
    path = tmp_path / wanted
    path.parent.mkdir(parents=True)
    noise = np.random.default_rng(2).standard_normal((9000, 2))
    soundfile.write(path, 0.1 * noise.cumsum(axis=1), 8000)
    finished = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    own = float(model.predict(path).recordings["prob_ill"].iloc[0])
    assert finished.stdout == f"ill {own:.3f}, positive: {own >= 0.5}\n"
