from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile

from auscult.audio import cut_clips as clips
from auscult.audio.clip_store import ClipStore
from auscult.config import ClipSettings
from auscult.errors import DataError
from auscult.storage.tables import Event, events_frame, write_parquet

RATES = {"a": 44_100, "b": 4000, "sub/c": 8000}
DURATIONS_S = {"a": 2.5, "b": 4.0, "sub/c": 0.3}


def make_dataset(root: Path, tables: Path, events: list[Event] | None = None) -> None:
    rows: list[dict[str, Any]] = []
    for number, (name, rate) in enumerate(RATES.items()):
        path = root / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        n_samples = round(DURATIONS_S[name] * rate)
        noise = np.random.default_rng(number).normal(0, 0.1, n_samples)
        soundfile.write(path, noise, rate, subtype="PCM_24")
        rows.append(
            {
                "recording_id": f"mine/{name}",
                "dataset": "mine",
                "patient_id": f"mine/p{number}",
                "path": f"{name}.wav",
                "site": None,
                "device": None,
                "age_years": None,
                "sex": None,
                "sample_rate_hz": rate,
                "n_channels": 1,
                "n_samples": n_samples,
                "duration_s": DURATIONS_S[name],
                "encoding": "PCM_24",
                "sha256": "0" * 64,
                "fingerprint": None,
            }
        )
    texts = dict.fromkeys(("site", "device", "sex", "fingerprint"), "str")
    table = pd.DataFrame(rows).astype({**texts, "age_years": float})
    write_parquet(tables / "recordings.parquet", table)
    write_parquet(tables / "events.parquet", events_frame(events or []))


def cut(tmp_path: Path, settings: ClipSettings, threads: int = 1, **options: Any) -> tuple[pd.DataFrame, np.ndarray]:
    output = tmp_path / f"clips-{threads}.h5"
    clips.cut_clips(
        root=tmp_path / "raw",
        dataset="mine",
        tables_dir=tmp_path / "tables",
        settings=settings,
        channel="mean",
        output=output,
        full_settings={"clips": settings.model_dump(mode="json"), "channel": "mean"},
        threads=threads,
        **options,
    )
    with ClipStore(output) as store:
        assert store.settings["clips"] == settings.model_dump(mode="json")
        return store.table, store.read(range(len(store)))


def test_windows_of_all_recordings_in_their_order(tmp_path: Path) -> None:
    make_dataset(tmp_path / "raw", tmp_path / "tables")
    table, waveforms = cut(tmp_path, ClipSettings(length_s=1, sample_rate_hz=8000, min_valid_s=0.5))
    assert table["clip_id"].tolist() == [
        *(f"mine/a:000{index}" for index in range(3)),
        *(f"mine/b:000{index}" for index in range(4)),
        "mine/sub/c:0000",
    ]
    assert table["n_valid"].tolist() == [8000, 8000, 4000, 8000, 8000, 8000, 8000, 2400]
    assert table["start_s"].tolist() == [0, 1, 2, 0, 1, 2, 3, 0]
    assert table["end_s"].tolist() == [1, 2, 2.5, 1, 2, 3, 4, 0.3]
    assert table["patient_id"].tolist() == ["mine/p0"] * 3 + ["mine/p1"] * 4 + ["mine/p2"]
    assert waveforms.shape == (8, 8000)
    assert (waveforms[2, 4000:] == 0).all()
    assert (waveforms[7, 2400:] == 0).all()
    original, _ = soundfile.read(tmp_path / "raw" / "sub" / "c.wav", dtype="float32")
    assert np.array_equal(waveforms[7, :2400], np.rint(original * 32768))


@pytest.mark.parametrize("hop_s", [0.3, 1, 1.7])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_long_recording_is_cut_while_it_is_decoded_into_the_same_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hop_s: float, threads: int
) -> None:
    make_dataset(tmp_path / "raw", tmp_path / "tables")
    settings = ClipSettings(length_s=1, hop_s=hop_s, sample_rate_hz=8000, min_valid_s=0.2)
    table, waveforms = cut(tmp_path, settings)
    monkeypatch.setattr(clips, "_LONG_SAMPLES", 1000)
    monkeypatch.setattr("auscult.audio.decode.BLOCK_FRAMES", 3001)
    monkeypatch.setattr(clips, "load_waveform", None)  # nothing is held whole
    streamed, sounds = cut(tmp_path, settings, threads)
    pd.testing.assert_frame_equal(streamed, table)
    assert np.array_equal(sounds, waveforms)


@pytest.mark.parametrize("how", ["zero", "reflect", "repeat"])
def test_padding_keeps_the_true_part(tmp_path: Path, how: str) -> None:
    make_dataset(tmp_path / "raw", tmp_path / "tables")
    settings = {"unit": "recording", "length_s": 3, "sample_rate_hz": 8000}
    table, padded = cut(tmp_path, ClipSettings(**settings, pad=how))
    _, silent = cut(tmp_path, ClipSettings(**settings))
    for row, n_valid in enumerate(table["n_valid"]):
        assert np.array_equal(padded[row, :n_valid], silent[row, :n_valid])
        rest = padded[row, n_valid:]
        if how != "zero" and len(rest):
            assert rest.std() == pytest.approx(silent[row, :n_valid].std(), rel=0.2)
    assert table["n_valid"].tolist() == [20_000, 24_000, 2400]


def test_cycles_follow_their_events(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    events = [
        Event("mine/b", 2.0, 3.5, "cycle", "annotation"),
        Event("mine/b", 0.25, 2.0, "cycle", "annotation"),
        Event("mine/b", 0.25, 2.0, "crackle", "annotation"),
        Event("mine/sub/c", 0.1, 0.3, "cycle", "annotation"),
    ]
    make_dataset(tmp_path / "raw", tmp_path / "tables", events)
    with caplog.at_level("INFO"):
        table, waveforms = cut(tmp_path, ClipSettings(unit="cycle", length_s=1.6, sample_rate_hz=4000))
    assert table["clip_id"].tolist() == ["mine/b:0000", "mine/b:0001", "mine/sub/c:0000"]
    assert table["start_s"].tolist() == [0.25, 2.0, 0.1]
    assert table["end_s"].tolist() == [1.85, 3.5, 0.3]
    assert table["n_valid"].tolist() == [6400, 6000, 800]
    original, _ = soundfile.read(tmp_path / "raw" / "b.wav", dtype="float32")
    assert np.array_equal(waveforms[0], np.rint(original[1000:7400] * 32768))
    assert "1 recordings without a cycle gave no clip: mine/a" in caplog.text


def test_the_number_of_threads_changes_nothing(tmp_path: Path) -> None:
    make_dataset(tmp_path / "raw", tmp_path / "tables")
    settings = ClipSettings(length_s=0.2, hop_s=0.05, sample_rate_hz=8000, min_valid_s=0.1)
    one_table, one = cut(tmp_path, settings, threads=1)
    two_table, two = cut(tmp_path, settings, threads=3)
    pd.testing.assert_frame_equal(one_table, two_table)
    assert np.array_equal(one, two)
    assert (tmp_path / "clips-1.h5").read_bytes() == (tmp_path / "clips-3.h5").read_bytes()


def test_more_clips_than_a_block_holds(tmp_path: Path) -> None:
    make_dataset(tmp_path / "raw", tmp_path / "tables")
    settings = ClipSettings(length_s=0.01, sample_rate_hz=8000, min_valid_s=0.01)
    table, waveforms = cut(tmp_path, settings)
    assert len(table) == 250 + 400 + 30
    joined = waveforms[table["recording_id"] == "mine/b"].ravel()
    _, whole = cut(tmp_path, ClipSettings(unit="recording", length_s=4, sample_rate_hz=8000))
    assert np.array_equal(joined, whole[1])


def test_the_band_pass_is_applied_before_cutting(tmp_path: Path) -> None:
    make_dataset(tmp_path / "raw", tmp_path / "tables")
    settings = {"length_s": 1, "sample_rate_hz": 8000}
    _, filtered = cut(tmp_path, ClipSettings(**settings, band_pass={"low_hz": 200, "high_hz": 400}))
    power = np.abs(np.fft.rfft(filtered[3].astype(float))) ** 2
    assert power[200:401].sum() > 0.95 * power.sum()


def test_nothing_to_cut_stops_with_a_message_and_leaves_no_file(tmp_path: Path) -> None:
    make_dataset(tmp_path / "raw", tmp_path / "tables")
    with pytest.raises(DataError, match=r"mine: none of its 3 recordings has a cycle; choose clips by window"):
        cut(tmp_path, ClipSettings(unit="cycle", sample_rate_hz=8000))
    empty = pd.read_parquet(tmp_path / "tables" / "recordings.parquet").iloc[:0]
    write_parquet(tmp_path / "tables" / "recordings.parquet", empty)
    with pytest.raises(DataError, match=r"mine: .* lists no recording; see rejected\.csv"):
        cut(tmp_path, ClipSettings(sample_rate_hz=8000))
    assert not list(tmp_path.glob("*.h5"))


@pytest.mark.parametrize("options", [{}, {"unit": "recording"}, {"band_pass": {"low_hz": 100, "high_hz": 800}}])
def test_a_recording_of_two_samples_gives_no_clip_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, options: dict[str, Any]
) -> None:
    make_dataset(tmp_path / "raw", tmp_path / "tables")
    soundfile.write(tmp_path / "raw" / "a.wav", np.zeros(2), RATES["a"], subtype="PCM_24")
    recordings = pd.read_parquet(tmp_path / "tables" / "recordings.parquet")
    recordings.loc[recordings["recording_id"] == "mine/a", ["n_samples", "duration_s"]] = [2, 2 / RATES["a"]]
    write_parquet(tmp_path / "tables" / "recordings.parquet", recordings)
    table, _ = cut(tmp_path, ClipSettings.model_validate({"length_s": 1.0, "sample_rate_hz": 4000, **options}))
    assert set(table["recording_id"]) == {"mine/b", "mine/sub/c"}
    assert "1 recordings are too short, not one sample is left at 4000 Hz: no clip of mine/a" in caplog.text


@pytest.mark.parametrize("threads", [1, 2])
def test_a_recording_that_changed_since_ingest_stops_the_stage(tmp_path: Path, threads: int) -> None:
    make_dataset(tmp_path / "raw", tmp_path / "tables")
    (tmp_path / "raw" / "b.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match=r"b\.wav: it cannot be decoded .* run ingest again"):
        cut(tmp_path, ClipSettings(sample_rate_hz=8000), threads)
    assert not list(tmp_path.glob("*.h5"))


def test_a_cycle_that_starts_beyond_its_recording_names_it(tmp_path: Path) -> None:
    make_dataset(tmp_path / "raw", tmp_path / "tables", [Event("mine/b", 4.0, 5.0, "cycle", "annotation")])
    with pytest.raises(DataError, match=r"mine/b: a cycle starts at 4\.0 s, the recording ends at 4\.0 s; fix"):
        cut(tmp_path, ClipSettings(unit="cycle", sample_rate_hz=8000))


def test_the_icbhi_sample_at_one_scale(real_data: Path) -> None:
    # Three files of 16, 24 and 32 bit at 44.1 kHz; each clip must have the power of its recording below 4 kHz.
    for name in ("101_1b1_Al_sc_Meditron", "101_1b1_Pr_sc_Meditron", "102_1b1_Ar_sc_Meditron"):
        path = real_data / "icbhi_sample" / f"{name}.wav"
        sound, rate = soundfile.read(path)
        spectrum = np.fft.rfft(sound)
        spectrum[np.fft.rfftfreq(len(sound), 1 / rate) > 3600] = 0
        low = np.fft.irfft(spectrum, len(sound))
        settings = ClipSettings(sample_rate_hz=8000)
        waveform = clips.load_waveform(path, "mean", settings, source_hz=rate, n_source_samples=len(sound))
        assert waveform.std() / 32768 == pytest.approx(low.std(), rel=0.01)


def test_floats_are_divided_by_the_full_scale_that_is_set_and_whole_numbers_are_not(tmp_path: Path) -> None:
    """Floats of +-3000 were cut off at 1, to a square wave."""
    make_dataset(tmp_path / "raw", tmp_path / "tables")
    recordings = pd.read_parquet(tmp_path / "tables" / "recordings.parquet")
    sound = soundfile.read(tmp_path / "raw" / "b.wav")[0]
    settings = ClipSettings(length_s=4.0, sample_rate_hz=4000)
    of_whole_numbers = cut(tmp_path, settings)
    soundfile.write(tmp_path / "raw" / "b.wav", 3000 * sound, 4000, subtype="FLOAT")
    recordings.loc[recordings["recording_id"] == "mine/b", "encoding"] = "FLOAT"
    write_parquet(tmp_path / "tables" / "recordings.parquet", recordings)
    of_floats = cut(tmp_path, settings, full_scale=3000.0)
    pd.testing.assert_frame_equal(of_floats[0], of_whole_numbers[0])
    assert np.abs(of_floats[1].astype(int) - of_whole_numbers[1]).max() <= 1
    cut_off = cut(tmp_path, settings)[1]
    assert (np.abs(cut_off.astype(int)) >= 32_767).mean() > 0.1
