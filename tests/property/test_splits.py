"""What holds for every split, whatever the patients, the kind and the seed; and that unknown never becomes negative."""

import base64
import json
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from auscult.config import ColumnRule, EventRule, SplitSettings, TaskSettings
from auscult.datasets.flow import account, flow_table
from auscult.errors import ConfigError, DataError, InfeasibleError
from auscult.labels import clip_targets, patient_targets, recording_targets
from auscult.splits.allocate import allocate
from auscult.splits.counts import Evidence
from auscult.splits.make_split import make_split
from auscult.storage.files import write_json
from auscult.storage.flow import FLOW_FILE
from auscult.storage.tables import Event, events_frame, write_csv, write_parquet

SUBSETS = ("train", "val", "test")
RULE = ColumnRule(column="diagnosis", positive=("pneumonia",), negative=("copd", "healthy"))
PNEUMONIA = TaskSettings(
    description="pneumonia?",
    type="binary",
    targets=("pneumonia",),
    level="patient",
    datasets={"icbhi": {"pneumonia": RULE}, "bd": {"pneumonia": RULE}},
)
CYCLES = {name: EventRule(events=(name,)) for name in ("crackle", "wheeze")}
CRACKLES = TaskSettings(
    description="crackles and wheezes?",
    type="multi_label",
    targets=("crackle", "wheeze"),
    level="clip",
    datasets={"icbhi": CYCLES, "bd": CYCLES},
)
TASKS = {"pneumonia": PNEUMONIA, "crackles": CRACKLES}


def tables_of(seed: int, n_patients: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Patients of two datasets with one to four recordings each, in random order; a third of the labels unknown."""
    generator = np.random.default_rng(seed)
    rows = []
    for patient in range(n_patients):
        dataset = ("icbhi", "bd")[int(generator.integers(2))]
        device, ward = ("Meditron", "Litt3200")[int(generator.integers(2))], str(generator.integers(4))
        for take in range(int(generator.integers(1, 5))):
            rows.append((dataset, f"{dataset}/{patient}", f"{dataset}/{patient}_{take}", device, ward))
    table = pd.DataFrame(rows, columns=["dataset", "patient_id", "recording_id", "device", "attr_ward"])
    n = len(table)
    texts = {
        "path": [f"{k}.wav" for k in range(n)],
        "site": generator.choice(["Porto", "Aveiro", None], n, p=[0.4, 0.4, 0.2]),
        "sex": [None] * n,
        "encoding": ["PCM_16"] * n,
        "sha256": [str(k) for k in range(n)],
        "fingerprint": [None] * n,
        "label_diagnosis": generator.choice(["pneumonia", "copd", "healthy", "asthma", None], n),
        "attr_official_split": generator.choice(["train", "test", None], n, p=[0.5, 0.4, 0.1]),
    }
    table = table.assign(
        **texts, age_years=40.0, sample_rate_hz=4000, n_channels=1, n_samples=80_000, duration_s=20.0
    ).sample(frac=1, random_state=seed)
    text_columns = ["dataset", "patient_id", "recording_id", "device", "attr_ward", *texts]
    table = table.astype(dict.fromkeys(text_columns, "str")).reset_index(drop=True)
    events = []
    for name in table["recording_id"]:
        for cycle in range(int(generator.integers(0, 4))):
            events.append(Event(name, 4.0 * cycle, 4.0 * cycle + 3, "cycle", "t"))
            for kind in ("crackle", "wheeze"):
                if generator.random() < 0.4:
                    events.append(Event(name, 4.0 * cycle, 4.0 * cycle + 3, kind, "t"))
    return table, events_frame(events)


def split_up(recordings: pd.DataFrame, events: pd.DataFrame, kind: dict, task: TaskSettings) -> tuple:
    with tempfile.TemporaryDirectory() as folder:
        tables = {}
        for dataset, of_dataset in recordings.groupby("dataset"):
            tables[dataset] = Path(folder) / str(dataset)
            write_parquet(tables[dataset] / "recordings.parquet", of_dataset.reset_index(drop=True))
            here = events[events["recording_id"].isin(of_dataset["recording_id"])].reset_index(drop=True)
            write_parquet(tables[dataset] / "events.parquet", here)
            flow = flow_table(of_dataset, [], set())
            write_csv(tables[dataset] / FLOW_FILE, flow)
            vocabulary = {"labels": {"diagnosis": ["pneumonia"]}, "events": ["cycle", "crackle", "wheeze"]}
            summary = {"vocabulary": vocabulary, "flow": account(flow, str(dataset))}
            write_json(tables[dataset] / "summary.json", summary)
        output, audit = Path(folder) / "split.csv", Path(folder) / "audit.json"
        make_split(tables, TypeAdapter(SplitSettings).validate_python(kind), task, output, audit)
        return pd.read_csv(output, dtype=str), json.loads(audit.read_text())


seeds = st.integers(0, 2**32 - 1)
kinds = st.one_of(
    st.builds(lambda seed: {"kind": "patients", "seed": seed}, seeds),
    st.builds(
        lambda seed, subset: {"kind": "official", "seed": seed, "patients_on_both_sides": subset},
        seeds,
        st.sampled_from(["train", "test", "drop"]),
    ),
    st.builds(lambda seed: {"kind": "column", "column": "device", "test": ["Litt3200"], "seed": seed}, seeds),
    st.builds(lambda seed: {"kind": "column", "column": "ward", "test": [0], "val": [1], "seed": seed}, seeds),
    st.builds(lambda seed, fold: {"kind": "folds", "fold": fold, "seed": seed}, seeds, st.integers(1, 5)),
    st.builds(lambda seed: {"kind": "leave_dataset_out", "dataset": "bd", "seed": seed}, seeds),
    st.builds(lambda seed: {"kind": "leave_site_out", "site": "Porto", "seed": seed}, seeds),
    st.builds(lambda seed: {"kind": "leave_device_out", "device": "Litt3200", "seed": seed}, seeds),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(kind=kinds, task=st.sampled_from(sorted(TASKS)), data_seed=st.integers(0, 500), n=st.integers(8, 60))
def test_no_patient_stands_on_two_sides(kind, task, data_seed, n):
    recordings, events = tables_of(data_seed, n)
    try:
        split, audit = split_up(recordings, events, kind, TASKS[task])
    except (InfeasibleError, ConfigError):
        # Refused before anything was written; a leak would have been a DataError and fails this test.
        assume(False)
    assert split.groupby("patient_id")["split"].nunique().max() == 1
    assert not split["recording_id"].duplicated().any()
    assert set(split["split"]) == set(SUBSETS)
    assert audit["declared"] == []
    # Whoever takes part has a known target, and every recording is accounted for.
    known = ~np.isnan(recording_targets(recordings, events, TASKS[task])).all(axis=1)
    assert set(split["recording_id"]) <= set(recordings["recording_id"][known])
    assert len(split) + sum(entry["recordings"] for entry in audit["left_out"]) == len(recordings)


def fingerprint_of(seed: int, n_words: int = 60) -> str:
    """A fingerprint as noise gives it: each word shares some bits with its neighbours."""
    level = np.cumsum(np.random.default_rng(seed).standard_normal((n_words + 8, 33)), axis=0)
    windows = level[4:] - level[:-4]
    change = np.diff(windows[4:] - windows[:-4], axis=1)
    return base64.b64encode(np.packbits(change > 0, axis=1, bitorder="little").tobytes()).decode()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(kind=kinds, data_seed=st.integers(0, 500), n=st.integers(20, 40), cut=st.integers(0, 30))
def test_a_copied_sound_never_crosses_sides_in_silence(kind, data_seed, n, cut):
    """Two recordings share a sound, one of them cut: the split stops, or both are in one subset."""
    recordings, events = tables_of(data_seed, n)
    prints = [fingerprint_of(1000 * data_seed + k) for k in range(len(recordings))]
    one, other = np.random.default_rng(data_seed).choice(len(recordings), 2, replace=False)
    # A word is four bytes; three words are 16 characters.
    prints[other] = prints[one][cut // 3 * 16 :]
    recordings = recordings.assign(fingerprint=prints).astype({"fingerprint": "str"})
    names = sorted(recordings["recording_id"].iloc[[one, other]])
    try:
        split, _ = split_up(recordings, events, kind, PNEUMONIA)
    except (InfeasibleError, ConfigError):
        assume(False)
    except DataError as error:
        assert "near_duplicate_audio: 2 recordings" in str(error)
        assert ", ".join(names) in str(error)
        try:
            split, audit = split_up(
                recordings, events, {**kind, "allow_leaks": {"near_duplicate_audio": "w"}}, PNEUMONIA
            )
        except InfeasibleError:
            return
        assert len(audit["declared"]) == 1
        assert split.loc[split["recording_id"].isin(names), "split"].nunique() == 2
    else:
        assert split.loc[split["recording_id"].isin(names), "split"].nunique() <= 1


@settings(max_examples=6, deadline=None)
@given(seed=seeds, data_seed=st.integers(0, 500), task=st.sampled_from(sorted(TASKS)))
def test_the_order_of_rows_means_nothing(seed, data_seed, task):
    recordings, events = tables_of(data_seed, 40)
    kind = {"kind": "patients", "seed": seed}
    one = split_up(recordings, events, kind, TASKS[task])
    shuffled = recordings.sample(frac=1, random_state=1).reset_index(drop=True)
    other = split_up(shuffled, events.sample(frac=1, random_state=2).reset_index(drop=True), kind, TASKS[task])
    pd.testing.assert_frame_equal(one[0], other[0])
    assert one[1]["total"] == other[1]["total"]


@settings(max_examples=5, deadline=None)
@given(seed=seeds, data_seed=st.integers(0, 500))
def test_folds_test_everyone_once(seed, data_seed):
    recordings, events = tables_of(data_seed, 60)
    tested = []
    try:
        for fold in (1, 2, 3):
            kind = {"kind": "folds", "n_folds": 3, "fold": fold, "seed": seed}
            split, _ = split_up(recordings, events, kind, PNEUMONIA)
            tested.append(set(split.loc[split["split"] == "test", "recording_id"]))
    except InfeasibleError:
        assume(False)
    assert not any(one & other for one, other in pairwise([*tested, tested[0]]))
    assert set.union(*tested) == set(split["recording_id"])


@settings(max_examples=200, deadline=None)
@given(
    data_seed=seeds,
    n=st.integers(1, 200),
    shares=st.sampled_from([(0.7, 0.15, 0.15), (0.6, 0.2, 0.2), (0.85, 0.15), (0.2,) * 5, (0.98, 0.01, 0.01)]),
)
def test_shares_hold_in_all_and_labels_reach_every_side(data_seed, n, shares):
    generator = np.random.default_rng(data_seed)
    rarity = generator.random(4) ** 2
    held = generator.random((n, 4)) < rarity
    evidence = Evidence(
        np.array([f"p{k:04d}" for k in range(n)], dtype=object),
        generator.choice(np.array(["a", "b", "c"], dtype=object), n),
        held[:, :2],
        held[:, 2:],
    )
    subsets = allocate(evidence, shares, np.random.default_rng(data_seed))
    counts = np.bincount(subsets, minlength=len(shares))
    assert counts.sum() == n
    # One patient by rounding, and those that a rare label may claim for each subset.
    assert np.abs(counts - n * np.array(shares)).max() <= 1 + held.shape[1]
    if n >= 10 * len(shares) and min(shares) >= 0.15:
        for label in held.T:
            if label.sum() >= 4 * len(shares):
                assert len(set(subsets[label])) == len(shares)


@settings(max_examples=60, deadline=None)
@given(data_seed=st.integers(0, 10_000), n=st.integers(1, 40))
def test_unknown_never_becomes_negative(data_seed, n):
    """A zero stands only where a rule's own values say so: at a listed value, or inside what was annotated."""
    recordings, events = tables_of(data_seed, n)
    diagnoses = recordings["label_diagnosis"].to_numpy(dtype=object)
    values = recording_targets(recordings, events, PNEUMONIA)[:, 0]
    np.testing.assert_array_equal(values == 0, np.isin(diagnoses.astype(str), ["copd", "healthy"]))
    np.testing.assert_array_equal(values == 1, diagnoses == "pneumonia")
    annotated = set(events.loc[events["kind"] == "cycle", "recording_id"])
    without = ~recordings["recording_id"].isin(annotated).to_numpy()
    assert np.isnan(recording_targets(recordings, events, CRACKLES)[without]).all()
    # Clips that no cycle touches: cycles end at 15 s.
    clips = recordings[["recording_id"]].assign(start_s=15.0, end_s=20.0)
    assert np.isnan(clip_targets(clips, recordings, events, CRACKLES)).all()
    by_patient = patient_targets(recordings, events, PNEUMONIA)["pneumonia"]
    for patient, value in by_patient.items():
        of_patient = values[(recordings["patient_id"] == patient).to_numpy()]
        np.testing.assert_equal(np.float32(value), np.float32(pd.Series(of_patient).max()))


@settings(max_examples=40, deadline=None)
@given(data_seed=st.integers(0, 10_000), n=st.integers(6, 30), hidden=st.floats(0.1, 0.6))
def test_hiding_labels_only_turns_known_into_unknown(data_seed, n, hidden):
    recordings, events = tables_of(data_seed, n)
    before = recording_targets(recordings, events, PNEUMONIA)
    mask = np.random.default_rng(data_seed).random(len(recordings)) < hidden
    concealed = recordings.assign(label_diagnosis=recordings["label_diagnosis"].mask(mask))
    after = recording_targets(concealed, events, PNEUMONIA)
    assert np.isnan(after[mask]).all()
    np.testing.assert_array_equal(after[~mask], before[~mask])


def test_a_leak_would_be_a_data_error():
    recordings, events = tables_of(1, 40)
    with pytest.raises(DataError, match="byte_equal_audio"):
        split_up(recordings.assign(sha256="same").astype({"sha256": "str"}), events, {"kind": "patients"}, PNEUMONIA)
