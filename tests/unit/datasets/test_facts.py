import dataclasses

import numpy as np
import pandas as pd
import pytest

from auscult.config import TaskSettings
from auscult.datasets.facts import ages_text, collect, counts_text, span_text
from auscult.datasets.tasks import balances, task_names


def with_recordings(tables, **columns):
    return dataclasses.replace(tables, recordings=tables.recordings.assign(**columns))


def test_facts_equal_an_independent_count(lungs_tables):
    facts = collect(lungs_tables)
    recordings, events = lungs_tables.recordings, lungs_tables.events

    assert facts.n_recordings == len(recordings)
    assert facts.n_patients == 5
    assert facts.duration_s == pytest.approx(recordings["duration_s"].sum())
    assert facts.per_patient.sum() == len(recordings)
    assert {event.kind: len(event.durations_s) for event in facts.events} == events["kind"].value_counts().to_dict()
    for event in facts.events:
        own = events.loc[events["kind"] == event.kind]
        assert event.recordings == own["recording_id"].nunique()
        assert event.median_s == pytest.approx((own["end_s"] - own["start_s"]).median())
    rate = facts.technical[0]
    assert {value.value: value.recordings for value in rate.values} == {
        str(key): count for key, count in recordings["sample_rate_hz"].value_counts().items()
    }
    diagnosis = facts.labels[0]
    expected = recordings.groupby("label_diagnosis")["patient_id"].nunique().to_dict()
    assert {value.value: value.patients for value in diagnosis.values} == expected
    assert facts.is_simulated is True


def test_missing_values_are_counted_and_are_no_value(lungs_tables):
    labels = lungs_tables.recordings["label_diagnosis"].astype(object).copy()
    labels.iloc[:2] = None
    column = collect(with_recordings(lungs_tables, label_diagnosis=labels)).labels[0]
    assert column.missing == 2
    assert sum(value.recordings for value in column.values) == len(labels) - 2
    assert counts_text(column, show_ids=False).endswith("not stated (2)")


def test_a_column_of_patients_ids_is_known_as_such(lungs_tables):
    native = lungs_tables.recordings["patient_id"].str.split("/").str[1]
    column = next(c for c in collect(with_recordings(lungs_tables, attr_who=native)).attributes if c.name == "who")
    assert column.identifies
    assert counts_text(column, show_ids=False) == "5 different values (not shown: they may single patients out)"
    assert native.iloc[0] in counts_text(column, show_ids=True)


def test_a_column_with_nearly_as_many_values_as_recordings_singles_people_out(lungs_tables):
    recordings = pd.concat([lungs_tables.recordings] * 3, ignore_index=True)
    recordings["recording_id"] += recordings.index.astype(str)
    recordings["attr_day"] = [f"2019-03-{day:02d}" for day in range(1, len(recordings) + 1)]
    facts = collect(dataclasses.replace(lungs_tables, recordings=recordings))
    assert {column.name: column.identifies for column in facts.attributes}["day"]
    assert not facts.technical[0].identifies


def test_ages_above_90_are_not_told_apart(lungs_tables):
    facts = collect(with_recordings(lungs_tables, age_years=[97.0] * len(lungs_tables.recordings)))
    assert ages_text(facts) == "each 90 years (90 stands for 90 and older)"
    assert span_text(np.array([1.0])) == "each 1"


def rule(**values):
    return {"column": "diagnosis", "positive": ["copd"], "negative": "others", **values}


def test_balances_count_each_recording_and_patient_once(lungs_tables):
    values = {"description": "?", "type": "binary", "targets": ["t"], "level": "patient", "doubtful": ["lungs"]}
    first = lungs_tables.recordings["label_diagnosis"].iloc[0]
    tasks = {
        "one": TaskSettings(**values, datasets={"lungs": {"t": rule(positive=[first], negative=[])}}),
        "none": TaskSettings(**values, datasets={"other": {"t": rule()}}),
        "bad": TaskSettings(**values, datasets={"lungs": {"t": rule(column="mood")}}),
    }
    found = {balance.name: balance for balance in balances("lungs", lungs_tables, tasks)}

    assert set(found) == {"one", "bad"}
    recordings = lungs_tables.recordings
    positive = recordings["label_diagnosis"] == first
    target = found["one"].targets[0]
    assert dataclasses.astuple(target.recordings) == (positive.sum(), 0, (~positive).sum())
    n_positive = recordings.loc[positive, "patient_id"].nunique()
    assert dataclasses.astuple(target.patients) == (n_positive, 0, 5 - n_positive)
    assert "label column 'mood'" in found["bad"].fault
    assert task_names("lungs", tasks) == ["one (doubtful)", "bad (doubtful)"]
