"""`auscult freeze`: what is written, what is refused, and what a report makes of it."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from auscult.cli import app
from auscult.config import list_experiments, load_experiment, load_task, paths
from auscult.config.protocol import changes_since, digest_of, read_protocol
from auscult.errors import ConfigError
from auscult.ops.freeze import freeze
from auscult.storage.files import sha256_file
from auscult.storage.test_readings import READINGS, key_of_test_set, note_reading

MAIN = ("pneumonia", "train2356")
SPLIT = "recording_id,patient_id,dataset,split\na/1,a/p1,a,test\na/2,a/p2,a,train\n"


@pytest.fixture
def config_dir(project_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(project_dir / "config", "config"))


def edit(config_dir: Path, change) -> None:
    path = config_dir / "experiments/pneumonia/train2356.yaml"
    raw = yaml.safe_load(path.read_text())
    change(raw)
    path.write_text(yaml.safe_dump(raw, sort_keys=False))


def changed(config_dir: Path, frozen, splits=None) -> list[tuple[str, int | None, str]]:
    experiment = load_experiment(config_dir, *MAIN)
    task = load_task(config_dir, experiment.task)
    now = {run.id: (paths.split_path(run.settings, task), None) for run in experiment.runs}
    found = changes_since(frozen.protocol, experiment, task, splits or now)
    return [(change.section, change.job, change.text) for change in found]


def test_every_shipped_experiment_comes_back_from_its_protocol_unchanged(config_dir: Path) -> None:
    for group, name in list_experiments(config_dir):
        frozen = freeze(config_dir, group, name)
        assert read_protocol(frozen.path) == frozen.protocol
        assert frozen.protocol.is_intact
        experiment = load_experiment(config_dir, group, name)
        task = load_task(config_dir, experiment.task)
        splits = {run.id: (paths.split_path(run.settings, task), None) for run in experiment.runs}
        assert changes_since(frozen.protocol, experiment, task, splits) == []
    # A protocol is no experiment.
    assert not any(name.endswith("protocol") for _, name in list_experiments(config_dir))


def test_the_defaults_are_the_headline_and_every_job_against_the_first(config_dir: Path) -> None:
    protocol = freeze(config_dir, *MAIN).protocol
    assert protocol.primary.model_dump() == {"metric": "auroc", "view": "pneumonia", "level": "patient"}
    assert [(pair.job, pair.base) for pair in protocol.comparisons] == [(2, 1)]
    assert protocol.operating_rule["1"]["threshold"] == "youden"
    assert protocol.question["datasets"]["bd"]["pneumonia"]["column"] == "pep1"
    assert protocol.splits[0].runs == ("1", "2")
    assert protocol.splits[0].sha256 is None


def test_a_table_that_is_there_is_frozen_with_what_it_has_judged(config_dir: Path) -> None:
    table = Path(freeze(config_dir, *MAIN).protocol.splits[0].table)
    table.parent.mkdir(parents=True)
    table.write_text(SPLIT)
    note_reading(READINGS, key_of_test_set(["a/1"]), "weights", "work/runs/pneumonia/other/1")
    protocol = freeze(config_dir, *MAIN, is_forced=True).protocol
    assert protocol.splits[0].sha256 == sha256_file(table)
    assert protocol.judged_before == 1
    assert protocol.late == ""


@pytest.mark.parametrize("evidence", ["ledger", "run", "result"])
def test_once_the_test_part_was_read_it_is_refused_or_marked_late(config_dir: Path, evidence: str) -> None:
    if evidence == "ledger":
        note_reading(READINGS, "any", "weights", "work/runs/pneumonia/train2356/1")
    else:
        folder = Path("work/runs/pneumonia/train2356/2" if evidence == "run" else "results/pneumonia/train2356")
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"nothing can be frozen before it .* --late"):
        freeze(config_dir, *MAIN)
    assert freeze(config_dir, *MAIN, is_late=True).protocol.late
    # Another experiment of the same group is not concerned.
    assert freeze(config_dir, "icbhi", "copd").protocol.late == ""


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"metric": "auroc", "view": "pneumonie"}, "unknown view 'pneumonie'; did you mean 'pneumonia'"),
        ({"metric": "aurok"}, "unknown metric 'aurok'; did you mean 'auroc'"),
        ({"comparisons": ["2-1"]}, "found '2-1', expected two jobs from 1 to 2, such as 2:1"),
        ({"comparisons": ["3:1"]}, "found '3:1'"),
    ],
)
def test_a_mistake_is_named(config_dir: Path, options: dict, part: str) -> None:
    with pytest.raises(ConfigError, match=part):
        freeze(config_dir, *MAIN, **options)


def test_an_earlier_protocol_is_not_replaced_by_accident(config_dir: Path) -> None:
    first = freeze(config_dir, *MAIN, now=datetime(2026, 1, 2, tzinfo=UTC)).protocol
    with pytest.raises(ConfigError, match=r"what it says is frozen\. --force replaces it"):
        freeze(config_dir, *MAIN)
    assert freeze(config_dir, *MAIN, is_forced=True).protocol.frozen_utc > first.frozen_utc


def test_what_changed_since_is_listed_field_by_field(config_dir: Path) -> None:
    frozen = freeze(config_dir, *MAIN)
    assert changed(config_dir, frozen) == []
    edit(config_dir, lambda raw: raw["jobs"][1].update(evaluate={"threshold": "f1"}))
    assert changed(config_dir, frozen) == [("operating_rule", 2, "threshold: youden -> f1")]
    edit(config_dir, lambda raw: raw["train"].update(epochs=31))
    assert ("jobs", 1, "train.epochs: 30 -> 31") in changed(config_dir, frozen)
    task = config_dir / "tasks/pneumonia.yaml"
    task.write_text(task.read_text().replace("positive: [1]", "positive: [1, 2]"))
    assert ("question", None, "datasets.bd.pneumonia.positive.2: absent -> 2") in changed(config_dir, frozen)
    # A note shapes nothing, and neither do pictures.
    edit(config_dir, lambda raw: raw["jobs"][0].update(note="as before", evaluate={"n_examples": 2}))
    assert not any("note" in text or "examples" in text for _, _, text in changed(config_dir, frozen))


def test_a_job_that_came_or_went_and_another_table_are_told(config_dir: Path) -> None:
    frozen = freeze(config_dir, *MAIN)
    edit(config_dir, lambda raw: raw["jobs"].append({"train": {"epochs": 2}}))
    assert ("jobs", 3, "job 3 was added") in changed(config_dir, frozen)
    edit(config_dir, lambda raw: raw.update(jobs=[{}], split={"preset": "patients_70_15_15", "seed": 13}))
    found = changed(config_dir, frozen)
    assert ("jobs", 2, "job 2 was taken out") in found
    assert ("jobs", 1, "split.seed: 12 -> 13") in found
    assert any(section == "split" and text.startswith("split table: work/splits") for section, _, text in found)


def test_equal_settings_on_other_data_are_another_split(config_dir: Path) -> None:
    table = Path(freeze(config_dir, *MAIN).protocol.splits[0].table)
    table.parent.mkdir(parents=True)
    table.write_text(SPLIT)
    frozen = freeze(config_dir, *MAIN, is_forced=True)
    found = changed(config_dir, frozen, {run: (table.as_posix(), "0" * 64) for run in ("1", "2")})
    assert [(section, job) for section, job, _ in found] == [("split", 1), ("split", 2)]
    assert "divide other data" in found[0][2]


def test_an_edit_by_hand_shows(config_dir: Path) -> None:
    path = freeze(config_dir, *MAIN).path
    path.write_text(path.read_text().replace("metric: auroc", "metric: auprc"))
    protocol = read_protocol(path)
    assert not protocol.is_intact
    assert protocol.sha256 != digest_of(protocol)


def test_the_command_says_what_it_froze_and_what_is_missing(config_dir: Path) -> None:
    done = CliRunner().invoke(app, ["freeze", "pneumonia/train2356", "--primary", "sensitivity", "--no-comparisons"])
    assert done.exit_code == 0, done.output
    assert "primary figure       Sensitivity, pneumonia, patient level" in done.output
    assert "planned comparisons  none" in done.output
    assert "snakemake --cores 1 work/splits/pneumonia/patients_50_20_30-" in done.output
    assert (config_dir / "experiments/pneumonia/train2356.protocol.yaml").is_file()
