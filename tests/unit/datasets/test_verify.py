import shutil

import numpy as np
import pytest
import soundfile
from pydantic import TypeAdapter
from tests.planted_faults import plant_faults

from auscult.config import DatasetSettings
from auscult.datasets.ingest import ingest
from auscult.datasets.sources import read_root
from auscult.datasets.verify import compare, verify
from auscult.reports.dataset_text import print_verification
from auscult_simulate.write import write_dataset


def at(settings, root):
    return settings.model_copy(update={"root": str(root)})


@pytest.fixture
def copied_root(simulated_root, tmp_path):
    shutil.copytree(simulated_root, tmp_path / "lungs")
    return tmp_path / "lungs"


def test_a_clean_tree_is_clean_and_nothing_is_written(simulated_root, lungs_settings, tmp_path):
    before = sorted(simulated_root.parent.rglob("*"))
    found = verify("lungs", at(lungs_settings, simulated_root), tables_dir=tmp_path / "none")
    assert found.is_clean
    assert found.compared_with is None
    assert found.published == {}
    assert sorted(simulated_root.parent.rglob("*")) == before


def test_every_planted_fault_is_named_with_its_file_and_line(tmp_path, lungs_settings):
    root = tmp_path / "lungs"
    write_dataset("icbhi", root, n_patients=20, seed=2, duration_s=(2.0, 3.0))
    planted = plant_faults(root, "icbhi", np.random.default_rng(1))
    found = verify("lungs", at(lungs_settings, root), tables_dir=None)
    named = {(fault.file, fault.line) for fault in found.faults}
    assert len(planted) >= 10
    assert {(fault.file, fault.line) for fault in planted} == named
    assert not found.is_clean


def test_equal_bytes_under_two_patients_are_found(copied_root, lungs_settings, lungs_tables):
    by_patient = lungs_tables.recordings.drop_duplicates("patient_id")
    first, second = by_patient["path"].iloc[0], by_patient["path"].iloc[1]
    shutil.copyfile(copied_root / first, copied_root / second)
    (copied_root / second).with_suffix(".txt").write_bytes((copied_root / first).with_suffix(".txt").read_bytes())
    found = verify("lungs", at(lungs_settings, copied_root), tables_dir=None)
    assert [len(shared.patients) for shared in found.shared_between_patients] == [2]
    assert not found.is_clean


def test_the_tables_are_compared_recording_by_recording(copied_root, lungs_settings, lungs_tables, tmp_path):
    ingest(copied_root, "lungs", lungs_settings, tmp_path / "tables")
    assert verify("lungs", at(lungs_settings, copied_root), tables_dir=tmp_path / "tables").difference.is_none
    rows = lungs_tables.recordings.drop_duplicates("patient_id")
    lost, changed, retold = rows["recording_id"].iloc[:3]
    paths = [copied_root / path for path in rows["path"].iloc[:3]]
    data = bytearray(paths[1].read_bytes())
    data[-2] ^= 1
    paths[1].write_bytes(data)
    lines = paths[2].with_suffix(".txt").read_text().splitlines()
    paths[2].with_suffix(".txt").write_text("\n".join(lines[:-1]) + "\n")
    added = paths[0].with_name(paths[0].name.replace("1b1", "9b9").replace("1b2", "9b9"))
    for suffix in (".wav", ".txt"):
        paths[0].with_suffix(suffix).rename(added.with_suffix(suffix))
    difference = verify("lungs", at(lungs_settings, copied_root), tables_dir=tmp_path / "tables").difference
    assert difference.gained == (f"lungs/{added.stem}",)
    assert difference.lost == (lost,)
    assert difference.changed == (changed,)
    assert difference.described_otherwise == (retold,)


def test_a_label_that_changed_is_told(lungs_tables):
    other = lungs_tables.recordings.copy()
    other.loc[0, "label_diagnosis"] = "measles"
    other["attr_new"] = None
    before = type(lungs_tables)(other, lungs_tables.events, lungs_tables.rejected, lungs_tables.summary, None)
    assert compare(lungs_tables, before).described_otherwise == (other.loc[0, "recording_id"],)


def test_tables_that_cannot_be_read_are_not_clean(simulated_root, lungs_settings, tmp_path):
    ingest(simulated_root, "lungs", lungs_settings, tmp_path / "tables")
    (tmp_path / "tables" / "recordings.parquet").write_bytes(b"PAR1")
    found = verify("lungs", at(lungs_settings, simulated_root), tables_dir=tmp_path / "tables")
    assert not found.is_clean
    assert "run the ingest of this dataset again" in found.tables_error


def test_a_real_sample_is_compared_with_the_published_counts(real_data, lungs_settings, capsys):
    found = verify("icbhi", at(lungs_settings, real_data / "icbhi_sample"), tables_dir=None)
    assert found.is_clean
    assert found.published["recordings"] == 920
    assert found.counts["events of kind cycle"] == 97
    print_verification(found)
    printed = capsys.readouterr().out
    assert "920 published" in printed
    assert "official list both sides" in printed
    assert "Clean" in printed


def test_an_empty_root_is_an_error_not_a_crash(tmp_path, lungs_settings):
    (tmp_path / "empty").mkdir()
    found = verify("lungs", at(lungs_settings, tmp_path / "empty"), tables_dir=None)
    assert not found.is_clean
    assert "no usable recording" in found.error
    assert found.as_dict()["is_clean"] is False


def test_read_root_leaves_nothing_behind(simulated_root, lungs_settings, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert read_root(simulated_root, "lungs", lungs_settings).folder is None
    assert list(tmp_path.iterdir()) == []


def table_settings(root, **columns):
    values = {"description": "t", "root": str(root), "layout": "manifest", "manifest": "list.csv"}
    return TypeAdapter(DatasetSettings).validate_python({**values, "columns": {"path": "file", **columns}})


def test_ids_that_may_be_one_person_are_named_as_pairs_and_numbers_are_one_id(root, write_wav, write_text, capsys):
    ids = ["7", "7.0", "M\u00fcller", "Mu\u0308ller", "019", "19", "P1", "p1", "P\u20112", "P-2"]
    for number in range(len(ids)):
        write_wav(f"{number}.wav", seed=number)
    rows = "".join(f"{number}.wav,{patient}\n" for number, patient in enumerate(ids))
    write_text("list.csv", f"file,who\n{rows}".encode())
    found = verify("ward", table_settings(root, patient="who"), tables_dir=None)
    assert found.counts["patients"] == 8
    pairs = [notice.subject for notice in found.notices if notice.kind == "similar_patient_ids"]
    assert pairs == ["ward/019 = ward/19", "ward/P-2 = ward/P\u20112", "ward/P1 = ward/p1"]
    print_verification(found)
    assert "ward/P1 = ward/p1: perhaps one person" in " ".join(capsys.readouterr().out.split())


def test_what_is_odd_about_a_sound_is_named_with_its_reason_and_remedy(root, write_text):
    noise = np.random.default_rng(0).normal(0, 0.1, 8000)
    for name, sound, kind in (
        ("zero", 0 * noise, "PCM_16"),
        ("constant", 0 * noise + 0.3, "PCM_16"),
        ("against", np.stack([noise, -noise], 1), "PCM_16"),
        ("loud", 10_000 * noise, "FLOAT"),
        ("plain", noise, "PCM_16"),
    ):
        soundfile.write(root / f"{name}.wav", sound, 4000, subtype=kind)
    write_text("list.csv", b"file\nzero.wav\nconstant.wav\nagainst.wav\nloud.wav\nplain.wav\n")
    found = verify("ward", table_settings(root), tables_dir=None)
    silent = {notice.subject: notice.text for notice in found.notices if notice.kind == "no_sound"}
    assert set(silent) == {"zero.wav", "constant.wav", "against.wav"}
    assert "every sample is 0" in silent["zero.wav"]
    assert "set `channel`" in silent["against.wav"]
    (loud,) = (notice for notice in found.notices if notice.kind == "over_full_scale")
    assert (loud.subject, "say `full_scale: NUMBER`" in loud.text) == ("loud.wav", True)
