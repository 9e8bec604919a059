"""uid_json, label_folders and files_csv; the layout manifest has its own file."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from tests.unit.config.test_plugins import write_documented

from auscult.config import DatasetSettings
from auscult.config.files import parse
from auscult.datasets.readers.label_folders import parse_label_set
from auscult.datasets.readers.reading import MalformedError
from auscult.datasets.readers.uid_json import parse_metadata, parse_target_names
from auscult.errors import ConfigError, DataError


@pytest.fixture
def write_uid(write_wav: Callable, write_text: Callable) -> Callable:
    def write(uid: str, metadata: Any = None, **options: Any) -> None:
        suffix = options.pop("suffix", ".wav")
        write_wav(f"{uid}/waveform{suffix}", **options)
        given = {"encoding": suffix[1:].upper(), "sample_rate_hz": 4000} if metadata is None else metadata
        write_text(f"{uid}/metadata.json", json.dumps(given).encode())

    return write


def test_uid_folders_take_their_labels_and_sides_from_the_tables(
    write_uid: Callable, write_text: Callable, run_ingest: Callable
) -> None:
    write_uid("u1")
    write_uid(
        "u2", suffix=".flac", format="FLAC", seed=1, metadata={"encoding": "FLAC", "sample_rate_hz": 4e3, "x": [1]}
    )
    write_uid(
        "u3",
        suffix=".ogg",
        format="OGG",
        subtype="VORBIS",
        sample_rate_hz=8000,
        metadata={"encoding": "OGG", "sample_rate_hz": 8000},
    )
    write_text("targets.txt", b"crackle\r\nfine wheeze\r\n")
    write_text("train.csv", b"uid,who,crackle,fine wheeze\nu1,P1,1,0\nu2,P1,,1\n")
    write_text("test.csv", b"who,fine wheeze,crackle,uid\n")
    result = run_ingest("uid_json", patient="who")
    assert result.rejected == []
    row = result.row("set/u2")
    assert (row["patient_id"], row["path"], row["attr_official_split"]) == ("set/P1", "u2/waveform.flac", "train")
    assert row["label_fine wheeze"] == "1"
    assert row.isna()["label_crackle"]
    lonely = result.row("set/u3")
    assert lonely["patient_id"] == "set/u3"
    assert lonely[["label_crackle", "label_fine wheeze", "attr_official_split"]].isna().all()
    assert result.summary["notices"] == {
        "folder_without_row": {"count": 1, "subjects": ["u3"]},
        "patient_unknown": {"count": 1, "subjects": ["set/u3"]},
    }


def test_what_programs_write_for_nothing_is_no_target_patient_or_type(
    write_uid: Callable, write_text: Callable, run_ingest: Callable
) -> None:
    write_uid("u1")
    write_uid("u2", seed=1)
    write_text("targets.txt", b"crackle\nwheeze\n")
    write_text("train.csv", b"uid,who,crackle,wheeze\nu1,P1,NA,none\nu2,nan,1,1\n")
    write_text("test.csv", b"uid,who,crackle,wheeze\n")
    result = run_ingest("uid_json", patient="who")
    assert result.fault_classes == [("train.csv", 3, "patient")]
    assert result.row("set/u1").isna()["label_crackle"]
    assert result.row("set/u1")["label_wheeze"] == "none"
    write_text("info.csv", b"files,type\nu1/waveform.wav,N/A\nu2/waveform.wav,none\n")
    listed = run_ingest("files_csv").recordings.set_index("recording_id")["label_type"]
    assert listed.isna().to_list() == [True, False]


@pytest.mark.parametrize(("layout", "options"), [("files_csv", {"folder": "audio"}), ("manifest", {})])
def test_audio_files_that_no_row_names_are_noticed(
    write_wav: Callable, write_text: Callable, run_ingest: Callable, layout: str, options: dict[str, Any]
) -> None:
    for number, name in enumerate(("audio/a.wav", "audio/b.WAV", "z.wav", "audio/sub/c.wav", "audio/bad.wav")):
        write_wav(name, seed=number, format="WAV")
    write_text("audio/notes.txt", b"no sound")
    if layout == "files_csv":
        write_text("info.csv", b"files,type,age\n./a.wav,x,1\nbad.wav,x,old\n")
        result = run_ingest(layout, columns={"age_years": "age"}, **options)
    else:
        write_text("list.csv", b"file,age\naudio//a.wav,1\naudio/bad.wav,old\n")
        result = run_ingest(layout, manifest="list.csv", columns={"path": "file", "age_years": "age"})
    unnamed = ["audio/b.WAV", "audio/sub/c.wav", "z.wav"]
    assert result.summary["notices"]["file_without_row"] == {"count": 3, "subjects": unnamed}
    assert result.rejected == []
    assert result.summary["notices"]["not_understood"] == {"count": 1, "subjects": ["age 'old'"]}


def test_a_uid_in_both_tables_is_on_neither_side_and_has_no_label(
    write_uid: Callable, write_text: Callable, run_ingest: Callable
) -> None:
    write_uid("both")
    write_uid("good", seed=1)
    write_text("targets.txt", b"crackle\n")
    write_text("train.csv", b"uid,crackle\nboth,1\ngood,1\n")
    write_text("test.csv", b"uid,crackle\nboth,1\n")
    result = run_ingest("uid_json")
    assert result.fault_classes == [("test.csv", 2, "duplicate uid")]
    assert result.row("set/both").isna()[["label_crackle", "attr_official_split"]].all()
    assert result.row("set/good")["label_crackle"] == "1"


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, r"targets.txt: unreadable: No such file.*one a line"),
        ({"targets.txt": b"\n"}, "names no target column"),
        ({"targets.txt": b"crackle\n", "train.csv": b"uid,crackles\nu1,1\n"}, "unknown column 'crackle'; did you mean"),
        ({"targets.txt": b"crackle\n", "train.csv": b"id,crackle\nu1,1\n"}, "unknown column 'uid'"),
    ],
)
def test_uid_json_without_targets_or_columns_stops_with_a_message(
    write_uid: Callable, write_text: Callable, run_ingest: Callable, files: dict[str, bytes], reason: str
) -> None:
    write_uid("u1")
    for name, content in files.items():
        write_text(name, content)
    with pytest.raises(DataError, match=reason):
        run_ingest("uid_json")


def test_a_missing_table_of_one_side_is_named(write_uid: Callable, write_text: Callable, run_ingest: Callable) -> None:
    write_uid("u1")
    write_text("targets.txt", b"crackle\n")
    write_text("train.csv", b"uid,crackle\nu1,1\n")
    assert run_ingest("uid_json").fault_classes == [("test.csv", None, "missing table")]


@pytest.mark.parametrize("rate", ["true", "0", "-1", "4000.5", "null", "NaN", "1e99"])
def test_metadata_needs_a_sample_rate(rate: str) -> None:
    with pytest.raises(MalformedError):
        parse_metadata(f'{{"encoding": "WAV", "sample_rate_hz": {rate}}}'.encode())


@pytest.mark.parametrize("data", [b"[]", b"", b"\xff", b'{"encoding": ["WAV"], "sample_rate_hz": 4000}'])
def test_metadata_is_an_object_with_a_known_encoding(data: bytes) -> None:
    with pytest.raises(MalformedError, match=r"not JSON|not UTF-8|unknown encoding"):
        parse_metadata(data)


def test_target_names_may_hold_blanks_and_nothing_that_does_not_print() -> None:
    names, faults = parse_target_names(b"fine crackle\na\x07b\n\xff\n")
    assert names == ["fine crackle"]
    assert [(fault.line, fault.reason.split(":")[0]) for fault in faults] == [(2, "not text"), (3, "not UTF-8")]


def test_label_folders_give_their_labels_and_names_the_rest(write_wav: Callable, run_ingest: Callable) -> None:
    write_wav("crackle/p1_left.wav")
    write_wav("crackle + wheeze/p1_right.wav", seed=1)
    write_wav("normal/p2_left.flac", seed=2, format="FLAC")
    result = run_ingest(
        "label_folders",
        label="sounds",
        pattern="(?P<patient>p[0-9]+)_(?P<place>[a-z]+)",
        columns={"patient": "patient", "attributes": {"place": "place"}},
    )
    assert result.rejected == []
    row = result.row("set/crackle + wheeze/p1_right")
    assert (row["label_sounds"], row["patient_id"], row["attr_place"]) == ("crackle+wheeze", "set/p1", "right")
    assert result.summary["labels"]["sounds"]["counts"] == {"crackle": 1, "crackle+wheeze": 1, "normal": 1}


def test_a_misspelt_label_names_the_nearest_one() -> None:
    with pytest.raises(MalformedError, match="did you mean 'crackle'"):
        parse_label_set("crackel", ("crackle", "wheeze"))


def test_files_csv_reads_paths_and_types(write_wav: Callable, write_text: Callable, run_ingest: Callable) -> None:
    write_wav("audio/p1-a.wav")
    write_wav("audio/p2-a.mp3", seed=1, format="MP3", subtype="MPEG_LAYER_III", sample_rate_hz=16_000)
    write_text("info.csv", b"files,type,age\np1-a.wav,Wheeze,3\np2-a.mp3,,\n")
    result = run_ingest(
        "files_csv",
        folder="audio",
        pattern="(?P<who>p[0-9])-.*",
        columns={"patient": "who", "age_years": "age"},
    )
    assert result.rejected == []
    row = result.row("set/audio/p1-a")
    assert (row["label_type"], row["patient_id"], row["age_years"]) == ("Wheeze", "set/p1", 3.0)
    assert result.row("set/audio/p2-a").isna()["label_type"]


@pytest.mark.parametrize(
    ("layout", "options", "reason"),
    [
        ("files_csv", {"columns": {"path": "files"}}, "files_csv"),
        ("files_csv", {"columns": {"labels": {"type": "kind"}}}, "files_csv"),
        ("files_csv", {"pattern": "("}, "no regular expression"),
        ("label_folders", {"columns": {"patient": "who"}}, r"\['who'\] are no named groups"),
        (
            "label_folders",
            {"label": "x", "pattern": "(?P<a>.)", "columns": {"labels": {"x": "a"}}},
            "given by the folders",
        ),
        ("uid_json", {"pattern": "x"}, "unknown key 'pattern'"),
        ("uid_jsn", {}, "did you mean 'uid_json'"),
    ],
)
def test_settings_that_cannot_work_are_refused(layout: str, options: dict[str, Any], reason: str) -> None:
    raw = {"description": "a test", "root": "x", "layout": layout, **options}
    with pytest.raises(ValidationError, match=reason):
        TypeAdapter(DatasetSettings).validate_python(raw)


def test_a_reader_of_a_users_own_is_read_like_any_other(
    run_ingest, write_wav, write_text, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_documented(tmp_path)
    for number in range(3):
        write_wav(f"{number}.wav", seed=number)
    write_text("list.csv", b"file,patient,finding\n0.wav,ann,crackle\n1.wav,bob,-\n")
    found = run_ingest("ward")
    rows = found.recordings.set_index("recording_id")
    assert rows["patient_id"].to_dict() == {"set/0.wav": "set/ann", "set/1.wav": "set/bob"}
    assert rows["label_finding"].isna().to_dict() == {"set/0.wav": False, "set/1.wav": True}
    assert found.summary["notices"]["not_taken"]
    with pytest.raises(ConfigError, match="unknown layout 'wrad'; did you mean 'ward'"):
        parse(TypeAdapter(DatasetSettings), {"description": "", "root": "x", "layout": "wrad"}, "ward.yaml")
