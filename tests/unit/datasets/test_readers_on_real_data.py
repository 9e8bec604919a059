import subprocess
from pathlib import Path

import pytest

from auscult.config import load_dataset
from auscult.datasets.ingest import ingest
from auscult.storage.files import read_json
from auscult.storage.tables import read_events, read_recordings


@pytest.fixture(scope="module")
def icbhi_tables(tmp_path_factory: pytest.TempPathFactory, real_data: Path, project_dir: Path) -> Path:
    root, output_dir = real_data / "icbhi_sample", tmp_path_factory.mktemp("icbhi")
    ingest(root, "icbhi", load_dataset(project_dir / "config", "icbhi"), output_dir)
    return output_dir


def test_the_real_sample_goes_in_whole(icbhi_tables: Path) -> None:
    table = read_recordings(icbhi_tables / "recordings.parquet").set_index("recording_id")
    assert len(table) == 10
    assert (icbhi_tables / "rejected.csv").read_text(encoding="utf-8") == "file,line,reason\n"
    assert table["label_diagnosis"].value_counts().to_dict() == {"copd": 6, "urti": 2, "healthy": 1, "asthma": 1}
    assert set(table["sample_rate_hz"]) == {4000, 44_100}
    assert table.loc["icbhi/102_1b1_Ar_sc_Meditron", "age_years"] == 0.75
    notices = read_json(icbhi_tables / "summary.json")["notices"]
    assert notices["official_list_absent"]["count"] == 910
    assert notices["official_list_both_sides"]["subjects"] == ["156", "218"]


def test_the_events_of_the_real_sample_equal_a_count_with_awk(icbhi_tables: Path, real_data: Path) -> None:
    program = """{ n++; c += $3 == 1 && $4 == 0; w += $3 == 0 && $4 == 1; b += $3 == 1 && $4 == 1; t += $2 - $1 }
        END { printf "%d %d %d %d %.6f", n, c, w, b, t }"""
    files = sorted(str(path) for path in (real_data / "icbhi_sample").glob("*_*_*_*_*.txt"))
    counted = subprocess.run(["awk", program, *files], capture_output=True, text=True, check=True).stdout.split()
    n_cycles, n_crackle, n_wheeze, n_both = (int(number) for number in counted[:4])
    events = read_events(icbhi_tables / "events.parquet")
    intervals = events.groupby(["recording_id", "start_s", "end_s"])["kind"].agg(lambda kinds: "+".join(sorted(kinds)))
    kinds = intervals.value_counts()
    assert len(intervals) == n_cycles == 97
    assert kinds.get("crackle+cycle", 0) == n_crackle
    assert kinds.get("cycle+wheeze", 0) == n_wheeze
    assert kinds.get("crackle+cycle+wheeze", 0) == n_both
    cycles = events[events["kind"] == "cycle"]
    # One cycle file ends some samples after its recording, which is cut there.
    assert (cycles["end_s"] - cycles["start_s"]).sum() == pytest.approx(float(counted[4]), abs=0.05)
    lines = {Path(file).stem: len(Path(file).read_text(encoding="ascii").split("\n")) - 1 for file in files}
    assert cycles["recording_id"].str.removeprefix("icbhi/").value_counts().to_dict() == lines


def test_the_official_sides_of_the_real_sample_equal_the_list(icbhi_tables: Path, real_data: Path) -> None:
    text = (real_data / "icbhi_sample" / "ICBHI_challenge_train_test.txt").read_text(encoding="ascii")
    listed = dict(line.split("\t") for line in text.splitlines())
    table = read_recordings(icbhi_tables / "recordings.parquet")
    for recording_id, side in zip(table["recording_id"], table["attr_official_split"], strict=True):
        assert side == listed[recording_id.removeprefix("icbhi/")]


def test_all_of_fsdd_goes_in(real_data: Path, project_dir: Path, tmp_path: Path) -> None:
    settings = load_dataset(project_dir / "config", "fsdd")
    ingest(real_data / "fsdd" / "recordings", "fsdd", settings, tmp_path)
    table = read_recordings(tmp_path / "recordings.parquet")
    assert len(table) == 3000
    assert table["patient_id"].nunique() == 6
    assert table["label_digit"].value_counts().to_dict() == {str(digit): 300 for digit in range(10)}
    assert (table["attr_index"].value_counts() == 60).all()
    assert read_json(tmp_path / "summary.json")["rejected"]["total"] == 0
