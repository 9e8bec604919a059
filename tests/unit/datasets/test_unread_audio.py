"""Sound that is not read is named, never passed over."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import soundfile
from pydantic import TypeAdapter, ValidationError
from tests.encoded import CODECS, encode, tone

from auscult.config import DatasetSettings
from auscult.datasets.decode_audio import decode_audio
from auscult.datasets.folder import AUDIO_SUFFIXES, UNREAD_AUDIO_SUFFIXES
from auscult.datasets.ingest import ingest
from auscult.datasets.verify import verify
from auscult.logs import stage_log
from auscult.storage.flow import FLOW_FILE, read_flow
from auscult.storage.hdf5 import Shard
from auscult.storage.tables import read_recordings
from auscult_simulate.dataset_yaml import dataset_settings
from auscult_simulate.layouts import WRITERS
from auscult_simulate.write import write_dataset


def ingested(root: Path, output: Path) -> tuple[list[str], dict[str, str]]:
    settings = TypeAdapter(DatasetSettings).validate_python(
        {"description": "a test", "root": str(root), "layout": "manifest"}
    )
    ingest(root, "set", settings, output)
    rejected = pd.read_csv(output / "rejected.csv")
    return read_recordings(output / "recordings.parquet")["path"].tolist(), dict(
        zip(rejected["file"], rejected["reason"], strict=True)
    )


def test_a_folder_of_what_phones_write_is_read_without_a_table(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for suffix, (codec, rate_hz) in CODECS.items():
        encode(root / f"{suffix[1:]}{suffix}", tone(rate_hz), codec, rate_hz)
    found, rejected = ingested(root, tmp_path / "out")
    assert sorted(found) == sorted(f"{suffix[1:]}{suffix}" for suffix in CODECS)
    assert not rejected


@pytest.mark.parametrize("suffix", [".ds2", ".mid", ".PCM"])
def test_sound_of_a_kind_that_is_not_read_is_a_rejection_of_its_own(
    tmp_path: Path, root: Path, write_wav: Callable, suffix: str
) -> None:
    write_wav("a.wav")
    (root / f"b{suffix}").write_bytes(b"\x03ds2\x00\x01")
    found, rejected = ingested(root, tmp_path / "out")
    assert found == ["a.wav"]
    assert list(rejected) == [f"b{suffix}"]
    assert rejected[f"b{suffix}"].startswith("unread audio: not read")
    assert f"decodes {suffix.lower()} files" in rejected[f"b{suffix}"]
    assert "convert it to wav or flac" in rejected[f"b{suffix}"]


def test_no_suffix_is_both_read_and_not_read() -> None:
    assert not set(AUDIO_SUFFIXES) & set(UNREAD_AUDIO_SUFFIXES)


@pytest.mark.parametrize("layout", WRITERS)
def test_in_every_layout_each_sound_file_that_is_not_read_is_in_the_flow(tmp_path: Path, layout: str) -> None:
    root = tmp_path / "root"
    write_dataset(layout, root, n_patients=2, seed=1, duration_s=(2.0, 2.5))
    strange = {"y.DS2", "deep/er/down/x.AWB", "deep/er/down/z.mka"}
    (root / "deep/er/down").mkdir(parents=True)
    for name in strange:
        (root / name).write_bytes(b"any")
    ingest(root, "set", dataset_settings(layout, root), tmp_path / "out")
    flow = read_flow(tmp_path / "out" / FLOW_FILE).set_index("file")
    found = {name for name in strange if name in flow.index}
    # A folder that is no recording is refused as a whole.
    assert found == strange or (layout == "uid_json" and "deep/metadata.json" in set(rejected_files(tmp_path / "out")))
    assert not (flow.loc[list(found), "status"] == "read").any()


def rejected_files(output: Path) -> list[str]:
    return pd.read_csv(output / "rejected.csv")["file"].tolist()


@pytest.mark.parametrize("options", [{"manifest": "list.csv", "columns": {"path": "file"}}, {"files": "*.wav"}])
def test_files_that_nothing_takes_are_a_line_of_their_own_and_no_loss(
    tmp_path: Path, root: Path, write_wav: Callable, capfd: pytest.CaptureFixture, options: dict
) -> None:
    write_wav("a.wav")
    (root / "list.csv").write_text("file,age\na.wav,7\n")
    taken_not = [f"{number}.flac" for number in range(7)]
    for number, name in enumerate(taken_not):
        write_wav(name, seed=number + 1)
    (root / "notes.txt").write_text("no sound")
    settings = TypeAdapter(DatasetSettings).validate_python(
        {"description": "t", "root": str(root), "layout": "manifest", **options}
    )
    with stage_log(tmp_path / "log.txt"):
        ingest(root, "set", settings, tmp_path / "out")
    why = "not in its table" if "manifest" in options else "not part of its layout"
    shown = capfd.readouterr().err
    assert f"set: 7 sound files are {why} and not read: 0.flac, 1.flac, 2.flac, 3.flac, 4.flac, ..." in shown
    assert "are lost" not in shown
    flow = read_flow(tmp_path / "out" / FLOW_FILE)
    assert flow.loc[flow["status"] == "not_taken", "file"].tolist() == taken_not
    assert rejected_files(tmp_path / "out") == []
    found = verify("set", settings, tables_dir=None)
    assert found.is_clean, "a table may list a part of a folder"
    assert {notice.subject for notice in found.notices if "it is not read" in notice.text} == set(taken_not)


def test_a_recording_whose_row_or_folder_is_refused_is_lost_once(
    tmp_path: Path, root: Path, write_wav: Callable
) -> None:
    for number, name in enumerate(("u1/waveform.wav", "u2/waveform.wav")):
        write_wav(name, seed=number)
    (root / "u1/metadata.json").write_text('{"encoding": "WAV", "sample_rate_hz": 4000}')
    (root / "targets.txt").write_text("crackle\n")
    (root / "train.csv").write_text("uid,crackle\nu1,1\nu2,0\n")
    (root / "test.csv").write_text("uid,crackle\n")
    settings = TypeAdapter(DatasetSettings).validate_python({"description": "t", "root": "r", "layout": "uid_json"})
    ingest(root, "set", settings, tmp_path / "out")
    flow = read_flow(tmp_path / "out" / FLOW_FILE)
    assert flow["file"].tolist() == ["u1/waveform.wav", "u2/metadata.json"]


@pytest.mark.parametrize("is_sharded", [False, True])
def test_the_rates_that_are_believed_are_those_of_the_datasets_yaml(
    tmp_path: Path, root: Path, write_wav: Callable, is_sharded: bool
) -> None:
    write_wav("a.wav", sample_rate_hz=64)
    write_wav("b.wav", sample_rate_hz=4000, seed=1)

    def read(bounds: dict) -> list[str]:
        settings = TypeAdapter(DatasetSettings).validate_python(
            {"description": "t", "root": "r", "layout": "manifest", **bounds}
        )
        facts = tmp_path / "facts.parquet"
        decode_audio(root, "set", settings, shard=Shard(0, 1), output=facts)
        ingest(root, "set", settings, tmp_path / "out", audio_facts=[facts] if is_sharded else ())
        return read_recordings(tmp_path / "out" / "recordings.parquet")["path"].tolist()

    assert read({}) == ["b.wav"]
    assert read({"rate_hz": {"min": 50}}) == ["a.wav", "b.wav"]
    assert read({"rate_hz": {"min": 50, "max": 3999}}) == ["a.wav"]
    with pytest.raises(ValidationError, match="min is 500 Hz and max 400 Hz; expected min to be no more than max"):
        read({"rate_hz": {"min": 500, "max": 400}})


def test_each_kind_that_libsndfile_reads_is_taken_by_its_suffix(tmp_path: Path, root: Path) -> None:
    formats = {"wav": "WAV", "flac": "FLAC", "ogg": "OGG", "oga": "OGG", "mp3": "MP3"}
    formats |= {"aif": "AIFF", "aiff": "AIFF", "aifc": "AIFF", "w64": "W64", "rf64": "RF64"}
    formats |= {"au": "AU", "snd": "AU", "caf": "CAF", "voc": "VOC", "sph": "NIST"}
    for number, (suffix, kind) in enumerate(formats.items()):
        soundfile.write(root / f"{suffix}.{suffix}", tone(16_000, 1.0, 200 + number), 16_000, format=kind)
    found, rejected = ingested(root, tmp_path / "out")
    assert sorted(found) == sorted(f"{suffix}.{suffix}" for suffix in formats)
    assert not rejected


@pytest.mark.parametrize("layout", ["icbhi", "jordan", "sprsound"])
def test_layouts_of_wav_files_take_recordings_that_were_written_as_flac(tmp_path: Path, layout: str) -> None:
    root = tmp_path / "root"
    write_dataset(layout, root, n_patients=2, seed=1, duration_s=(2.0, 2.5))
    names = set()
    for path in sorted(root.rglob("*.wav")):
        sound, rate_hz = soundfile.read(path)
        soundfile.write(path.with_suffix(".flac"), sound, rate_hz)
        path.unlink()
        names.add(path.with_suffix(".flac").relative_to(root).as_posix())
    ingest(root, "set", dataset_settings(layout, root), tmp_path / "out")
    assert set(read_recordings(tmp_path / "out" / "recordings.parquet")["path"]) == names
    # The sheet of one layout has rows that are no patient's, whatever the sounds are.
    assert set(rejected_files(tmp_path / "out")) <= {"Data annotation.xlsx"}
