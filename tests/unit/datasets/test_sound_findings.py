"""What is odd about a recording's sound is a finding of its ingest."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from pydantic import TypeAdapter
from tests.encoded import encode, tone

from auscult.audio.probe import probe
from auscult.config import ClipSettings, DatasetSettings, paths
from auscult.datasets.ingest import ingest
from auscult.datasets.sound_findings import sound_findings
from auscult.storage.files import read_json
from auscult.storage.tables import read_recordings

RATE_HZ = 4000
NOISE = np.random.default_rng(3).normal(0, 0.1, 2 * RATE_HZ)
OTHER = np.random.default_rng(4).normal(0, 0.1, 2 * RATE_HZ)
# Rounded without noise, the steps of a tone are tones of their own.
NARROW = 0.2 * np.sin(2 * np.pi * 50 * np.arange(2 * RATE_HZ) / RATE_HZ) + NOISE / 10_000


def kinds(path: Path, **options: object) -> dict[str, str]:
    return {notice.kind: notice.text for notice in sound_findings(probe(path), path.name, **options)}


def write(path: Path, sound: NDArray[np.floating], subtype: str = "PCM_16") -> Path:
    soundfile.write(path, sound, RATE_HZ, subtype=subtype)
    return path


SOUNDS = {
    "an ordinary recording": (NOISE, set()),
    "two ordinary channels": (np.stack([NOISE, OTHER], 1), set()),
    "the same sound in both channels": (np.stack([NOISE, NOISE], 1), set()),
    "all zero": (0 * NOISE, {"no_sound"}),
    "an offset and nothing else": (0 * NOISE + 0.3, {"no_sound"}),
    "channels that cancel each other": (np.stack([NOISE, -NOISE], 1), {"no_sound"}),
    "a dead channel": (np.stack([NOISE, 0 * NOISE], 1), {"dead_channel"}),
    "an offset": (NOISE + 0.2, {"dc_offset"}),
    "clipped": (np.clip(10 * NOISE, -1, 1), {"clipped"}),
    "a sine that reaches full scale": (np.sin(np.arange(8000)), set()),
    "a low tone at a high rate": (NARROW, {"band_limited"}),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_findings_of_a_sound(tmp_path: Path, name: str) -> None:
    sound, expected = SOUNDS[name]
    assert set(kinds(write(tmp_path / "a.wav", sound))) == expected


@pytest.mark.parametrize(
    ("channel", "expected"), [("mean", {"dead_channel"}), (0, {"dead_channel"}), (1, {"no_sound"})]
)
def test_a_dead_channel_is_no_sound_where_clips_are_cut_of_it(tmp_path: Path, channel: object, expected: set) -> None:
    path = write(tmp_path / "a.wav", np.stack([NOISE, 0 * NOISE], 1))
    assert set(kinds(path, channel=channel)) == expected


def test_channels_that_cancel_each_other_are_sound_where_one_is_chosen(tmp_path: Path) -> None:
    assert not kinds(write(tmp_path / "a.wav", np.stack([NOISE, -NOISE], 1)), channel=0)


def test_floats_over_full_scale_are_a_finding_until_the_scale_is_set(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", 10_000 * NOISE, "FLOAT")
    assert "say `full_scale: NUMBER`" in kinds(path)["over_full_scale"]
    assert "over_full_scale" not in kinds(path, full_scale=50_000.0)
    assert probe(path).peak == pytest.approx(10_000 * np.abs(NOISE).max(), rel=1e-6)


@pytest.mark.parametrize("suffix", ["flac", "wav"])
def test_a_second_file_behind_the_first_is_a_finding(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, tone(8000, 2.0), 8000)
    n_bytes = path.stat().st_size
    assert "trailing_bytes" not in kinds(path)
    path.write_bytes(2 * path.read_bytes())
    assert kinds(path)["trailing_bytes"].startswith(f"{n_bytes} bytes follow the sound that was read")


@pytest.mark.parametrize("behind", [b"\0", b"junk" * 7, bytes(200_000), b"fLaC", 5000 * b"\xff\xf8\xc9\x18"])
@pytest.mark.parametrize("tag", [b"", b"TAG" + bytes(125)])
def test_bytes_behind_a_flac_are_a_finding_and_a_tag_of_a_title_is_none(
    tmp_path: Path, behind: bytes, tag: bytes
) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, OTHER, RATE_HZ)
    whole = path.read_bytes()
    path.write_bytes(whole + tag)
    assert "trailing_bytes" not in kinds(path)
    path.write_bytes(whole + behind + tag)
    assert kinds(path)["trailing_bytes"].startswith(f"{len(behind)} bytes follow the sound that was read")
    assert probe(path).n_samples == len(OTHER)


def test_an_m4a_named_wav_and_a_size_never_filled_in_are_findings(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4a", tone(16_000), "aac", 16_000).rename(tmp_path / "a.wav")
    assert kinds(path) == {"misnamed": "named .wav, and is MP4/AAC: it was read as that"} | {
        kind: text for kind, text in kinds(path).items() if kind == "band_limited"
    }
    path = write(tmp_path / "b.wav", NOISE)
    content = bytearray(path.read_bytes())
    content[40:44] = b"\x00\x00\x00\x80"
    path.write_bytes(content)
    assert set(kinds(path)) == {"placeholder_size"}


def test_findings_are_counted_in_the_summary_and_facts_stand_in_the_table(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    write(tmp_path / "root" / "a.wav", NOISE)
    write(tmp_path / "root" / "b.wav", 0 * NOISE)
    settings = TypeAdapter(DatasetSettings).validate_python({"description": "t", "root": "r", "layout": "manifest"})
    ingest(tmp_path / "root", "set", settings, tmp_path / "out")
    assert read_json(tmp_path / "out" / "summary.json")["notices"]["no_sound"] == {"count": 1, "subjects": ["b.wav"]}
    rows = read_recordings(tmp_path / "out" / "recordings.parquet").set_index("recording_id")
    loud, silent = rows.loc["set/a"], rows.loc["set/b"]
    assert loud["rms_db"] == pytest.approx(-20, abs=0.2)
    assert (silent["peak"], silent["silent_share"], silent["dead_channels"]) == (0, 1, 1)
    assert silent[["rms_db", "channel_correlation", "band_limit_hz"]].isna().all()


def test_the_scale_changes_the_key_of_clips_only_where_it_is_set() -> None:
    plain, scaled = (
        TypeAdapter(DatasetSettings).validate_python({"description": "t", "root": "r", "layout": "manifest", **more})
        for more in ({}, {"full_scale": 32_768})
    )
    assert "full_scale" not in paths.clips_settings(plain, ClipSettings())
    assert paths.clips_settings(scaled, ClipSettings())["full_scale"] == 32_768
