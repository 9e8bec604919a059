"""What a user sees whose data are not what they should be."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from tests.workflow.conftest import run_snakemake

TABLES = "work/tables/icbhi/summary.json"


@pytest.fixture
def icbhi(workflow_dir: Path, tmp_path: Path) -> Path:
    """A copy of the demo's ICBHI recordings that a test may damage."""
    return Path(shutil.copytree(workflow_dir / "data" / "icbhi", tmp_path / "raw" / "icbhi"))


def test_damaged_files_are_rejected_with_their_reason_and_the_rest_goes_on(snakemake, workflow_dir, icbhi) -> None:
    recordings = sorted(icbhi.glob("*.wav"))
    truncated, empty, text, no_cycles, beyond = recordings[:5]
    truncated.write_bytes(truncated.read_bytes()[:-4000])
    empty.write_bytes(b"")
    text.write_text("this is no sound")
    no_cycles.with_suffix(".txt").unlink()
    with beyond.with_suffix(".txt").open("a") as stream:
        stream.write("\n100.0\t101.5\t1\t0\n")
    finished = snakemake(TABLES, "--config", f"roots={{icbhi: {icbhi}}}")
    assert finished.returncode == 0, finished.stdout
    rejected = pd.read_csv(workflow_dir / "work" / "tables" / "icbhi" / "rejected.csv")
    reasons = rejected.groupby("file")["reason"].agg(" ".join)
    for path, word in [
        (truncated, "truncated"),
        (empty, "empty"),
        (text, "no sound file"),
        (no_cycles, "missing cycle file"),
        (beyond.with_suffix(".txt"), "beyond the end"),
    ]:
        assert word in reasons[path.name]
    table = pd.read_parquet(workflow_dir / "work" / "tables" / "icbhi" / "recordings.parquet")
    assert len(table) == len(recordings) - 3


def test_a_missing_root_says_how_to_get_the_data(snakemake, tmp_path: Path) -> None:
    finished = snakemake(TABLES, "--config", f"roots={{icbhi: {tmp_path / 'absent'}}}")
    assert finished.returncode != 0
    assert "absent" in finished.stdout
    assert "roots" in finished.stdout
    assert "Traceback" not in finished.stdout


def test_an_empty_dataset_stops_with_a_message(snakemake, workflow_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    finished = snakemake(TABLES, "--config", f"roots={{icbhi: {tmp_path / 'nothing'}}}")
    assert finished.returncode != 0
    assert "no usable recording" in finished.stdout
    assert not (workflow_dir / TABLES).exists()


def test_a_fault_of_the_input_is_told_once_and_not_attempted_again(snakemake, tmp_path: Path) -> None:
    """Each of four attempts failed alike, and each time a page of the workflow engine followed the message."""
    (tmp_path / "nothing").mkdir()
    finished = snakemake(TABLES, "--retries", "3", "--config", f"roots={{icbhi: {tmp_path / 'nothing'}}}")
    assert finished.returncode != 0
    assert finished.stdout.count("no usable recording") == 1
    assert "Trying to restart" not in finished.stdout
    behind = finished.stdout.partition("no usable recording")[2].splitlines()
    assert len(behind) < 9, behind
    assert "Rule ingest ended by the fault above" in finished.stdout


def test_a_file_of_a_result_says_which_target_to_ask_for(snakemake) -> None:
    finished = snakemake("results/pneumonia/train2356/report.html")
    assert finished.returncode != 0
    assert finished.stdout.splitlines()[-1] == (
        "error: results/pneumonia/train2356/report.html is made with the whole result; ask for that: "
        "snakemake --cores all results/pneumonia/train2356"
    )


@pytest.mark.skipif(any(Path("/dev").glob("nvidia*")), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_missed_before_anything_runs(snakemake, tiny_experiment: str) -> None:
    finished = snakemake(tiny_experiment, "--config", "device=cuda")
    assert finished.returncode != 0
    assert "error: device: cuda, and this machine has no GPU" in finished.stdout
    assert "Ingesting" not in finished.stdout


def test_the_official_split_that_cannot_judge_pneumonia_stops_a_dry_run(snakemake, workflow_dir: Path) -> None:
    experiment = workflow_dir / "config" / "experiments" / "pneumonia" / "official.yaml"
    shipped = (experiment.parent / "train2356.yaml").read_text()
    settings = {**yaml.safe_load(shipped), "datasets": ["icbhi"], "split": {"kind": "official"}, "jobs": [{}]}
    experiment.write_text(yaml.safe_dump(settings))
    finished = snakemake("--dry-run", "results/pneumonia/official")
    assert finished.returncode != 0
    assert "official.yaml: job 1: split.kind: the official split cannot judge 'pneumonia'" in finished.stdout
    assert "(122, 135, 140, 191, 219, 226) stand in train" in finished.stdout
    assert "Proposal: `split: {kind: patients}`" in finished.stdout
    assert "Traceback" not in finished.stdout


@pytest.mark.slow
def test_a_new_file_in_a_root_that_dvc_does_not_track_is_noticed(snakemake, icbhi: Path) -> None:
    roots = ("--config", f"roots={{icbhi: {icbhi}}}")
    assert snakemake(TABLES, *roots).returncode == 0
    assert "Nothing to be done" in snakemake("--dry-run", TABLES, *roots).stdout
    sorted(icbhi.glob("*.wav"))[0].unlink()
    again = snakemake("--dry-run", TABLES, *roots)
    assert "Params have changed" in again.stdout


def test_names_and_words_beyond_ascii_are_read_whatever_the_locale_says(workflow_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "raw" / "ward" / "Knistern"
    folder.mkdir(parents=True)
    for name in ("M\u00fcller_1", "\u017dofia_2"):
        sound = np.random.default_rng(0).normal(0, 0.1, 16_000)
        soundfile.write(folder / f"{name}.wav", sound, 8000)
    settings = {
        "description": "L\u00fcbeck",
        "layout": "label_folders",
        "root": str(folder.parent),
        "pattern": "(?P<patient>[^_]+)_.*",
        "columns": {"patient": "patient"},
    }
    (workflow_dir / "config" / "datasets" / "ward.yaml").write_text(
        yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8"
    )
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    finished = run_snakemake(workflow_dir, "work/tables/ward/summary.json", **locale)
    assert finished.returncode == 0, finished.stdout
    table = pd.read_parquet(workflow_dir / "work" / "tables" / "ward" / "recordings.parquet")
    assert sorted(table["path"]) == ["Knistern/M\u00fcller_1.wav", "Knistern/\u017dofia_2.wav"]


@pytest.mark.slow
def test_what_was_made_under_a_wrong_clock_is_refused_with_the_command_that_mends_it(
    snakemake, workflow_dir: Path, prepared_experiment: str
) -> None:
    # The clock was three days ahead and has been set right since.
    for path in [path for name in ("work", "benchmarks") for path in (workflow_dir / name).rglob("*")]:
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 3 * 86_400 * 10**9))
    refused = snakemake(prepared_experiment, "--until", "train")
    assert refused.returncode != 0
    assert "ahead of this disk's clock" in refused.stdout and "Traceback" not in refused.stdout
    command = re.findall(r"find work .* \+$", refused.stdout, re.MULTILINE)[0]
    subprocess.run(["bash", "-c", command], cwd=workflow_dir, check=False)
    done = snakemake(prepared_experiment, "--until", "train")
    assert done.returncode == 0, done.stdout
    assert "Computing spectrograms" not in done.stdout
