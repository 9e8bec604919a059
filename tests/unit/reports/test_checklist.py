"""Reporting checklists: what a report fills leads to a place in it, what it does not fill is said to be missing."""

import re

import pandas as pd
import pytest
from typer.testing import CliRunner

from auscult.cli import app
from auscult.config.study import StudySettings, read_study, study_paths
from auscult.errors import ConfigError, DataError
from auscult.reports.checklist import CHECKLISTS, csv_name, fill, places_of
from auscult.reports.jobs import read_jobs
from auscult.reports.publish import publish

pytestmark = pytest.mark.usefixtures("plain_figures")

N_ROWS = {"tripod_ai": 52, "stard_ai": 48, "claim": 44}


@pytest.fixture(scope="module")
def result(published_once, tmp_path_factory):
    """A published result with a study.yaml."""
    folder = tmp_path_factory.mktemp("result")
    study = folder / "study.yaml"
    study.write_text("funding: No funds were received.\nobjectives: To compare two networks.\n")
    publish(**published_once("binary").arguments(folder / "out", studies=[study]))
    return folder / "out"


def sheet(folder, key):
    return pd.read_csv(folder / csv_name(key), dtype=str, keep_default_na=False)


@pytest.mark.parametrize("key", CHECKLISTS)
def test_every_sheet_has_its_published_number_of_rows_each_once(key):
    (found,) = [sheet for sheet in fill({}, StudySettings()) if sheet.key == key]
    assert len(found.rows) == len({row.item for row in found.rows}) == N_ROWS[key]
    assert all(row.status == "MISSING" for row in found.rows)


def test_items_of_tripod_ai_are_the_published_27():
    (found,) = [sheet for sheet in fill({}, StudySettings()) if sheet.key == "tripod_ai"]
    numbers = [re.fullmatch(r"(\d+)[a-g]?", row.item)[1] for row in found.rows]
    assert list(dict.fromkeys(numbers)) == [str(number) for number in range(1, 28)]


def test_the_workflow_fills_what_it_promises_and_each_link_leads_to_a_place(result):
    report = (result / "report.html").read_text(encoding="utf-8")
    page = (result / "checklists.html").read_text(encoding="utf-8")
    anchors = set(re.findall(r'\bid="([^"]+)"', report))
    for key, least in (("tripod_ai", 30), ("stard_ai", 20), ("claim", 20)):
        table = sheet(result, key)
        filled = table.loc[table["status"] == "FILLED", "place"]
        assert len(filled) >= least, table.loc[table["status"] != "FILLED", ["item", "text"]]
        for place in filled:
            name, _, anchor = place.partition("#")
            assert name == "report.html"
            assert anchor in anchors
            assert f'href="{place}"' in page
        assert (table.loc[table["status"] != "FILLED", "place"] == "").all()
    assert 'href="checklists.html"' in report


def test_what_the_authors_say_stands_in_their_rows(result):
    table = sheet(result, "tripod_ai").set_index("item")
    assert table.loc["18a", ["status", "author"]].tolist() == ["FROM THE AUTHOR", "No funds were received."]
    # The report fills the row already; what the authors say stands beside it.
    assert table.loc["4", ["status", "author"]].tolist() == ["FILLED", "To compare two networks."]
    assert table.loc["17", ["status", "study_field"]].tolist() == ["MISSING", "ethics"]
    assert "No funds were received." in (result / "checklists.html").read_text(encoding="utf-8")


def test_rows_of_sections_that_are_not_there_are_missing():
    without, within = (fill(places, StudySettings())[0].rows for places in ({}, {"table1": "table1"}))
    of_20c = [[row.status for row in rows if row.item == "20c"] for rows in (without, within)]
    assert of_20c == [["MISSING"], ["FILLED"]]


def test_items_of_stard_ai_are_the_published_40():
    (found,) = [sheet for sheet in fill({}, StudySettings()) if sheet.key == "stard_ai"]
    numbers = [re.fullmatch(r"(\d+)[a-d]?", row.item)[1] for row in found.rows]
    assert list(dict.fromkeys(numbers)) == [str(number) for number in range(1, 41)]
    parts = {number: numbers.count(number) for number in numbers}
    assert {number: n for number, n in parts.items() if n > 1} == {"15": 4, "16": 3, "17": 2, "26": 2, "40": 2}


def test_fairness_and_heterogeneity_need_slices_that_tell_of_them(publishable):
    published = publishable("binary", {})
    jobs = read_jobs(published.experiment, published.task, published.job_dirs)
    page = '<h3 id="job-1-slices"><p id="methods-groups"><p id="methods-data">'
    entry = jobs[0].metrics["slices"][0]
    jobs[0].metrics["slices"] = [
        {**entry, "by": "site", "value": "one"},
        {**entry, "by": "site", "value": "two", "metrics": None},
        {**entry, "by": "sex", "value": "male"},
        {**entry, "by": "sex", "value": "not stated"},
    ]
    # One site large enough, and one sex: nothing is told apart, though it was to be.
    places = places_of(page, jobs, {})
    assert {"fairness", "clusters", "devices"}.isdisjoint(places)
    assert places["clusters_by"] == "methods-groups"
    jobs[0].metrics["slices"][1]["metrics"] = entry["metrics"]
    jobs[0].metrics["slices"] += [{**entry, "by": "sex", "value": "female"}]
    places = places_of(page, jobs, {"one": {"devices": {"Meditron": 3}}})
    assert (places["fairness"], places["clusters"], places["devices"]) == (
        "job-1-slices",
        "job-1-slices",
        "methods-data",
    )
    assert "internal" in places
    assert "external" not in places
    assert places_of(f'{page}<h2 id="subgroups">', jobs, {})["fairness"] == "subgroups"


def test_a_model_from_elsewhere_is_an_external_test(publishable):
    published = publishable("binary", {"evaluate_only": "results/t/e/1"})
    jobs = read_jobs(published.experiment, published.task, published.job_dirs)
    jobs[0].model["datasets"] = ["three"]
    assert {"external", "internal"} & set(places_of("", jobs, {})) == {"external"}
    jobs[0].model["datasets"] = ["one", "three"]
    assert {"external", "internal"} & set(places_of("", jobs, {})) == {"internal"}


def test_the_folder_of_experiments_goes_before_the_project(tmp_path):
    (tmp_path / "experiments" / "g").mkdir(parents=True)
    (tmp_path / "study.yaml").write_text("funding: A\nethics: B\n")
    (tmp_path / "experiments" / "g" / "study.yaml").write_text("funding: C\n")
    study = read_study(study_paths(tmp_path, "g"))
    assert (study.funding, study.ethics) == ("C", "B")
    assert study_paths(tmp_path, "h") == [tmp_path / "study.yaml"]
    (tmp_path / "study.yaml").write_text("fundings: A\n")
    with pytest.raises(ConfigError, match="did you mean 'funding'"):
        read_study(study_paths(tmp_path, "g"))


def test_every_field_of_a_sheet_is_one_of_study_yaml_and_each_is_asked_for():
    asked = {field for found in fill({}, StudySettings()) for row in found.rows for field in row.study_fields}
    assert asked == set(StudySettings.model_fields)


def test_the_command_prints_what_is_missing_and_where_to_say_it(result):
    done = CliRunner().invoke(app, ["checklist", str(result)], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert re.search(r"TRIPOD\+AI: 3\d of 52 rows filled, 1 from the author, \d+ missing", done.output)
    assert re.search(r"17 +Ethical approval and consent +study.yaml: ethics", done.output)
    assert "Flow of participants" not in done.output
    done = CliRunner().invoke(app, ["checklist", str(result), "--all"], env={"COLUMNS": "200"})
    assert "report.html#flow" in done.output
    done = CliRunner().invoke(app, ["checklist", str(result.parent)])
    assert isinstance(done.exception, DataError)
    assert "a result is results/<folder>/<experiment>" in str(done.exception)
