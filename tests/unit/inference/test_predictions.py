import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from tests.encoded import CODECS, encode, tone
from typer.testing import CliRunner

import auscult
from auscult.cli import app
from auscult.config import ClipSettings, SpectrogramSettings
from auscult.config.description import write_description
from auscult.errors import ConfigError, DataError
from auscult.formatting.terminal import Console
from auscult.inference.predict import picture_paths, predict_files
from auscult.models import load_model as load_saved
from auscult.reports import prediction_text
from auscult.spectrograms.make_spectrograms import make_spectrograms
from auscult.spectrograms.store import FeatureStore


@pytest.fixture
def mixed(recordings):
    """Good recordings with bad ones among them."""
    (recordings / "c_cut.wav").write_bytes((recordings / "a.wav").read_bytes()[:5000])
    (recordings / "a_text.wav").write_text("no sound at all")
    (recordings / "empty.ogg").write_bytes(b"")
    return recordings


def settings_of(folder):
    meta = json.loads((folder / "model.json").read_text())
    return ClipSettings(**meta["clips"]), SpectrogramSettings(**meta["spectrogram"])


def test_a_probability_that_equals_the_threshold_is_positive(recordings, make_model):
    folder = make_model(clips={"length_s": 1.0, "sample_rate_hz": 2000})
    first = auscult.load_model(folder).predict(recordings).recordings["prob_ill"].iloc[0]
    meta = json.loads((folder / "model.json").read_text())
    write_description(folder, meta | {"thresholds": {"ill": float(first)}})
    found = auscult.load_model(folder).predict(recordings).recordings
    assert found["prob_ill"].iloc[0] == first
    assert found["positive_ill"].tolist() == [bool(p >= first) for p in found["prob_ill"]]
    assert bool(found["positive_ill"].iloc[0])


def test_clips_and_recordings_are_decided_at_their_own_level(recordings, make_model):
    folder = make_model(clips={"length_s": 1.0, "sample_rate_hz": 2000})
    before = auscult.load_model(folder).predict(recordings)
    low, high = before.clips["prob_ill"].min(), before.recordings["prob_ill"].max() + 0.01
    meta = json.loads((folder / "model.json").read_text())
    points = {level: {"thresholds": {"ill": float(high)}} for level in ("recording", "patient")}
    points["clip"] = {"thresholds": {"ill": float(low)}}
    changed = meta | {"thresholds": {"ill": float(high)}, "operating_points": points}
    write_description(folder, changed)
    model = auscult.load_model(folder)
    found = model.predict(recordings)
    assert found.clips["positive_ill"].all()
    assert not found.recordings["positive_ill"].any()
    assert set(found.clips["threshold_ill"]) == {low}
    assert set(found.recordings["threshold_ill"]) == {high}
    stream = io.StringIO()
    for table in prediction_text.tables(found, model, with_clips=True):
        Console(file=stream, width=200).print(table)
    heads = [line for line in stream.getvalue().splitlines() if "ill (" in line]
    assert [f"{value:.3f}" in head for value, head in zip((high, low), heads, strict=True)] == [True, True]


@pytest.mark.parametrize(("level", "unsure"), [("recording", "recordings"), ("clip", "clips")])
def test_a_prediction_whose_set_has_not_one_class_is_unsure(recordings, make_model, level, unsure):
    folder = make_model(clips={"length_s": 1.0, "sample_rate_hz": 2000})
    before = getattr(auscult.load_model(folder).predict(recordings), unsure)
    middle = float(before["prob_ill"].median())
    meta = json.loads((folder / "model.json").read_text())
    # Positive from the median on, negative always: what lies below has one class in its set.
    classes = {"negative": {"quantile": 1.0, "n": 3}, "positive": {"quantile": 1 - middle, "n": 20}}
    changed = meta | {"conformal": {"alpha": 0.1, "level": level, "classes": {"ill": classes}}}
    write_description(folder, changed)
    model = auscult.load_model(folder)
    found = model.predict(recordings)
    rows = getattr(found, unsure)
    assert rows["unsure_ill"].tolist() == [bool(1 - p <= 1 - middle) for p in rows["prob_ill"]]
    assert 0 < rows["unsure_ill"].sum() < len(rows)
    assert len([table for table in (found.clips, found.recordings) if "unsure_ill" in table]) == 1
    stream = io.StringIO()
    for table in prediction_text.tables(found, model, with_clips=True):
        Console(file=stream, width=200).print(table)
    assert stream.getvalue().count(" unsure") == rows["unsure_ill"].sum()
    written = pd.read_csv(io.StringIO(prediction_text.csv_text(found)))
    assert (written["unsure_ill"] == True).sum() == rows["unsure_ill"].sum()  # noqa: E712
    assert set(written.loc[written["level"] != level, "unsure_ill"].isna()) == {True}
    assert any("unsure" in note for note in found.notes)


def test_a_probability_beside_its_threshold_has_digits_that_tell_them_apart(recordings, make_model):
    folder = make_model(clips={"length_s": 1.0, "sample_rate_hz": 2000})
    first = float(auscult.load_model(folder).predict(recordings).recordings["prob_ill"].iloc[0])
    meta = json.loads((folder / "model.json").read_text())
    write_description(folder, meta | {"thresholds": {"ill": first + 2e-6}})
    model = auscult.load_model(folder)
    stream = io.StringIO()
    for table in prediction_text.tables(model.predict(recordings), model, with_clips=False):
        Console(file=stream, width=200).print(table)
    shown, mark = re.search(r"(0\.\d+) -", stream.getvalue()), re.search(r"≥ (0\.\d+)", stream.getvalue())
    assert shown and mark and len(shown[1]) == len(mark[1]) > 5 and float(shown[1]) < float(mark[1])


@pytest.mark.parametrize("frontend", [None, {"name": "mel"}])
@pytest.mark.parametrize("pad", ["zero", "repeat"])
def test_answers_equal_those_to_the_workflow_s_own_stores(  # noqa: PLR0917 (fixtures)
    cut_by_the_workflow, recordings, tmp_path, make_model, pad, frontend
):
    model = {"name": "test_cnn", "frontend": frontend}
    folder = make_model(clips={"length_s": 1.0, "sample_rate_hz": 2000, "hop_s": 0.5, "pad": pad}, model=model)
    saved = load_saved(folder)
    clips, spectrogram = settings_of(folder)
    table, waveforms = cut_by_the_workflow(clips)
    make_spectrograms(
        clips=tmp_path / "clips.h5", settings=spectrogram, output=tmp_path / "features.h5", full_settings={}
    )
    with FeatureStore(tmp_path / "features.h5") as store:
        stored = waveforms if frontend else store.read(np.arange(len(store)))
    expected = saved.predict_proba(stored)[:, 0]
    found = auscult.load_model(folder).predict(recordings, batch_clips=3)
    assert found.errors == {}
    assert found.clips["file"].tolist() == [str(recordings / path) for path in table["path"]]
    np.testing.assert_allclose(found.clips["prob_ill"], expected, atol=1e-6)
    means = pd.Series(expected).groupby(found.clips["file"], sort=False).mean()
    np.testing.assert_allclose(found.recordings["prob_ill"], means.loc[found.recordings["file"]], atol=1e-6)
    assert (found.recordings["positive_ill"] == (found.recordings["prob_ill"] >= 0.5)).all()


@pytest.mark.parametrize("kind", ["multi_label", "multi_class"])
def test_recordings_are_answered_as_the_task_combines_clips(make_model, recordings, kind):
    found = auscult.load_model(make_model(kind)).predict(recordings)
    columns = [name for name in found.clips if name.startswith("prob_")]
    together = found.clips.groupby("file", sort=False)[columns].agg("max" if kind == "multi_label" else "mean")
    np.testing.assert_allclose(found.recordings[columns], together.loc[found.recordings["file"]])
    if kind == "multi_class":
        np.testing.assert_allclose(found.recordings[columns].sum(axis=1), 1)
        assert found.recordings["answer"].tolist() == [
            "abc"[at] for at in found.recordings[columns].to_numpy().argmax(axis=1)
        ]


def test_the_size_of_batches_and_the_order_of_files_change_no_answer(make_model, recordings):
    model = auscult.load_model(make_model())
    files = sorted(recordings.rglob("*.*"))
    one = model.predict(files, batch_clips=1).clips.set_index(["file", "clip"])["prob_ill"]
    many = model.predict(files[::-1], batch_clips=100).clips.set_index(["file", "clip"])["prob_ill"]
    np.testing.assert_allclose(one, many.loc[one.index], atol=1e-6)


def test_a_bad_file_among_good_ones_is_named_and_the_good_ones_are_answered(make_model, mixed):
    model = auscult.load_model(make_model())
    named = []
    found = predict_files(model, [mixed, mixed / "gone.wav"], on_fault=lambda path, text: named.append(path.name))
    assert named == ["a_text.wav", "c_cut.wav", "empty.ogg", "gone.wav"]
    assert {path.rsplit("/", 1)[1]: text.split(":")[0] for path, text in found.errors.items()} == {
        "a_text.wav": "no sound file", "c_cut.wav": "truncated", "empty.ogg": "empty", "gone.wav": "missing",
    }  # fmt: skip
    good = model.predict(sorted(set(mixed.rglob("*.*")) - {mixed / name for name in named}))
    assert set(found.recordings["file"]) == set(good.recordings["file"])
    assert len(good.recordings) == 5


def test_csv_json_and_table_say_the_same(make_model, mixed):
    model = auscult.load_model(make_model("multi_label"))
    found = model.predict(mixed)
    table = pd.read_csv(io.StringIO(prediction_text.csv_text(found)))
    assert list(table.columns) == [
        "file", "level", "start_s", "end_s", "prob_crackle", "prob_wheeze", "threshold_crackle", "positive_crackle",
        "threshold_wheeze", "positive_wheeze", "sound", "error",
    ]  # fmt: skip
    whole, clips = table[table["error"].isna() & (table["level"] == "recording")], table[table["level"] == "clip"]
    assert (len(whole), len(clips), int(table["error"].notna().sum())) == (5, len(found.clips), 3)
    value = json.loads(prediction_text.json_text(found, model))
    assert [one["file"] for one in value["recordings"]] == found.recordings["file"].tolist()
    assert {one["file"]: one["error"] for one in value["errors"]} == found.errors
    np.testing.assert_allclose(
        [clip["probabilities"]["wheeze"] for one in value["recordings"] for clip in one["clips"]],
        found.clips["prob_wheeze"],
    )
    by_file = whole.set_index("file")
    for one in value["recordings"]:
        assert by_file.loc[one["file"], "prob_crackle"] == pytest.approx(one["probabilities"]["crackle"])
        assert bool(by_file.loc[one["file"], "positive_crackle"] == True) == one["positive"]["crackle"]  # noqa: E712
    stream = io.StringIO()
    for shown in prediction_text.tables(found, model, with_clips=True):
        Console(file=stream, width=300).print(shown)
    for row in found.clips.itertuples():
        assert f"{row.prob_wheeze:.3f} {'+' if row.positive_wheeze else '-'}" in stream.getvalue()


def test_a_file_without_sound_or_clipped_is_marked_in_table_csv_and_json(make_model, tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, 8000)
    for name, sound in (("a", noise), ("b", 0 * noise), ("c", np.clip(10 * noise, -1, 1))):
        soundfile.write(tmp_path / f"{name}.wav", sound, 4000)
    model = auscult.load_model(make_model())
    found = model.predict(tmp_path)
    plain, silent, clipped = found.recordings["sound"]
    assert (plain, silent) == ("", "no sound")
    assert re.fullmatch(r"clipped \d+\.\d%", clipped)
    table = pd.read_csv(io.StringIO(prediction_text.csv_text(found)), keep_default_na=False)
    assert table.loc[table["level"] == "recording", "sound"].tolist() == ["", "no sound", clipped]
    value = json.loads(prediction_text.json_text(found, model))
    assert [one["sound"] for one in value["recordings"]] == [[], ["no sound"], [clipped]]
    stream = io.StringIO()
    Console(file=stream, width=300).print(prediction_text.tables(found, model, with_clips=False)[0])
    assert "no sound" in stream.getvalue()
    assert clipped in stream.getvalue()


def test_a_header_with_an_impossible_rate_leaves_the_other_files_their_answers(make_model, tmp_path):
    for name in "ab":
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(8000), 4000)
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[24:28] = (5).to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(content)
    found = auscult.load_model(make_model()).predict(tmp_path)
    assert len(found.recordings) == 1
    assert [text.split(",")[0] for text in found.errors.values()] == ["sample rate: 5 Hz is not believable"]


def test_nothing_answered_is_written_too(make_model, tmp_path):
    model = auscult.load_model(make_model())
    found = model.predict(tmp_path / "gone.wav")
    assert pd.read_csv(io.StringIO(prediction_text.csv_text(found)))["error"].tolist() == ["missing: no such file"]
    assert json.loads(prediction_text.json_text(found, model))["recordings"] == []
    assert prediction_text.tables(found, model, with_clips=True) == []


@pytest.mark.parametrize("kind", ["binary", "multi_label", "multi_class"])
def test_a_picture_of_each_file_is_drawn(make_model, recordings, tmp_path, kind):
    model = auscult.load_model(make_model(kind, clips={"length_s": 1, "sample_rate_hz": 2000, "hop_s": 1.5}))
    predict_files(model, [recordings], plot_dir=tmp_path / "plots")
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        "a.wav.png", "b.flac.png", "c.ogg.png", "d.wav.png", "e.mp3.png",
    }  # fmt: skip


def test_a_model_of_cycles_says_what_it_does(make_model, recordings):
    folder = make_model(clips={"unit": "cycle", "length_s": 1.0, "sample_rate_hz": 2000})
    found = auscult.load_model(folder).predict(recordings / "a.wav")
    assert "breathing cycles" in found.notes[0]
    assert found.clips["start_s"].tolist() == [0, 1, 2]


def break_version(meta):
    meta["format_version"] = 99


def break_weights(meta):
    meta["weights_sha256"] = "0" * 64


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (break_version, "format version 99, this installation reads up to .*; update auscult"),
        (break_weights, "its SHA-256 is"),
    ],
)
def test_a_model_that_cannot_be_used_is_refused(make_model, change, part):
    folder = make_model()
    meta = json.loads((folder / "model.json").read_text())
    change(meta)
    write_description(folder, meta)
    with pytest.raises(DataError, match=part):
        auscult.load_model(folder)


def test_what_is_no_model_is_told_what_is(make_model, tmp_path):
    make_model(name="result/1")
    make_model(name="result/2/fold1")
    with pytest.raises(DataError, match=r"holds no model\.json; below it there are models in 1, 2/fold1: name one"):
        auscult.load_model(tmp_path / "result")
    with pytest.raises(DataError, match="no such folder"):
        auscult.load_model(tmp_path / "gone")
    with pytest.raises(DataError, match="is a file, expected the folder of a model"):
        auscult.load_model(tmp_path / "result" / "1" / "model.safetensors")
    with pytest.raises(ConfigError, match="found 'tpu', expected auto, cpu or cuda"):
        auscult.load_model(tmp_path / "result" / "1", device="tpu")
    assert auscult.load_model(tmp_path / "result" / "1" / "model.json").targets == ("ill",)


def test_the_command_answers_names_the_bad_file_and_ends_with_status_1(make_model, mixed, tmp_path):
    folder, out = str(make_model()), tmp_path / "answers.json"
    finished = CliRunner().invoke(app, ["predict", folder, str(mixed), "--out", str(out)])
    assert finished.exit_code == 1
    assert f"error: {mixed / 'c_cut.wav'}: truncated" in finished.stderr
    assert len(json.loads(out.read_text())["recordings"]) == 5
    good = ["predict", folder, str(mixed / "a.wav"), "--out", str(out)]
    again = CliRunner().invoke(app, good)
    assert isinstance(again.exception, ConfigError)
    assert "is there already" in str(again.exception)
    forced = CliRunner().invoke(app, [*good, "--force"])
    assert (forced.exit_code, forced.stderr) == (0, "")
    assert len(json.loads(out.read_text())["recordings"]) == 1
    shown = CliRunner().invoke(app, ["predict", folder, str(mixed / "a.wav"), "--format", "csv", "--channel", "0"])
    assert len(pd.read_csv(io.StringIO(shown.stdout))) == 1 + 4
    table = CliRunner().invoke(app, ["predict", folder, str(mixed / "a.wav"), "--clips"])
    assert table.stdout.count(str(mixed / "a.wav")) == 5


def test_importing_auscult_loads_no_torch():
    code = "import auscult, auscult.cli, sys; assert auscult.__version__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.gpu
def test_a_gpu_answers_as_a_processor_does(make_model, recordings):
    folder = make_model()
    on_cpu, on_gpu = (auscult.load_model(folder, device).predict(recordings).clips for device in ("cpu", "cuda"))
    np.testing.assert_allclose(on_gpu["prob_ill"], on_cpu["prob_ill"], atol=1e-3)
    assert auscult.load_model(folder, "auto").batch_clips == 64


PEAK = """
import sys
import auscult
found = auscult.load_model(sys.argv[1]).predict(sys.argv[2])
# Its own peak: getrusage begins with the size of the parent.
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(len(found.clips), peak.split()[1])
"""


@pytest.mark.slow
@pytest.mark.soak
def test_two_hours_of_stereo_stay_under_a_gigabyte(make_model, tmp_path):
    rng = np.random.default_rng(0)
    rate = 44_100
    with soundfile.SoundFile(tmp_path / "long.flac", "w", rate, 2) as file:
        for _ in range(120):
            file.write(0.05 * rng.standard_normal((60 * rate, 2), dtype=np.float32))
    folder = make_model(
        clips={"length_s": 10, "sample_rate_hz": 8000, "band_pass": {"low_hz": 50, "high_hz": 2000}},
        spectrogram={"n_fft": 1024, "hop_samples": 254, "n_mels": 128},
        model={"name": "mixednet"},
    )
    finished = subprocess.run(
        [sys.executable, "-c", PEAK, folder, tmp_path / "long.flac"], capture_output=True, text=True, check=True
    )
    n_clips, peak_kb = map(int, finished.stdout.split())
    assert n_clips == 720
    assert peak_kb < 1_000_000


def test_pictures_of_recordings_with_the_longest_names_have_shorter_ones():
    """With `.png` behind them they were longer than any file system takes, and `predict --plot` ended there."""
    names = [f"{letter * 240}_{number}.wav" for letter in "ab" for number in range(2)]
    paths = picture_paths([Path(name) for name in names], Path("pictures"))
    assert len(set(paths)) == 4
    assert max(len(path.name) for path in paths) < 120


def test_a_folder_with_phones_sounds_is_answered_and_what_cannot_be_read_ends_with_status_1(make_model, tmp_path):
    """Files of other suffixes than five were passed over, with status 0."""
    (tmp_path / "raw").mkdir()
    soundfile.write(tmp_path / "raw" / "a.wav", tone(8000, 2.0), 8000)
    for suffix in (".m4a", ".opus", ".amr", ".3gp", ".wma"):
        codec, rate = CODECS[suffix]
        encode(tmp_path / "raw" / f"b{suffix}", tone(rate, 2.0), codec, rate)
    folder, out = str(make_model()), tmp_path / "answers.json"
    good = CliRunner().invoke(app, ["predict", folder, str(tmp_path / "raw"), "--out", str(out)])
    assert good.exit_code == 0, good.stderr
    assert len(json.loads(out.read_text())["recordings"]) == 6
    (tmp_path / "raw" / "c.ds2").write_bytes(b"\x03ds2\x00\x01")
    bad = CliRunner().invoke(app, ["predict", folder, str(tmp_path / "raw"), "--out", str(out), "--force"])
    assert bad.exit_code == 1
    assert "c.ds2: unread audio" in bad.stderr
    assert len(json.loads(out.read_text())["recordings"]) == 6
