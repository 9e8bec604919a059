"""Patients drawn at random: shares, labels in every subset, the same split on any machine."""

import pandas as pd
import pytest

from auscult.errors import InfeasibleError
from auscult.storage.tables import Event, events_frame

PATIENTS = {"kind": "patients"}


def patients_by_side(split):
    return split.reset_index().groupby("split")["patient_id"].nunique().to_dict()


def values(audit, subset, target="pneumonia"):
    return audit["total"][subset]["targets"][target]["patients"]


def test_shares_and_strata_are_as_asked(make_patients, pneumonia, run_split):
    split, audit = run_split(make_patients(100, every=5), PATIENTS, pneumonia)
    assert patients_by_side(split) == {"train": 70, "val": 15, "test": 15}
    assert [values(audit, subset)["positive"] for subset in ("train", "val", "test")] == [14, 3, 3]
    assert split.groupby("patient_id")["split"].nunique().max() == 1
    assert len(split) == 200


@pytest.mark.parametrize("seed", range(8))
def test_a_rare_label_reaches_every_side(make_patients, pneumonia, run_split, seed):
    # Three of 60 patients are positive: 70 / 15 / 15 by rounding would leave two subsets without.
    table = make_patients(60, every=20)
    split, audit = run_split(table, {**PATIENTS, "seed": seed}, pneumonia)
    assert [values(audit, subset)["positive"] for subset in ("train", "val", "test")] == [1, 1, 1]
    assert patients_by_side(split) == {"train": 42, "val": 9, "test": 9}


def test_many_small_strata_are_not_lost_to_rounding(make_recordings, pneumonia, run_split):
    # 3 datasets x 2 labels, each stratum of 2 to 5 patients: rounding each by itself would put all into train.
    tables = [
        make_recordings([(f"{k}", f"{k}", "pneumonia" if k < 3 else "copd") for k in range(n)], dataset)
        for dataset, n in (("icbhi", 8), ("jordan", 5), ("bd", 7))
    ]
    split, audit = run_split(tables, PATIENTS, pneumonia)
    assert patients_by_side(split) == {"train": 14, "val": 3, "test": 3}
    assert sum(values(audit, subset)["positive"] for subset in ("val", "test")) in (2, 3)
    for name in ("icbhi", "jordan", "bd"):
        assert audit["by_dataset"][name]["train"]["patients"] >= 3
        outside = sum(audit["by_dataset"][name][subset]["patients"] for subset in ("val", "test"))
        assert 1 <= outside <= 3


def test_six_speakers_give_four_one_one(make_recordings, digits, run_split):
    rows = [(f"{digit}_{name}", name, None) for name in "abcdef" for digit in range(10)]
    table = make_recordings(rows, "fsdd", label_digit=[row[0][0] for row in rows])
    split, audit = run_split(table, PATIENTS, digits)
    assert patients_by_side(split) == {"train": 4, "val": 1, "test": 1}
    assert audit["total"]["test"]["targets"]["7"]["recordings"] == {"positive": 1, "negative": 9, "unknown": 0}


def test_rows_in_another_order_give_the_same_split(make_patients, pneumonia, run_split):
    table = make_patients(40)
    one, _ = run_split(table, PATIENTS, pneumonia)
    other, _ = run_split(table.sample(frac=1, random_state=1).reset_index(drop=True), PATIENTS, pneumonia)
    pd.testing.assert_frame_equal(one, other)


def test_the_seed_decides(make_patients, pneumonia, run_split):
    table = make_patients(40)
    drawn = {tuple(run_split(table, {**PATIENTS, "seed": seed}, pneumonia)[0]["split"]) for seed in range(10)}
    assert len(drawn) == 10


def test_the_split_is_the_same_on_any_machine(make_patients, pneumonia, run_split):
    split, _ = run_split(make_patients(12, per_patient=1, every=2), {**PATIENTS, "seed": 12}, pneumonia)
    assert "".join(subset[1] for subset in split["split"]) == GOLDEN_SUBSETS


GOLDEN_SUBSETS = "aarrrrreerrr"


def test_every_patient_reaches_test_under_some_seed(make_patients, pneumonia, run_split):
    table = make_patients(20, per_patient=1)
    tested = set()
    for seed in range(40):
        split, _ = run_split(table, {**PATIENTS, "seed": seed}, pneumonia)
        tested |= set(split.index[split["split"] == "test"])
    assert len(tested) == 20


def test_unknown_recordings_take_no_part_and_are_counted(make_recordings, pneumonia, run_split):
    rows = [(f"r{k}", f"p{k}", ("pneumonia", "copd")[k % 2]) for k in range(20)]
    table = make_recordings([*rows, ("x1", "p0", None), ("x2", "lost", None)])
    split, audit = run_split(table, PATIENTS, pneumonia)
    assert {"icbhi/x1", "icbhi/x2"}.isdisjoint(split.index)
    assert audit["left_out"] == [
        {"reason": "no target is known", "recordings": 2, "patients": 2, "examples": ["icbhi/x1", "icbhi/x2"]}
    ]


def test_two_positive_patients_are_refused_with_counts_and_a_proposal(make_recordings, pneumonia, run_split):
    rows = [(f"r{k}", f"p{k}", "pneumonia" if k < 2 else "copd") for k in range(20)]
    with pytest.raises(InfeasibleError) as error:
        run_split(make_recordings(rows), PATIENTS, pneumonia)
    assert "holds no patient with a positive of 'pneumonia'" in str(error.value)
    assert "2 patients in all hold a positive" in str(error.value)
    assert "patients positive" in str(error.value)


def test_nothing_known_is_refused(make_recordings, pneumonia, run_split):
    with pytest.raises(InfeasibleError, match="none of 2 recordings of icbhi has a known target"):
        run_split(make_recordings([("a", "a", None), ("b", "b", None)]), PATIENTS, pneumonia)


def cycles_of(table, sounds):
    """Two cycles a recording; `sounds` says what is heard in the second one."""
    events = []
    for name, heard in zip(table["recording_id"], sounds, strict=True):
        events += [Event(name, 0.0, 2.0, "cycle", "t"), Event(name, 2.0, 4.0, "cycle", "t")]
        events += [Event(name, 2.0, 4.0, kind, "t") for kind in heard]
    return events_frame(events)


def test_cycles_without_a_sound_are_negatives_though_every_patient_is_positive(make_patients, crackles, run_split):
    table = make_patients(12, per_patient=1)
    events = cycles_of(table, [("crackle", "wheeze")] * 12)
    _, audit = run_split(table, PATIENTS, crackles, [events])
    for subset in ("train", "val", "test"):
        counts = audit["total"][subset]["targets"]["crackle"]
        assert counts["patients"]["negative"] == 0
        assert counts["patients_with_negative"] == audit["total"][subset]["patients"]


def test_two_rare_sounds_reach_every_side(make_patients, crackles, run_split):
    table = make_patients(40, per_patient=1)
    heard = [("crackle",)] * 3 + [("wheeze",)] * 3 + [()] * 34
    for seed in range(5):
        _, audit = run_split(table, {**PATIENTS, "seed": seed}, crackles, [cycles_of(table, heard)])
        for subset in ("train", "val", "test"):
            for target in ("crackle", "wheeze"):
                assert audit["total"][subset]["targets"][target]["patients_with_positive"] == 1


def test_the_audit_counts_what_the_split_says(make_patients, pneumonia, run_split):
    tables = [make_patients(30, per_patient=3), make_patients(20, per_patient=1, dataset="jordan")]
    split, audit = run_split(tables, PATIENTS, pneumonia)
    truth = pd.concat(tables).set_index("recording_id")["label_diagnosis"] == "pneumonia"
    for subset in ("train", "val", "test"):
        here = split[split["split"] == subset]
        counts = audit["total"][subset]
        assert counts["patients"] == here["patient_id"].nunique()
        assert counts["recordings"] == len(here)
        assert counts["hours"] == pytest.approx(len(here) * 20 / 3600, abs=1e-4)
        assert counts["targets"]["pneumonia"]["recordings"]["positive"] == truth[here.index].sum()
        assert counts["targets"]["pneumonia"]["patients"]["positive"] == here[truth[here.index]]["patient_id"].nunique()
        assert counts["recordings"] == sum(
            audit["by_dataset"][name][subset]["recordings"] for name in ("icbhi", "jordan")
        )
    assert audit["settings"]["kind"] == "patients"
    assert audit["findings"] == audit["declared"] == audit["left_out"] == []


def test_patients_without_the_sound_reach_every_side_though_cycles_would_do(make_patients, crackles, run_split):
    table = make_patients(30, per_patient=1)
    heard = [()] * 3 + [("crackle", "wheeze")] * 27
    for seed in range(5):
        _, audit = run_split(table, {**PATIENTS, "seed": seed}, crackles, [cycles_of(table, heard)])
        assert [values(audit, subset, "crackle")["negative"] for subset in ("train", "val", "test")] == [1, 1, 1]
