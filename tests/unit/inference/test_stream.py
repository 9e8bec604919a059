"""What is streamed from a file is what the workflow cuts of it."""

import numpy as np
import pytest
import soundfile

from auscult.audio import decode as decoding
from auscult.audio.probe import probe
from auscult.config.clips import ClipSettings
from auscult.errors import DataError
from auscult.inference import stream
from auscult.inference.stream import clips_without_annotations, stream_clips

SETTINGS = {
    "windows": {},
    "windows that overlap": {"hop_s": 0.3},
    "windows with gaps": {"hop_s": 1.7},
    "the last window dropped": {"min_valid_s": 1.0},
    "repeated": {"pad": "repeat"},
    "reflected": {"pad": "reflect"},
    "whole recordings": {"unit": "recording", "length_s": 4.0, "min_valid_s": 1.0},
    "filtered": {"band_pass": {"low_hz": 100, "high_hz": 800}},
    "another decoder": {"decoder": "ffmpeg"},
}


def streamed(path, settings, **options):
    blocks = list(stream_clips(path, probe(path), settings, **options))
    return [cut for block in blocks for cut in block.cuts], np.concatenate([block.waveforms for block in blocks])


@pytest.mark.parametrize("name", SETTINGS)
def test_clips_are_those_of_the_workflow(recordings, cut_by_the_workflow, name):
    settings = ClipSettings(**{"length_s": 1.0, "sample_rate_hz": 2000, "min_valid_s": 0.25} | SETTINGS[name])
    table, waveforms = cut_by_the_workflow(settings)
    assert table["path"].nunique() == 5
    for path in table["path"].unique():
        rows = np.flatnonzero((table["path"] == path).to_numpy())
        cuts, found = streamed(recordings / path, settings, block_clips=2)
        np.testing.assert_array_equal(found, waveforms[rows])
        expected = table.iloc[rows][["start_s", "end_s", "n_valid"]].itertuples(index=False, name=None)
        assert [(cut.start_s, cut.end_s, cut.n_valid) for cut in cuts] == list(expected)


@pytest.mark.parametrize("frames", [1000, 4321])
@pytest.mark.parametrize("name", ["windows that overlap", "windows with gaps", "whole recordings", "repeated"])
def test_blocks_of_any_size_give_the_same_clips(recordings, monkeypatch, frames, name):
    settings = ClipSettings(**{"length_s": 1.0, "sample_rate_hz": 2000, "min_valid_s": 0.25} | SETTINGS[name])
    whole_cuts, whole = streamed(recordings / "a.wav", settings)
    monkeypatch.setattr(decoding, "BLOCK_FRAMES", frames)
    cuts, pieces = streamed(recordings / "a.wav", settings)
    assert cuts == whole_cuts
    np.testing.assert_array_equal(pieces, whole)


def test_a_long_recording_filtered_in_pieces_is_the_whole_one_filtered(tmp_path, monkeypatch):
    rng = np.random.default_rng(2)
    soundfile.write(tmp_path / "long.wav", 0.1 * rng.standard_normal(60_000), 2000)
    settings = ClipSettings(length_s=1, sample_rate_hz=2000, band_pass={"low_hz": 50, "high_hz": 400})
    _, whole = streamed(tmp_path / "long.wav", settings)
    monkeypatch.setattr(decoding, "BLOCK_FRAMES", 3000)
    monkeypatch.setattr(stream, "_FILTER_SAMPLES", 7000)
    _, pieces = streamed(tmp_path / "long.wav", settings)
    assert np.abs(pieces.astype(int) - whole).max() <= 1


def test_a_channel_may_be_chosen(recordings):
    settings = ClipSettings(length_s=1, sample_rate_hz=8000)
    sound, _ = soundfile.read(recordings / "b.flac", dtype="int16")
    _, found = streamed(recordings / "b.flac", settings, channel=1)
    np.testing.assert_array_equal(found.ravel(), sound[:, 1])


def test_cycles_give_way_to_windows_and_say_so():
    settings, note = clips_without_annotations(ClipSettings(unit="cycle", length_s=3))
    assert (settings.unit, settings.hop_samples) == ("window", settings.n_samples)
    assert "windows of 3 s" in note
    unchanged = ClipSettings(hop_s=2)
    assert clips_without_annotations(unchanged) == (unchanged, "")


def test_a_file_of_which_no_sample_is_left_is_named(tmp_path):
    soundfile.write(tmp_path / "click.wav", np.zeros(3), 192_000)
    with pytest.raises(DataError, match=r"click\.wav: too short"):
        streamed(tmp_path / "click.wav", ClipSettings(length_s=1, sample_rate_hz=100))


def test_sound_of_a_kind_that_is_not_read_is_answered_with_its_fault(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 8000)
    (tmp_path / "b.ds2").write_bytes(b"\x03ds2\x00\x01")
    (tmp_path / "notes.txt").write_text("no sound")
    good, unread = stream.find_audio([tmp_path])
    assert stream.read_facts(good).n_samples == 800
    assert unread.name == "b.ds2"
    with pytest.raises(DataError, match=r"^unread audio: not read"):
        stream.read_facts(unread)
