"""Patients, files, labels, devices and descriptions that are markup, formulas, commands or paths stay text."""

import csv
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
import yaml
from pydantic import TypeAdapter
from rich.text import Text
from tests.workflow.conftest import copy_workflow, run_snakemake

from auscult.config import DatasetSettings, TaskSettings
from auscult.datasets.description import describe
from auscult.datasets.ingest import ingest
from auscult.errors import DataError
from auscult.formatting.terminal import console, table
from auscult.logs import say, stage_log
from auscult.reports.dataset_page import render
from auscult.reports.dataset_text import print_description
from auscult.storage.tables import read_recordings

RUN = "document.documentElement.setAttribute(`data-ran`,1)"
MARKUP = [
    f"<script>{RUN}</script>", f'"><img src=x onerror="{RUN}">', f"</title></style></svg><script>{RUN}</script>",
    f"<svg onload={RUN}>", f'"onmouseover="{RUN}" autofocus onfocus="{RUN}', f"javascript:{RUN}",
    f"{{{{{RUN}}}}}", "]]><script/>", "<iframe srcdoc='<script>parent." + RUN + "</script>'>",
]  # fmt: skip
OTHERS = [
    "=1+cmd|' /C calc'!A0", "@SUM(A1)", "+1-1", "-2+3", "$(touch ran)", "`touch ran`", "; touch ran", "a\\b", "%s%n{0}",
    "../../../outside", "..", "/etc/passwd", "é" * 127, "x" * 255, "CON", "\u202egnp.exe",
    "$\\bad$ $5", "\x1b[2Jwiped", "bell\x07", "over\rwritten",
]  # fmt: skip
TEXTS = [*MARKUP, *OTHERS]
HEADINGS = ["path", "who", "place", "machine", "heard"]
DATASET = {
    "description": MARKUP[0], "layout": "manifest", "manifest": "list.csv",
    "columns": {"path": "path", "patient": "who", "site": "place", "device": "machine", "labels": {"sound": "heard"}},
}  # fmt: skip
TASK = {
    "description": MARKUP[1], "type": "binary", "targets": ["sound"], "level": "recording",
    "datasets": {"ward": {"sound": {"column": "sound", "positive": [MARKUP[0]], "negative": "others"}}},
}  # fmt: skip


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table in which every cell is hostile, and a file for each text that a file can be called by."""
    root = tmp_path_factory.mktemp("hostile") / "collection"
    root.mkdir()
    sound = 0.1 * np.random.default_rng(0).standard_normal(4000)
    (root.parent / "outside.wav").write_bytes(b"not of this collection")
    rows: list[list[str]] = [["../outside.wav", *["x"] * 4]]
    for number, text in enumerate(TEXTS):
        stem = file_stem(text)
        soundfile.write(root / f"{stem}_{number}.wav", np.roll(sound, number), 4000)
        rows.append([f"{stem}_{number}.wav", *[text] * 4])
    write_list(root, rows)
    return root


@pytest.fixture(scope="module")
def settings(collection: Path) -> DatasetSettings:
    return TypeAdapter(DatasetSettings).validate_python({**DATASET, "root": str(collection)})


def test_all_is_taken_as_text_and_nothing_is_written_elsewhere(
    collection: Path, settings: DatasetSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in collection.parent.rglob("*")}
    ingest(collection, "ward", settings, tmp_path / "tables")
    recordings = read_recordings(tmp_path / "tables/recordings.parquet")
    taken = recordings["device"].tolist()
    assert set(taken) >= {text for text in TEXTS if "\n" not in text} - {""}
    assert {path: path.stat().st_mtime_ns for path in collection.parent.rglob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["tables"]
    for name, told in (("rejected.csv", "../outside.wav"), ("flow.csv", "'=1+cmd|' /C calc'!A0")):
        with (tmp_path / "tables" / name).open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=1", "@S", "+1", "-2", "\t", "\r"))]
        assert any(told in cell for cell in cells)


def test_a_terminal_shows_what_it_would_obey(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), stage_log(tmp_path / "stage.log") as log:
        log.warning("negative: %s", ", ".join(OTHERS))
        raise DataError(f"{OTHERS[-3]}: no such file")
    say(OTHERS[-1])
    rows = table("name")
    for name in OTHERS:
        rows.add_row(Text(name))
    console().print(rows)
    shown = "".join(capsys.readouterr())
    assert re.search("\ufffd\\[2Jwiped +\n", shown)
    for text in (shown, (tmp_path / "stage.log").read_text(encoding="utf-8")):
        assert "\ufffdgnp.exe, $\\bad$ $5, \ufffd[2Jwiped, bell\ufffd, over\ufffdwritten\n" in text
        assert "\ufffd[2Jwiped: no such file" in text
        assert not set("\u202e\x1b\x07\r") & set(text)


def browser_ran(page: str, folder: Path) -> bool:
    """Tell whether a script of a page's content ran in a browser."""
    (folder / "page.html").write_text(page, encoding="utf-8")
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
        "--disable-background-networking", "--disable-sync", f"--user-data-dir={folder / 'profile'}", "--dump-dom",
    ]  # fmt: skip
    command = ["chromium", *options, (folder / "page.html").as_uri()]
    found = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100)
    assert "</html>" in found.stdout
    return 'data-ran="1"' in found.stdout.partition(">")[0] + found.stdout[:300]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_nothing_runs_in_a_browser(
    settings: DatasetSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = describe("ward", settings, {"sound": TaskSettings.model_validate(TASK)}, tables_dir=None)
    page = render(found, show_ids=True)
    assert "&lt;script&gt;" in page
    print_description(found, show_ids=True)
    shown = capsys.readouterr().out
    assert not set("\u202e\x1b\x07\r") & set(shown)
    # The same texts do run where they are not escaped: else this would show nothing.
    (tmp_path / "control").mkdir()
    assert browser_ran("<html><body>" + "\n".join(MARKUP) + "</body></html>", tmp_path / "control")
    assert not browser_ran(page, tmp_path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.soak
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_nothing_runs_on_the_pages_of_a_whole_result(project_dir: Path, tmp_path: Path) -> None:
    flow, root = tmp_path / "flow", tmp_path / "collection"
    flow.mkdir()
    root.mkdir()
    copy_workflow(project_dir, flow)
    write_collection(root)
    for path, settings in {
        "datasets/ward": {**DATASET, "root": str(root)},
        "tasks/heard": TASK,
        "experiments/hostile/all": {"description": MARKUP[2], "task": "heard", "datasets": ["ward"]}
        | {"clips": {"unit": "window", "length_s": 4, "sample_rate_hz": 4000}, "model": {"name": "test_cnn"}}
        | {"spectrogram": {"n_fft": 256, "hop_samples": 128, "n_mels": 32}, "train": {"epochs": 2}}
        | {"split": {"preset": "patients_70_15_15", "seed": 1}}
        | {"evaluate": {"bootstrap_draws": 50, "n_examples": 4, "outcomes": {"max_clips": 3}}}
        | {"jobs": [{"note": MARKUP[3]}, {"note": OTHERS[0], "train": {"epochs": 3}}]},
    }.items():
        (flow / f"config/{path}.yaml").parent.mkdir(exist_ok=True)
        (flow / f"config/{path}.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
    done = run_snakemake(flow, "results/hostile/all")
    assert done.returncode == 0, done.stdout
    assert "\ufffdgnp.exe" in done.stdout and not set("\u202e\x1b\x07") & set(done.stdout)
    result = flow / "results/hostile/all"
    for page in ("report.html", "checklists.html"):
        assert not browser_ran((result / page).read_text(encoding="utf-8"), tmp_path)
    assert "&lt;svg onload=" in (result / "report.html").read_text(encoding="utf-8")
    for path in result.rglob("*.svg"):
        assert "<script" not in path.read_text(encoding="utf-8")
        ElementTree.parse(path)
    for path in result.rglob("*.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not [cell for cell in cells if cell.startswith(("=", "@", "\t", "\r"))], path
    assert sorted(path.name for path in tmp_path.iterdir()) == ["collection", "flow", "page.html", "profile"]
    assert not [*flow.rglob("ran"), *root.rglob("ran")]


def write_collection(root: Path) -> None:
    """Two patients a text, two recordings each; every other text's are positive, with a tone that tells them."""
    rng, time_s = np.random.default_rng(0), np.arange(16_000) / 4000
    rows = []
    for number, text in enumerate(TEXTS):
        stem = file_stem(text)
        for nth in range(4):
            sound = 0.05 * rng.standard_normal(16_000) + 0.2 * (number % 2) * np.sin(2 * np.pi * 400 * time_s)
            soundfile.write(root / f"{stem}_{number}_{nth}.wav", sound, 4000)
            place, heard = TEXTS[(number + nth) % len(TEXTS)], MARKUP[0] if number % 2 else text
            rows.append([f"{stem}_{number}_{nth}.wav", f"{text} {nth // 2}", place, OTHERS[-1 - number % 5], heard])
    write_list(root, rows)


def file_stem(text: str) -> str:
    """What of a text a file can be called by, with room for a number and a suffix in 255 bytes."""
    return text.replace("/", "_").encode()[:240].decode("utf-8", "ignore")


def write_list(root: Path, rows: list[list[str]]) -> None:
    with (root / "list.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADINGS, *rows])
