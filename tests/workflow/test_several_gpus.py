"""`train.devices` gives a training so many GPUs, threads and memory in one job of a cluster."""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from snakemake_executor_plugin_slurm.utils import set_gres_string


@pytest.mark.parametrize("profile", ["slurm-gpu", "profiles/generic"])
def test_a_training_on_several_devices_asks_for_as_many_gpus(
    snakemake, workflow_dir: Path, project_dir: Path, tiny_experiment: str, profile: str
) -> None:
    shutil.copytree(project_dir / profile, workflow_dir / profile)
    path = workflow_dir / "config" / "experiments" / "pneumonia" / "tiny.yaml"
    path.write_text(path.read_text().replace("{epochs: 3}", "{epochs: 3, devices: 4}"))

    # Without a message of its own a job is shown with its resources.
    rule = workflow_dir / "rules" / "train.smk"
    rule.write_text(re.sub(r"    message:\n.*\n", "", rule.read_text()))

    planned = snakemake("--dry-run", "--profile", profile, tiny_experiment, cores=16)
    assert planned.returncode == 0, planned.stdout
    found = {}
    for text in re.split(r"\n(?=\[|rule |localrule )", planned.stdout):
        if text.startswith("rule train:"):
            (job,) = re.findall(r"wildcards: .*job=(\d)", text)
            (threads,) = re.findall(r"threads: (\d+)", text)
            found[job] = (int(threads), *(int(re.findall(rf"\b{name}=(\d+)", text)[0]) for name in ("gpu", "mem_mb")))
    assert found == {"1": (2, 1, 8000), "2": (8, 4, 32000)}


def test_the_slurm_executor_asks_for_them_in_one_job() -> None:
    assert set_gres_string(SimpleNamespace(resources={"gpu": 4})) == " --gpus=4"
    assert set_gres_string(SimpleNamespace(resources={"gpu": 4, "gpu_model": "a100"})) == " --gpus=a100:4"
