"""Collections as labs hold them are drafted, and the draft alone reads their patients and labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest
import yaml
from tests.lab_collections import WRITERS

from auscult.config import EventRule, load_dataset, load_experiment, load_task
from auscult.config.split import PatientSplit
from auscult.datasets.draft.proposal import Drafted
from auscult.datasets.draft.published import LAYOUTS
from auscult.datasets.draft.words import STRUCTURE
from auscult.datasets.ingest import ingest
from auscult.errors import ConfigError, DataError
from auscult.labels import recording_targets
from auscult.ops.draft import Wishes, draft
from auscult.splits.make_split import make_split
from auscult.storage.tables import ANNOTATED, UNPLACED, read_events, read_recordings
from auscult_simulate.write import write_dataset

N_PATIENTS = 16


@dataclass
class Truth:
    """Path -> patient and label; a label of None is unknown."""

    patients: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str | None] = field(default_factory=dict)

    def add(self, path: str, patient: str, label: str | None) -> None:
        self.patients[path] = patient
        self.labels[path] = label


@pytest.fixture
def write_sound(write_wav: Callable[..., Path]) -> Callable[[str], None]:
    seeds = iter(range(10_000))
    return lambda name: write_wav(name, duration_s=1.0, seed=next(seeds)) and None


@pytest.fixture
def config(tmp_path: Path) -> Path:
    folder = tmp_path / "config"
    folder.mkdir()
    return folder


def _is_same_partition(found: list[Any], true: list[Any]) -> bool:
    known = [[None if pd.isna(value) else value for value in values] for values in (found, true)]
    pairs = set(zip(*known, strict=True))
    one_to_one = len(pairs) == len({pair[0] for pair in pairs}) == len({pair[1] for pair in pairs})
    return one_to_one and all((found is None) == (true is None) for found, true in pairs)


def _read_again(drafted: Drafted, config: Path, root: Path, folder: Path) -> pd.DataFrame:
    """Read and divide the collection as the workflow does, with nothing but the file that was written."""
    assert load_experiment(config, drafted.task, drafted.name)
    ingest(root, drafted.name, load_dataset(config, drafted.name), folder)
    task = load_task(config, drafted.task)
    split: Any = yaml.safe_load(drafted.path.read_text())["split"]
    settings = PatientSplit.model_validate(split)
    make_split({drafted.name: folder}, settings, task, folder / "split.csv", folder / "audit.json")
    return read_recordings(folder / "recordings.parquet")


def _check(drafted: Drafted, truth: Truth, config: Path, root: Path, *, label: str) -> None:
    recordings = _read_again(drafted, config, root, config.parent / "tables")
    paths = recordings["path"].tolist()
    assert sorted(paths) == sorted(truth.patients)
    assert drafted.is_feasible
    assert _is_same_partition(recordings["patient_id"].tolist(), [truth.patients[path] for path in paths])
    assert _is_same_partition(recordings[f"label_{label}"].tolist(), [truth.labels[path] for path in paths])


def test_a_table_of_ids_without_suffix_in_cp1252_with_semicolons(
    root: Path, config: Path, write_sound: Callable, write_text: Callable
) -> None:
    truth = Truth()
    rows = ["Aufnahme;Proband;Alter;Geschlecht;Gerät;Ergebnis"]
    for number in range(2 * N_PATIENTS):
        patient = number // 2
        result = "unklar" if number == 5 else ("positiv", "negativ")[patient % 2]
        write_sound(f"coughs/{number * 7919:08x}.wav")
        rows.append(f"{number * 7919:08x};Pr-{patient:02d};{20 + patient},5;{'wm'[patient % 3 > 0]};Süd;{result}")
        truth.add(f"coughs/{number * 7919:08x}.wav", str(patient), None if result == "unklar" else result)
    write_text("liste.csv", "\n".join(rows).encode("cp1252"))
    drafted = draft(root, config, Wishes(name="coughs"))
    _check(drafted, truth, config, root, label="ergebnis")
    recordings = drafted.tables.recordings
    assert recordings["age_years"].tolist()[:3] == [20.5, 20.5, 21.5]
    assert (recordings["sex"] == "female").sum() == 2 * len(range(0, N_PATIENTS, 3))
    assert "# 32 of 32 cells lead to a file, to 32 of 32 files" in drafted.path.read_text()


def test_patients_and_visits_in_folders_joined_with_a_table_of_diagnoses(
    root: Path, config: Path, write_sound: Callable, write_text: Callable
) -> None:
    truth = Truth()
    rows = ["patient\tdiagnosis\tage\tsex"]
    for number in range(N_PATIENTS):
        diagnosis = ("Asthma", "COPD", "Healthy", "Healthy")[number % 4]
        rows.append(f"P{number:02d}\t{diagnosis}\t{30 + number}\t{('male', 'female')[number % 2]}")
        for visit in (1, 2):
            path = f"P{number:02d}/visit{visit}/anterior.wav"
            write_sound(path)
            truth.add(path, str(number), diagnosis)
    write_text("diagnoses.tsv", "\n".join(rows).encode())
    drafted = draft(root, config, Wishes(name="visits"))
    _check(drafted, truth, config, root, label="diagnosis")
    assert set(drafted.tables.recordings["attr_visit"]) == {"visit1", "visit2"}
    assert drafted.proposal.settings["join"][0]["table"] == "diagnoses.tsv"


def test_two_raters_keep_what_they_agree_on(
    root: Path, config: Path, write_sound: Callable, write_text: Callable
) -> None:
    truth = Truth()
    rows = ["file,rater,label"]
    for number in range(2 * N_PATIENTS):
        path = f"sounds/S{number // 2:02d}-{number % 2}.wav"
        first = ("wheeze", "normal")[number // 2 % 2]
        second = "normal" if number == 8 else first
        rows += [f"{path},AB,{first}", f"{path},CD,{second}"]
        write_sound(path)
        truth.add(path, str(number // 2), first if first == second else None)
    write_text("ratings.csv", "\n".join(rows).encode())
    drafted = draft(root, config, Wishes(name="raters"))
    assert drafted.proposal.settings["raters"] == {"column": "rater", "keep": "agreement"}
    _check(drafted, truth, config, root, label="label")


def test_checkboxes_of_redcap_with_the_meanings_of_its_data_dictionary(
    root: Path, config: Path, write_sound: Callable, write_text: Callable
) -> None:
    truth = Truth()
    rows = ["record_id,redcap_event_name,sex,dob,visit_date,audio_file,sound___1,sound___2,sound___3"]
    for number in range(2 * N_PATIENTS):
        patient, visit = divmod(number, 2)
        boxes = ("1,0,0", "0,1,0", "0,0,1", "0,0,1")[patient % 4]
        path = f"files/{patient}_visit{visit}.wav"
        write_sound(path)
        rows.append(f"{patient},visit_{visit}_arm_1,{1 + patient % 2},1980-01-01,2020-01-01,{path[6:]},{boxes}")
        truth.add(path, str(patient), boxes)
    write_text("export.csv", ("\ufeff" + "\n".join(rows)).encode())
    book = 'Variable / Field Name,"Choices, Calculations, OR Slider Labels"\nsex,"1, Male | 2, Female"\n'
    write_text("dictionary.csv", (book + 'sound,"1, Wheeze | 2, Crackle | 3, Normal"\n').encode())
    drafted = draft(root, config, Wishes(name="redcap"))
    _check(drafted, truth, config, root, label="sound")
    recordings = drafted.tables.recordings
    assert set(recordings["sex"]) == {"female", "male"}
    assert np.allclose(recordings["age_years"].astype(float), 40.0, atol=0.01)
    rule = yaml.safe_load(drafted.path.read_text())["define"]["task"]["datasets"]["redcap"]["abnormal"]
    assert (set(rule["positive"]), rule["negative"]) == ({"wheeze", "crackle"}, ["normal"])


def test_that_no_ticked_box_means_nothing_was_heard_is_asked(
    root: Path, config: Path, write_sound: Callable, write_text: Callable
) -> None:
    rows = ["record_id,file,sound___1,sound___2"]
    for number in range(N_PATIENTS):
        write_sound(f"{number}.wav")
        rows.append(f"{number},{number}.wav,{('1,0', '0,1', '0,0', '0,0')[number % 4]}")
    write_text("export.csv", "\n".join(rows).encode())
    guessed = draft(root, config, Wishes(name="guessed"))
    assert any("no box of sound is ticked" in doubt for doubt in guessed.proposal.doubts)
    assert guessed.tables.recordings["label_sound"].isna().sum() == N_PATIENTS // 2
    text = guessed.path.read_text()
    assert text.count("none: null  # where no box is ticked; null: unknown, none: nothing was heard") == 1
    guessed.path.write_text(text.replace("none: null", "none: none"))
    switched = _read_again(guessed, config, root, config.parent / "switched")
    targets = recording_targets(switched, guessed.tables.events, load_task(config, guessed.task))
    assert (targets[switched["label_sound"] == "none"] == 0).all()
    questions: list[str] = []

    def answer(question: str, answers: Any, best: str) -> str:
        questions.append(question)
        return next((text for text in answers if "nothing was heard" in text), best)

    asked = draft(root, config, Wishes(name="asked", ask=answer))
    assert any("no box of sound is ticked" in question for question in questions)
    assert (asked.tables.recordings["label_sound"] == "none").sum() == N_PATIENTS // 2


def test_a_single_checkbox_has_no_negatives_until_somebody_says_what_no_tick_means(
    root: Path, config: Path, write_sound: Callable, write_text: Callable
) -> None:
    rows = ["record_id,file,sound___1"]
    for number in range(N_PATIENTS):
        write_sound(f"{number}.wav")
        rows.append(f"{number},{number}.wav,{number % 2}")
    write_text("export.csv", "\n".join(rows).encode())
    drafted = draft(root, config, Wishes(name="ticks"))
    assert not drafted.is_feasible
    assert drafted.changes is not None
    assert "no clip is known to be without 1" in drafted.changes
    assert "write `none: none` in place of `none: null` below `sound`" in drafted.changes
    text = drafted.path.read_text()
    assert f"# {drafted.changes}" in text
    drafted.path.write_text(text.replace("none: null", "none: none"))
    switched = _read_again(drafted, config, root, config.parent / "switched")
    assert (switched["label_sound"] == "none").sum() == N_PATIENTS // 2


@pytest.mark.parametrize("kinds", [("Wheeze",), ("Wheeze", "Crackle")])
def test_what_annotation_files_do_not_mark_is_unknown_until_one_line_says_otherwise(
    root: Path, config: Path, write_sound: Callable, write_text: Callable, kinds: Sequence[str]
) -> None:
    for number in range(2 * N_PATIENTS):
        write_sound(f"wav/P{number:02d}_1.wav")
        mark = f"0.1\t0.9\t{kinds[number // 2 % len(kinds)]}\n" if number % 2 else ""
        write_text(f"notes/P{number:02d}_1.txt", mark.encode())
    drafted = draft(root, config, Wishes(name="marked"))
    task = load_task(config, drafted.task)
    known = recording_targets(drafted.tables.recordings, drafted.tables.events, task)
    is_marked = drafted.tables.recordings["recording_id"].isin(drafted.tables.events["recording_id"]).to_numpy()
    assert np.isnan(known[~is_marked]).all()
    assert drafted.is_feasible == (len(kinds) == 2)
    assert (drafted.changes is None) == drafted.is_feasible
    assert any("write `listened: whole` in place of `listened: events`" in doubt for doubt in drafted.proposal.doubts)
    text = drafted.path.read_text()
    assert "empty_file: unknown  # 16 files are empty" in text
    text = text.replace("  listened: events  #", "  listened: whole  #")
    drafted.path.write_text(text.replace("empty_file: unknown", "empty_file: listened"))
    switched = _read_again(drafted, config, root, config.parent / "switched")
    events = read_events(config.parent / "switched" / "events.parquet")
    assert (recording_targets(switched, events, load_task(config, drafted.task))[~is_marked] == 0).all()


def test_a_cycle_in_which_nothing_is_marked_is_unknown_until_one_line_says_otherwise(
    root: Path, config: Path, write_sound: Callable, write_text: Callable
) -> None:
    rows = ["file,patient,start,end,event"]
    for number in range(2 * N_PATIENTS):
        write_sound(f"{number}.wav")
        rows.append(f"{number}.wav,P{number // 2},0.0,1.0,cycle")
        rows += [f"{number}.wav,P{number // 2},0.2,0.8,wheeze"] if number % 4 < 2 else []
    write_text("cycles.csv", "\n".join(rows).encode())
    drafted = draft(root, config, Wishes(name="cycles"))
    assert not drafted.is_feasible
    assert drafted.changes is not None
    assert "write `annotated_by: [cycle]` in the rule of the target" in drafted.changes
    text = drafted.path.read_text()
    assert text.count("annotated_by: [wheeze]") == 1
    drafted.path.write_text(text.replace("annotated_by: [wheeze]", "annotated_by: [cycle]"))
    switched = _read_again(drafted, config, root, config.parent / "switched")
    known = recording_targets(switched, drafted.tables.events, load_task(config, drafted.task))
    assert sorted(known[:, 0].tolist()) == [0.0] * N_PATIENTS + [1.0] * N_PATIENTS


def test_a_box_that_is_called_0_is_no_negative(
    root: Path, config: Path, write_sound: Callable, write_text: Callable
) -> None:
    rows = ["record_id,file,sound___0,sound___1"]
    for number in range(N_PATIENTS):
        write_sound(f"{number}.wav")
        rows.append(f"{number},{number}.wav,{number % 2},{1 - number % 2}")
    write_text("export.csv", "\n".join(rows).encode())
    drafted = draft(root, config, Wishes(name="boxes"))
    assert sorted(drafted.guess.settings["targets"]) == ["0", "1"]


def test_whoever_is_asked_may_say_that_files_mark_all_that_is_heard(
    root: Path, config: Path, write_sound: Callable, write_text: Callable
) -> None:
    for number in range(2 * N_PATIENTS):
        write_sound(f"wav/P{number:02d}_1.wav")
        write_text(f"notes/P{number:02d}_1.txt", b"0.1\t0.9\tWheeze\n" if number % 2 else b"")
    drafted = draft(root, config, Wishes(name="marked", ask=lambda question, answers, best: answers[-1]))
    assert drafted.proposal.settings["annotations"]["listened"] == "whole"
    assert drafted.proposal.settings["annotations"]["empty_file"] == "listened"
    assert drafted.is_feasible
    assert (drafted.tables.events["kind"] == ANNOTATED).sum() == 2 * N_PATIENTS


def test_a_workbook_with_four_recordings_in_a_row(root: Path, config: Path, write_sound: Callable) -> None:
    truth = Truth()
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    places = ("RU", "LU", "RL", "LL")
    sheet.append(["ID", "age", "sex", *(f"file_{p}" for p in places), *(f"finding_{p}" for p in places)])
    for number in range(N_PATIENTS):
        files = [f"rec/{number:02d}{place}.wav" for place in places]
        heard = ["crackle" if number % 2 and place == "RL" else "clear" for place in places]
        for path, finding in zip(files, heard, strict=True):
            write_sound(path)
            truth.add(path, str(number), finding)
        sheet.append([number, 40 + number, "FM"[number % 2], *files, *heard])
    book.save(root / "wide.xlsx")
    drafted = draft(root, config, Wishes(name="wide"))
    assert drafted.proposal.settings["wide"] == {"name": "position", "values": list(places)}
    _check(drafted, truth, config, root, label="finding")


@pytest.mark.parametrize("name", WRITERS)
def test_each_collection_of_the_docs_is_drafted_with_its_true_patients_labels_and_events(
    name: str, tmp_path: Path, config: Path
) -> None:
    root = tmp_path / name
    truth = WRITERS[name](root, np.random.default_rng(3)).set_index("path")
    drafted = draft(root, config, Wishes())
    assert drafted.is_feasible
    found = drafted.tables.recordings.set_index("path").loc[truth.index]
    assert len(found) == len(drafted.tables.recordings)
    assert _is_same_partition(found["patient_id"].tolist(), truth["patient"].tolist())
    # Where no box is ticked nobody wrote down that nothing was heard: it is unknown until somebody says so.
    written = truth["label"].replace("none", None)
    for column in (str(column) for column in found if str(column).startswith("label_")):
        assert _is_same_partition(found[column].tolist(), written.tolist())
    kinds = drafted.tables.events["kind"]
    assert (~kinds.isin((ANNOTATED, UNPLACED, *STRUCTURE))).sum() in (0, truth["events"].sum())
    assert load_experiment(config, drafted.task, name)


def test_what_may_be_a_misspelt_target_is_unknown_and_not_its_absence(
    root: Path, config: Path, write_sound: Callable, write_text: Callable
) -> None:
    for number in range(N_PATIENTS):
        kind = "Wheez" if number == 0 else ("Wheeze", "Crackle", "Normal")[number % 3]
        write_sound(f"audio/P{number:02d}_1.wav")
        write_text(f"notes/P{number:02d}_1.txt", f"0.1\t0.9\t{kind}\n".encode())
    drafted = draft(root, config, Wishes(name="marked"))
    rules = load_task(config, drafted.task).datasets["marked"]
    assert rules["wheeze"] == EventRule(
        events=("wheeze",), annotated_by=("normal", "crackle", "wheeze", "wheez"), unknown=("wheez",)
    )
    assert drafted.proposal.settings["annotations"] == {"files": "{parent}/notes/{stem}.txt"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_with_a_reader_of_its_own_is_recognised(layout: str, tmp_path: Path, config: Path) -> None:
    root = tmp_path / "lungs"
    write_dataset(layout, root, n_patients=14, seed=3, duration_s=(3.0, 4.0))
    drafted = draft(root, config, Wishes())
    assert drafted.proposal.settings["layout"] == layout
    assert drafted.is_feasible
    assert load_experiment(config, drafted.task, "lungs")


def test_the_column_of_events_is_the_one_that_is_filled_where_times_are(tmp_path: Path, config: Path) -> None:
    root = tmp_path / "clinic"
    write_dataset("manifest", root, n_patients=14, seed=3, duration_s=(3.0, 4.0))
    drafted = draft(root, config, Wishes())
    assert drafted.proposal.settings["columns"]["event"] == "event"
    assert drafted.proposal.settings["columns"]["labels"] == {"diagnosis": "diagnosis"}
    assert drafted.tables.rejected.empty


@pytest.fixture
def write_list(write_sound: Callable, write_text: Callable) -> Callable[..., None]:
    """Write one recording a patient, wheezing and healthy in turn, and the table that lists them."""

    def write_all(n_patients: int = N_PATIENTS, *, write: Callable = write_sound, further: Sequence[str] = ()) -> None:
        rows = ["file,patient,label"]
        for number in range(n_patients):
            write(f"{number}.wav")
            rows.append(f"{number}.wav,P{number},{('wheeze', 'normal')[number % 2]}")
        write_text("list.csv", "\n".join([*rows, *further]).encode())

    return write_all


def test_a_leak_is_shown_and_no_other_split_is_tried(
    root: Path, config: Path, write_wav: Callable, write_list: Callable
) -> None:
    write_list(write=lambda name: write_wav(name, seed=0))
    drafted = draft(root, config, Wishes(name="copies"))
    assert not drafted.is_feasible
    assert "leak" in drafted.split
    assert any("leak" in line for line in drafted.path.read_text().splitlines() if line.startswith("#"))


def test_too_few_patients_for_a_finer_task_give_a_coarser_one_or_a_doubt(
    root: Path, config: Path, write_list: Callable
) -> None:
    write_list(4)
    drafted = draft(root, config, Wishes(name="few"))
    assert not drafted.is_feasible
    assert any("cannot be divided yet" in doubt for doubt in drafted.proposal.doubts)
    assert load_experiment(config, drafted.task, "few")


def test_without_patients_the_draft_says_that_each_recording_counts_as_one(
    root: Path, config: Path, write_sound: Callable, write_text: Callable
) -> None:
    rows = ["file,label"]
    for number in range(N_PATIENTS):
        write_sound(f"{number}.wav")
        rows.append(f"{number}.wav,{('wheeze', 'normal')[number % 2]}")
    write_text("list.csv", "\n".join(rows).encode())
    drafted = draft(root, config, Wishes(name="nobody"))
    assert any("No patient was found" in doubt for doubt in drafted.proposal.doubts)


def test_what_is_rejected_is_said_at_the_head(
    root: Path, config: Path, write_list: Callable, write_text: Callable
) -> None:
    write_list(further=["gone.wav,P99,wheeze"])
    write_text("5.wav", b"no sound")
    drafted = draft(root, config, Wishes(name="lost"))
    head = [line for line in drafted.path.read_text().splitlines() if line.startswith("#")]
    assert any("2 rejected" in line and "5.wav" in line and "auscult data verify lost" in line for line in head)


def test_a_running_number_is_no_label(root: Path, config: Path, write_sound: Callable) -> None:
    for number in range(N_PATIENTS):
        write_sound(f"S{number // 2:02d}_{number % 2}.wav")
    with pytest.raises(DataError, match="no label with at least two values"):
        draft(root, config, Wishes(name="takes"))
    assert not list(config.rglob("*.yaml"))


def test_a_name_that_another_experiment_defines_is_refused_even_with_force(
    root: Path, config: Path, write_list: Callable
) -> None:
    write_list()
    draft(root, config, Wishes(name="mine"))
    second = draft(root, config, Wishes(name="other"))
    assert second.task == "wheeze_other"
    with pytest.raises(ConfigError, match=r"wheeze/mine\.yaml: define\.datasets\.mine defines the dataset 'mine'"):
        draft(root, config, Wishes(name="mine", task="another", force=True))
    with pytest.raises(ConfigError, match="defines the task 'wheeze'"):
        draft(root, config, Wishes(name="third", task="wheeze", force=True))
