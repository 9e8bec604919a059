import logging
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from auscult.audio.probe import AudioFacts
from auscult.config import DatasetSettings
from auscult.config.dataset import LAYOUTS
from auscult.datasets import ingest
from auscult.datasets.readers import READERS
from auscult.errors import DataError
from auscult.storage.tables import SIMULATED_MARK, read_recordings

SHA = "0" * 64
BYTES_KEPT_PER_RECORDING = 800
BATCHES_KIB = 40_000


def settings(layout: str = "manifest", **options: object) -> DatasetSettings:
    return TypeAdapter(DatasetSettings).validate_python(
        {"description": "a test", "root": "data/set", "layout": layout, **options}
    )


def fake_probe(path: Path) -> AudioFacts:
    return AudioFacts(4000, 1, 40_000, 10.0, "PCM_16", SHA, fingerprint=None)


def test_every_layout_has_a_reader() -> None:
    assert sorted(READERS) == sorted(LAYOUTS)


def test_a_missing_root_says_how_to_get_the_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no such folder; .*--config roots='\{set: FOLDER\}'"):
        ingest.ingest(tmp_path / "absent", "set", settings(), tmp_path / "out")
    tracked = settings("icbhi", tracked_by="data.dvc")
    with pytest.raises(DataError, match=r"`dvc pull data.dvc` fetches it"):
        ingest.ingest(tmp_path / "absent", "set", tracked, tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="is a file, expected a folder"):
        ingest.ingest(tmp_path / "file", "set", settings(), tmp_path / "out")


def test_an_empty_dataset_stops_and_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with pytest.raises(
        DataError, match=r"no usable recording in .*root; looked for files with .wav, .wave, .flac, .*; 0 rejected"
    ):
        ingest.ingest(tmp_path / "root", "set", settings(), tmp_path / "out")
    with pytest.raises(DataError, match=r"the layout 'icbhi'.*1 rejected"):
        ingest.ingest(tmp_path / "root", "set", settings("icbhi"), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir()), "nothing half-written is left"


def test_a_dataset_of_nothing_but_faults_shows_the_first_of_them(
    root: Path, write_text: Callable, tmp_path: Path
) -> None:
    for number in range(9):
        write_text(f"{number}.wav", b"text")
    with pytest.raises(DataError) as caught:
        ingest.ingest(root, "set", settings(), tmp_path / "out")
    lines = str(caught.value).splitlines()
    assert "9 rejected" in lines[0]
    assert [line.split(":")[0].strip() for line in lines[1:]] == [f"{number}.wav" for number in range(5)]


def test_the_summary_counts_what_is_there(write_wav: Callable, write_text: Callable, run_ingest: Callable) -> None:
    write_wav("a.wav", duration_s=9.0)
    write_wav("b.wav", duration_s=9.0, sample_rate_hz=8000, subtype="PCM_24")
    write_text("c.wav", b"")
    write_text("list.csv", b"file,label,device\na.wav,yes,eko\nb.wav,,\nc.wav,no,eko\n")
    columns = {"path": "file", "device": "device", "labels": {"ill": "label"}}
    summary = run_ingest("manifest", manifest="list.csv", columns=columns).summary
    assert summary.pop("flow")["found"]["recordings"] == 3
    assert summary | {"content_sha256": ""} == {
        "dataset": "set",
        "layout": "manifest",
        "recordings": 2,
        "patients": 2,
        "duration_h": 0.005,
        "sample_rates_hz": {"4000": 1, "8000": 1},
        "encodings": {"PCM_16": 1, "PCM_24": 1},
        "channels": {"1": 2},
        "devices": {"eko": 1},
        "sites": {},
        "sexes": {},
        "missing": {"devices": 1, "sites": 2, "sexes": 2},
        "labels": {"ill": {"counts": {"yes": 1}, "missing": 1}},
        "events": {},
        "rejected": {"total": 1, "by_class": {"empty": 1}},
        "notices": {"patient_unknown": {"count": 3, "subjects": ["set/a", "set/b", "set/c"]}},
        "content_sha256": "",
        "vocabulary": {},
    }


def test_the_digest_changes_with_the_content_and_with_nothing_else(
    write_wav: Callable, write_text: Callable, run_ingest: Callable
) -> None:
    write_wav("a.wav")
    write_text("list.csv", b"file,label\na.wav,yes\n")
    options = {"manifest": "list.csv", "columns": {"path": "file", "labels": {"ill": "label"}}}
    first = run_ingest("manifest", **options).summary["content_sha256"]
    assert run_ingest("manifest", **options).summary["content_sha256"] == first
    write_text("list.csv", b"file,label\na.wav,no\n")
    second = run_ingest("manifest", **options).summary["content_sha256"]
    write_wav("a.wav", seed=1)
    third = run_ingest("manifest", **options).summary["content_sha256"]
    assert len({first, second, third}) == 3


def test_a_simulated_dataset_says_so(root: Path, write_wav: Callable, run_ingest: Callable) -> None:
    write_wav("a.wav")
    assert "simulated" not in run_ingest("manifest").summary["notices"]
    (root.parent / SIMULATED_MARK).touch()
    assert run_ingest("manifest").summary["notices"]["simulated"]["count"] == 1


def test_two_runs_write_the_same_bytes(root: Path, write_wav: Callable, write_text: Callable, tmp_path: Path) -> None:
    write_wav("a.wav")
    write_text("b.wav", b"text")
    for name in ("one", "two"):
        ingest.ingest(root, "set", settings(), tmp_path / name)
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == ["events.parquet", "flow.csv", "recordings.parquet", "rejected.csv", "summary.json"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_file_name_that_is_no_utf8_is_rejected_and_can_be_written(root: Path, write_wav: Callable) -> None:
    write_wav("a.wav")
    odd = bytes(root) + b"/caf\xe9.wav"
    with open(odd, "wb") as stream:
        stream.write((root / "a.wav").read_bytes())
    ingest.ingest(root, "set", settings(), root.parent / "out")
    rejected = (root.parent / "out" / "rejected.csv").read_text(encoding="utf-8").splitlines()
    assert rejected[1:] == ["caf\\xe9.wav,,name: the path is not UTF-8; rename the file"]


def test_progress_is_logged(
    root: Path, write_wav: Callable, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wav("a.wav")
    monkeypatch.setattr(ingest, "PROGRESS_EVERY_S", 0.0)
    with caplog.at_level(logging.INFO):
        ingest.ingest(root, "set", settings(), root.parent / "out")
    assert "1 recordings read, 0 faults" in caplog.text


def test_a_reader_that_repeats_an_id_is_a_fault_of_the_program(
    root: Path, write_wav: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wav("a.wav")
    read = READERS["manifest"]
    monkeypatch.setitem(READERS, "manifest", lambda *given: [*read(*given), *read(*given)])
    with pytest.raises(AssertionError, match="set/a twice"):
        ingest.ingest(root, "set", settings(), root.parent / "out")


@pytest.mark.parametrize("n_recordings", [10_000, pytest.param(100_000, marks=[pytest.mark.slow, pytest.mark.soak])])
def test_memory_hardly_grows_with_the_number_of_recordings(
    root: Path, write_text: Callable, tmp_path: Path, n_recordings: int
) -> None:
    columns = {"path": "file", "patient": "who", "start_s": "from", "end_s": "to", "event": "what"}
    lines = ["file,who,from,to,what"]
    lines += [f"{i % 97}/{i}.wav,{i // 5},{k},{k + 1},cycle" for i in range(n_recordings) for k in range(3)]
    write_text("list.csv", "\n".join(lines).encode())
    for number in range(97):
        (root / str(number)).mkdir()
    for number in range(n_recordings):
        (root / str(number % 97) / f"{number}.wav").touch()
    chosen = settings(manifest="list.csv", columns=columns)
    small = settings(manifest="small.csv", columns=columns)
    write_text("small.csv", "\n".join(lines[:1000]).encode())
    ingest.ingest(root, "set", small, tmp_path / "warm", probe=fake_probe)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ingest.ingest(root, "set", chosen, tmp_path / "out", probe=fake_probe)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib
    assert len(read_recordings(tmp_path / "out" / "recordings.parquet")) == n_recordings
    allowed_kib = BATCHES_KIB + n_recordings * BYTES_KEPT_PER_RECORDING / 1024
    assert grown_kib < allowed_kib, "an id, a path and a duration may be kept, a row may not"


def test_a_folder_that_may_not_be_read_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> list:
        raise PermissionError(13, "Permission denied", str(root / "locked"))

    monkeypatch.setitem(READERS, "manifest", refuse)
    with pytest.raises(DataError, match=r"set: .*locked: permission denied; make it readable"):
        ingest.ingest(root, "set", settings(), root.parent / "out")
