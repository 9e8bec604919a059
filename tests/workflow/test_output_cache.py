"""Clips and spectrograms are shared between clones by Snakemake's output cache."""

import shutil
from pathlib import Path

import pytest
from tests.workflow.conftest import BUCKET


def start_over(workflow_dir: Path) -> None:
    """Leave what another clone would have."""
    for name in ("work", ".snakemake", "logs", "benchmarks"):
        shutil.rmtree(workflow_dir / name)


@pytest.mark.slow
def test_a_second_clone_computes_no_clip_and_no_spectrogram(
    workflow_dir: Path, stores: list[str], snakemake, tmp_path_factory
) -> None:
    cache = tmp_path_factory.mktemp("cache")
    shared = {"SNAKEMAKE_OUTPUT_CACHE": str(cache)}
    first = snakemake(*stores, "--cache", **shared)
    assert first.returncode == 0, first.stdout
    assert len(list(cache.glob("*.h5"))) == first.stdout.count("Moving output file") == 2 * len(stores) > 0
    made = {path: (workflow_dir / path).read_bytes() for path in stores}

    start_over(workflow_dir)
    second = snakemake(*stores, "--cache", **shared)
    assert second.returncode == 0, second.stdout
    # What is computed with a cache is moved to it.
    assert "Moving output file" not in second.stdout
    assert second.stdout.count("from cache") == 2 * len(stores)
    assert {path: (workflow_dir / path).read_bytes() for path in stores} == made

    # Nor does it run again, with the cache or without.
    assert "Nothing to be done" in snakemake(*stores, "--cache", **shared).stdout
    assert "Nothing to be done" in snakemake(*stores).stdout


@pytest.mark.soak
@pytest.mark.slow
def test_the_jobs_of_a_cluster_share_too(workflow_dir: Path, stores: list[str], snakemake, tmp_path_factory) -> None:
    cache = tmp_path_factory.mktemp("cache")
    # A cluster that runs what is submitted at once: each job is a Snakemake of its own.
    cluster = ("--executor", "cluster-generic", "--cluster-generic-submit-cmd", "sh", "--jobs", "2", "--cache")
    shared = {"SNAKEMAKE_OUTPUT_CACHE": str(cache)}
    first = snakemake(*stores, *cluster, **shared)
    assert first.returncode == 0, first.stdout
    kept = {path.name: path.stat().st_mtime_ns for path in cache.glob("*.h5")}
    assert len(kept) == 2 * len(stores) > 0

    start_over(workflow_dir)
    second = snakemake(*stores, *cluster, **shared)
    assert second.returncode == 0, second.stdout
    assert all((workflow_dir / path).resolve().parent == cache.resolve() for path in stores)
    assert {path.name: path.stat().st_mtime_ns for path in cache.glob("*.h5")} == kept


@pytest.mark.soak
@pytest.mark.slow
def test_a_bucket_serves_as_the_cache_and_a_mute_one_costs_no_result(
    workflow_dir: Path, stores: list[str], snakemake, bucket_url: str
) -> None:
    shared = {"SNAKEMAKE_OUTPUT_CACHE": f"gs://{BUCKET}/cache", "STORAGE_EMULATOR_HOST": bucket_url}

    first = snakemake(*stores, "--cache", **shared)
    assert first.returncode == 0, first.stdout
    assert first.stdout.count(f"kept in the cache gs://{BUCKET}/cache") == 2 * len(stores) > 0
    made = {path: (workflow_dir / path).read_bytes() for path in stores}

    start_over(workflow_dir)
    second = snakemake(*stores, "--cache", **shared)
    assert second.returncode == 0, second.stdout
    assert second.stdout.count(f"from the cache gs://{BUCKET}/cache") == 2 * len(stores)
    assert "kept in the cache" not in second.stdout
    assert {path: (workflow_dir / path).read_bytes() for path in stores} == made
    assert not list(workflow_dir.glob("work/**/.*.part"))
    assert "Nothing to be done" in snakemake(*stores).stdout

    start_over(workflow_dir)
    third = snakemake(*stores, "--cache", **{**shared, "STORAGE_EMULATOR_HOST": "http://127.0.0.1:9"})
    assert third.returncode == 0, third.stdout
    assert "--cache: gs://" in third.stdout
    assert "Everything is computed here, and not shared" in third.stdout
    assert {path: (workflow_dir / path).read_bytes() for path in stores} == made


def test_with_raw_data_in_a_bucket_nothing_is_shared(workflow_dir: Path, stores: list[str], snakemake) -> None:
    finished = snakemake("--dry-run", *stores, "--cache", "--config", "roots={bd: gs://nowhere/bd}")
    assert finished.returncode == 0, finished.stdout
    assert "--cache is passed over: the raw data of bd lie in a bucket" in finished.stdout
