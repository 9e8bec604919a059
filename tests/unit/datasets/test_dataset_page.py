import dataclasses
import re

import numpy as np
import pandas as pd
import pytest

from auscult.config import TaskSettings
from auscult.datasets.description import describe, examples_generator
from auscult.plots.excerpts import choose_excerpts, draw_excerpts
from auscult.reports.dataset_page import render
from auscult.reports.dataset_text import print_description
from auscult.reports.html import doc_html


@pytest.fixture(scope="module")
def found(simulated_root, lungs_settings):
    rules = {"copd": {"column": "diagnosis", "positive": ["copd"], "negative": "others"}}
    task = TaskSettings(
        description="COPD?", type="binary", targets=["copd"], level="patient", datasets={"lungs": rules}
    )
    return describe("lungs", lungs_settings, {"copd": task}, tables_dir=None)


def names_of(found):
    patients = {patient.split("/")[1] for patient in found.tables.recordings["patient_id"]}
    stems = {recording.split("/")[1] for recording in found.tables.recordings["recording_id"]}
    return patients, stems


def visible(page, found):
    """The words of the page: markup, style, pictures' data and the root left out; the text of drawings stays."""
    page = page.replace(str(found.root), "")
    page = re.sub(r"<style>.*?</style>|<path[^>]*>|data:image/png;base64,[^\"]*", "", page, flags=re.DOTALL)
    return re.sub(r"<[^>]*>", " ", page)


def test_the_page_names_no_patient_and_no_file(found):
    patients, stems = names_of(found)
    # The reader's own words speak of patients of the published dataset; they hold for every copy.
    page = visible(render(found, show_ids=False).split('<section id="layout">')[0], found)
    assert not [patient for patient in patients if re.search(rf"\b{patient}\b", page)]
    assert not [stem for stem in stems if stem in page]
    assert "This page names no patients and no files." in page


def test_a_page_that_was_asked_for_ids_names_them_and_says_so(found):
    page = visible(render(found, show_ids=True), found)
    assert any(stem in page for stem in names_of(found)[1])
    assert "store it where the recordings are stored" in page


def test_the_page_loads_nothing_and_holds_pictures(found):
    page = render(found, show_ids=False)
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)[^\"]+", page)
    assert page.count("data:image/png;base64,") == 6
    assert page.count("<svg") >= 6
    assert "The sounds are simulated" in page
    assert "Origin: Rocha et al." in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_a_page_without_the_root_says_so(found, tmp_path):
    page = render(dataclasses.replace(found, root=tmp_path / "gone"), show_ids=False)
    assert "root does not exist, so there are no examples" in page
    assert "(absent)" in page


def test_a_page_of_files_that_changed_says_so_and_names_none(found, tmp_path):
    page = visible(render(dataclasses.replace(found, root=tmp_path), show_ids=False), found)
    assert "6 recordings could not be read: the files have changed or moved" in page


def test_the_text_names_no_patient(found, capsys):
    print_description(found, show_ids=False)
    printed = capsys.readouterr().out.split("Layout ")[0].replace(str(found.root), "")
    patients, stems = names_of(found)
    assert not [name for name in patients | stems if re.search(rf"\b{name}\b", printed)]
    assert "copd" in printed


def test_excerpts_hold_each_kind_of_event_and_are_the_same_each_time(lungs_tables):
    recordings, events = lungs_tables.recordings, lungs_tables.events
    first = choose_excerpts(recordings, events, 4, examples_generator())
    again = choose_excerpts(recordings, events, 4, examples_generator())
    assert repr(first) == repr(again)  # a missing value equals none, itself neither
    assert len({excerpt.recording["recording_id"] for excerpt in first}) == 4
    marked = {mark.kind for excerpt in first for mark in excerpt.marks}
    assert marked == set(events["kind"])
    for excerpt in first:
        assert excerpt.start_s >= 0
        for mark in excerpt.marks:
            assert 0 <= mark.start_s < mark.end_s <= excerpt.seconds


def test_excerpts_of_few_or_no_recordings(lungs_tables):
    one = lungs_tables.recordings.iloc[:1]
    events = lungs_tables.events.iloc[:0]
    assert len(choose_excerpts(one, events, 6, np.random.default_rng(0))) == 1
    assert choose_excerpts(one.iloc[:0], events, 6, np.random.default_rng(0)) == []


def test_very_short_recordings_can_be_drawn(tmp_path, lungs_settings, lungs_tables):
    import soundfile

    soundfile.write(tmp_path / "short.wav", np.ones(9) / 3, 4000)
    row = lungs_tables.recordings.iloc[:1].assign(
        path="short.wav", sample_rate_hz=4000, n_samples=9, duration_s=9 / 4000
    )
    excerpts = choose_excerpts(row, pd.DataFrame(lungs_tables.events.iloc[:0]), 6, np.random.default_rng(0))
    pictures, faults = draw_excerpts(excerpts, tmp_path, lungs_settings)
    assert faults == []
    assert pictures[0].source.startswith("data:image/png;base64,")


def test_markup_lets_nothing_through():
    page = str(doc_html("`<script>` & <b>\n\n- one `a<b`\n- two\n  more"))
    assert page == (
        "<p><code>&lt;script&gt;</code> &amp; &lt;b&gt;</p>\n<ul><li>one <code>a&lt;b</code></li><li>two more</li></ul>"
    )
