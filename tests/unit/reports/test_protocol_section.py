"""What a report says of a protocol: prespecified or exploratory, figure by figure and pair by pair."""

import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from auscult.config import Experiment
from auscult.config.protocol import (
    FrozenSplit,
    PlannedComparison,
    PrimaryFigure,
    Protocol,
    digest_of,
    protocol_yaml,
    question_of,
    rules_of_jobs,
    settings_of_jobs,
)
from auscult.formatting.metric_tables import headline
from auscult.formatting.numbers import METRIC_NAMES
from auscult.metrics.multiplicity import max_t_p, two_families_p
from auscult.reports.job_comparison import compare_jobs
from auscult.reports.jobs import read_jobs
from auscult.reports.protocol_section import default_primary, protocol_view, readings_text
from auscult.reports.publish import publish
from auscult.storage.files import write_text

pytestmark = pytest.mark.usefixtures("plain_figures")

THREE_JOBS = [{}, {"train": {"epochs": 15}}, {"train": {"epochs": 20}}]
FROZEN = "2026-01-02T03:04:05+00:00"


@pytest.fixture
def published(publishable):
    return publishable("binary", *THREE_JOBS)


def protocol_of(published, **changes):
    experiment, task = published.experiment, published.task
    draft = Protocol(
        **{
            "experiment": f"{experiment.group}/{experiment.name}",
            "frozen_utc": FROZEN,
            "auscult": "1.0",
            "commit": "abc",
            "question": question_of(experiment.task, task),
            "splits": (FrozenSplit(runs=tuple(run.id for run in experiment.runs), table="split.csv", sha256="1"),),
            "primary": default_primary(task),
            "operating_rule": rules_of_jobs(experiment),
            "comparisons": (PlannedComparison(job=2, base=1), PlannedComparison(job=3, base=1)),
            "jobs": settings_of_jobs(experiment),
        }
        | changes
    )
    return draft.model_copy(update={"sha256": digest_of(draft)})


def view_of(published, protocol, *, experiment=None, digest="1", readings=()):
    experiment = experiment or published.experiment
    jobs = read_jobs(experiment, published.task, published.job_dirs)
    splits = {run.id: ("split.csv", digest) for run in experiment.runs}
    return protocol_view(
        experiment, published.task, jobs, protocol=protocol, splits=splits, readings={"key": list(readings)}
    )


def words(view):
    return {standing.what: standing.word for standing in view.standings}, [one.word for _, one in view.comparisons]


FIGURE, RULE = "AUROC, pneumonia, patient level, job {}", "Operating rule, job {}"


def test_what_was_frozen_and_not_changed_is_prespecified(published):
    view = view_of(published, protocol_of(published))
    figures, pairs = words(view)
    assert [figures[FIGURE.format(job)] for job in (1, 2, 3)] == ["prespecified"] * 3
    assert figures["All other figures"] == "exploratory"
    assert pairs == ["prespecified", "prespecified"]
    assert view.changes == []
    assert view.summary == "8 figures of this report were prespecified; all else is exploratory."


def test_without_a_protocol_all_is_exploratory_and_pairs_are_corrected_all_the_same(published):
    view = view_of(published, None)
    assert view.facts == []
    assert "every figure here is exploratory" in view.summary
    assert words(view)[1] == ["exploratory", "exploratory"]
    assert all(pair.p is not None for pair, _ in view.comparisons)


def changed(experiment: Experiment, number: int, **values) -> Experiment:
    jobs = list(experiment.jobs)
    section, change = next(iter(values.items()))
    settings = getattr(jobs[number - 1], section).model_copy(update=change)
    jobs[number - 1] = jobs[number - 1].model_copy(update={section: settings})
    return experiment.model_copy(update={"jobs": tuple(jobs)})


def test_a_changed_job_takes_its_figures_and_pairs_with_it(published):
    now = changed(published.experiment, 2, train={"epochs": 16})
    view = view_of(published, protocol_of(published), experiment=now)
    figures, pairs = words(view)
    assert [figures[FIGURE.format(job)] for job in (1, 2, 3)] == ["prespecified", "exploratory", "prespecified"]
    # Planned pairs that still stand come first.
    assert [(pair.job, one.word) for pair, one in view.comparisons] == [(3, "prespecified"), (2, "exploratory")]
    assert view.changes == ["job 2: train.epochs: 15 -> 16"]
    assert any("train.epochs: 15 -> 16" in standing.reason for standing in view.standings)
    assert pairs == ["prespecified", "exploratory"]


def test_a_changed_rule_concerns_decisions_and_no_ranking(published):
    now = changed(published.experiment, 2, evaluate={"threshold": "f1"})
    figures, pairs = words(view_of(published, protocol_of(published), experiment=now))
    assert figures[FIGURE.format(2)] == "prespecified"
    assert figures[RULE.format(2)] == "exploratory"
    assert pairs == ["prespecified", "prespecified"]
    sensitivity = PrimaryFigure(metric="sensitivity", view="pneumonia", level="patient")
    figures, pairs = words(view_of(published, protocol_of(published, primary=sensitivity), experiment=now))
    assert figures["Sensitivity, pneumonia, patient level, job 2"] == "exploratory"
    assert pairs == ["prespecified", "exploratory"]


READ_BY_US = "work/runs/binary/made_up/1"


@pytest.mark.parametrize(
    ("changes", "options", "reason"),
    [
        ({"late": "read before"}, {}, "frozen late: read before"),
        ({"experiment": "a/b"}, {}, "the protocol is that of a/b"),
        ({"question": {"task": "binary"}}, {}, "the question has changed since the freeze: type: absent -> binary"),
        ({}, {"digest": "2"}, "the same settings divide other data"),
        ({}, {"readings": [{"model": "m", "result": READ_BY_US, "time_utc": "2026-01-01T00:00:00+00:00"}]}, "had read"),
        # Of an earlier version: nobody knows when.
        ({}, {"readings": [{"model": "m", "result": READ_BY_US}]}, "had read the test part before"),
    ],
)
def test_nothing_stands_by_a_protocol_that_does_not_hold(published, changes, options, reason):
    view = view_of(published, protocol_of(published, **changes), **options)
    figures, pairs = words(view)
    assert set(figures.values()) | set(pairs) == {"exploratory"}
    assert reason in view.standings[0].reason
    assert "no figure here stands by it" in view.summary


def test_a_reading_after_the_freeze_or_of_another_experiment_does_no_harm(published):
    readings = [
        {"model": "m", "result": READ_BY_US, "time_utc": "2026-01-03T00:00:00+00:00"},
        {"model": "n", "result": "work/runs/binary/earlier/1"},
    ]
    view = view_of(published, protocol_of(published), readings=readings)
    assert words(view)[1] == ["prespecified", "prespecified"]
    assert "has judged 2 models in this project: 1 of this experiment, 1 of 1 other experiment." in view.readings


def test_an_edited_file_is_no_evidence(published):
    edited = protocol_of(published).model_copy(update={"frozen_utc": "2025-01-01T00:00:00+00:00"})
    assert "edited after it was frozen" in view_of(published, edited).standings[0].reason


def test_a_metric_of_job_pairs_equals_brute_force_and_planned_pairs_have_most_of_the_error(published):
    jobs = read_jobs(published.experiment, published.task, published.job_dirs)
    primary = PrimaryFigure(metric="brier", view="pneumonia", level="patient")
    pairs = [PlannedComparison(job=job, base=1) for job in (2, 3)]
    found = compare_jobs(jobs, published.task, primary, pairs[:1], pairs[1:])
    errors = []
    for folder in published.job_dirs:
        table = pd.read_parquet(folder / "predictions.parquet")
        table = table[table["split"] == "test"].groupby("patient_id")
        errors.append((table["prob_pneumonia"].mean() - table["target_pneumonia"].max()) ** 2)
    for one, error in zip(found, errors[1:], strict=True):
        assert one.difference.value == pytest.approx((error - errors[0]).mean(), abs=1e-7)
    draws = published.experiment.jobs[0].evaluate.bootstrap_draws
    chosen = np.random.default_rng(0).integers(0, len(errors[0]), size=(draws, len(errors[0])))
    differences = [
        np.r_[d.mean(), d.to_numpy()[chosen].mean(axis=1)] for d in (errors[1] - errors[0], errors[2] - errors[0])
    ]
    table = pd.read_parquet(published.job_dirs[0] / "predictions.parquet")
    ill = table[table["split"] == "test"].groupby("patient_id")["target_pneumonia"].max()
    n_rarest = [int(min(ill.sum(), (1 - ill).sum()))]
    expected = two_families_p(*(max_t_p([one], n_rarest) for one in differences))
    assert [one.p for one in found] == pytest.approx([p[0] for p in expected], abs=2 / draws)


def test_pairs_of_other_test_sets_are_named_and_not_compared(published, tmp_path):
    copies = [shutil.copytree(folder, tmp_path / folder.name) for folder in published.job_dirs]
    published = replace(published, job_dirs=copies)
    path = copies[1] / "predictions.parquet"
    table = pd.read_parquet(path)
    table[table["patient_id"] != "one/002"].to_parquet(path)
    (second, _), (third, _) = view_of(published, None).comparisons
    assert second.difference.value is None
    assert second.p is None
    assert second.difference.reason == "the two were tested on other patients or labels"
    assert third.p is not None


@pytest.mark.parametrize("kind", ["binary", "multi_label", "multi_class"])
def test_the_default_primary_figure_is_the_first_of_the_headline(publishable, kind):
    published = publishable(kind)
    job = read_jobs(published.experiment, published.task, published.job_dirs)[0]
    primary = default_primary(published.task)
    value = job.metrics["test"][primary.level][primary.view][primary.metric]["value"]
    name, number = next(iter(headline(job.metrics["test"], published.task).items()))
    assert number.value == value
    assert name.startswith(METRIC_NAMES[primary.metric])


def test_jobs_with_folds_are_compared_by_the_mean_of_their_runs(publishable):
    published = publishable("binary", {}, {"seeds": [1, 2]})
    jobs = read_jobs(published.experiment, published.task, published.job_dirs)
    (pair, _), *rest = view_of(published, None).comparisons
    values = [job.metrics["test"]["patient"]["pneumonia"]["auroc"]["value"] for job in jobs]
    assert rest == []
    assert pair.difference.value == pytest.approx(np.mean(values[1:]) - values[0])


def test_the_page_and_the_files_beside_it_say_it(published, tmp_path):
    path = tmp_path / "made_up.protocol.yaml"
    # The audits' tables are not there, so their paths are told apart by nothing else.
    tables = [audit.as_posix().removesuffix(".audit.json") + ".csv" for audit in published.audits]
    splits = [
        FrozenSplit(runs=(run.id,), table=table) for run, table in zip(published.experiment.runs, tables, strict=True)
    ]
    write_text(path, protocol_yaml(protocol_of(published, splits=splits)))
    out = tmp_path / "out"
    publish(**published.arguments(out, protocol=path))
    page = (out / "report.html").read_text(encoding="utf-8")
    assert (out / "protocol.yaml").read_bytes() == path.read_bytes()
    assert len(re.findall(r'<span class="kept">prespecified', page)) == 8
    assert 'id="protocol"' in page and 'id="comparisons"' in page
    table = pd.read_csv(out / "comparisons.csv")
    assert table["planned"].tolist() == [True, True]
    assert table["p_corrected"].between(0, 1).all()
    publish(**published.arguments(tmp_path / "without"))
    page = (tmp_path / "without/report.html").read_text(encoding="utf-8")
    assert "every figure here is exploratory" in page
    assert 'id="protocol"' not in page


def test_nothing_is_said_of_readings_that_nobody_counted(published):
    assert readings_text({"": []}, published.experiment) == ""


def test_too_few_patients_of_a_class_are_told_in_place_of_a_verdict(published, tmp_path):
    copies = [shutil.copytree(folder, tmp_path / folder.name) for folder in published.job_dirs]
    for folder in copies:
        table = pd.read_parquet(folder / "predictions.parquet")
        test = table[table["split"] == "test"]
        ill = test.loc[test["target_pneumonia"] == 1, "patient_id"].unique()
        table[~table["patient_id"].isin(ill[3:])].to_parquet(folder / "predictions.parquet")
    (pair, _), *_ = view_of(replace(published, job_dirs=copies), None).comparisons
    assert pair.difference.value is not None
    assert pair.p is None
    assert pair.verdict == ""
    assert pair.difference.interval_text == ""
    assert "at least 10 are needed" in pair.difference.no_interval
