import json
import subprocess
from collections import Counter
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


SPRSOUND_RECORDS = {
    "train": {"normal": 1303, "das": 248, "poor quality": 177, "cas": 126, "cas+das": 95},
    "inter": {"normal": 241, "das": 24, "poor quality": 8, "cas": 65, "cas+das": 17},
    "intra": {"normal": 241, "das": 75, "poor quality": 2, "cas": 42, "cas+das": 19},
}
SPRSOUND_EVENTS = {"train": 6656, "inter": 1429, "intra": 1004}


@pytest.mark.slow
def test_all_of_sprsound_2022_goes_in_as_it_lies(real_data: Path, project_dir: Path, tmp_path: Path) -> None:
    root = real_data / "sprsound_2022"
    ingest(root, "sprsound", load_dataset(project_dir / "config", "sprsound"), tmp_path)
    assert (tmp_path / "rejected.csv").read_text(encoding="utf-8") == "file,line,reason\n"
    table, events = read_recordings(tmp_path / "recordings.parquet"), read_events(tmp_path / "events.parquet")
    assert (len(table), table["patient_id"].nunique()) == (2683, 292)
    folders = {"train": "train_json", "inter": "test_json/inter_test_json", "intra": "test_json/intra_test_json"}
    patients = {}
    for part, folder in folders.items():
        here = table[table["attr_part"] == part]
        patients[part] = set(here["patient_id"])
        documents = [json.loads(path.read_bytes()) for path in sorted((root / folder).glob("*.json"))]
        assert here["label_record"].value_counts().to_dict() == SPRSOUND_RECORDS[part]
        marked = [event for document in documents for event in document["event_annotation"]]
        cycles = events[events["recording_id"].isin(here["recording_id"])]["kind"].value_counts()
        assert cycles["cycle"] == len(marked) == SPRSOUND_EVENTS[part]
        names = Counter(event["type"] for event in marked)
        both = names["Wheeze+Crackle"]
        assert cycles["wheeze"] == names["Wheeze"] + both
        assert cycles.get("crackle", 0) == both
        assert cycles["fine_crackle"] == names["Fine Crackle"]
        assert cycles.get("stridor", 0) == names["Stridor"]
    assert {part: len(of) for part, of in patients.items()} == {"train": 251, "inter": 41, "intra": 162}
    assert not patients["inter"] & patients["train"]
    assert patients["intra"] <= patients["train"]
    assert table["attr_official_split"].value_counts().to_dict() == {"train": 1949, "test": 734}
