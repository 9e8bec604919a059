"""What a finished study comes to: the chosen trial, why, and all that it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from auscult.config.trials import Budget, Chosen, RungValue, TrialRecord, study_key
from auscult.formatting.numbers import plural
from auscult.ops import search

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from auscult.ops.study import Study

REASON = "reason"
"""Attribute of a failed trial in the journal."""


def is_complete(trial: FrozenTrial) -> bool:
    """Return whether a trial was trained to the end."""
    return trial.state.name == "COMPLETE"


def conclude(study: Study) -> Chosen:
    """Return what a study chose, all of whose trials have ended, at least one of them complete."""
    complete = {trial.number: float(trial.values[0]) for trial in study.trials if is_complete(trial)}
    records = [_record(study, trial) for trial in study.trials]
    best = search.ranked(complete, study.mode)[0]
    importances, method = _importances(study, records)
    return Chosen(
        experiment=f"{study.experiment.group}/{study.experiment.name}",
        key=study_key(study.experiment),
        metric=study.metric,
        mode=study.mode,
        trial=best,
        value=complete[best],
        values=records[best].values,
        reason=_reason(study, best, records),
        importances=importances,
        importance_method=method,
        budget=_budget(study, records),
        trials=tuple(records),
    )


def _record(study: Study, trial: FrozenTrial) -> TrialRecord:
    values = study.values(trial.number)
    states = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}
    rungs = [
        RungValue(
            epoch=epoch,
            value=value,
            of_seeds=tuple(
                reached
                for seed in study.seeds
                if (reached := study.files.read(trial.number, values, seed, epoch).value) is not None
            ),
        )
        for epoch, value in sorted(trial.intermediate_values.items())
    ]
    return TrialRecord.model_validate(
        {
            "number": trial.number,
            "state": states[trial.state.name],
            "values": values,
            "value": rungs[-1].value if rungs and trial.state.name != "FAIL" else None,
            "rungs": rungs,
            "training_s": sum(rung.training_s for rung in study.last_rungs(trial)),
            "reason": trial.user_attrs.get(REASON, ""),
        }
    )


def _importances(study: Study, records: Sequence[TrialRecord]) -> tuple[dict[str, float], str]:
    """Return the importances by what all trials have: the value at the first rung."""
    at_first = [(record.values, record.rungs[0].value) for record in records if record.rungs]
    found = search.importances(study.tune, at_first, study.mode)
    where = f"{study.metric} after epoch {study.epochs[0]}"
    return found, f"fANOVA over {plural(len(at_first), 'trial')}, of {where}" if found else ""


def _reason(study: Study, best: int, records: Sequence[TrialRecord]) -> str:
    states = [record.state for record in records]
    seeds = f", mean of the seeds {', '.join(map(str, study.seeds))}" if len(study.seeds) > 1 else ""
    text = (
        f"trial {best}: the best {study.metric} on validation, {records[best].value:.4f}{seeds}, of "
        f"{plural(states.count('complete'), 'trial')} trained to the end"
    )
    parts = [(states.count("pruned"), "stopped earlier"), (states.count("failed"), "failed")]
    others = ", ".join(f"{count} {what}" for count, what in parts if count)
    return f"{text}; {others}" if others else text


def _budget(study: Study, records: Sequence[TrialRecord]) -> Budget:
    epochs = sum(rung.epochs for trial in study.trials for rung in study.last_rungs(trial))
    return Budget(
        training_h=sum(record.training_s for record in records) / 3600,
        epochs=epochs,
        epochs_without_pruning=len(records) * len(study.seeds) * study.epochs[-1],
        ended_by_budget=study.is_over_budget,
    )


def trials_table(chosen: Chosen) -> pd.DataFrame:
    """Return one row a trial: its number, state, value, epochs, seconds of training, and a column a setting."""
    return pd.DataFrame(
        [
            {
                "trial": record.number,
                "state": record.state,
                chosen.metric: record.value,
                "epochs": record.rungs[-1].epoch if record.rungs else 0,
                "training_s": round(record.training_s, 1),
                **{key: _cell(value) for key, value in record.values.items()},
                "chosen": record.number == chosen.trial,
                "reason": record.reason,
            }
            for record in chosen.trials
        ]
    )


def _cell(value: object) -> object:
    return str(value) if isinstance(value, dict | list) else value
