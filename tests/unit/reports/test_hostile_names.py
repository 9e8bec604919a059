"""Patients, files, labels, devices and descriptions that are markup, formulas, commands or paths stay text."""

import csv
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pydantic import TypeAdapter

from auscult.config import DatasetSettings, TaskSettings
from auscult.datasets.description import describe
from auscult.datasets.ingest import ingest
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
]  # fmt: skip
TEXTS = [*MARKUP, *OTHERS]
HEADINGS = ["path", "who", "place", "machine", "heard"]


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table in which every cell is hostile, and a file for each text that a file can be called by."""
    root = tmp_path_factory.mktemp("hostile") / "collection"
    root.mkdir()
    sound = 0.1 * np.random.default_rng(0).standard_normal(4000)
    (root.parent / "outside.wav").write_bytes(b"not of this collection")
    rows: list[list[str]] = [["../outside.wav", *["x"] * 4]]
    for number, text in enumerate(TEXTS):
        stem = text.replace("/", "_").encode()[:240].decode("utf-8", "ignore")
        soundfile.write(root / f"{stem}_{number}.wav", np.roll(sound, number), 4000)
        rows.append([f"{stem}_{number}.wav", *[text] * 4])
    with (root / "list.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADINGS, *rows])
    return root


@pytest.fixture(scope="module")
def settings(collection: Path) -> DatasetSettings:
    columns = {"path": "path", "patient": "who", "site": "place", "device": "machine", "labels": {"sound": "heard"}}
    return TypeAdapter(DatasetSettings).validate_python(
        {"description": MARKUP[0], "layout": "manifest", "root": str(collection), "manifest": "list.csv"}
        | {"columns": columns}
    )


def task() -> TaskSettings:
    rule = {"sound": {"column": "sound", "positive": [MARKUP[0]], "negative": "others"}}
    return TaskSettings.model_validate(
        {"description": MARKUP[1], "type": "binary", "targets": ["sound"], "level": "recording"}
        | {"datasets": {"ward": rule}}
    )


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
    found = describe("ward", settings, {"sound": task()}, tables_dir=None)
    page = render(found, show_ids=True)
    assert "&lt;script&gt;" in page
    print_description(found, show_ids=True)
    assert "\u202e" not in capsys.readouterr().out
    # The same texts do run where they are not escaped: else this would show nothing.
    (tmp_path / "control").mkdir()
    assert browser_ran("<html><body>" + "\n".join(MARKUP) + "</body></html>", tmp_path / "control")
    assert not browser_ran(page, tmp_path)
    assert not (tmp_path / "ran").exists()
