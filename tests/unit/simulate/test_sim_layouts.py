"""The written trees: names, formats, dirt, equal bytes from equal seeds."""

import hashlib
import re
from pathlib import Path

import pytest
import soundfile
from openpyxl import load_workbook

from auscult.errors import ConfigError, DataError
from auscult_simulate.audio_files import AUDIO_FORMATS
from auscult_simulate.layouts import WRITERS
from auscult_simulate.layouts.bd import AUDIO_FOLDER
from auscult_simulate.layouts.jordan import N_JUNK_ROWS
from auscult_simulate.recording import cycle_flags
from auscult_simulate.write import write_dataset

SHORT = (2.5, 3.0)
SUFFIXES = tuple(AUDIO_FORMATS)


def _digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("layout", sorted(WRITERS))
def test_equal_seeds_give_equal_bytes(layout: str, tmp_path: Path) -> None:
    for name, seed in (("a", 4), ("b", 4), ("c", 5)):
        write_dataset(layout, tmp_path / name, n_patients=4, seed=seed, duration_s=SHORT, recordings_per_patient=(1, 2))
    first, again, other = (_digests(tmp_path / name) for name in "abc")
    assert first == again
    assert not set(first.values()) & {d for name, d in other.items() if name.endswith(SUFFIXES)}


@pytest.mark.parametrize("layout", ["antwerp", "perch", "bd", "sprsound", "manifest", "files_csv"])
def test_a_recording_does_not_depend_on_how_many_there_are(layout: str, tmp_path: Path) -> None:
    for name, count in (("few", 2), ("many", 4)):
        write_dataset(
            layout, tmp_path / name, n_patients=4, seed=2, duration_s=SHORT, recordings_per_patient=(count, count)
        )
    few, many = _digests(tmp_path / "few"), _digests(tmp_path / "many")
    sounds = [name for name in few if name.endswith(SUFFIXES)]
    assert len(sounds) == 8
    assert all(few[name] == many[name] for name in sounds)


@pytest.mark.parametrize("layout", sorted(WRITERS))
def test_truth_describes_the_files(layout: str, tmp_path: Path) -> None:
    written = write_dataset(layout, tmp_path, n_patients=5, seed=1, duration_s=SHORT, dataset="mine")
    sounds = [path for path in tmp_path.rglob("*") if path.suffix in SUFFIXES]
    assert sorted(recording.path for recording in written) == sorted(sounds)
    assert len({recording.recording_id for recording in written}) == len(written)
    for recording in written:
        info = soundfile.info(recording.path)
        assert info.samplerate == recording.sample_rate_hz
        assert info.duration == pytest.approx(recording.duration_s)
        assert info.channels == recording.n_channels
        assert recording.recording_id.startswith("mine/")
        for event in (*recording.events, *recording.annotations):
            assert event.recording_id == recording.recording_id
            assert 0 <= event.start_s < event.end_s <= info.duration + 1e-9


@pytest.mark.parametrize("layout", ["icbhi", "antwerp", "antwerp_sim", "perch"])
def test_cycle_files_say_what_is_there(layout: str, tmp_path: Path) -> None:
    for recording in write_dataset(layout, tmp_path, n_patients=6, seed=1, duration_s=(3, 5)):
        text = recording.path.with_suffix(".txt").read_text(encoding="ascii")
        lines = [line.split("\t") for line in text.splitlines()]
        truth = cycle_flags(recording.sounds)
        assert len(lines) == len(truth) > 0
        for (start, end, crackle, wheeze), (start_s, end_s, has_crackle, has_wheeze) in zip(lines, truth, strict=True):
            assert float(start) == pytest.approx(start_s, abs=0.0011)
            assert float(end) == pytest.approx(end_s, abs=0.0011)
            assert float(end) <= recording.duration_s
            assert (crackle, wheeze) == (str(int(has_crackle)), str(int(has_wheeze)))


def test_icbhi_has_its_formats_and_names(tmp_path: Path) -> None:
    written = write_dataset(
        "icbhi", tmp_path, n_patients=24, seed=3, duration_s=SHORT, recordings_per_patient=(2, 4), wide_share=0.2
    )
    formats = {(soundfile.info(r.path).samplerate, soundfile.info(r.path).subtype) for r in written}
    assert {rate for rate, _ in formats} == {4000, 10_000, 44_100}
    assert {subtype for _, subtype in formats} == {"PCM_16", "PCM_24", "PCM_32"}
    name = re.compile(r"\d{3}_\d[bp]\d_(Tc|Al|Ar|Pl|Pr|Ll|Lr)_(sc|mc)_(AKGC417L|LittC2SE|Litt3200|Meditron)")
    stems = [recording.path.stem for recording in written]
    assert all(name.fullmatch(stem) for stem in stems)
    assert {stem.split("_")[1][1] for stem in stems} == {"b", "p"}
    assert {stem.split("_")[3] for stem in stems} == {"sc", "mc"}
    # The first four fields name a recording.
    assert len({stem.rsplit("_", 1)[0] for stem in stems}) == len(stems)


def test_icbhi_official_list_has_its_dirt(tmp_path: Path) -> None:
    written = write_dataset("icbhi", tmp_path, n_patients=24, seed=3, duration_s=SHORT, recordings_per_patient=(2, 4))
    text = (tmp_path / "ICBHI_challenge_train_test.txt").read_text(encoding="ascii")
    assert not text.endswith("\n")
    listed = dict(line.split("\t") for line in text.splitlines())
    stems = {recording.path.stem for recording in written}
    keys = {stem.rsplit("_", 1)[0] for stem in stems}
    assert set(listed.values()) == {"train", "test"}
    assert len([stem for stem in listed if stem.rsplit("_", 1)[0] not in keys]) >= 3
    renamed = [stem for stem in listed if stem not in stems and stem.rsplit("_", 1)[0] in keys]
    assert renamed
    note = (tmp_path / "filename_differences.txt").read_text(encoding="ascii")
    assert all(stem in note for stem in renamed)
    sides: dict[str, set[str]] = {}
    for stem, side in listed.items():
        sides.setdefault(stem.split("_")[0], set()).add(side)
    assert {patient for patient, found in sides.items() if len(found) == 2} == {"156", "218"}
    ill = {recording.patient.patient_id for recording in written if recording.disease == "pneumonia"}
    assert {"122", "135", "140", "191", "219", "226"} <= ill
    assert all(sides[patient] == {"train"} for patient in ill)


@pytest.mark.parametrize("variant", ["a", "b"])
def test_icbhi_patient_files(variant, tmp_path: Path) -> None:
    written = write_dataset(
        "icbhi", tmp_path, n_patients=24, seed=3, duration_s=SHORT, recordings_per_patient=(2, 4), variant=variant
    )
    patients = {recording.patient.patient_id: recording.patient for recording in written}
    demographics = (tmp_path / "demographic_info.txt").read_bytes()
    if variant == "a":
        diagnoses = (tmp_path / "patient_diagnosis.csv").read_bytes()
        assert diagnoses.count(b"\r\n") == len(patients) - 1
        rows = [line.split(",") for line in diagnoses.decode("ascii").split("\r\n")]
        assert demographics.startswith(b"\r\n1")
        bodies = [line.split(" ") for line in demographics.decode("ascii").split("\r\n")[1:-1]]
    else:
        diagnoses = (tmp_path / "ICBHI_Challenge_diagnosis.txt").read_bytes()
        rows = [line.split("\t") for line in diagnoses.decode("ascii").split("\n")]
        bodies = [line.split("\t") for line in demographics.decode("ascii").split("\r\n")[:-1]]
    assert not diagnoses.endswith(b"\n")
    assert [row[0] for row in rows] == sorted(patients)
    assert {row[1] for row in rows} >= {"Pneumonia", "COPD", "Asthma", "Bronchiolitis", "Healthy", "URTI"}
    assert all(len(body) == 6 for body in bodies)
    by_id = {body[0]: body[1:] for body in bodies}
    assert by_id["223"] == ["NA"] * 5
    for patient_id, patient in patients.items():
        if patient_id != "223":
            assert float(by_id[patient_id][0]) == pytest.approx(patient.age_years)
            assert by_id[patient_id][1] == patient.sex[0].upper()


@pytest.mark.parametrize(("variant", "folder"), [("a", "Audio Files"), ("b", "Audio_Files")])
def test_jordan_triples_and_sheet(variant, folder: str, tmp_path: Path) -> None:
    written = write_dataset("jordan", tmp_path, n_patients=24, seed=1, duration_s=SHORT, variant=variant)
    assert len(written) == 72
    name = re.compile(r"([BDE])P(\d+)_([^,]+),([^,]+),([^,]+),(\d+),([MF])")
    parts = [name.fullmatch(path.stem) for path in sorted((tmp_path / folder).iterdir())]
    assert all(parts)
    found = {(match[2], match[1]) for match in parts if match}
    assert found == {(str(number), letter) for number in range(1, 25) for letter in "BDE"}
    assert any(match[5].endswith(" ") for match in parts if match)
    sheet = load_workbook(tmp_path / "Data annotation.xlsx").active
    assert sheet is not None
    rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
    assert rows[0][:5] == ["Age", "Gender", "Location", "Sound type", "Diagnosis"]
    assert len(rows) == 1 + 24 + N_JUNK_ROWS
    assert str(rows[1][9]).startswith("I: ")
    diagnoses = [str(row[4]) for row in rows[1:25]]
    assert any(text.endswith(" ") for text in diagnoses)
    by_number = {match[2]: match for match in parts if match}
    for number, row in enumerate(rows[1:25], start=1):
        match = by_number[str(number)]
        assert (str(row[0]), row[1]) == (match[6], match[7])
        assert str(row[4]).strip() == match[3]
        assert str(row[3]).strip() == match[4]
    spelt = {text.strip() for text in diagnoses}
    assert {text.lower() for text in spelt} >= {"pneumonia", "asthma", "copd", "n", "bron", "plueral effusion"}
    assert len(spelt) > len({text.lower() for text in spelt})


def test_bd_folders_and_sheet(tmp_path: Path) -> None:
    written = write_dataset("bd", tmp_path, n_patients=12, seed=1, duration_s=SHORT)
    folders = {path.name: path for path in (tmp_path / AUDIO_FOLDER).iterdir()}
    assert len(folders) == 13
    assert all(re.fullmatch(r"\d{7}_SEGMENTED", name) for name in folders)
    counts = {name: len(list(path.iterdir())) for name, path in folders.items()}
    assert sorted(counts.values())[:2] == [0, 1]
    name = re.compile(r"\d{7}[_-]\d{6}[_-]\d{3}-\d[_-]F")
    stems = [recording.path.stem for recording in written]
    assert all(name.fullmatch(stem) for stem in stems)
    assert {"_" in stem for stem in stems} == {True, False}
    sheet = load_workbook(tmp_path / "Bangladesh_PCV_onlyStudyPatients.xlsx").active
    assert sheet is not None
    header, *rows = [[cell.value for cell in row] for row in sheet.iter_rows()]
    endpoints = {row[header.index("HOSP_ID")]: row[header.index("PEP1")] for row in rows}
    assert all(isinstance(identity, int) for identity in endpoints)
    assert set(endpoints.values()) == {0, 1, "Uninterpretable"}
    ids = {recording.patient.patient_id: recording.disease for recording in written}
    assert any(identity.startswith("0") for identity in ids)
    missing = [identity for identity in ids if int(identity) not in endpoints]
    assert len(missing) == 1
    assert len([identity for identity in endpoints if f"{identity:07d}" not in ids]) == 2
    for identity, disease in ids.items():
        endpoint = endpoints.get(int(identity))
        assert endpoint in (None, "Uninterpretable", int(disease == "pneumonia"))


def test_perch_names(tmp_path: Path) -> None:
    written = write_dataset("perch", tmp_path, n_patients=8, seed=1, duration_s=SHORT)
    assert all(re.fullmatch(r"[A-Z]\d{5}-\d{2}\.wav_F\.wav", recording.path.name) for recording in written)
    assert len({recording.path.name[0] for recording in written}) == 7
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == sorted(f"{r.path.name[:-4]}.txt" for r in written)


def test_refuses_a_folder_that_holds_something(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me", encoding="utf-8")
    with pytest.raises(DataError, match=r"not empty \(1 entries, such as 'mine.txt'\)"):
        write_dataset("perch", tmp_path, n_patients=1, seed=0)
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "keep me"
    with pytest.raises(DataError, match="is a file"):
        write_dataset("perch", tmp_path / "mine.txt", n_patients=1, seed=0)


@pytest.mark.parametrize(
    ("layout", "settings", "message"),
    [
        ("ICBHI", {}, "unknown layout 'ICBHI'"),
        ("icbhi", {"n_patients": 0}, "n_patients is 0"),
        ("icbhi", {"seed": -1}, "seed is -1"),
        ("icbhi", {"duration_s": (5.0, 4.0)}, r"duration_s is \(5.0, 4.0\)"),
        ("icbhi", {"wide_duration_s": (0.1, 4.0)}, "wide_duration_s"),
        ("icbhi", {"recordings_per_patient": (0, 2)}, "recordings_per_patient"),
        ("icbhi", {"wide_share": 2.0}, "wide_share"),
    ],
)
def test_refuses_impossible_settings(layout: str, settings: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        write_dataset(layout, tmp_path / "out", **{"n_patients": 2, "seed": 0, **settings})
    assert not (tmp_path / "out").exists()


def test_icbhi_refuses_more_patients_than_ids(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="800 patients asked for"):
        write_dataset("icbhi", tmp_path / "out", n_patients=800, seed=0)
