"""The section of a search: figures, the chosen settings, the trials; files beside the page."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from tests.unit.ops.planted import NAME, SEARCH, study_of, write_experiment

from auscult.config import load_experiment
from auscult.reports.publish import publish
from auscult.reports.search_section import search_view


@pytest.fixture(scope="module")
def searched(project_dir: Path, tmp_path_factory):
    """An experiment with a search, and the folder of its finished study."""
    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        shutil.copytree(project_dir / "config", "config")
        models = {"choice": [{"name": "mixednet"}, {"name": "timm/mobilenetv3_small_050"}]}
        write_experiment(Path("config"), search=SEARCH | {"model": models}, trials=14, seeds=[0, 1])
        study_of(Path("config"), fails=lambda values: values["train.optimizer.lr"] > 2e-2).run()
        experiment = load_experiment(Path("config"), *NAME)
    return experiment, folder / "work/tune/pneumonia/tuned"


def test_the_report_shows_the_search_and_says_that_validation_alone_was_read(searched, publishable, tmp_path) -> None:
    experiment, study = searched
    inputs = publishable()
    arguments = inputs.arguments(tmp_path)
    arguments["experiment"] = arguments["experiment"].model_copy(update={"tune": experiment.tune})
    publish(**arguments, search=study / "chosen.json")
    page = (tmp_path / "report.html").read_text()
    section = page.partition('<section id="search">')[2].partition("</section>")[0]
    for part in (
        "14 trials by tree-structured Parzen estimators",
        "the seeds 0, 1",
        "No trial read the test set",
        "ASHA",
    ):
        assert part in section
    assert section.count("<svg") == len(list((tmp_path / "search").glob("*.svg"))) == 5
    assert section.count('<span class="tag">chosen</span>') == 1
    assert "timm/mobilenetv3_small_050" in section and "1e-05 to 0.1, logarithmic" in section
    assert "4 more" in section and len(pd.read_csv(tmp_path / "search/trials.csv")) == 14
    assert "search/history.svg" in (tmp_path / "checksums.txt").read_text()


def test_a_study_of_one_setting_and_few_trials_is_drawn_too(
    project_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(project_dir / "config", "config")
    fixed = {"train.optimizer.lr": {"choice": [0.001]}, "model.dropout": {"uniform": [0, 0.5]}}
    write_experiment(Path("config"), search=fixed, trials=1)
    chosen = study_of(Path("config")).run()
    view = search_view(load_experiment(Path("config"), *NAME), chosen, tmp_path / "figures")
    assert [figure.title for figure in view.figures] == ["History", "Parallel coordinates", "Budget", "Slices"]
    assert view.n_left_out == 0 and len(view.rows) == 1
    assert view.rows[0].state == "complete" and chosen.importances == {}  # of one trial nothing can be said
