"""The key `annotations`: what it refuses before any file is opened, and why."""

from typing import Any

import pytest
from pydantic import ValidationError

from auscult.config.annotations import RESERVED_KINDS, AnnotationSettings
from auscult.datasets.readers.annotation_events import parse_annotation
from auscult.datasets.readers.reading import MalformedError


def test_a_template_alone_reads_start_end_and_label_in_seconds() -> None:
    settings = AnnotationSettings(files="{stem}.txt")
    assert (settings.start, settings.ends, settings.labels) == (1, {"end": 2}, {"kind": 3})
    assert (settings.unit, settings.listened, settings.points) == ("s", "events", "reject")


def test_a_duration_takes_the_place_of_the_end_and_flags_that_of_the_label() -> None:
    settings = AnnotationSettings(files="{path}.csv", duration="length", flags={"crackle": 3, "wheeze": "W"})
    assert settings.ends == {"duration": "length"}
    assert settings.labels == {"crackle": 3, "wheeze": "W"}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"files": "{stm}.txt"}, "did you mean 'stem'"),
        ({"files": "{stem.txt"}, "a brace has no partner"),
        ({"files": "labels.txt"}, "names one file for many recordings"),
        ({"files": "../{stem}.txt"}, "leads out of the root"),
        ({"files": "/data/{stem}.txt"}, "leads out of the root"),
        ({"encoding": "utf8000"}, "'utf8000' is unknown"),
        ({"end": 2, "duration": 3, "kind": 4}, "an event has one of them"),
        ({"kind": "what", "flags": {"crackle": 4}}, "kind and flags"),
        ({"kind": None}, "say with `every` what each row is"),
        ({"start": 2}, "are the same column"),
        ({"start": 0}, "greater than or equal to 1"),
        ({"start": "onset", "format": "table", "header": False}, "header: false needs columns by number"),
        ({"format": "audacity", "unit": "ms"}, "audacity files count in seconds"),
        ({"format": "textgrid", "unit": "samples"}, "textgrid files count in seconds"),
        ({"sample_rate_hz": 4000}, "belongs to `unit: samples`"),
        ({"format": "json", "tiers": ["sound"]}, "tiers belongs to TextGrid"),
        ({"format": "table", "events": "result"}, "events belongs to JSON"),
        ({"empty_file": "listened"}, "needs `listened: whole`"),
        ({"delimiter": "comma", "decimal": "comma"}, "both are commas"),
        ({"kinds": {"W": "wheeze", "w ": "crackle"}}, "two meanings"),
        ({"kinds": {"W": ""}}, "a kind of event is empty"),
        ({"kinds": {"W": []}}, "a kind of event is empty"),
        ({"points": 0}, "greater than 0"),
    ],
)
def test_settings_that_contradict_themselves_are_refused(values: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as raised:
        AnnotationSettings.model_validate({"files": "{stem}.txt", **values})
    assert reason in str(raised.value)


@pytest.mark.parametrize("kind", RESERVED_KINDS)
def test_the_names_that_the_tables_use_are_no_kinds_of_event(kind: str) -> None:
    for values in ({"kinds": {"x": kind.title()}}, {"every": kind}, {"flags": {kind: 3}}):
        with pytest.raises(ValidationError, match="the tables use these names themselves"):
            AnnotationSettings.model_validate({"files": "{stem}.txt", **values})


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-7", "punycode", "idna", "shift_jis"])
def test_an_encoding_that_is_named_is_used_or_refused_with_the_file(encoding: str) -> None:
    settings = AnnotationSettings(files="{stem}.txt", encoding=encoding)
    for data in (b"1\t2\tx\n", b"\xff\xfe\x00\xd8", b"1\t2\t\xe9\x81\n"):
        try:
            annotation = parse_annotation(data, settings, None, 4.0)
        except MalformedError as error:
            assert str(error).startswith("encoding: ")
        else:
            assert "encoding_guessed" not in annotation.notes
