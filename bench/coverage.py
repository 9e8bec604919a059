"""How often 95% intervals hold the truth: simulated studies of few and many patients, by what reports use.

python -m bench.coverage            # writes bench/coverage.json and the table in docs/evaluation.md; about 10 minutes
python -m bench.coverage --quick    # a few small studies, printed only
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from auscult.metrics.evidence import Owners, binary_evidence, estimates
from auscult.metrics.intervals import resample_weights
from auscult.metrics.score_intervals import MIN_PATIENTS, MIN_PATIENTS_RESAMPLED
from auscult.storage.files import write_json, write_text

PROJECT = Path(__file__).resolve().parent.parent
RESULTS = PROJECT / "bench" / "coverage.json"
PAGE = PROJECT / "docs" / "evaluation.md"
BEGIN, END = "<!-- coverage: begin (python -m bench.coverage) -->", "<!-- coverage: end -->"

CLOSED = ("auroc", "sensitivity", "specificity", "accuracy", "balanced_accuracy")
RESAMPLED = ("f1", "mcc", "auprc", "brier")
HEADS = {
    **{"auroc": "AUROC", "sensitivity": "Sensitivity", "specificity": "Specificity", "accuracy": "Accuracy"},
    **{"balanced_accuracy": "Balanced", "f1": "F1", "mcc": "MCC", "auprc": "AUPRC", "brier": "Brier"},
}
SEPARATED = 20.0
"""Distance of the classes, in deviations, where the true AUROC is 1."""
MIN_GIVEN = 0.1
"""A study that gets an interval more rarely than in this share of samples is left out of the table."""


@dataclass(frozen=True)
class Design:
    """How clips belong to patients.

    Attributes:
        name: In the table.
        clips: Of a patient, on average (Poisson, at least one).
        truth_of_clips: Each clip has a truth of its own, else its patient's.
        likeness: Share of a score's variance that the clips of a patient have in common.
    """

    name: str
    clips: int
    truth_of_clips: bool = False
    likeness: float = 0.5


DESIGNS = (
    Design("patients", 1),
    Design("5 clips a patient, one truth", 5),
    Design("20 clips a patient, one truth, alike", 20, likeness=0.8),
    Design("20 clips a patient, a truth each", 20, truth_of_clips=True),
)


@dataclass(frozen=True)
class Study:
    """One cell of the simulation."""

    design: Design
    patients: int
    prevalence: float
    auroc: float


@dataclass(frozen=True)
class Covered:
    """What came out for one score of one study.

    Attributes:
        given: Share of samples with an interval, of those in which the score is defined.
        coverage: Share of these intervals that hold the truth.
        below: Share of them that lie wholly below the truth.
        width: Their mean width.
        samples: How many had an interval.
    """

    given: float
    coverage: float
    below: float
    width: float
    samples: int


def sample(study: Study, rng: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.int64]]:
    """Return truth, scores and patients of one sample: scores are normal, deviation 1, in both classes."""
    n, design = study.patients, study.design
    clips = np.ones(n, dtype=np.int64) if design.clips == 1 else np.maximum(1, rng.poisson(design.clips, n))
    owners = np.repeat(np.arange(n), clips)
    if design.truth_of_clips:
        tendency = rng.beta(2 * study.prevalence, 2 * (1 - study.prevalence), n)
        truth = rng.random(len(owners)) < tendency[owners]
    else:
        truth = (rng.random(n) < study.prevalence)[owners]
    common = np.sqrt(design.likeness) * rng.standard_normal(n)
    scores = common[owners] + np.sqrt(1 - design.likeness) * rng.standard_normal(len(owners))
    return truth, scores + distance(study.auroc) * truth, owners


def distance(auroc: float) -> float:
    """Return how many deviations the classes lie apart."""
    return SEPARATED if auroc == 1 else float(norm.ppf(auroc) * np.sqrt(2))


def decide(scores: NDArray[np.float64], auroc: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return probabilities, which are a little too sure, and decisions half-way between the classes."""
    centred = scores - distance(auroc) / 2
    return norm.cdf(1.2 * centred), centred >= 0


def truths(prevalence: float, auroc: float) -> dict[str, float]:
    """Return the true scores; the two without a closed form by summing over a fine grid."""
    apart = distance(auroc)
    hit = float(norm.cdf(apart / 2))
    tp, fp, fn, tn = prevalence * hit, (1 - prevalence) * (1 - hit), prevalence * (1 - hit), (1 - prevalence) * hit
    grid = norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    positive, negative = (decide(grid + shift, auroc)[0] for shift in (apart, 0.0))
    found, wrong = prevalence * norm.sf(grid), (1 - prevalence) * norm.sf(grid + apart)
    return {
        "auroc": auroc,
        **dict.fromkeys(("sensitivity", "specificity", "accuracy", "balanced_accuracy"), hit),
        "f1": 2 * tp / (2 * tp + fp + fn),
        "mcc": (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)),
        "auprc": float(np.mean(found / (found + wrong))),
        "brier": float(prevalence * np.mean((1 - positive) ** 2) + (1 - prevalence) * np.mean(negative**2)),
    }


def simulate(
    study: Study, n_samples: int, n_resamples: int, names: Sequence[str], rng: np.random.Generator
) -> dict[str, Covered]:
    """Return how often intervals hold the truth in samples of one study.

    Args:
        study: What is drawn.
        n_samples: How often.
        n_resamples: Of the bootstrap; 0 for scores that need none.
        names: The scores.
        rng: The only source of randomness.
    """
    expected = truths(study.prevalence, study.auroc)
    rows: dict[str, list[tuple[bool, bool, float]]] = defaultdict(list)
    defined = dict.fromkeys(names, 0)
    for _ in range(n_samples):
        truth, scores, owners = sample(study, rng)
        probabilities, decisions = decide(scores, study.auroc)
        weights = resample_weights(study.patients, n_resamples, rng)
        # Probabilities run into 0 and 1 where the classes lie far apart: the scores rank, they do not.
        whose = Owners(owners, np.arange(len(owners)), weights)
        evidence = binary_evidence(truth, probabilities if study.auroc < 1 else scores, decisions, whose)
        found = estimates([evidence])
        for name in names:
            one = found[name]
            defined[name] += one["value"] is not None
            if one["low"] is not None and one["high"] is not None:
                low, high = one["low"] - 1e-9, one["high"] + 1e-9
                rows[name].append((low <= expected[name] <= high, high < expected[name], high - low))
    return {
        name: Covered(
            given=len(ends) / defined[name],
            coverage=float(np.mean([held for held, _, _ in ends])),
            below=float(np.mean([is_below for _, is_below, _ in ends])),
            width=float(np.mean([width for _, _, width in ends])),
            samples=len(ends),
        )
        for name, ends in rows.items()
    }


def studies(*, is_quick: bool) -> Iterator[tuple[Study, Sequence[str]]]:
    """Yield the studies, with the scores that each is judged by: first closed forms, then what resamples judge."""
    sizes = (5, 10, 20) if is_quick else (5, 10, 20, 50, 200)
    prevalences, areas = ((0.5,), (0.8, 1.0)) if is_quick else ((0.1, 0.3, 0.5), (0.6, 0.8, 0.95, 1.0))
    for design, n, prevalence, area in itertools.product(DESIGNS, sizes, prevalences, areas):
        # With 200 patients 20 clips of each differ little from 5, and take most of the time.
        if n * design.clips <= 1000 and n * prevalence >= 1:
            yield Study(design, n, prevalence, area), CLOSED
    for design, n, prevalence, area in itertools.product(DESIGNS[:2], sizes[2:], prevalences, areas[:-1]):
        if n * min(prevalence, 1 - prevalence) >= MIN_PATIENTS_RESAMPLED:
            yield Study(design, n, prevalence, area), RESAMPLED


def run(*, is_quick: bool, seed: int = 0) -> list[dict[str, object]]:
    """Simulate all studies; one row a study and score.

    Args:
        is_quick: Few studies, few samples.
        seed: Of the simulation.
    """
    of_closed, of_resampled, n_resamples = (60, 20, 100) if is_quick else (1000, 600, 200)
    rows: list[dict[str, object]] = []
    for number, (study, names) in enumerate(studies(is_quick=is_quick)):
        is_closed = names is CLOSED
        rng = np.random.default_rng([seed, number])
        found = simulate(study, of_closed if is_closed else of_resampled, 0 if is_closed else n_resamples, names, rng)
        head: dict[str, object] = {**asdict(study), "design": study.design.name}
        rows += [{**head, "score": name, **asdict(one)} for name, one in found.items()]
    return rows


def table(rows: Sequence[dict[str, object]]) -> str:
    """Return the table: mean coverage in per cent over prevalences and areas below 1, in brackets the lowest."""
    kept = [row for row in rows if float(str(row["given"])) >= MIN_GIVEN and row["auroc"] != 1]
    lines = [f"| | patients | {' | '.join(HEADS.values())} |", f"|---|---|{'---|' * len(HEADS)}"]
    for design in dict.fromkeys(str(row["design"]) for row in kept):
        sizes = sorted({int(str(row["patients"])) for row in kept if row["design"] == design})
        for n in sizes:
            cells = []
            for name in HEADS:
                of = [row for row in kept if (row["design"], row["patients"], row["score"]) == (design, n, name)]
                coverages = [100 * float(str(row["coverage"])) for row in of]
                cells.append(f"{np.mean(coverages):.0f} ({min(coverages):.0f})" if coverages else "")
            lines.append(f"| {design if n == sizes[0] else ''} | {n} | {' | '.join(cells)} |")
    return "\n".join(lines)


def summary(rows: Sequence[dict[str, object]]) -> str:
    """Return the lowest coverage and the shares of studies below 90% and from 93%, in a sentence."""
    kept = [row for row in rows if float(str(row["given"])) >= MIN_GIVEN and row["auroc"] != 1]
    coverages = np.array([float(str(row["coverage"])) for row in kept])
    lowest = kept[int(coverages.argmin())]
    of = f"{HEADS[str(lowest['score'])]}, {lowest['design']}, {lowest['patients']} patients"
    return (
        f"Of {len(kept)} pairs of a study and a score {(coverages >= 0.93).mean():.0%} are covered by at least 93% and "
        f"{(coverages < 0.9).sum()} by less than 90%; the lowest is {coverages.min():.1%} "
        f"({of}, prevalence {lowest['prevalence']}, AUROC {lowest['auroc']}). "
        "Where the true AUROC is 1, every sample is right throughout, and all intervals hold the truth."
    )


def write_page(rows: Sequence[dict[str, object]], page: Path = PAGE) -> None:
    """Put table and sentence between the two marks of the page.

    Raises:
        ValueError: The page lacks the marks.
    """
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page}: expected the lines {BEGIN} and {END}, found none; put them where the table belongs")
    write_text(page, f"{before}{BEGIN}\n{table(rows)}\n\n{summary(rows)}\n{END}{after}")


def main() -> int:
    """Simulate, print, write."""
    parser = argparse.ArgumentParser(prog="python -m bench.coverage", description="Coverage of the 95% intervals")
    parser.add_argument("--quick", action="store_true", help="a few small studies, printed only")
    is_quick = parser.parse_args().quick
    begun = time.perf_counter()
    rows = run(is_quick=is_quick)
    sys.stdout.write(f"{table(rows)}\n\n{summary(rows)}\n\n{time.perf_counter() - begun:.0f} s\n")
    if not is_quick:
        least = {"patients_of_a_class": MIN_PATIENTS, "patients_of_a_class_resampled": MIN_PATIENTS_RESAMPLED}
        rounded = [{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows]
        write_json(RESULTS, {"least": least, "rows": rounded})
        write_page(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
