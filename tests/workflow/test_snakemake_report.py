"""Snakemake's own report shows the figures, with captions, categories and labels."""

import json
import re
import zipfile
from pathlib import Path


def test_the_report_holds_every_figure_with_its_caption(snakemake, workflow_dir: Path, tiny_experiment: str) -> None:
    made = snakemake(tiny_experiment)
    assert made.returncode == 0, made.stdout

    report = snakemake(tiny_experiment, "--report", "report.zip")

    assert report.returncode == 0, report.stdout
    with zipfile.ZipFile(workflow_dir / "report.zip") as archive:
        names = archive.namelist()
        page = "\n".join(archive.read(name).decode("utf-8") for name in names if name.endswith((".html", ".js")))
    for number in (1, 2):
        run = workflow_dir / f"work/runs/pneumonia/tiny/{number}"
        drawn = [path.name for path in sorted((run / "figures").glob("*.svg"))]
        assert "roc.svg" in drawn
        for name in [*drawn, *(path.name for path in run.glob("outcomes/*/*.png"))]:
            assert any(entry.endswith(name) for entry in names), name
    for word in ("Figures", "Spectrograms", "Outcomes", "Numbers", "Result", "report.html"):
        assert word in page, word
    # Captions are filled in: a job's model, and how the clips were sampled.
    assert "test_cnn" in page
    assert "sampled: extreme" in page
    assert not re.search(
        r"{{|{%", json.dumps([line for line in page.splitlines() if "caption" in line and "snakemake." in line])
    )
