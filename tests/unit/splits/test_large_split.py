"""A hundred thousand recordings are divided and audited within a minute, their sounds compared with one another."""

import base64
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


def fingerprints(n: int, generator: np.random.Generator, n_words: int = 198) -> list[str]:
    """Fingerprints of 20 s as noise gives them: words overlap in time, bits in frequency."""
    made: list[str] = []
    while len(made) < n:
        level = np.cumsum(generator.standard_normal((1000, n_words + 8, 33), dtype=np.float32), axis=1)
        windows = level[:, 4:] - level[:, :-4]
        change = np.diff(windows[:, 4:] - windows[:, :-4], axis=2)
        words = np.packbits(change[:, :n_words] > 0, axis=2, bitorder="little")
        made += [base64.b64encode(of_one.tobytes()).decode() for of_one in words]
    return made[:n]


SOUNDS = (("crackle", 0.3), ("wheeze", 0.2))
TEXTS = {"recording_id": "str", "kind": "str", "source": "str"}


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.parametrize("kind", ["patients", "folds"])
def test_100_000_recordings_within_a_minute(make_patients, crackles, run_split, kind):
    tables = [make_patients(15_000, per_patient=6), make_patients(2_500, per_patient=4, dataset="antwerp")]
    prints = fingerprints(100_000, np.random.default_rng(1))
    # Ten recordings once more, cut, as another patient's.
    originals = range(99_000, 99_080, 8)
    for number in originals:
        prints[number + 4] = prints[number][320:]
    begin_at = 0
    for index, table in enumerate(tables):
        of_table = prints[begin_at : begin_at + len(table)]
        tables[index] = table.assign(fingerprint=of_table).astype({"fingerprint": "str"})
        begin_at += len(table)
    events = [cycles(table, 6) for table in tables]
    settings = {"kind": kind, "allow_leaks": {"near_duplicate_audio": "planted"}}
    settings |= {"fold": 2} if kind == "folds" else {}
    begin = time.process_time()
    split, audit = run_split(tables, settings, crackles, events)
    # Writing the tables is in it.
    elapsed_s = time.process_time() - begin
    assert len(split) == 100_000
    names = [name for table in tables for name in table["recording_id"]]
    planted = {names[number + step] for number in originals for step in (0, 4)}
    kinds = ("near_duplicate_audio", "conflicting_labels")
    copies, conflicts = ([one for one in audit["findings"] if one["kind"] == kind] for kind in kinds)
    assert len(copies) + len(conflicts) == len(audit["findings"])
    assert {name for finding in copies for name in finding["ids"]} == planted
    # A copy of another patient's sound may bear another label, which is named too.
    in_conflict = {one["recording"] for finding in conflicts for group in finding["groups"] for one in group}
    assert in_conflict and in_conflict <= planted
    assert elapsed_s < 60
    print(f"{kind}: {elapsed_s:.1f} s for {len(split)} recordings, {sum(map(len, events))} events")  # noqa: T201
    assert audit["total"]["test"]["patients"] == {"patients": 2625, "folds": 3500}[kind]
