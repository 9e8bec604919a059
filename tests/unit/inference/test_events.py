"""Events in files: the same in every format, without seams, and of files of any length."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from click.testing import Result
from numpy.typing import NDArray
from typer.testing import CliRunner

from auscult.cli import app
from auscult.config.description import write_description
from auscult.datasets.readers.textgrid import parse_textgrid
from auscult.errors import ConfigError
from auscult.inference import load_model
from auscult.inference.loaded_model import LoadedModel
from auscult.inference.predictions import EVENT_COLUMNS
from auscult.metrics.event_decoding import Tracks
from auscult.models import SavedModel
from auscult.plots.event_maps import draw_maps
from auscult.plots.style import save
from auscult.spectrograms.frames import FrameGrid

MODEL = {"name": "crnn", "channels": [4, 4], "gru_size": 4, "over_time": "max"}
CLIPS = {"length_s": 1.0, "hop_s": 0.72, "sample_rate_hz": 2000, "min_valid_s": 0.05}
"""A hop of 30 frames: a frame of one clip is a frame of the next."""
RATE_HZ = 2000


@pytest.fixture
def model_dir(make_model, sounds: list[Path]) -> Path:
    """A model that nobody trained, whose thresholds lie in the middle of what it says."""
    folder = make_model("events", model=MODEL, clips=CLIPS)
    path = folder / "model.json"
    loaded = load_model(folder)
    found = next(iter(loaded.outputs([sounds[0]], loaded.reader())))
    cuts = np.median(found.tracks.of_recording(0)[:2], axis=1)
    meta = json.loads(path.read_text())
    meta["event_decoding"] = {
        kind: {"threshold": float(cut), "least_s": 0.05} for kind, cut in zip(("crackle", "wheeze"), cuts, strict=True)
    }
    write_description(folder, meta)
    return folder


@pytest.fixture
def sounds(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(8)
    paths = []
    for name, seconds in (("long", 14.4), ("short", 3.3)):
        n = int(seconds * RATE_HZ)
        loud = 0.02 + 0.2 * (np.sin(2 * np.pi * 0.7 * np.arange(n) / RATE_HZ) > 0.4)
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, np.clip(loud * rng.standard_normal(n), -1, 1), RATE_HZ, subtype="PCM_16")
        paths.append(path)
    return paths


def events_of(model: LoadedModel, path: Path, **options: int) -> pd.DataFrame:
    found = model.predict(path, **options).events
    assert found is not None
    return found


def test_events_lie_in_their_file_and_do_not_depend_on_the_batch(model_dir: Path, sounds: list[Path]) -> None:
    model = load_model(model_dir)
    for path, duration_s in zip(sounds, (14.4, 3.3), strict=True):
        found = events_of(model, path)
        assert tuple(found.columns) == EVENT_COLUMNS
        assert len(found) > 3
        assert found["start_s"].min() >= 0
        assert found["end_s"].max() <= duration_s + 1e-9
        assert (found["end_s"] > found["start_s"]).all()
        assert found["probability"].between(0, 1).all()
        other = events_of(model, path, batch_clips=3)
        assert other["kind"].tolist() == found["kind"].tolist()
        np.testing.assert_allclose(other[["start_s", "end_s"]], found[["start_s", "end_s"]], atol=1e-6)


def test_a_piece_gives_what_the_whole_gives_away_from_its_seam(
    model_dir: Path, sounds: list[Path], tmp_path: Path
) -> None:
    model = load_model(model_dir)
    sound, _ = soundfile.read(sounds[0])
    cut_s = 10 * CLIPS["hop_s"]
    piece = tmp_path / "piece.wav"
    soundfile.write(piece, sound[round(cut_s * RATE_HZ) :], RATE_HZ, subtype="PCM_16")
    of_whole, of_piece = events_of(model, sounds[0]), events_of(model, piece)
    away_s = CLIPS["length_s"]
    kept = of_whole[of_whole["start_s"] > cut_s + away_s]
    again = of_piece[of_piece["start_s"] > away_s]
    assert kept["kind"].tolist() == again["kind"].tolist()
    times = ["start_s", "end_s"]
    np.testing.assert_allclose(kept[times].to_numpy() - cut_s, again[times].to_numpy(), atol=1e-6)


def write_hours(path: Path, seconds: int, rate_hz: int = 8000) -> Path:
    """Noise with tones and clicks at random, minute by minute."""
    rng = np.random.default_rng(5)
    with soundfile.SoundFile(path, "w", rate_hz, 1, subtype="PCM_16") as file:
        for _ in range(0, seconds, 60):
            sound = 0.01 * rng.standard_normal(60 * rate_hz, dtype=np.float32)
            for begin in rng.integers(0, 59 * rate_hz, 30):
                n = int(rng.integers(rate_hz // 20, rate_hz))
                tone = np.sin(2 * np.pi * rng.uniform(100, 900) / rate_hz * np.arange(n))
                sound[begin : begin + n] += 0.3 * tone.astype(np.float32)
            file.write(np.clip(sound, -1, 1))
    return path


def cut_piece(whole: Path, begin_s: float, end_s: float, piece: Path) -> Path:
    with soundfile.SoundFile(whole) as file:
        file.seek(round(begin_s * file.samplerate))
        sound = file.read(round((end_s - begin_s) * file.samplerate), dtype="int16")
        soundfile.write(piece, sound, file.samplerate, subtype="PCM_16")
    return piece


Maps = tuple[NDArray[np.float64], NDArray[np.float32], float]
"""Times of the frames, maps [channel, frame] and length of a file."""


def assert_piece_equals(whole: Maps, piece: Maps, begin_s: float, away_s: float, atol: float) -> None:
    """Compare the maps of a piece with those of the whole, but for `away_s` at both ends of the piece."""
    times_s, maps, _ = whole
    at_s, of_piece, duration_s = piece
    inside = (at_s > away_s) & (at_s < duration_s - away_s)
    places = np.searchsorted(times_s, begin_s + at_s[inside] - 1e-6)
    assert inside.sum() > 1000
    np.testing.assert_allclose(times_s[places], begin_s + at_s[inside], atol=1e-6)
    np.testing.assert_allclose(of_piece[:, inside], maps[:, places], atol=atol)


UNET = {"name": "unet", "channels": 4, "depth": 3, "over_time": "max"}
FILTERED = {"band_pass": {"low_hz": 60, "high_hz": 800}}


@pytest.mark.parametrize(
    "case",
    [
        (MODEL, RATE_HZ, {}, 1e-6),
        (UNET, RATE_HZ, {}, 1e-6),
        # Resampled and filtered sound is rounded to int16, here and there to the next step: in the stop band it is all
        # that there is, and levels change by parts of a dB.
        (MODEL, 8000, FILTERED, 1e-2),
    ],
)
def test_three_minutes_equal_their_pieces(
    make_model, tmp_path: Path, case: tuple[dict[str, object], int, dict[str, object], float]
) -> None:
    model, rate_hz, changes, atol = case
    loaded = load_model(make_model("events", "long", model=model, clips={**CLIPS, **changes}))
    whole = write_hours(tmp_path / "whole.wav", 180, rate_hz)
    # A piece begins where a window of the whole does.
    begin_s = 72 * CLIPS["hop_s"]
    first = cut_piece(whole, 0.0, begin_s, tmp_path / "first.wav")
    second = cut_piece(whole, begin_s, 180.0, tmp_path / "second.wav")

    found: list[Maps] = []
    for one in loaded.outputs([whole, first, second], loaded.reader()):
        assert one.tracks is not None
        maps = one.tracks.of_recording(0)
        found.append((one.tracks.grid.along(maps.shape[1]).middles_s, maps, one.duration_s))
    for piece, at_s in zip(found[1:], (0.0, begin_s), strict=True):
        assert_piece_equals(found[0], piece, at_s, away_s=2 * CLIPS["length_s"], atol=atol)


PEAK = """
import sys
from auscult.cli import app
app(sys.argv[1:], standalone_mode=False)
# Its own peak: getrusage begins with the size of the parent.
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


@pytest.mark.slow
@pytest.mark.soak
def test_two_hours_equal_their_pieces_and_stay_under_a_gigabyte(make_model, tmp_path: Path) -> None:
    clips = {"length_s": 5.0, "hop_s": 4.0, "sample_rate_hz": 8000, "min_valid_s": 0.1}
    spectrogram = {"n_fft": 512, "hop_samples": 256, "n_mels": 64}
    folder = make_model("events", "hours", model=MODEL, clips=clips, spectrogram=spectrogram)
    whole = write_hours(tmp_path / "whole.wav", 7200)
    piece = cut_piece(whole, 3600.0, 4000.0, tmp_path / "piece.wav")
    out, events = tmp_path / "maps", tmp_path / "events.csv"
    for sound in (piece, whole):
        options = ["--events", events, "--maps", out, "--plot", tmp_path / "plots", "--out", tmp_path / "out.csv"]
        words = ["predict", folder, sound, *options, "--force"]
        finished = subprocess.run([sys.executable, "-c", PEAK, *map(str, words)], capture_output=True, check=False)
        assert finished.returncode == 0, finished.stderr
        peak_kb = int(finished.stdout.split()[-1])
    found: list[Maps] = []
    for sound in (whole, piece):
        with np.load(out / f"{sound.name}.npz") as stored:
            maps = np.concatenate([stored["objects"], stored["boundaries"]])
            found.append((stored["times_s"], maps, float(stored["duration_s"])))
    assert_piece_equals(*found, 3600.0, away_s=10.0, atol=1e-6)
    assert pd.read_csv(events)["end_s"].max() <= 7200
    assert peak_kb < 1_000_000


def test_every_format_says_the_same(model_dir: Path, sounds: list[Path], tmp_path: Path) -> None:
    expected = events_of(load_model(model_dir), sounds[0])
    times = ["start_s", "end_s"]
    for ending in ("csv", "json", "txt", "TextGrid"):
        path = tmp_path / f"out.{ending}"
        result = CliRunner().invoke(app, ["predict", str(model_dir), str(sounds[0]), "--events", str(path)])
        assert result.exit_code == 0, result.output
        text = path.read_text()
        if ending == "csv":
            rows = pd.read_csv(path)[["kind", *times]].to_numpy().tolist()
        elif ending == "json":
            rows = [[e["kind"], e["start_s"], e["end_s"]] for e in json.loads(text)["files"][0]["events"]]
        elif ending == "txt":
            rows = [[c, float(a), float(b)] for a, b, c in (line.split("\t") for line in text.splitlines())]
        else:
            grid = parse_textgrid(text)
            assert list(grid.tiers) == ["crackle", "wheeze"]
            for kind in grid.tiers:
                of_tier = [(i.start_s, i.end_s) for i in grid.intervals if i.tier == kind]
                of_kind = expected.loc[expected["kind"] == kind, times].to_numpy()
                np.testing.assert_allclose(of_tier, of_kind, atol=1e-5)
            continue
        assert [row[0] for row in rows] == expected["kind"].tolist()
        np.testing.assert_allclose(np.array([row[1:] for row in rows], float), expected[times], atol=1e-4)


def test_a_file_without_events_has_its_place(model_dir: Path, sounds: list[Path], tmp_path: Path) -> None:
    path = model_dir / "model.json"
    meta = json.loads(path.read_text())
    meta["event_decoding"] = {kind: {"threshold": 0.999999} for kind in ("crackle", "wheeze")}
    write_description(model_dir, meta)
    out = tmp_path / "none.json"
    names = [str(sound) for sound in sounds]
    assert CliRunner().invoke(app, ["predict", str(model_dir), *names, "--events", str(out)]).exit_code == 0
    files = json.loads(out.read_text())["files"]
    assert [(Path(one["file"]).name, one["events"]) for one in files] == [("long.wav", []), ("short.wav", [])]
    grid = tmp_path / "none.TextGrid"
    assert CliRunner().invoke(app, ["predict", str(model_dir), names[1], "--events", str(grid)]).exit_code == 0
    assert not parse_textgrid(grid.read_text()).intervals


def command(*words: object) -> Result:
    return CliRunner().invoke(app, ["predict", *map(str, words)])


def test_maps_hold_what_events_are_read_from(model_dir: Path, sounds: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "deep" / "maps"
    result = command(model_dir, *sounds, "--maps", out, "--plot", tmp_path / "plots")
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} == {f"{n}.wav.{e}" for n in ("long", "short") for e in ("npz", "png")}
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {"long.wav.png", "short.wav.png"}
    model = load_model(model_dir)
    for path, duration_s in zip(sounds, (14.4, 3.3), strict=True):
        with np.load(out / f"{path.name}.npz", allow_pickle=False) as stored:
            maps = dict(stored)
        kinds, times_s = maps["kinds"].tolist(), maps["times_s"]
        assert kinds == ["crackle", "wheeze"]
        assert maps["duration_s"] == pytest.approx(duration_s)
        for name in ("objects", "boundaries"):
            assert maps[name].dtype == np.float32
            assert maps[name].shape == (2, len(times_s))
            assert maps[name].min() >= 0
            assert maps[name].max() <= 1
        step_s = np.diff(times_s)
        np.testing.assert_allclose(step_s, 48 / RATE_HZ)
        assert duration_s - 0.024 - 1e-9 < times_s[-1] + 0.012 < duration_s + 0.024 + 1e-9
        for row in events_of(model, path).to_dict("records"):
            inside = (times_s > row["start_s"]) & (times_s < row["end_s"])
            assert maps["objects"][kinds.index(row["kind"]), inside].max() == pytest.approx(row["probability"])


def test_files_of_one_name_have_maps_each_and_nothing_is_overwritten_unasked(
    model_dir: Path, sounds: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [tmp_path / "a" / "x.wav", tmp_path / "b" / "X.wav", tmp_path / "b" / "x.wav-2", tmp_path / "..wav"]
    for name in names:
        name.parent.mkdir(exist_ok=True)
        name.write_bytes(sounds[1].read_bytes())
    out = tmp_path / "maps"
    result = command(model_dir, *names, "--maps", out)
    assert result.exit_code == 0, result.output
    arrays = sorted(path.name for path in out.glob("*.npz"))
    assert arrays == ["..wav.npz", "X.wav-2.npz", "x.wav-2-2.npz", "x.wav.npz"]
    (out / "x.wav-2-2.npz").unlink()
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    for option in ("--maps", "--plot"):
        with monkeypatch.context() as patch:
            patch.setattr(SavedModel, "_outputs", lambda *_: pytest.fail("it predicts"))
            refused = command(model_dir, names[0], option, out)
        assert isinstance(refused.exception, ConfigError)
        assert f"{option} {out / 'x.wav'}" in str(refused.exception)
        assert "is there already" in str(refused.exception)
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before
    assert command(model_dir, names[0], "--maps", out, "--force").exit_code == 0


def test_a_picture_of_ten_minutes_has_rows_of_half_a_minute(tmp_path: Path) -> None:
    grid = FrameGrid(0.032, 0.024, 40, 1.0)
    sizes = {}
    for duration_s in (3.0, 600.0, 7200.0):
        n_frames = round(duration_s / grid.step_s)
        values = np.zeros((2, n_frames), np.float32)
        values[0, n_frames // 2] = 1
        tracks = Tracks(values, np.array([0]), np.array([n_frames]), np.array([duration_s]), grid)
        figure = draw_maps(tracks, ["crackle"], title="x.wav", events=[("x", "crackle", 1.0, 1.5, 0.9)])
        rows = [axes for axes in figure.axes if axes.get_xlim()[1] > 0 and axes.axison]
        sizes[duration_s] = len(rows)
        spans = [axes.get_xlim() for axes in rows]
        assert [begin for begin, _ in spans[1:]] == [end for _, end in spans[:-1]]
        # A single frame is seen, however many share a column.
        shown = max(float(image.get_array().max()) for axes in rows for image in axes.get_images())
        assert shown == 1
        save(figure, tmp_path / f"{duration_s:g}.png")
    assert sizes == {3.0: 1, 600.0: 20, 7200.0: 12}


@pytest.mark.parametrize(
    "case",
    [
        ("multi_label", "", "--maps out: this model says what is in a clip, not when"),
        ("multi_label", "csv", "this model says what is in a clip, not when"),
        ("events", "xlsx", "ends in '.xlsx', expected .csv, .json, .txt, .textgrid"),
        ("events", "txt", ".txt holds the events of one file, found 2; take .csv or .json"),
    ],
)
def test_what_cannot_be_written_is_told_before_anything_is_predicted(
    make_model, sounds: list[Path], monkeypatch: pytest.MonkeyPatch, case: tuple[str, str, str]
) -> None:
    kind, ending, text = case
    option, name = ("--events", f"out.{ending}") if ending else ("--maps", "out")
    folder = make_model(kind, "refused", model={**MODEL, "over_time": "max"}, clips=CLIPS)
    monkeypatch.setattr(SavedModel, "_outputs", lambda *_: pytest.fail("it predicts"))
    names = [str(sound) for sound in sounds]
    result = CliRunner().invoke(app, ["predict", str(folder), *names, option, name])
    assert result.exit_code != 0
    assert isinstance(result.exception, ConfigError)
    assert text in str(result.exception)
