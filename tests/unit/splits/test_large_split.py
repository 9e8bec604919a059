"""A hundred thousand recordings are divided and audited within a minute."""

import time

import numpy as np
import pandas as pd
import pytest


def cycles(table: pd.DataFrame, per_recording: int) -> pd.DataFrame:
    generator = np.random.default_rng(0)
    names = np.repeat(table["recording_id"].to_numpy(), per_recording)
    starts = np.tile(np.arange(per_recording) * 3.0, len(table)) + 0.1 * generator.random(len(names))
    every = pd.DataFrame({"recording_id": names, "start_s": starts, "end_s": starts + 2.8})
    heard = [every.assign(kind="cycle")]
    heard += [every[generator.random(len(every)) < share].assign(kind=kind) for kind, share in SOUNDS]
    return pd.concat(heard, ignore_index=True).assign(source="simulated").astype(TEXTS)


SOUNDS = (("crackle", 0.3), ("wheeze", 0.2))
TEXTS = {"recording_id": "str", "kind": "str", "source": "str"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["patients", "folds"])
def test_100_000_recordings_within_a_minute(make_patients, crackles, run_split, kind):
    tables = [make_patients(15_000, per_patient=6), make_patients(2_500, per_patient=4, dataset="antwerp")]
    events = [cycles(table, 6) for table in tables]
    settings = {"kind": kind, "fold": 2} if kind == "folds" else {"kind": kind}
    begin = time.process_time()
    split, audit = run_split(tables, settings, crackles, events)
    # Writing the tables is in it.
    elapsed_s = time.process_time() - begin
    assert len(split) == 100_000
    assert elapsed_s < 60
    print(f"{kind}: {elapsed_s:.1f} s for {len(split)} recordings, {sum(map(len, events))} events")  # noqa: T201
    assert audit["total"]["test"]["patients"] == {"patients": 2625, "folds": 3500}[kind]
