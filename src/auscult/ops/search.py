"""What a study asks next, and which trials go on: functions of its history alone, with Optuna as the engine.

Nothing depends on the clock, on the order in which trials end, or on what an earlier process had in memory. So a study
that was killed asks what an undisturbed one would have asked.
"""

from __future__ import annotations

import itertools
import json
import random
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from auscult.config.tune import SearchSettings, TuneSettings
from auscult.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

LEAST_FOR_MEDIAN = 4
"""Trials at a rung before the pruner `median` stops any."""
LEAST_FOR_IMPORTANCE = 8
Mode = Literal["max", "min"]


def require_optuna() -> None:
    """Refuse to search without the engine, and say how it is installed; its own log stays quiet.

    Raises:
        ConfigError: It is not installed.
    """
    try:
        import optuna  # noqa: PLC0415 (seconds, and only a search needs it)
    except ImportError as error:
        raise ConfigError(f"a search needs optuna ({error}); pip install 'auscult[tune]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def distributions(tune: TuneSettings) -> dict[str, BaseDistribution]:
    """Return Optuna's distribution of each searched setting; the values of a choice are their JSON."""
    return {key: _distribution(search) for key, search in tune.search.items()}


def _distribution(search: SearchSettings) -> BaseDistribution:
    from optuna.distributions import (  # noqa: PLC0415
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if search.choice is not None:
        return CategoricalDistribution([json.dumps(value, sort_keys=True) for value in search.choice])
    if search.int is not None:
        return IntDistribution(*search.int)
    return FloatDistribution(*search.ends, log=search.log_uniform is not None)


def encoded(tune: TuneSettings, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of settings as Optuna's parameters."""
    is_choice = {key: search.choice is not None for key, search in tune.search.items()}
    return {key: json.dumps(values[key], sort_keys=True) if is_choice[key] else values[key] for key in tune.search}


def decoded(tune: TuneSettings, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return Optuna's parameters as values of settings."""
    is_choice = {key: search.choice is not None for key, search in tune.search.items()}
    return {key: json.loads(params[key]) if is_choice[key] else params[key] for key in tune.search}


def propose(tune: TuneSettings, number: int, history: Sequence[FrozenTrial], mode: Mode) -> dict[str, Any]:
    """Return the values of trial `number`: a function of the search's seed, the number and the history.

    Args:
        tune: The search.
        number: From 0 on.
        history: All trials before it; those that rest at a rung as pruned ones.
        mode: Whether large or small values are good.
    """
    if tune.sampler == "grid":
        points = list(itertools.product(*(search.grid() for search in tune.search.values())))
        random.Random(tune.seed).shuffle(points)  # noqa: S311 (an order: cut short, it covers the whole range)
        return dict(zip(tune.search, points[number], strict=True))
    import optuna  # noqa: PLC0415

    study = optuna.create_study(direction=_direction(mode), sampler=_sampler(tune, number))
    study.add_trials(history)
    return decoded(tune, study.ask(distributions(tune)).params)


def _direction(mode: Mode) -> Literal["maximize", "minimize"]:
    return "maximize" if mode == "max" else "minimize"


def _sampler(tune: TuneSettings, number: int) -> BaseSampler:
    import warnings  # noqa: PLC0415

    from optuna.exceptions import ExperimentalWarning  # noqa: PLC0415
    from optuna.samplers import RandomSampler, TPESampler  # noqa: PLC0415

    seed = int(np.random.SeedSequence([tune.seed, number]).generate_state(1)[0])
    if tune.sampler == "random":
        return RandomSampler(seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        # Trials that run count as bad ones: those that start together do not all take one place.
        return TPESampler(seed=seed, multivariate=True, constant_liar=True)


def ranked(values: Mapping[int, float], mode: Mode) -> list[int]:
    """Return trials from the best on; of equal ones the earlier is the better.

    >>> ranked({0: 0.5, 1: 0.9, 2: 0.5}, "max")
    [1, 0, 2]
    """
    sign = -1 if mode == "max" else 1
    return sorted(values, key=lambda number: (sign * values[number], number))


def promotable(rungs: Sequence[Mapping[int, float]], reduction: int, mode: Mode) -> list[int]:
    """Return the trials that ASHA promotes (Li et al. 2020), those at the highest rung first.

    At each rung the best 1/`reduction` go on, as soon as there are so many. A trial that was not among them may be
    later, when others have come: it rests, its state kept.

    Args:
        rungs: Of each rung, from the first on: trial -> value; the last rung is the end.
        reduction: Of so many one goes on.
        mode: Whether large or small values are good.

    >>> promotable([{0: 0.5, 1: 0.9, 2: 0.7}, {}], 3, "max")
    [1]
    >>> promotable([{0: 0.5, 1: 0.9, 2: 0.7, 3: 0.8, 4: 0.6, 5: 0.1}, {1: 0.9}], 3, "max")
    [3]
    """
    found: list[int] = []
    for here, above in reversed(list(itertools.pairwise(rungs))):
        found += [number for number in ranked(here, mode)[: len(here) // reduction] if number not in above]
    return found


def is_below_median(value: float, of_all: Sequence[float], mode: Mode) -> bool:
    """Return whether a value is worse than the median of all at its rung, where there are enough.

    >>> is_below_median(0.5, [0.5, 0.6, 0.7, 0.8], "max"), is_below_median(0.5, [0.5, 0.9], "max")
    (True, False)
    """
    if len(of_all) < LEAST_FOR_MEDIAN:
        return False
    median = statistics.median(of_all)
    return value < median if mode == "max" else value > median


def importances(tune: TuneSettings, trials: Sequence[tuple[Mapping[str, Any], float]], mode: Mode) -> dict[str, float]:
    """Return the share of each setting in the variance of the values (fANOVA, Hutter et al. 2014), the largest first.

    Args:
        tune: The search.
        trials: Values of the settings and what came of them, all after equally many epochs.
        mode: Whether large or small values are good.

    Returns:
        Empty where there are too few trials, or all have one value.
    """
    if len(trials) < LEAST_FOR_IMPORTANCE or len({value for _, value in trials}) < 2:
        return {}
    import optuna  # noqa: PLC0415
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances  # noqa: PLC0415

    study = optuna.create_study(direction=_direction(mode))
    space = distributions(tune)
    study.add_trials(
        [
            optuna.trial.create_trial(params=encoded(tune, values), distributions=space, value=value)
            for values, value in trials
        ]
    )
    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return {key: float(share) for key, share in found.items()}
