"""SPRSound, HF_Lung_V1 and the general layouts: names, words, the dirt that is no fault."""

import csv
import json
import re
from collections import Counter
from pathlib import Path

import pytest
import soundfile
import yaml
from pydantic import TypeAdapter
from typer.testing import CliRunner

from auscult.cli.simulate import app
from auscult.config import DatasetSettings
from auscult.config.dataset import LAYOUTS
from auscult.datasets.ingest import ingest
from auscult.errors import ConfigError, DataError
from auscult.storage.files import read_json
from auscult_simulate.audio_files import AUDIO_FORMATS, page_checksum, with_fixed_stream
from auscult_simulate.dataset_yaml import dataset_settings, dataset_yaml
from auscult_simulate.layouts import WRITERS
from auscult_simulate.write import write_dataset

SHORT = (2.5, 3.0)
GENERAL = ["manifest", "uid_json", "label_folders", "files_csv"]


def _write(layout: str, root: Path, variant: str = "a", n_patients: int = 14) -> list:
    return write_dataset(
        layout, root, n_patients=n_patients, seed=4, duration_s=SHORT, recordings_per_patient=(3, 3), variant=variant
    )


@pytest.mark.parametrize("variant", ["a", "b"])
def test_sprsound_names_and_annotations(variant: str, tmp_path: Path) -> None:
    written = _write("sprsound", tmp_path, variant)
    name = re.compile(r"\d{8}_\d{1,2}\.\d_[01]_p[1-4]_\d{4}\.wav")
    assert all(name.fullmatch(recording.path.name) for recording in written)
    documents = [json.loads(path.read_bytes()) for path in sorted(tmp_path.rglob("*.json"))]
    assert len(documents) == len(written)
    keys = {key for document in documents for key in document}
    times = {type(event["start"]) for document in documents for event in document["event_annotation"]}
    other = {"recording_annotation"} if variant == "b" else set()
    assert keys == {"record_annotation", "event_annotation", *other}
    assert times == ({str, int} if variant == "b" else {str})
    starts = [[int(event["start"]) for event in document["event_annotation"]] for document in documents]
    assert any(found != sorted(found) for found in starts), "events stand in no order"
    records = Counter(document.get("record_annotation", document.get("recording_annotation")) for document in documents)
    assert {"Normal", "CAS", "DAS", "Poor Quality"} <= set(records)
    assert {event["type"] for document in documents for event in document["event_annotation"]} >= {"Normal", "Wheeze"}
    folders = {path.parent.name for path in tmp_path.rglob("*.json")}
    assert folders == ({"train_json", "test_json"} if variant == "a" else {"train", "test"})


def test_hf_lung_pieces_share_what_stands_for_their_patient(tmp_path: Path) -> None:
    written = _write("hf_lung", tmp_path)
    name = re.compile(r"steth_\d{8}(_\d\d){3}|trunc_\d{4}(-\d\d){5}-L\d_\d+")
    assert all(name.fullmatch(recording.path.stem) for recording in written)
    per_patient = Counter(recording.patient.patient_id for recording in written)
    assert {key.split("_")[0]: count for key, count in per_patient.items()} == {"steth": 1, "trunc": 3}
    rows = [row.split(" ") for path in tmp_path.rglob("*_label.txt") for row in path.read_text().splitlines()]
    assert {row[0] for row in rows} == {"I", "E", "D", "Wheeze", "Rhonchi"}
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}", time) for row in rows for time in row[1:])
    assert [path for path in tmp_path.rglob("*_label.txt") if path.stat().st_size == 0]


def test_hf_lung_lasts_fifteen_seconds_unless_asked_otherwise(tmp_path: Path) -> None:
    written = write_dataset("hf_lung", tmp_path, n_patients=1, seed=1)
    assert {recording.duration_s for recording in written} == {15.0}


@pytest.mark.parametrize("layout", GENERAL)
def test_general_layouts_hold_all_formats_some_of_two_channels(layout: str, tmp_path: Path) -> None:
    found: dict[str, set[int]] = {}
    for recording in _write(layout, tmp_path):
        info = soundfile.info(recording.path)
        assert info.format == AUDIO_FORMATS[recording.path.suffix][0]
        found.setdefault(recording.path.suffix, set()).add(info.channels)
    assert found == {suffix: {1, 2} for suffix in AUDIO_FORMATS}


def test_the_manifests_rows_of_one_file_say_the_same_in_several_spellings(tmp_path: Path) -> None:
    written = _write("manifest", tmp_path / "a")
    _write("manifest", tmp_path / "b", "b")
    content = (tmp_path / "a" / "recordings.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbffile,")
    assert content.count(b"\r\n") == content.count(b"\n")
    assert b"\r\n\r\n" in content
    assert b'"St. Mary, South"' in content
    assert not (tmp_path / "b" / "recordings.tsv").read_bytes().endswith(b"\n")
    with open(tmp_path / "a" / "recordings.csv", encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) > len(written)
    assert {row["event"] for row in rows} == {"cycle", "crackle", "wheeze", ""}
    assert {row["sex"] for row in rows} == {"male", "female", "M", "F", "male ", "female "}
    assert {row["file"][:2] for row in rows} == {"au", "./"}
    assert "NA" in {row["age"] for row in rows}


def test_label_folders_say_what_is_in_their_sounds(tmp_path: Path) -> None:
    for variant, compound in (("a", "crackle+wheeze"), ("b", "crackle + wheeze")):
        written = _write("label_folders", tmp_path / variant, variant)
        assert {path.name for path in (tmp_path / variant).iterdir()} == {"crackle", "wheeze", "normal", compound}
        for recording in written:
            kinds = {sound.kind for sound in recording.sounds}
            assert ("crackle" in recording.path.parent.name) is bool(kinds & {"fine_crackle", "coarse_crackle"})
            assert ("wheeze" in recording.path.parent.name) is bool(kinds & {"wheeze", "rhonchus"})


def test_uid_json_keeps_a_patient_in_one_table(tmp_path: Path) -> None:
    _write("uid_json", tmp_path)
    patients = {}
    for side in ("train", "test"):
        with open(tmp_path / f"{side}.csv", encoding="utf-8", newline="") as stream:
            patients[side] = {row["patient"] for row in csv.DictReader(stream)}
    assert patients["train"]
    assert patients["test"]
    assert not patients["train"] & patients["test"]


@pytest.mark.parametrize("variant", ["a", "b"])
@pytest.mark.parametrize("layout", sorted(WRITERS))
def test_the_yaml_says_what_the_settings_say(layout: str, variant, tmp_path: Path) -> None:
    text = dataset_yaml(layout, tmp_path, variant)
    settings = TypeAdapter(DatasetSettings).validate_python(yaml.safe_load(text))
    assert settings == dataset_settings(layout, tmp_path, variant)
    assert settings.layout == layout


def test_an_unknown_layout_has_no_yaml() -> None:
    with pytest.raises(ConfigError, match="unknown layout 'manifst'; did you mean 'manifest'"):
        dataset_yaml("manifst", Path("data"))


def test_command_names_all_layouts() -> None:
    result = CliRunner().invoke(app, ["dataset", "--help"], env={"COLUMNS": "400"})
    assert all(layout in result.output for layout in LAYOUTS)


def test_what_the_command_prints_reads_what_it_wrote(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    arguments = ["dataset", "files_csv", "--out", str(root), "--patients", "3", "--shortest", "2", "--longest", "3"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    (tmp_path / "mine.yaml").write_text(result.output, encoding="utf-8")
    settings = TypeAdapter(DatasetSettings).validate_python(yaml.safe_load((tmp_path / "mine.yaml").read_bytes()))
    ingest(root, "mine", settings, tmp_path / "tables")
    summary = read_json(tmp_path / "tables" / "summary.json")
    assert summary["rejected"]["total"] == 0
    assert summary["patients"] == 3
    assert "simulated" in summary["notices"], "the mark in the folder says that no patient was recorded"


def test_ogg_pages_get_a_fixed_number_and_a_true_checksum(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.ogg", [0.0] * 9000, 8000, format="OGG", subtype="VORBIS")
    written = (tmp_path / "a.ogg").read_bytes()
    # libsndfile's own checksum of its first page, which ends where the second one starts.
    first = written[: written.index(b"OggS", 4)]
    assert page_checksum(first[:22] + bytes(4) + first[26:]) == int.from_bytes(first[22:26], "little")
    fixed = with_fixed_stream(written)
    assert fixed == with_fixed_stream(fixed)
    assert fixed[14:18] == b"\x01\0\0\0"
    (tmp_path / "a.ogg").write_bytes(fixed)
    assert soundfile.info(tmp_path / "a.ogg").frames == 9000
    with pytest.raises(DataError, match="found no Ogg page at byte 0"):
        with_fixed_stream(b"RIFF" + bytes(40))
