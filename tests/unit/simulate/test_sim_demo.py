"""The demo and the command that writes it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from auscult.cli.simulate import app
from auscult_simulate.demo import MAX_BYTES, PARTS, write_demo
from auscult_simulate.layouts import SimulatedRecording
from auscult_simulate.recording import cycle_flags

SEED = 12

Demo = tuple[Path, dict[str, list[SimulatedRecording]]]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    root = tmp_path_factory.mktemp("demo")
    return root, write_demo(root, SEED)


def _cycles_by_class(written: list[SimulatedRecording]) -> dict[tuple[bool, bool], list[str]]:
    found: dict[tuple[bool, bool], list[str]] = {}
    for recording in written:
        for _, _, crackle, wheeze in cycle_flags(recording.sounds):
            found.setdefault((crackle, wheeze), []).append(recording.patient.patient_id)
    return found


def test_demo_fits_its_budget(demo: Demo) -> None:
    n_bytes = sum(path.stat().st_size for path in demo[0].rglob("*") if path.is_file())
    assert 5_000_000 < n_bytes <= MAX_BYTES


def test_demo_holds_all_six_datasets(demo: Demo) -> None:
    root, written = demo
    assert set(written) == set(PARTS) == {path.name for path in root.iterdir() if path.is_dir()}
    for name, part in PARTS.items():
        assert len({recording.patient.patient_id for recording in written[name]}) == part.n_patients


def test_demo_has_pneumonia_and_others_to_learn_from(demo: Demo) -> None:
    for name in ("icbhi", "jordan", "bd"):
        diseases = {recording.patient.patient_id: recording.disease for recording in demo[1][name]}
        n_ill = sum(disease == "pneumonia" for disease in diseases.values())
        assert 7 <= n_ill <= len(diseases) / 2


def test_demo_has_mild_cases_that_a_model_may_miss_and_grave_ones_that_it_should_not(demo: Demo) -> None:
    heard = {
        f"{name}/{recording.patient.patient_id}": recording.patient.crackles_per_breath
        for name in ("icbhi", "jordan", "bd")
        for recording in demo[1][name]
        if recording.disease == "pneumonia"
    }
    counts = np.array(list(heard.values()))
    assert len(counts) > 30
    assert 1 <= (counts == 0).sum() <= len(counts) / 8
    assert (counts < 4).mean() > 0.1
    assert (counts > 8).mean() > 0.1


def test_demo_icbhi_has_all_formats(demo: Demo) -> None:
    infos = [soundfile.info(recording.path) for recording in demo[1]["icbhi"]]
    assert {info.samplerate for info in infos} == {4000, 10_000, 44_100}
    assert {info.subtype for info in infos} == {"PCM_16", "PCM_24", "PCM_32"}


def test_demo_icbhi_has_all_cycle_classes_in_ten_patients_each(demo: Demo) -> None:
    classes = _cycles_by_class(demo[1]["icbhi"])
    assert {key: len(set(patients)) >= 10 for key, patients in classes.items()} == {
        (crackle, wheeze): True for crackle in (False, True) for wheeze in (False, True)
    }


@pytest.mark.parametrize("name", ["antwerp", "antwerp_sim", "perch"])
def test_demo_cycle_datasets_have_crackles_and_wheezes(demo: Demo, name: str) -> None:
    classes = _cycles_by_class(demo[1][name])
    assert len(set(classes[False, False])) >= 4
    crackles = {*classes.get((True, False), []), *classes.get((True, True), [])}
    wheezes = {*classes.get((False, True), []), *classes.get((True, True), [])}
    assert len(crackles) >= 3
    assert len(wheezes) >= 3


def test_demo_sounds_are_at_a_sane_level(demo: Demo) -> None:
    for written in demo[1].values():
        for recording in written:
            waveform, _ = soundfile.read(recording.path)
            assert 0.005 < np.sqrt(np.mean(waveform**2)) < 0.2
            assert np.mean(np.abs(waveform) > 0.999) < 0.005


def test_command_writes_a_dataset(tmp_path: Path) -> None:
    arguments = ["dataset", "perch", "--out", str(tmp_path / "perch"), "--patients", "2", "--seed", "3"]
    result = CliRunner().invoke(app, [*arguments, "--shortest", "2", "--longest", "3"])
    assert result.exit_code == 0, result.output
    assert "of 2 patients, layout perch, seed 3" in result.output
    assert list((tmp_path / "perch").glob("*.wav"))


def test_command_refuses_a_full_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("", encoding="utf-8")
    result = CliRunner().invoke(app, ["demo", "--out", str(tmp_path)])
    assert result.exit_code != 0
    assert "not empty" in str(result.exception)
