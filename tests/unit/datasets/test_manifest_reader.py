import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from auscult.config import DatasetSettings
from auscult.datasets.readers import READERS
from auscult.errors import DataError
from auscult.storage.tables import Recording, Rejection

COLUMNS: dict[str, Any] = {
    "path": "file",
    "patient": "who",
    "site": "hospital",
    "device": "device",
    "age_years": "age",
    "sex": "sex",
    "labels": {"finding": "finding"},
    "attributes": {"fold": "fold"},
}
HEADER = "file,who,hospital,device,age,sex,finding,fold"


@pytest.fixture
def sounds(write_wav: Callable) -> None:
    for number, name in enumerate(("a", "b", "sub/c", "sub/d")):
        write_wav(f"{name}.wav", seed=number)


def test_rows_become_recordings_with_their_text_as_written(
    sounds: None, write_text: Callable, run_ingest: Callable
) -> None:
    rows = [
        HEADER,
        "a.wav,P1,North,eko,40,F,Crackle + Wheeze,0",
        './sub//c.wav,"P,2",,,NA,male,,1',
    ]
    write_text("list.csv", ("\ufeff\r\n" + "\r\n".join(rows)).encode())
    result = run_ingest("manifest", manifest="list.csv", columns=COLUMNS)
    assert result.rejected == []
    first, second = result.row("set/a"), result.row("set/sub/c")
    assert (first["site"], first["device"], first["age_years"], first["sex"]) == ("North", "eko", 40.0, "female")
    assert (first["label_finding"], first["attr_fold"]) == ("Crackle + Wheeze", "0")
    assert (second["patient_id"], second["path"], second["sex"]) == ("set/P,2", "sub/c.wav", "male")
    assert second[["site", "device", "age_years", "label_finding"]].isna().all()


@pytest.mark.usefixtures("sounds")
@pytest.mark.parametrize("unknown", ["NA", " n/a ", "NaN", "null", "<NA>", "?"])
def test_what_programs_write_for_nothing_is_unknown_and_none_is_a_value(
    write_text: Callable, run_ingest: Callable, unknown: str
) -> None:
    rows = [HEADER, "a.wav,P1" + f",{unknown}" * 6, f"b.wav,{unknown},,,,,none,0", "sub/c.wav,P2,,,,,none,0"]
    write_text("list.csv", "\n".join(rows).encode())
    result = run_ingest("manifest", manifest="list.csv", columns=COLUMNS)
    assert result.fault_classes == [("list.csv", 3, "patient")]
    names = ["site", "device", "age_years", "sex", "label_finding", "attr_fold"]
    assert result.row("set/a")[names].isna().all()
    assert result.row("set/sub/c")["label_finding"] == "none"


def test_a_tsv_and_a_parquet_file_read_the_same_as_a_csv(
    sounds: None, write_text: Callable, run_ingest: Callable, root: Path
) -> None:
    table = pd.DataFrame({"file": ["a.wav", "b.wav"], "who": [7, 8], "age": [1.5, None]})
    columns = {"path": "file", "patient": "who", "age_years": "age"}
    table.to_csv(root / "list.csv", index=False)
    table.to_csv(root / "list.tsv", index=False, sep="\t")
    table.to_parquet(root / "list.parquet", index=False)
    results = [
        run_ingest("manifest", manifest=f"list.{suffix}", columns=columns).recordings
        for suffix in ("csv", "tsv", "parquet")
    ]
    assert list(results[0]["patient_id"]) == ["set/7", "set/8"]
    assert results[0]["age_years"][0] == 1.5
    pd.testing.assert_frame_equal(results[0], results[1])
    pd.testing.assert_frame_equal(results[0], results[2])


def test_events_have_the_frequencies_of_their_row(sounds: None, write_text: Callable, run_ingest: Callable) -> None:
    columns = {"path": "file", "start_s": "from", "end_s": "to", "event": "what", "low_hz": "low", "high_hz": "high"}
    rows = [
        "file,from,to,what,low,high",
        "a.wav,0.5,1.5,wheeze,200,800.5",
        "a.wav,2,3,wheeze,,",
        "b.wav,0,1,wheeze,9,8",
    ]
    write_text("list.csv", "\n".join(rows).encode())
    result = run_ingest("manifest", manifest="list.csv", columns=columns)
    known = result.events.loc[result.events["kind"] == "wheeze", ["low_hz", "high_hz"]]
    np.testing.assert_array_equal(known.to_numpy(), [[200, 800.5], [np.nan, np.nan]])
    assert result.fault_classes == [("list.csv", 4, "band")]


def test_rows_that_share_a_path_share_the_recording(sounds: None, write_text: Callable, run_ingest: Callable) -> None:
    columns = {"path": "file", "patient": "who", "start_s": "from", "end_s": "to", "event": "what"}
    rows = [
        "file,who,from,to,what",
        "a.wav,1,0.5,1.5,wheeze",
        "b.wav,2,,,",
        "a.wav,1,1,2,crackle",
        "a.wav,2,1,2,crackle",
        "a.wav,1,2,1,crackle",
        "a.wav,1,2,2,crackle",
        "a.wav,1,-1,2,crackle",
        "a.wav,1,x,2,crackle",
        "a.wav,1,1,2,",
        "a.wav,1,3,9,rhonchus",
    ]
    write_text("list.csv", "\n".join(rows).encode())
    result = run_ingest("manifest", manifest="list.csv", columns=columns)
    # What the refused rows would have said is unknown for all of the recording, once.
    assert result.kinds_of("set/a") == [(0.5, 1.5, "wheeze"), (1.0, 2.0, "crackle"), (0.0, 4.0, "unplaced")]
    assert result.kinds_of("set/b") == []
    assert result.fault_classes == [
        ("list.csv", 5, "contradiction"),
        ("list.csv", 6, "reversed"),
        ("list.csv", 7, "zero length"),
        ("list.csv", 8, "negative time"),
        ("list.csv", 9, "not a number"),
        ("list.csv", 10, "event"),
        ("list.csv", 11, "beyond the end"),
    ]


@pytest.mark.usefixtures("sounds")
def test_a_refused_row_says_what_the_first_one_said_and_how_to_mend_it(
    write_text: Callable, run_ingest: Callable, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.wav"
    outside.write_bytes((root / "a.wav").read_bytes())
    (root / "link.wav").symlink_to(outside)
    (root / "inner.wav").symlink_to(root / "sub/d.wav")
    rows = [
        HEADER,
        "a.wav,P1,,,40,F,,0",
        "sub/../../outside.wav,P1,,,40,F,,0",
        "link.wav,P1,,,40,F,,0",
        "inner.wav,P1,,,40,F,,0",
        "b.wav,P1,,,40,F,,0,more",
        "a.wav,P1,,,40,F,,0",
        "sub/../a.wav,P2,,,40,F,,0",
        'b.wav,"P1,,,40,F,,0',
        "b.wav,P1,,,40,F,,0",
    ]
    write_text("list.csv", "\n".join(rows).encode())
    result = run_ingest("manifest", manifest="list.csv", columns=COLUMNS)
    assert result.fault_classes == [
        ("list.csv", 3, "path"),
        ("list.csv", 4, "path"),
        ("list.csv", 6, "columns"),
        ("list.csv", 8, "duplicate id"),
        # A quote that is never closed takes the rest of the table with it.
        ("list.csv", 9, "not a row"),
    ]
    assert sorted(result.recordings["recording_id"]) == ["set/a", "set/inner"]
    reasons = {line: reason for _, line, reason in result.rejected if line}
    assert "a.wav on line 2 already" in reasons[8]
    assert result.summary["notices"]["repeated_row"]["subjects"] == ["a.wav"]
    assert "follow_links: true" in reasons[4]


@pytest.mark.usefixtures("sounds")
def test_a_file_that_is_not_there_is_refused_at_its_line_with_the_one_that_was_meant(
    write_text: Callable, write_wav: Callable, run_ingest: Callable
) -> None:
    write_wav("r\u00e9.wav", seed=7)
    names = ["a.wav", "sub\\c.wav", "SUB/d.WAV", "re\u0301.wav", "gone.wav", "gone.wav", "x\\gone.wav"]
    write_text("list.csv", "\n".join(["file", *names]).encode())
    result = run_ingest("manifest", manifest="list.csv", columns={"path": "file"})
    # One file alone has that name in another Unicode form: it is taken, and counted.
    assert list(result.recordings["path"]) == ["a.wav", "r\u00e9.wav"]
    assert result.summary["notices"]["found_by_name"] == {"count": 1, "subjects": ["1 rows"]}
    agree = "names must agree in case and Unicode form"
    assert {line: reason.partition("; ")[2] for _, line, reason in result.rejected} == {
        3: "there is 'sub/c.wav'; write folders with / instead of \\",
        4: f"there is 'sub/d.wav': {agree}",
        6: "",
        8: "write folders with / instead of \\",
    }
    assert {reason.split(":")[0] for _, _, reason in result.rejected} == {"missing"}


def test_links_out_of_the_root_are_followed_when_the_settings_say_so(
    write_text: Callable, write_wav: Callable, run_ingest: Callable, root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "cache.wav"
    os.replace(write_wav("x.wav"), outside)
    (root / "link.wav").symlink_to(outside)
    write_text("list.csv", b"file\nlink.wav\n../cache.wav\n")
    result = run_ingest("manifest", manifest="list.csv", columns={"path": "file"}, follow_links=True)
    assert list(result.recordings["recording_id"]) == ["set/link"]
    assert result.fault_classes == [("list.csv", 3, "path")]


def test_without_a_manifest_names_say_it_all(write_wav: Callable, write_text: Callable, run_ingest: Callable) -> None:
    for name in ("7_jackson_32.wav", "8_nicolas_0.WAV", "sub/9_yweweler_1.wav", "seven_jackson_1.wav", "7_j_1.flac"):
        write_wav(name, **({"format": "FLAC"} if name.endswith("flac") else {"format": "WAV"}))
    settings = {
        "files": "**/*.wav",
        "pattern": "(?P<digit>[0-9])_(?P<speaker>[a-z]+)_(?P<index>[0-9]+)",
        "columns": {"patient": "speaker", "labels": {"digit": "digit"}, "attributes": {"index": "index"}},
    }
    result = run_ingest("manifest", **settings)
    assert result.fault_classes == [("seven_jackson_1.wav", None, "name")]
    assert list(result.recordings["recording_id"]) == ["set/7_jackson_32", "set/8_nicolas_0", "set/sub/9_yweweler_1"]
    assert list(result.recordings["label_digit"]) == ["7", "8", "9"]
    assert list(result.recordings["attr_index"]) == ["32", "0", "1"]


def test_without_a_manifest_or_a_glob_every_audio_file_is_taken_and_nothing_else(
    write_wav: Callable, write_text: Callable, run_ingest: Callable
) -> None:
    formats = {"wav": "WAV", "flac": "FLAC", "ogg": "OGG", "mp3": "MP3"}
    subtypes = {"ogg": "VORBIS", "mp3": "MPEG_LAYER_III"}
    for number, (suffix, kind) in enumerate(formats.items()):
        options = {"format": kind, "subtype": subtypes.get(suffix, "PCM_16"), "sample_rate_hz": 8000}
        write_wav(f"low_{suffix}.{suffix}", seed=number, **options)
        write_wav(f"sub/up_{suffix}.{suffix.upper()}", seed=number + 9, **options)
    write_text("notes.txt", b"no sound")
    result = run_ingest("manifest")
    assert result.rejected == []
    assert sorted(result.recordings["recording_id"]) == sorted(
        [f"set/low_{suffix}" for suffix in formats] + [f"set/sub/up_{suffix}" for suffix in formats]
    )


def test_columns_and_groups_of_the_name_go_together(
    write_wav: Callable, write_text: Callable, run_ingest: Callable
) -> None:
    write_wav("p3-left.wav")
    write_text("list.csv", b"file,age\np3-left.wav,5\n")
    columns = {"path": "file", "patient": "person", "age_years": "age"}
    result = run_ingest("manifest", manifest="list.csv", pattern="(?P<person>p[0-9])-.*", columns=columns)
    assert result.row("set/p3-left")["patient_id"] == "set/p3"
    with pytest.raises(DataError, match="'age' is a column and a group"):
        run_ingest("manifest", manifest="list.csv", pattern="(?P<age>p[0-9])-.*", columns=columns | {"patient": "age"})


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("list.csv", b"path,who\na.wav,1\n", "unknown column 'file'"),
        ("list.csv", b"", "the table is empty"),
        ("list.csv", b"file,who\n\n", "^list.csv has a header and no rows"),
        ("list.csv", b"\n\n \n", "the table is empty"),
        ("list.csv", b"file,file\na.wav,1\n", "names a column twice"),
        ("list.csv", "file,\u00e9,\ud800\na.wav,1,2\n".encode("utf-8", "surrogatepass"), "the header is not UTF-8"),
        ("list.parquet", b"PAR1 is not enough", "not a readable table"),
        ("list.xlsx", b"PK\x03\x04 is not enough", "not a workbook"),
        ("absent.csv", None, "no such file"),
    ],
)
@pytest.mark.usefixtures("sounds")
def test_a_manifest_that_cannot_be_read_as_a_whole_stops_with_a_message(
    write_text: Callable, run_ingest: Callable, name: str, content: bytes | None, reason: str
) -> None:
    if content is not None:
        write_text(name, content)
    with pytest.raises(DataError, match=reason):
        run_ingest("manifest", manifest=name, columns={"path": "file"})


def test_stereo_flac_and_ogg_are_taken(write_wav: Callable, run_ingest: Callable) -> None:
    write_wav("a.flac", channels=2, format="FLAC")
    write_wav("b.ogg", format="OGG", subtype="VORBIS", sample_rate_hz=16_000)
    result = run_ingest("manifest", files="*.*")
    assert list(result.recordings["n_channels"]) == [2, 1]
    assert list(result.recordings["encoding"]) == ["FLAC/PCM_16", "OGG/VORBIS"]
    assert list(result.recordings["patient_id"]) == ["set/a", "set/b"]


def test_paths_written_in_full_are_read_below_a_root_in_a_bucket_and_refused_elsewhere(root, write_wav):
    write_wav("a/1.wav")
    write_wav("a/2.wav")
    (root / "m.csv").write_text(
        "path\n"
        "gs://lungs/own/a/1.wav\n"
        "a/2.wav\n"
        "gs://lungs/other/a/1.wav\n"
        "gs://lungs/ownership/1.wav\n"
        "gs://lungs/own/../x.wav\n"
    )
    values = {"description": "d", "layout": "manifest", "manifest": "m.csv", "columns": {"path": "path"}}

    def read_from(where):
        settings = TypeAdapter(DatasetSettings).validate_python({**values, "root": where})
        return list(READERS["manifest"](root, "own", settings))

    items = read_from("gs://lungs/own/")
    assert [item.path for item in items if isinstance(item, Recording)] == ["a/1.wav", "a/2.wav"]
    assert [(item.line, item.reason) for item in items if isinstance(item, Rejection)] == [
        (4, "path: 'gs://lungs/other/a/1.wav' lies outside the root 'gs://lungs/own/'"),
        (5, "path: 'gs://lungs/ownership/1.wav' lies outside the root 'gs://lungs/own/'"),
        (6, "path: '../x.wav' leads out of the root"),
    ]
    lines = [item.line for item in read_from(str(root)) if isinstance(item, Rejection)]
    assert lines == [2, 4, 5, 6]
