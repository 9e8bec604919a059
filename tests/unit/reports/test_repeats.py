import json
import re
import statistics

import pandas as pd
import pytest

from auscult.reports.jobs import spread
from auscult.reports.publish import publish as run

pytestmark = pytest.mark.usefixtures("plain_figures")


@pytest.fixture(scope="module")
def repeated(make_repeated, tmp_path_factory):
    """What is published of a plain job and of one with three seeds: its inputs and its folder."""
    folder = tmp_path_factory.mktemp("result")
    inputs = make_repeated()
    run(**inputs.arguments(folder))
    return inputs, folder


def test_each_training_lies_below_its_job(repeated):
    _, folder = repeated
    for name in ("1", "2/seed0", "2/seed1", "2/seed2"):
        assert (folder / name / "model.safetensors").is_file()
        assert (folder / name / "figures").is_dir()
    table = pd.read_csv(folder / "summary.csv")
    assert table["job"].tolist() == ["1", "2/seed0", "2/seed1", "2/seed2"]
    assert table["train.seed"].tolist() == [0, 0, 1, 2]


def test_mean_and_deviation_are_those_of_the_trainings(repeated):
    _, folder = repeated
    jobs = json.loads((folder / "metrics.json").read_text())["jobs"]
    assert list(jobs) == ["1", "2", "2/seed0", "2/seed1", "2/seed2"]
    assert jobs["2"]["runs"] == 3
    for name in ("auroc", "f1", "brier"):
        values = [jobs[f"2/seed{seed}"][name] for seed in range(3)]
        assert jobs["2"][name] == pytest.approx(statistics.mean(values))
        assert jobs["2"][f"{name}_deviation"] == pytest.approx(statistics.stdev(values))
        assert statistics.stdev(values) > 0


def test_the_page_shows_them_together_and_the_first_in_full(repeated):
    _, folder = repeated
    page = (folder / "report.html").read_text(encoding="utf-8")
    jobs = json.loads((folder / "metrics.json").read_text())["jobs"]
    mean = f"{jobs['2']['auroc']:.3f} ± {jobs['2']['auroc_deviation']:.3f}"
    assert re.search(rf'{mean} <span class="interval">0\.\d+–\d\.\d+, 3 runs</span>', page)
    assert "2 jobs, 4 trainings, evaluated by" in page
    assert 'id="job-2_seed0"' in page
    assert "<code>2/seed1/figures</code>" in page
    assert "<code>2/seed0/figures</code>" not in page


def test_a_score_that_is_undefined_in_a_run_is_left_out_of_the_mean():
    found = spread([0.5, None, 0.7])
    assert (found.mean, found.n_runs) == (pytest.approx(0.6), 2)
    assert spread([None, None]).text == "undefined"
