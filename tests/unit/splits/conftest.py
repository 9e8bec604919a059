"""Small tables of one or several datasets, and a stage run on them."""

import base64
import json

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from auscult.config import ClassRule, ColumnRule, EventRule, SplitSettings, TaskSettings
from auscult.config.task import FourClass
from auscult.datasets.flow import account, flow_table
from auscult.splits.make_split import make_split
from auscult.storage.files import write_json
from auscult.storage.flow import FLOW_FILE
from auscult.storage.tables import RECORDINGS, events_frame, validate, write_csv, write_parquet

DISEASE = ColumnRule(column="diagnosis", positive=("pneumonia",), negative="others")
CYCLES = {name: EventRule(events=(name,)) for name in ("crackle", "wheeze")}


def unlike_any_other(name: str) -> str:
    """A fingerprint of 12 words that belongs to this name alone."""
    return base64.b64encode(np.random.default_rng(list(name.encode())).bytes(48)).decode("ascii")


def recordings_table(rows, dataset="icbhi", **columns):
    """Rows of (recording, patient, diagnosis); further columns are constants or lists."""
    n = len(rows)
    table = pd.DataFrame(
        {
            "recording_id": [f"{dataset}/{row[0]}" for row in rows],
            "dataset": [dataset] * n,
            "patient_id": [f"{dataset}/{row[1]}" for row in rows],
            "path": [f"{row[0]}.wav" for row in rows],
            "site": [None] * n,
            "device": [None] * n,
            "age_years": np.full(n, 40.0),
            "sex": [None] * n,
            "sample_rate_hz": np.full(n, 4000),
            "n_channels": np.full(n, 1),
            "n_samples": np.full(n, 80_000),
            "duration_s": np.full(n, 20.0),
            "encoding": ["PCM_16"] * n,
            "sha256": [f"{dataset}-{row[0]}" for row in rows],
            "fingerprint": [unlike_any_other(f"{dataset}-{row[0]}") for row in rows],
            "label_diagnosis": [row[2] for row in rows],
            **columns,
        }
    )
    texts = [column for column in table if table[column].dtype.kind not in "if"]
    return validate(table.astype(dict.fromkeys(texts, "str")), RECORDINGS, "test table")


VOCABULARY = {
    "labels": {"diagnosis": ["pneumonia", "copd", "healthy"], "digit": list("0123456789")},
    "events": ["cycle", "crackle", "wheeze", "inhalation"],
}
"""What these datasets can hold: a small table need not hold all of it."""


def write_tables(folder, recordings, events):
    """Write the tables of one dataset, with the flow and the summary of an ingest that lost nothing."""
    dataset = str(recordings["dataset"].iloc[0])
    write_parquet(folder / "recordings.parquet", recordings)
    write_parquet(folder / "events.parquet", events)
    flow = flow_table(recordings, [], set())
    write_csv(folder / FLOW_FILE, flow)
    write_json(folder / "summary.json", {"vocabulary": VOCABULARY, "flow": account(flow, dataset)})


def patients_table(n, per_patient=2, every=3, dataset="icbhi", **columns):
    """`n` patients, each `every`-th with pneumonia."""
    rows = [
        (f"p{k:04d}_{take}", f"p{k:04d}", "pneumonia" if k % every == 0 else "copd")
        for k in range(n)
        for take in range(per_patient)
    ]
    return recordings_table(rows, dataset, **columns)


@pytest.fixture
def make_recordings():
    return recordings_table


@pytest.fixture
def make_patients():
    return patients_table


@pytest.fixture
def pneumonia():
    return TaskSettings(
        description="pneumonia?",
        type="binary",
        targets=("pneumonia",),
        level="patient",
        datasets={name: {"pneumonia": DISEASE} for name in ("icbhi", "jordan", "bd")},
    )


@pytest.fixture
def crackles():
    return TaskSettings(
        description="crackles and wheezes?",
        type="multi_label",
        targets=("crackle", "wheeze"),
        level="clip",
        four_class=FourClass(crackle="crackle", wheeze="wheeze"),
        datasets={"icbhi": CYCLES, "antwerp": CYCLES},
    )


@pytest.fixture
def digits():
    return TaskSettings(
        description="which digit?",
        type="multi_class",
        targets=tuple("0123456789"),
        level="recording",
        classes_from={"fsdd": ClassRule(column="digit")},
    )


@pytest.fixture
def run_split(tmp_path):
    """Write tables, run the stage, and return the split (indexed by recording) and the audit."""

    def run(recordings, settings, task, events=None):
        tables = {}
        recordings = recordings if isinstance(recordings, list) else [recordings]
        for number, table in enumerate(recordings):
            dataset = table["dataset"].iloc[0]
            tables[dataset] = tmp_path / "tables" / dataset
            write_tables(tables[dataset], table, events[number] if events is not None else events_frame([]))
        output, audit = tmp_path / "split.csv", tmp_path / "audit.json"
        for path in (output, audit, tmp_path / "split.flow.csv"):
            path.unlink(missing_ok=True)
        make_split(tables, TypeAdapter(SplitSettings).validate_python(settings), task, output, audit)
        return pd.read_csv(output, dtype=str).set_index("recording_id"), json.loads(audit.read_text())

    return run
