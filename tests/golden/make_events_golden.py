"""Write `events.json`: random events and what sed_eval, psds_eval and sed_scores_eval say of them.

Run in an environment of its own (Python 3.11 with numpy 1.23.5, pandas 1.5.3, scipy 1.10.1, sed_eval 0.2.1, psds_eval
0.5.3, sed_scores_eval 0.0.4; none runs with this project's pins): `python make_events_golden.py`.
"""

import json
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import psds_eval
import sed_eval
import sed_scores_eval
from sed_scores_eval.base_modules.scores import create_score_dataframe

KINDS = ["crackle", "rhonchus", "wheeze"]
DURATIONS_S = [9.2, 15.4, 9.2, 12.0, 15.0, 0.8]
COLLARS = [[0.1, 0.1, 0.0], [0.2, 0.2, 0.5], [0.5, None, 0.5]]
CRITERIA = [[0.5, 0.5, 0.3, 0.0, 0.0, 100.0], [0.7, 0.7, 0.3, 0.5, 1.0, 300.0], [0.1, 0.3, 0.3, 1.0, 0.0, 800.0]]
SEGMENTS_S = [1.0, 0.5]
FRAME_S = 0.1


def some_events(rng):
    """Return rows of recording, kind, start and end; those of one kind do not overlap. No time is exact to 0.1 ms."""
    rows = []
    for recording, duration in enumerate(DURATIONS_S):
        for kind in KINDS:
            edges = np.sort(rng.uniform(0, duration, 2 * rng.integers(0, 5)))
            rows += [[recording, kind, round(a, 4) + 3e-5, round(b, 4) + 6e-5] for a, b in edges.reshape(-1, 2)]
    return rows


def answers(rng, truth, quality):
    """Return events like the true ones, some moved, lost, of another kind or made up."""
    rows = []
    for recording, kind, start, end in truth:
        if rng.uniform() < quality:
            moved = rng.normal(0, 0.12, 2)
            onset, offset = max(0, start + moved[0]), min(DURATIONS_S[recording], end + moved[1])
            said = kind if rng.uniform() < 0.85 else str(rng.choice(KINDS))
            rows.append([recording, said, round(onset, 4) + 2e-5, round(max(offset, onset + 0.02), 4) + 4e-5])
    rows += [row for row in some_events(rng) if rng.uniform() < 0.25]
    kept = []
    for row in sorted(rows):  # of one kind they must not overlap
        if not any(r[:2] == row[:2] and r[2] < row[3] and row[2] < r[3] for r in kept):
            kept.append(row)
    return kept


def as_dicts(rows, recording):
    return [
        {"event_label": kind, "onset": start, "offset": end, "filename": str(recording)}
        for at, kind, start, end in rows
        if at == recording
    ]


def four_scores(results):
    """Return precision, recall, F and error rate of all kinds together, as the mean over kinds, and of each kind."""
    views = {"micro": results["overall"], "macro": results["class_wise_average"], **results["class_wise"]}
    return {
        name: [of["f_measure"][key] for key in ("precision", "recall", "f_measure")] + [of["error_rate"]["error_rate"]]
        for name, of in views.items()
    }


def sed_eval_scores(truth, found):
    by_events = []
    for onset_s, offset_s, share in COLLARS:
        judge = sed_eval.sound_event.EventBasedMetrics(
            KINDS, t_collar=onset_s, percentage_of_length=share, evaluate_offset=offset_s is not None
        )
        for recording in range(len(DURATIONS_S)):
            judge.evaluate(as_dicts(truth, recording), as_dicts(found, recording))
        by_events.append(four_scores(judge.results()))
    by_segments = []
    for segment_s in SEGMENTS_S:
        judge = sed_eval.sound_event.SegmentBasedMetrics(KINDS, time_resolution=segment_s)
        for recording, duration in enumerate(DURATIONS_S):
            judge.evaluate(as_dicts(truth, recording), as_dicts(found, recording), duration)
        by_segments.append(four_scores(judge.results()))
    return {"by_events": by_events, "by_segments": by_segments}


def table(rows):
    return pd.DataFrame(
        [{"filename": str(at), "onset": start, "offset": end, "event_label": kind} for at, kind, start, end in rows],
        columns=["filename", "onset", "offset", "event_label"],
    )


def psds_eval_scores(truth, points):
    values = []
    lengths = pd.DataFrame({"filename": [str(i) for i in range(len(DURATIONS_S))], "duration": DURATIONS_S})
    for detection, hit, trigger, trigger_weight, instability, end in CRITERIA:
        judge = psds_eval.PSDSEval(
            dtc_threshold=detection,
            gtc_threshold=hit,
            cttc_threshold=trigger,
            ground_truth=table(truth),
            metadata=lengths,
            class_names=KINDS,
        )
        for point in points:
            judge.add_operating_point(table(point))
        values.append(float(judge.psds(alpha_ct=trigger_weight, alpha_st=instability, max_efpr=end).value))
    return values


def sed_scores_eval_scores(truth, scores):
    """Return the PSDS over all thresholds of frame scores."""
    frames = {
        str(i): create_score_dataframe(values, np.arange(len(values) + 1) * FRAME_S, KINDS)
        for i, values in enumerate(scores)
    }
    events = {
        str(i): [(start, end, kind) for at, kind, start, end in truth if at == i] for i in range(len(DURATIONS_S))
    }
    lengths = {str(i): duration for i, duration in enumerate(DURATIONS_S)}
    values = []
    for detection, hit, trigger, trigger_weight, instability, end in CRITERIA:
        found = sed_scores_eval.intersection_based.psds(
            frames,
            events,
            lengths,
            dtc_threshold=detection,
            gtc_threshold=hit,
            cttc_threshold=trigger if trigger_weight else None,
            alpha_ct=trigger_weight,
            alpha_st=instability,
            max_efpr=end,
        )
        values.append(float(found[0]))
    return values


def main():
    rng = np.random.default_rng(16)
    truth = some_events(rng)
    points = [answers(rng, truth, quality) for quality in (0.95, 0.8, 0.5, 0.2)]
    scores = []
    for recording, duration in enumerate(DURATIONS_S):
        centres = (np.arange(round(duration / FRAME_S)) + 0.5) * FRAME_S
        rows = []
        for kind in KINDS:
            active = np.zeros(len(centres))
            for at, of_kind, start, end in truth:
                if (at, of_kind) == (recording, kind):
                    active[(centres >= start) & (centres < end)] = 1
            smooth = np.convolve(rng.normal(0, 1, len(centres) + 4), np.ones(5) / 5, mode="valid")
            rows.append(np.round(1 / (1 + np.exp(-(1.5 * active - 1 + 1.2 * smooth))), 2))
        scores.append(np.stack(rows, axis=1))
    found = {
        "versions": {name: version(name) for name in ("sed_eval", "psds_eval", "sed_scores_eval", "numpy", "pandas")},
        "kinds": KINDS,
        "durations_s": DURATIONS_S,
        "truth": truth,
        "points": points,
        "collars": COLLARS,
        "criteria": CRITERIA,
        "segments_s": SEGMENTS_S,
        "sed_eval": [sed_eval_scores(truth, found) for found in points],
        "psds_eval": psds_eval_scores(truth, points),
        "frame_s": FRAME_S,
        "scores": [each.tolist() for each in scores],
        "sed_scores_eval": sed_scores_eval_scores(truth, scores),
    }
    Path(__file__).with_name("events.json").write_text(json.dumps(found, indent=None) + "\n")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
