import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pandas as pd
import pytest
import yaml
from tests.unit.reports.conftest import make_published, study_ids

from auscult.config import Experiment
from auscult.config.claims import Claim
from auscult.errors import DataError
from auscult.formatting.terminal import Console
from auscult.reports.job_text import report_text
from auscult.reports.publish import publish as run
from auscult.reports.published_text import print_published


class _Page(HTMLParser):
    """Ids, what is loaded, the text, and whether all elements are closed."""

    VOID = frozenset({"meta", "img", "br", "link", "hr", "input"})

    def __init__(self, text):
        super().__init__()
        self.ids, self.sources, self.stack, self.words = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids += [values["id"]] if "id" in values else []
        self.sources += [values[key] for key in ("src", "href", "xlink:href", "data", "action") if key in values]
        if tag not in self.VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.stack.pop()

    def handle_data(self, data):
        if not {"style", "script"} & set(self.stack):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def result(published_once, tmp_path_factory):
    """Inputs and result folder of a kind of task, published once."""
    done = {}

    def publish(kind):
        if kind not in done:
            folder = tmp_path_factory.mktemp(f"result_{kind}")
            run(**published_once(kind).arguments(folder))
            done[kind] = (published_once(kind), folder)
        return done[kind]

    return publish


KINDS = ["binary", "multi_label", "multi_class"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_result_holds_what_design_promises(result, kind):
    inputs, folder = result(kind)

    top = {path.name for path in folder.iterdir()}
    assert {"report.html", "metrics.json", "summary.csv", "experiment.yaml", "provenance.json", "checksums.txt"} <= top
    for number, source in enumerate(inputs.job_dirs, start=1):
        there = {path.relative_to(folder / str(number)).as_posix() for path in (folder / str(number)).rglob("*")}
        assert {path.relative_to(source).as_posix() for path in source.rglob("*")} <= there
        assert {"roc.csv", "pr.csv", "history.csv"} <= there


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_well_formed_and_loads_nothing(result, kind):
    _, folder = result(kind)
    text = (folder / "report.html").read_text(encoding="utf-8")

    page = _Page(text)

    assert page.stack == []
    assert len(page.ids) == len(set(page.ids))
    assert {source.split("-")[0] for source in page.sources if source.startswith("#")} <= {
        *(f"#{name}" for name in ("result", "data", "settings", "limits", "methods", "provenance", "job", "all")),
        *(f"#job{number}" for number in (1, 2)),
        *(f"#flow{number}" for number in (1, 2)),
        *(f"#clinical{number}" for number in ("", 1, 2)),
        *(f"#{name}" for name in ("table1", "flow", "calibration", "decision", "subgroups", "heterogeneity")),
    }
    allowed = ("#", "data:image/png;base64,", "data:audio/mpeg;base64,")
    # A link to the page beside it is followed by a click, and loads nothing.
    assert {source for source in page.sources if not source.startswith(allowed)} == {"checklists.html"}
    assert (folder / "checklists.html").is_file()
    assert not re.search(r"@import|url\((?!#)|<link", text)
    # A namespace is a name, not an address that is read.
    assert set(re.findall(r"https?://[^\"' <]+", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_the_page_allows_its_own_script_and_no_other(result):
    _, folder = result("binary")
    text = (folder / "report.html").read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")


def test_the_head_is_an_abstract(result):
    """Question, data, result and caveats stand on the first screen."""
    _, folder = result("binary")
    head = _Page((folder / "report.html").read_text(encoding="utf-8").split("</header>", 1)[0]).text
    assert re.search(r"Question Does the patient have pneumonia\? .* Data .* recordings? of", head)
    assert re.search(r"Result Job 1, .*AUROC [01]\.\d+ 0\.\d+–[01]\.\d+ ?, Sensitivity", head)
    assert "Caveats" in head and "No protocol was frozen" in head


def test_a_sound_plays_beside_its_example(result):
    _, folder = result("binary")
    text = (folder / "report.html").read_text(encoding="utf-8")
    (source,) = re.findall(r'<audio controls preload="metadata" src="data:audio/mpeg;base64,([^"]+)"', text)[:1]
    assert base64.b64decode(source) == (folder / "1" / "spectrograms" / "01.mp3").read_bytes()


def test_the_head_of_the_page_says_what_the_data_lack(result):
    """A loss of recordings must not be a grey line deep in the report."""
    _, folder = result("binary")
    text = (folder / "report.html").read_text(encoding="utf-8")

    head, rest = text.split("</header>", 1)
    page = _Page(text)

    assert "What the data lack" in head
    assert head.count("12 of 192 (6.2%) recordings of one are lost; rejected.csv beside its tables names each.") == 1
    assert "The way of the recordings" in page.text
    assert "lost missing 8 2 0" in page.text
    assert "left out no target is known 6 2 0" in page.text
    assert ">Lost: 12 recordings<" in rest, "the diagram"


def test_the_page_and_a_file_have_table_1(result):
    _, folder = result("binary")
    page = _Page((folder / "report.html").read_text(encoding="utf-8"))
    table = pd.read_csv(folder / "table1.csv", dtype=str, keep_default_na=False)

    ages, missing = (row for _, row in table[table["characteristic"] == "Age in years, median (IQR)"].iterrows())
    assert ages["jobs"] == "1 2", "both jobs have this split"
    assert ages["all"] == "50 (35.5–64.5)"
    assert (missing["category"], missing["all"]) == ("Age not stated", "9")
    assert "Age in years, median (IQR) 50 35.5–64.5" in page.text
    rare = table[table["category"] == "1 other"].iloc[0]
    assert (rare["characteristic"], rare["all"]) == ("Device", "3 (5%)")
    assert "rare" not in table.to_csv(), "three patients alone have that device"
    assert "pneumonia positive, patients 20 33%" in page.text


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_and_files_have_calibration_and_net_benefit(result, kind):
    inputs, folder = result(kind)
    text = _Page((folder / "report.html").read_text(encoding="utf-8")).text

    metrics = json.loads((folder / "1" / "metrics.json").read_text())["clinical"]
    curve = pd.read_csv(folder / "1" / "clinical" / "decision_curve.csv", dtype={"target": str})
    assert set(metrics["calibration"]) == set(metrics["decision_curve"]) == set(inputs.task.targets)
    assert set(curve["target"]) == {name for name, found in metrics["decision_curve"].items() if found is not None}
    for target in inputs.task.targets:
        slope = metrics["calibration"][target]["slope"]
        shown = f"{slope['value']:.2f}" if slope["value"] is not None else slope["reason"]
        assert shown.replace("-", "−") in text
    lines = pd.read_csv(folder / "calibration.csv", dtype={"target": str, "job": str})
    assert lines["target"].tolist() == list(inputs.task.targets) * len(inputs.job_dirs)
    first = lines.iloc[0]
    assert first["intercept"] == metrics["calibration"][first["target"]]["intercept"]["value"]
    assert first["patients"] >= max(first["positive_patients"], first["negative_patients"])
    curves = pd.read_csv(folder / "decision_curve.csv", dtype={"target": str, "job": str})
    pd.testing.assert_frame_equal(curves[curves["job"] == "1"].drop(columns="job"), curve)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_and_files_compare_subgroups_and_pool_sites(result, kind):
    _, folder = result(kind)
    text = _Page((folder / "report.html").read_text(encoding="utf-8")).text
    clinical = json.loads((folder / "1" / "metrics.json").read_text())["clinical"]
    table = pd.read_csv(folder / "subgroups.csv", dtype={"job": str, "target": str})

    assert set(table["by"]) >= {"site", "sex", "age group"}
    first = clinical["subgroups"][0]
    gap = first["gaps"]["auroc"]
    row = table[(table["job"] == "1") & (table["score"] == "auroc")].iloc[0]
    assert (row["by"], row["value"], row["against"]) == (first["by"], first["value"], first["against"])
    assert row["difference"] == pytest.approx(gap["value"])
    sex = next(entry for entry in clinical["subgroups"] if entry["by"] == "sex")
    assert "sex female against male" in text
    assert f"against {sex['n_against']['patients']} patients" in text.replace("\xa0", " ")
    studies = pd.read_csv(folder / "heterogeneity.csv", dtype={"job": str, "target": str})
    of_sites = studies[(studies["job"] == "1") & (studies["by"] == "site")]
    assert set(of_sites.loc[of_sites["row"] == "study", "value"]) == {"north", "south", "west"}
    found = next(entry for entry in clinical["heterogeneity"] if entry["by"] == "site")
    said = found["reason"] if found["pooled"] is None else f"AUROC {found['pooled']['value']:.3f}"
    assert said in text
    assert sum(name.startswith("forest") for name in _figure_names(folder / "1" / "clinical")) >= 1


def _figure_names(folder):
    return [path.name for path in folder.glob("*.svg")]


@pytest.mark.parametrize("kind", KINDS)
def test_links_within_the_page_lead_somewhere(result, kind):
    _, folder = result(kind)

    page = _Page((folder / "report.html").read_text(encoding="utf-8"))

    targets = {source[1:] for source in page.sources if source.startswith("#")}
    assert targets <= set(page.ids)


@pytest.mark.parametrize("kind", KINDS)
def test_no_number_is_nan_and_every_level_is_there(result, kind):
    _, folder = result(kind)

    text = _Page((folder / "report.html").read_text(encoding="utf-8")).text

    assert not re.search(r"\b(nan|NaN|None|inf)\b", text)
    for word in ("clip", "recording", "patient", "Limits of use", "Data and split", "Calibration", "Learning curves"):
        assert word in text


def test_numbers_of_the_page_are_those_of_the_metrics(result):
    _, folder = result("binary")
    text = _Page((folder / "report.html").read_text(encoding="utf-8")).text

    for number in (1, 2):
        found = json.loads((folder / str(number) / "metrics.json").read_text())["test"]["patient"]["pneumonia"]["auroc"]
        assert f"{found['value']:.3f} {found['low']:.3f}–{found['high']:.3f}" in text
    assert "Job 1: mixednet, epochs 30" in text
    assert "Job 2: timm/mobilenetv3_small_050, epochs 15" in text
    assert "snakemake --cores all results/binary/made_up" in text


@pytest.mark.parametrize("kind", ["binary", "multi_label"])
def test_every_table_says_where_decisions_are_taken(result, kind):
    source, folder = result(kind)
    page, text = (folder / "report.html").read_text(encoding="utf-8"), (folder / "1" / "report.txt").read_text()
    for target in source.task.targets:
        found = page.partition(f'<th scope="col">Threshold of {target}</th>')[2].partition("</table>")[0]
        rows = [re.sub(r"<[^>]*>", " ", row).split() for row in found.split("<tr>")[1:]]
        assert [row[0] for row in rows] == ["clip", "recording", "patient"]
        assert ["0.500" in rows[0], "cannot" in rows[1], "0.321" in rows[2]] == [True, True, True]
    decisions = re.findall(r"Decision at</th>(.*?)</tr>", page)
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in decisions]
    assert cells
    assert all("0.500" in clip and "0.321" in patient for clip, _, patient in cells)
    assert text.count("Decision at") == 2 * len(cells) // len(source.job_dirs)
    assert (
        f"patient  {'0.321 (n +/− 7 / 9)' if kind == 'binary' else 'crackle 0.321, wheeze 0.321 (n +/− 7 / 9)'}"
        in re.sub(" {3,}", "  ", text)
    )
    card = page.partition("operating point")[2]
    assert "for each level" in card


def test_the_report_of_a_model_of_an_earlier_version_says_that_it_has_one_operating_point(published_once, tmp_path):
    source = published_once("binary")
    runs = tmp_path / "runs"
    shutil.copytree(source.job_dirs[0].parent, runs)
    for folder in runs.glob("*"):
        metrics = json.loads((folder / "metrics.json").read_text())
        del metrics["operating_points"]
        (folder / "metrics.json").write_text(json.dumps(metrics))
    run(**source.arguments(tmp_path / "result", job_dirs=[runs / path.name for path in source.job_dirs]))
    text = _Page((tmp_path / "result" / "report.html").read_text()).text
    assert "chosen at the level of patients and applied at every level: the model comes from an earlier version" in text


def test_conformal_sets_are_counted_by_class_with_what_they_promise(published_once, tmp_path):
    source = published_once("binary")
    runs = tmp_path / "runs"
    shutil.copytree(source.job_dirs[0].parent, runs)
    counts = {"patients": 20, "covered": 18, "rows": 20, "one": 13, "several": 6, "none": 1}
    conformal = {
        "alpha": 0.1, "level": "patient", "fewest_patients": 9,
        "calibrated_on": {"pneumonia": {"negative": 30, "positive": 4}},
        "views": {"pneumonia": {"negative": counts, "positive": {**counts, "covered": 20}}},
    }  # fmt: skip
    metrics = json.loads((runs / "1" / "metrics.json").read_text())
    (runs / "1" / "metrics.json").write_text(json.dumps({**metrics, "conformal": conformal}))
    run(**source.arguments(tmp_path / "result", job_dirs=[runs / path.name for path in source.job_dirs]))
    text = _Page((tmp_path / "result" / "report.html").read_text()).text
    assert text.count("Doubt: conformal sets") == 1
    assert "at least 90% should have it in their sets" in text
    assert "fewer than 9 patients of it to calibrate on: positive" in text
    assert "negative 18 of 20 (90%) 13 of 20 (65%) 6 of 20 (30%) 1 of 20 (5%) 30" in text
    said = report_text({**metrics, "conformal": conformal}, source.experiment.jobs[0], source.task)
    assert re.search(r"negative +18 of 20 \(90%\) +13 of 20 \(65%\) ", said)


def test_what_was_declared_stands_before_the_result(result):
    _, folder = result("multi_class")
    text = _Page((folder / "report.html").read_text(encoding="utf-8")).text

    declared = text.index("60 of 60 patients are in several subsets: the test set knows them from training (job 1)")
    assert declared < text.index("Test set, recording level, with 95%")
    assert text.index("as another in a different subset; declared: one (job 1)") < text.index(
        "Test set, recording level, with 95%"
    )
    assert re.search(r"\(one-r\d{3}, one-r\d{3}\)", text)
    assert "The labels of two are in doubt" in _Page((result("multi_label")[1] / "report.html").read_text()).text


def test_published_figures_stand_beside_ours(published_once, tmp_path):
    inputs = published_once("multi_class")
    claims = (
        Claim(paper="A paper", source="arXiv 1", split="theirs", metric="accuracy", value=0.81, flaw="one split"),
        Claim(paper="Another", source="doi 2", split="theirs", metric="unheard", value=0.5, verified=True),
    )
    experiment = inputs.experiment.model_copy(update={"claims": claims})
    run(**{**inputs.arguments(tmp_path / "result"), "experiment": experiment})
    text = _Page((tmp_path / "result" / "report.html").read_text()).text
    metrics = json.loads((tmp_path / "result" / "1" / "metrics.json").read_text())
    ours = metrics["test"][inputs.task.level]["multi_class"]["accuracy"]["value"]
    assert f"A paper arXiv 1; theirs Accuracy 0.810 {ours:.3f}" in text
    assert "one split; not read in its source" in text
    assert "unheard 0.500 undefined" in text
    # `auscult reproduce` prints the same.
    screen = Console(width=200, record=True, file=io.StringIO())
    print_published(experiment, inputs.task, tmp_path / "result", screen)
    printed = " ".join(screen.export_text().split())
    assert f"A paper (arXiv 1) Accuracy 0.810 {ours:.3f}" in printed
    assert "this test set has judged 0 models in this project" in printed


def test_a_job_that_only_evaluates_says_whose_model_it_is(published_once, tmp_path):
    source = published_once("binary")
    taken = source.experiment.jobs[1].model_copy(update={"evaluate_only": "results/toy/first/1"})
    experiment = source.experiment.model_copy(update={"jobs": (source.experiment.jobs[0], taken)})
    run(**source.arguments(tmp_path / "result", experiment=experiment))
    text = _Page((tmp_path / "result" / "report.html").read_text()).text
    assert "Not trained here: this is the model of results/toy/first/1 , epoch" in text
    assert len(re.findall(r"Epoch \d+ of \d+ was kept", text)) == 1


@pytest.mark.parametrize("kind", ["binary", "multi_label"])
def test_no_page_picture_or_log_names_a_patient_or_recording(result, kind):
    _, folder = result(kind)
    predictions = pd.read_parquet(folder / "1" / "predictions.parquet")
    names = {str(name) for column in ("recording_id", "patient_id") for name in predictions[column]}
    for path in (
        path for path in folder.rglob("*") if path.suffix in {".html", ".txt", ".json", ".log", ".svg", ".yaml"}
    ):
        text = path.read_text(encoding="utf-8")
        assert not [name for name in names if name in text], path
        assert not [name for name in names if name.replace("/", "_") in path.name]
    page = _Page((folder / "report.html").read_text(encoding="utf-8")).text
    assert re.search(r"two-r\d{3}:0000|one-r\d{3}:0000", page)
    log = (folder / "1" / "train.log").read_text()
    assert re.fullmatch(r"a warning: one-r\d{3} and one-r\d{3} of one-p\d{3} are short\n", log)


def test_no_page_text_or_table_says_in_whose_folder_a_model_lies(tmp_path):
    split = {"kind": "patients"}
    differences = [
        {"split": split, "evaluate_only": "/home/of_somebody/t/e/1"},
        {"split": split, "train": {"pretrained": {"weights": "/mnt/of_somebody/weights.pt"}}},
    ]
    made = make_published(tmp_path, "binary", draws=20, n_patients=24, differences=differences)
    run(**made.arguments(tmp_path / "out"))
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    # The settings themselves stay, for `auscult verify`.
    named = {path.name for path in files if b"of_somebody" in path.read_bytes()}
    assert named == {"experiment.yaml"}
    page = _Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8")).text
    assert "this is the model of .../1 , epoch" in page
    assert "weights .../weights.pt" in page


def test_findings_of_the_audit_have_study_ids_too(result):
    page = _Page((result("binary")[1] / "report.html").read_text(encoding="utf-8")).text
    found = re.search(r"hold the same sound[^(]*\((one-r\d{3}), (one-r\d{3})\)", page)
    assert found is not None


def test_names_stand_on_the_page_where_the_project_says_so(published_once, tmp_path):
    run(**published_once("binary").arguments(tmp_path, ids=study_ids(show_names=True)))
    page = _Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "one/000" in page


def test_on_paper_the_page_is_short_and_tables_stay_whole(result):
    """Printed, two jobs took 21 pages, and heads of tables stood at the foot of a page without their rows."""
    html = (result("binary")[1] / "report.html").read_text(encoding="utf-8")
    style = html.partition("@media print {")[2].partition("</style>")[0]
    assert ".scroll { overflow: visible; break-inside: avoid;" in style
    assert "thead { display: table-header-group; break-inside: avoid; break-after: avoid; }" in style
    assert "@media screen and (max-width: 640px)" in html
    gallery = html.index('<h3 id="job-1-examples">Examples from the test set</h3>')
    assert html[:gallery].rstrip().endswith('<div class="on-screen">')
    assert html.count('<p class="quiet on-paper">Examples from the test set') == 1
    assert 'section[id^="job-"] { break-before: page; }' in style


def test_text_from_outside_is_escaped(result):
    _, folder = result("binary")

    html = (folder / "report.html").read_text(encoding="utf-8")

    assert "These predictions are &lt;random&gt;, not learned." in html
    assert "<random>" not in html


def test_what_was_rejected_and_noticed_is_counted(result):
    text = _Page((result("binary")[1] / "report.html").read_text(encoding="utf-8")).text

    assert "2 : empty file (1), not audio (1)" in text
    assert "official list absent (910)" in text


def test_small_slices_are_named_and_not_judged(result):
    text = _Page((result("binary")[1] / "report.html").read_text(encoding="utf-8")).text

    assert "dataset one 12 4 / 8 0.800 0.700–0.900" in text
    assert "dataset two 12 4 / 8 undefined one class only" in text
    assert "Left out, fewer than 5 patients in the test set: sex not stated." in text


def test_top_metrics_are_flat_numbers_for_dvc(result):
    inputs, folder = result("multi_label")

    jobs = json.loads((folder / "metrics.json").read_text())["jobs"]

    assert list(jobs) == ["1"]
    assert all(isinstance(value, int | float) for value in jobs["1"].values())
    test = json.loads((inputs.job_dirs[0] / "metrics.json").read_text())["test"]["clip"]
    assert jobs["1"]["auroc"] == test["macro"]["auroc"]["value"]
    assert jobs["1"]["wheeze_auroc"] == test["wheeze"]["auroc"]["value"]
    assert jobs["1"]["icbhi_score"] == test["four_class"]["score"]["value"]


def test_patients_stand_beside_the_figures_and_few_are_said_at_the_top(result):
    _, folder = result("binary")
    text = _Page((folder / "report.html").read_text(encoding="utf-8")).text
    for number in (1, 2):
        n = json.loads((folder / str(number) / "metrics.json").read_text())["test"]["patient"]["pneumonia"]["n"]
        people = f"{n['patients']} patients ({n['positive_patients']} +, {n['negative_patients']} −)"
        assert text.count(people) >= 6
        assert people in (folder / str(number) / "report.txt").read_text()
    few = min(n["positive_patients"], n["negative_patients"])
    assert few < 10 and f"{few} test patients of the rarest class, at least 10 are needed" in text
    assert "Interval by Newcombe" in text and f"No interval, {few} patients of a class, at least 10 are needed" in text


def test_summary_has_a_row_a_job_with_what_differs(result):
    inputs, folder = result("binary")

    table = pd.read_csv(folder / "summary.csv")

    assert table["job"].tolist() == [1, 2]
    assert table["model"].tolist() == ["mixednet", "timm/mobilenetv3_small_050"]
    assert table["train.epochs"].tolist() == [30, 15]
    assert "clips.length_s" not in table
    metrics = json.loads((inputs.job_dirs[1] / "metrics.json").read_text())["test"]["patient"]["pneumonia"]
    accuracy = [metrics["accuracy"][end] for end in ("value", "low", "high")]
    assert table.loc[1, ["accuracy", "accuracy_low", "accuracy_high"]].tolist() == pytest.approx(accuracy)
    n = metrics["n"]
    assert table.loc[1, ["patients", "positive_patients", "negative_patients"]].tolist() == [
        n["patients"],
        n["positive_patients"],
        n["negative_patients"],
    ]


def test_curves_are_tables_for_dvc_plots(result):
    _, folder = result("multi_label")

    roc, pr = pd.read_csv(folder / "1" / "roc.csv"), pd.read_csv(folder / "1" / "pr.csv")

    assert list(roc.columns) == ["target", "fpr", "tpr", "threshold"]
    assert list(pr.columns) == ["target", "recall", "precision", "threshold"]
    assert set(roc["target"]) == {"crackle", "wheeze"}
    assert roc.loc[roc["target"] == "crackle", "tpr"].is_monotonic_increasing


def test_experiment_yaml_gives_the_experiment_back(result):
    inputs, folder = result("multi_class")

    assert Experiment.model_validate(yaml.safe_load((folder / "experiment.yaml").read_text())) == inputs.experiment


def test_checksums_hold_for_every_file(result):
    _, folder = result("binary")

    lines = dict(reversed(line.split("  ")) for line in (folder / "checksums.txt").read_text().splitlines())

    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(lines) == files - {"checksums.txt"}
    assert all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest for name, digest in lines.items())


def test_equal_input_gives_equal_bytes(result, tmp_path):
    inputs, folder = result("multi_class")

    run(**inputs.arguments(tmp_path))

    def content(root):
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    assert content(tmp_path) == content(folder)


def test_an_undefined_number_is_said_to_be_so_with_its_reason(make_one_class, tmp_path):
    run(**make_one_class.arguments(tmp_path))

    page = _Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "undefined no positive patient" in page.text
    assert "Undefined: no positive patient." in page.text
    assert not re.search(r"\b(nan|NaN|None)\b", page.text)
    assert pd.read_csv(tmp_path / "1" / "roc.csv").empty
    assert "auroc" not in json.loads((tmp_path / "metrics.json").read_text())["jobs"]["1"]


def test_a_job_without_its_files_is_refused(result, tmp_path):
    inputs, _ = result("multi_label")
    folder = tmp_path / "1"
    shutil.copytree(inputs.job_dirs[0], folder)
    (folder / "tps.txt").unlink()

    with pytest.raises(DataError, match=r"\['tps.txt'\] are missing; train and evaluate this job again"):
        run(**inputs.arguments(tmp_path / "out", job_dirs=[folder]))
    (folder / "figures" / "index.json").unlink()
    with pytest.raises(DataError, match=r"index.json: not readable .* run `evaluate` for this job again"):
        run(**inputs.arguments(tmp_path / "out", job_dirs=[folder]))
    assert not (tmp_path / "out" / "report.html").exists()


def test_numbers_of_jobs_folders_and_audits_must_agree(result, tmp_path):
    inputs, _ = result("binary")

    with pytest.raises(DataError, match="has 2 jobs, 1 folders were given"):
        run(**inputs.arguments(tmp_path, job_dirs=inputs.job_dirs[:1]))
    with pytest.raises(DataError, match="has 2 jobs, 1 audits were given"):
        run(**inputs.arguments(tmp_path, audits=inputs.audits[:1]))


def test_publishing_imports_neither_torch_nor_mlflow_nor_the_other_stages():
    code = (
        "import sys, auscult.reports.publish; "
        "print([name for name in ('torch', 'mlflow', 'auscult.evaluation', 'auscult.training', 'matplotlib.pyplot') "
        "if name in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
