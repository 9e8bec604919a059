"""Pages call recordings and patients by ids of their own, and a key kept elsewhere says who they are."""

import pandas as pd
import pytest

from auscult.storage.study_ids import KEY_COLUMNS, StudyIds


def table(n_patients=12):
    rows = [
        (f"ward/P{patient}/visit {visit}", f"ward/P{patient}", "ward", f"P{patient}/visit {visit}.wav")
        for patient in range(n_patients)
        for visit in (1, 2)
    ]
    return pd.DataFrame(rows, columns=["recording_id", "patient_id", "dataset", "path"])


def test_each_recording_and_patient_has_one_id_whatever_the_order_of_the_table():
    one, other = StudyIds(table()), StudyIds(table().iloc[::-1].reset_index(drop=True))
    names = table()["recording_id"]
    assert len({one.recording(name) for name in names}) == len(names)
    assert [one.recording(name) for name in names] == [other.recording(name) for name in names]
    assert one.patient("ward/P3") == other.patient("ward/P3")
    # Numbers in the order of names would give the names away.
    assert [one.recording(name) for name in names] != sorted(one.recording(name) for name in names)


def test_texts_keep_all_but_the_names():
    ids = StudyIds(table())
    text = "ward/P1 and ward/P11: ward/P1/visit 2 is cut; see (ward/P11/visit 1)."
    concealed = ids.conceal(text)
    assert "P1" not in concealed
    assert concealed == (
        f"{ids.patient('ward/P1')} and {ids.patient('ward/P11')}: {ids.recording('ward/P1/visit 2')} is cut; "
        f"see ({ids.recording('ward/P11/visit 1')})."
    )
    assert ids.conceal("forward/P1x stays") == "forward/P1x stays"
    assert ids.conceal_within({"ids": ["ward/P1"], "n": 2, "text": None}) == {
        "ids": [ids.patient("ward/P1")],
        "n": 2,
        "text": None,
    }


def test_the_key_leads_back_to_each_file(tmp_path):
    ids = StudyIds(table())
    ids.write_key(tmp_path / "study_ids.csv")
    key = pd.read_csv(tmp_path / "study_ids.csv").set_index("study_id")
    assert list(key.reset_index().columns) == list(KEY_COLUMNS)
    row = key.loc[ids.recording("ward/P7/visit 2")]
    assert row["path"] == "P7/visit 2.wav"
    assert row["patient_study_id"] == ids.patient("ward/P7")


def test_names_may_be_shown():
    ids = StudyIds(table(), show_names=True)
    assert ids.clip("ward/P7/visit 2:0001") == "ward/P7/visit 2:0001"
    assert ids.conceal("ward/P7") == "ward/P7"


def test_an_id_that_no_table_has_is_refused():
    with pytest.raises(KeyError):
        StudyIds(table()).recording("ward/P99/visit 1")
