"""One annotation file a recording: which one it is, and what a whole ingest makes of it."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from auscult.config.annotations import AnnotationSettings
from auscult.datasets.readers.annotation_files import AnnotationIndex, fill_template
from auscult.datasets.readers.reading import MalformedError
from auscult.storage.tables import ANNOTATED, UNPLACED

GRID = b'"ooTextFile"\n"TextGrid"\n0 4 <exists> 1\n"IntervalTier" "sound" 0 4 3 0 1 "" 1 2 "wheeze" 2 4 ""\n'


def find(files: list[str], template: str, path: str, **values: Any) -> str:
    return AnnotationIndex(files, AnnotationSettings(files=template, **values)).find(path)


@pytest.fixture
def ingest_folders(write_wav: Callable, write_text: Callable, run_ingest: Callable) -> Callable:
    """Ingest `normal/a.wav` and `normal/b.wav`, each 4 s, with annotation files by name."""

    def run(files: dict[str, bytes], template: str, **values: Any) -> Any:
        for seed, name in enumerate("ab"):
            write_wav(f"normal/{name}.wav", seed=seed)
        for name, content in files.items():
            write_text(name, content)
        return run_ingest("label_folders", annotations={"files": template, **values})

    return run


@pytest.mark.parametrize(
    ("template", "content", "values"),
    [
        ("{folder}/{stem}.txt", b"1.0\t2.0\twheeze\n", {}),
        ("{folder}/{stem}_labels.txt", b"1,0 2,0 W\r\n", {"kinds": {"W": "wheeze"}}),
        ("labels/{stem}.txt", b"1.000000\t2.000000\twheeze\n\\\t100.0\t900.0\n", {}),
        ("{path}.TextGrid", GRID, {}),
        ("{path}.json", json.dumps({"events": [{"s": 1, "e": 2, "k": "wheeze"}]}).encode(),
         {"events": "events", "start": "s", "end": "e", "kind": "k"}),
        ("{folder}/{stem}.csv", b"start,end,crackle,wheeze\n1,2,0,1\n2,3,0,0\n",
         {"flags": {"crackle": 3, "wheeze": 4}}),
        ("{folder}/{name}.tsv", b"who\tonset\tms\twhat\nX\t1000\t1000\twheeze\n",
         {"start": "onset", "duration": "ms", "kind": "what", "unit": "ms"}),
    ],
)  # fmt: skip
def test_each_format_gives_its_events_to_its_recording(
    ingest_folders: Callable, template: str, content: bytes, values: dict[str, Any]
) -> None:
    files = {fill_template(template, f"normal/{name}.wav"): content for name in "ab"}
    result = ingest_folders(files, template, **values)
    assert result.rejected == []
    assert result.summary["notices"].keys() <= {"patient_unknown"}
    for name in "ab":
        assert result.kinds_of(f"set/normal/{name}") == [(1.0, 2.0, "wheeze")]


def test_an_icbhi_like_manifest_with_a_header_has_cycles_and_knows_what_was_not_heard(
    write_wav: Callable, write_text: Callable, run_ingest: Callable
) -> None:
    write_wav("audio/p1_a.wav")
    write_text("audio/p1_a.txt", b"Start\tEnd\tCrackles\tWheezes\n0.0\t1.5\t0\t1\n1.5\t4.0\t0\t0\n")
    write_text("table.csv", b"file,who\naudio/p1_a.wav,p1\n")
    annotations = {
        "files": "{path}.txt",
        "start": "start",
        "end": "end",
        "flags": {"crackle": "crackles", "wheeze": "wheezes"},
        "every": "cycle",
        "listened": "whole",
    }
    columns = {"path": "file", "patient": "who"}
    result = run_ingest("manifest", manifest="table.csv", columns=columns, annotations=annotations)
    assert result.rejected == []
    events = result.kinds_of("set/audio/p1_a")
    assert {(0.0, 1.5, "cycle"), (0.0, 1.5, "wheeze"), (1.5, 4.0, "cycle"), (0.0, 4.0, ANNOTATED)} == set(events)


@pytest.mark.parametrize("bad", [b"3\t2.5\twheeze", b"1\t2\t?", b"x\t2\twheeze", b"1\t2\tWh\xffeeze\xc3\xa9"])
def test_a_bad_line_leaves_its_recording_unknown_and_never_negative(ingest_folders: Callable, bad: bytes) -> None:
    """Who wrote the file listened to all of it; still, nobody knows where the event of the bad line lies."""
    files = {"normal/a.txt": b"1\t2\tcrackle\n" + bad + b"\n", "normal/b.txt": b"1\t2\tcrackle\n"}
    result = ingest_folders(files, "{path}.txt", listened="whole")
    assert [(file, line) for file, line, _ in result.rejected] == [("normal/a.txt", 2)]
    kinds = {kind for _, _, kind in result.kinds_of("set/normal/a")}
    assert kinds == {"crackle", UNPLACED}
    assert (0.0, 4.0, UNPLACED) in result.kinds_of("set/normal/a")
    assert {kind for _, _, kind in result.kinds_of("set/normal/b")} == {"crackle", ANNOTATED}


def test_a_missing_file_is_named_with_the_nearest_and_its_recording_is_unknown(ingest_folders: Callable) -> None:
    files = {"normal/a.txt": b"1\t2\tcrackle\n", "normal/B.txt": b"1\t2\tcrackle\n"}
    result = ingest_folders(files, "{path}.txt", listened="whole")
    ((file, _, reason),) = result.rejected
    assert file == "normal/b.wav"
    assert reason.startswith("missing annotation: no file 'normal/b.txt'; there is 'normal/B.txt'")
    assert result.kinds_of("set/normal/b") == [(0.0, 4.0, UNPLACED)]
    assert result.summary["notices"]["annotation_without_recording"]["subjects"] == ["normal/B.txt"]


@pytest.mark.parametrize(
    ("empty_file", "listened", "kind"),
    [("unknown", "whole", UNPLACED), ("unknown", "events", UNPLACED), ("listened", "whole", ANNOTATED)],
)
def test_a_file_without_a_line_says_what_the_settings_say(
    ingest_folders: Callable, empty_file: str, listened: str, kind: str
) -> None:
    files = {"normal/a.txt": b"\r\n", "normal/b.txt": b"1\t2\tcrackle\n"}
    result = ingest_folders(files, "{path}.txt", empty_file=empty_file, listened=listened)
    assert result.kinds_of("set/normal/a") == [(0.0, 4.0, kind)]
    assert result.summary["notices"]["empty_annotation_file"]["subjects"] == ["normal/a.txt"]


def test_samples_count_at_the_rate_of_the_recording_and_points_stay_within_it(ingest_folders: Callable) -> None:
    files = {"normal/a.txt": b"4000\t8000\twheeze\n", "normal/b.txt": b"15900\t15900\tclick\n"}
    result = ingest_folders(files, "{path}.txt", unit="samples", points=0.1)
    assert result.kinds_of("set/normal/a") == [(1.0, 2.0, "wheeze")]
    ((start_s, end_s, kind),) = result.kinds_of("set/normal/b")
    assert (kind, end_s) == ("click", 4.0)
    assert math.isclose(start_s, 3.925)


def test_what_a_label_map_drops_is_noticed(ingest_folders: Callable) -> None:
    files = {f"normal/{name}.txt": b"1\t2\tspeech\n" for name in "ab"}
    result = ingest_folders(files, "{path}.txt", kinds={"Speech": None})
    assert result.kinds_of("set/normal/a") == []
    assert result.summary["notices"]["label_dropped"]["count"] == 2


def test_a_template_says_names_folders_and_stars() -> None:
    assert find(["x/a.wav", "x/a.TXT"], "{path}.txt", "x/a.wav") == "x/a.TXT"
    assert find(["w/audio/a.wav", "w/labels/a.txt"], "{parent}/labels/{stem}.txt", "w/audio/a.wav") == "w/labels/a.txt"
    both = ["a1.wav", "a10.wav", "a1_x.txt", "a10_x.txt"]
    assert find(both, "{stem}*.txt", "a1.wav") == "a1_x.txt"
    assert find(["x/a.wav", "y/a.flac", "l/a.txt"], "l/{stem}.txt", "x/a.wav", shared=True) == "l/a.txt"


@pytest.mark.parametrize(
    ("files", "template", "path", "reason"),
    [
        (["a.wav", "a_1.txt", "a_2.txt"], "{stem}_*.txt", "a.wav", "ambiguous annotation: 'a_1.txt', 'a_2.txt' fit"),
        (["x/a.wav", "y/a.wav", "l/a.txt"], "l/{stem}.txt", "x/a.wav", "ambiguous annotation: 'l/a.txt' fits 'y/a"),
        (["a.wav", "a10.wav", "a10.txt"], "{stem}*.txt", "a.wav", "missing annotation: no file 'a*.txt'; 'a10.txt' b"),
        (["rec_01.wav", "rec_1.txt"], "{stem}.txt", "rec_01.wav", "missing annotation: no file 'rec_01.txt'; the near"),
        (["x/a.wav"], "labels/{stem}.txt", "x/a.wav", "missing annotation: no file 'labels/a.txt'; there is no file"),
    ],
)  # fmt: skip
def test_an_annotation_that_is_not_the_only_one_is_refused(
    files: list[str], template: str, path: str, reason: str
) -> None:
    with pytest.raises(MalformedError) as raised:
        find(files, template, path)
    assert str(raised.value).startswith(reason)
