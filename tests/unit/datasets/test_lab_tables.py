"""Tables as labs have them: Excel, separators, encodings, words for sexes and ages, joins, raters, wide rows."""

import datetime as dt
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pydantic import TypeAdapter, ValidationError

from auscult.config import DatasetSettings
from auscult.errors import DataError
from auscult.storage.flow import read_flow

PATH = {"path": "file", "patient": "who"}


@pytest.fixture(autouse=True)
def sounds(write_wav: Callable) -> None:
    for number, name in enumerate(("a", "b", "c", "d")):
        write_wav(f"audio/{name}.wav", seed=number)


def notices(result: Any, kind: str) -> list[str]:
    return result.summary["notices"].get(kind, {"subjects": []})["subjects"]


def test_what_is_odd_in_age_or_sex_is_unknown_and_counted_and_every_recording_stays(
    write_text: Callable, run_ingest: Callable
) -> None:
    rows = ["file,who,age,sex", 'audio/a.wav,1,"20,9",w', "audio/b.wav,2,old,m"]
    rows += ["audio/c.wav,3,200,w", "audio/d.wav,4,3 months,x"]
    write_text("list.csv", "\n".join(rows).encode())
    result = run_ingest("manifest", manifest="list.csv", columns={**PATH, "age_years": "age", "sex": "sex"})
    assert result.rejected == []
    ages = result.recordings["age_years"]
    assert ages.isna().tolist() == [False, True, True, False]
    assert ages.dropna().tolist() == [20.9, 0.25]
    assert result.recordings["sex"].fillna("").tolist() == ["", "male", "", ""]
    assert sorted(notices(result, "not_understood")) == ["age '200'", "age 'old'", "sex 'w'", "sex 'w'", "sex 'x'"]
    mapped = run_ingest(
        "manifest",
        manifest="list.csv",
        columns={**PATH, "sex": {"column": "sex", "values": {"W": "female", "x": None}}},
    )
    assert mapped.recordings["sex"].fillna("").tolist() == ["female", "male", "female", ""]
    assert notices(mapped, "not_understood") == []


def test_a_map_that_names_what_the_table_does_not_hold_stops_with_the_nearest_value(
    write_text: Callable, run_ingest: Callable
) -> None:
    write_text("list.csv", b"file,who,finding\naudio/a.wav,1,Wheezing\naudio/b.wav,2,none\n")
    finding = {"column": "finding", "values": {"Wheezin": "wheeze", "none": "normal"}}
    reason = r"'finding' name 'Wheezin'.*did you mean 'wheezing'\? it holds none \(1\), wheezing \(1\)"
    with pytest.raises(DataError, match=reason):
        run_ingest("manifest", manifest="list.csv", columns={**PATH, "labels": {"finding": finding}})
    finding["may_be_absent"] = ["Wheezin"]
    result = run_ingest("manifest", manifest="list.csv", columns={**PATH, "labels": {"finding": finding}})
    assert result.recordings["label_finding"].tolist() == ["Wheezing", "normal"]


GERMAN = "Datei;Pat-Nr;Alter;Befund\naudio/a.wav;7;20,9;Giemen\naudio/b.wav;8;31;\u00dcblich\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("semicolons.csv", GERMAN.encode("cp1252")),
        ("tabs.csv", GERMAN.replace(";", "\t").encode()),
        ("bars.txt", GERMAN.replace(";", "|").encode("utf-16")),
        ("title.csv", ("Klinik S\u00fcd;;;\nStand 2024;;;\n" + GERMAN).encode()),
    ],
)
def test_separator_encoding_and_header_row_are_found(
    write_text: Callable, run_ingest: Callable, name: str, content: bytes
) -> None:
    write_text(name, content)
    columns = {"path": "Datei", "patient": "Pat-Nr", "age_years": "Alter", "labels": {"finding": "Befund"}}
    result = run_ingest("manifest", manifest=name, columns=columns)
    assert result.rejected == []
    assert result.recordings["patient_id"].tolist() == ["set/7", "set/8"]
    assert result.recordings["age_years"].tolist() == [20.9, 31.0]
    assert result.recordings["label_finding"].tolist() == ["Giemen", "\u00dcblich"]
    assert notices(result, "table_encoding") == ([name] if "semicolons" in name else [])


def test_a_number_that_could_be_two_is_unknown_until_its_decimal_mark_is_said(
    write_text: Callable, run_ingest: Callable
) -> None:
    write_text("list.csv", b"file;who;age\naudio/a.wav;1;1,250\n")
    columns = {**PATH, "age_years": "age"}
    assert run_ingest("manifest", manifest="list.csv", columns=columns).recordings["age_years"].isna().all()
    said = run_ingest("manifest", manifest="list.csv", table={"decimal": ","}, columns=columns)
    assert said.recordings["age_years"].tolist() == [1.25]


def write_xlsx(path: Path, sheet: str, rows: list[list[Any]]) -> None:
    pd.DataFrame(rows).to_excel(path, index=False, header=False, sheet_name=sheet)


def write_ods(path: Path, sheet: str, rows: list[list[Any]]) -> None:
    """Write the smallest OpenDocument spreadsheet: a zip of its type and two XML documents."""
    names = {dt.date: ("date", "date-value"), int: ("float", "value"), float: ("float", "value")}

    def cell(value: Any) -> str:
        if value is None:
            return "<table:table-cell/>"
        kind, attribute = names.get(type(value), ("string", "string-value"))
        typed = f'office:value-type="{kind}" office:{attribute}="{value}"'
        return f"<table:table-cell {typed}><text:p>{value}</text:p></table:table-cell>"

    body = "".join(f"<table:table-row>{''.join(map(cell, row))}</table:table-row>" for row in rows)
    uri = "urn:oasis:names:tc:opendocument:xmlns"
    spaces = " ".join(f'xmlns:{name}="{uri}:{name}:1.0"' for name in ("office", "table", "text"))
    document = (
        f'<office:document-content {spaces} office:version="1.2"><office:body><office:spreadsheet>'
        f'<table:table table:name="{sheet}">{body}</table:table>'
        "</office:spreadsheet></office:body></office:document-content>"
    )
    kind = "application/vnd.oasis.opendocument.spreadsheet"
    entry = '<manifest:file-entry manifest:full-path="{}" manifest:media-type="{}"/>'
    files = entry.format("/", kind) + entry.format("content.xml", "text/xml")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", kind)
        archive.writestr(
            "META-INF/manifest.xml",
            f'<manifest:manifest xmlns:manifest="{uri}:manifest:1.0">{files}</manifest:manifest>',
        )
        archive.writestr("content.xml", document)


@pytest.mark.parametrize("suffix", ["xlsx", "ods"])
def test_a_sheet_with_merged_headings_dates_and_numbers_is_joined_to_the_files(
    root: Path, run_ingest: Callable, suffix: str
) -> None:
    rows = [
        ["Station 4", None, None, None],
        ["Pat-Nr", "geboren", "aufgenommen", "Geschlecht"],
        [7, dt.date(2000, 1, 1), dt.date(2020, 1, 1), "w"],
        [8.0, dt.date(1990, 6, 1), dt.date(2020, 6, 1), "m"],
        ["9", None, None, None],
    ]
    write = write_ods if suffix == "ods" else write_xlsx
    write(root / f"patients.{suffix}", "Patienten", rows)
    for old, new in {"a": "7_left", "b": "7_right", "c": "8_left", "d": "019_left"}.items():
        (root / f"audio/{old}.wav").rename(root / f"audio/{new}.wav")
    result = run_ingest(
        "manifest",
        pattern="(?P<number>[0-9]+)_(?P<side>left|right)",
        join=[{"table": f"patients.{suffix}", "sheet": "Patienten", "on": "number", "key": "Pat-Nr"}],
        columns={
            "patient": "number",
            "age_years": {"born": "geboren", "at": "aufgenommen"},
            "sex": {"column": "Geschlecht", "values": {"w": "female"}},
            "attributes": {"side": "side"},
        },
    )
    assert result.rejected == []
    by_id = result.recordings.set_index("recording_id")
    assert by_id["sex"].fillna("").tolist() == ["", "female", "female", "male"]
    assert by_id["age_years"].round(1).fillna(-1).tolist() == [-1.0, 20.0, 20.0, 30.0]
    assert notices(result, "without_joined_row") == ["audio/019_left.wav"]
    assert notices(result, "joined_row_unused") == [f"patients.{suffix}:5"]


def write_xlsb(path: Path, sheet: str, rows: list[list[Any]]) -> None:
    """Write the smallest binary workbook (MS-XLSB): a zip of a list of sheets and one sheet of texts and numbers."""

    def record(kind: int, body: bytes = b"") -> bytes:
        number = bytes([kind]) if kind < 0x80 else bytes([kind & 0x7F | 0x80, kind >> 7])
        return number + bytes([len(body) & 0x7F | 0x80, len(body) >> 7]) + body

    def text(value: str) -> bytes:
        return struct.pack("<I", len(value)) + value.encode("utf-16-le")

    def cell(column: int, value: Any) -> bytes:
        place = struct.pack("<II", column, 0)
        is_text = isinstance(value, str)
        return record(6, place + text(value)) if is_text else record(5, place + struct.pack("<d", value))

    def row(number: int, values: list[Any]) -> bytes:
        cells = (cell(column, value) for column, value in enumerate(values) if value is not None)
        return record(0, struct.pack("<I", number) + bytes(13)) + b"".join(cells)

    size = struct.pack("<IIII", 0, len(rows) - 1, 0, max(map(len, rows)) - 1)
    body = b"".join(row(number, values) for number, values in enumerate(rows))
    bundle = record(0x9C, struct.pack("<II", 0, 1) + text("rId1") + text(sheet))
    schema = "http://schemas.openxmlformats.org"
    link = f'<Relationship Id="rId1" Type="{schema}/officeDocument/2006/relationships/{{}}" Target="{{}}"/>'
    links = f'<Relationships xmlns="{schema}/package/2006/relationships">{link}</Relationships>'
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("[Content_Types].xml", f'<Types xmlns="{schema}/package/2006/content-types"/>')
        archive.writestr("_rels/.rels", links.format("officeDocument", "xl/workbook.bin"))
        archive.writestr("xl/_rels/workbook.bin.rels", links.format("worksheet", "worksheets/sheet1.bin"))
        archive.writestr("xl/workbook.bin", record(0x83) + record(0x8F) + bundle + record(0x90) + record(0x84))
        archive.writestr(
            "xl/worksheets/sheet1.bin",
            record(0x81) + record(0x94, size) + record(0x91) + body + record(0x92) + record(0x82),
        )


@pytest.mark.parametrize("suffix", ["xls", "xlsb"])
def test_binary_workbooks_are_read(root: Path, run_ingest: Callable, suffix: str) -> None:
    table = root / f"list.{suffix}"
    if suffix == "xls":
        # Invented rows, the same as below, written by xlwt 1.3.0: no library of this project writes .xls.
        table.write_bytes(Path(__file__).with_name("written_by_xlwt.xls").read_bytes())
    else:
        rows: list[list[Any]] = [["Register"], ["Datei", "Wer", "Alter", "Befund"]]
        rows += [["audio/a.wav", 7, 20.5, "Giemen"], ["audio/b.wav", 8, 31, "\u00dcblich"]]
        write_xlsb(table, "Aufnahmen", rows)
    result = run_ingest(
        "manifest",
        manifest=table.name,
        table={"sheet": "Aufnahmen"},
        columns={"path": "Datei", "patient": "Wer", "age_years": "Alter", "labels": {"finding": "Befund"}},
    )
    assert result.rejected == []
    assert result.recordings["patient_id"].tolist() == ["set/7", "set/8"]
    assert result.recordings["age_years"].tolist() == [20.5, 31.0]
    assert result.recordings["label_finding"].tolist() == ["Giemen", "\u00dcblich"]


def test_a_column_in_two_tables_is_refused_until_it_says_which(write_text: Callable, run_ingest: Callable) -> None:
    write_text("list.csv", b"file,who,sex\naudio/a.wav,1,m\naudio/b.wav,2,m\n")
    write_text("people.csv", b"id,sex\n1,f\n2,f\n2,m\n")
    options = {"manifest": "list.csv", "join": [{"table": "people.csv", "on": "who", "key": "id"}]}
    with pytest.raises(DataError, match=r"'sex' stands in list.csv and in people.csv; write `people.csv:sex`"):
        run_ingest("manifest", columns={**PATH, "sex": "sex"}, **options)
    result = run_ingest("manifest", columns={**PATH, "sex": "people.csv:sex"}, **options)
    assert result.recordings["sex"].fillna("").tolist() == ["female", ""]
    assert notices(result, "joined_twice") == ["people.csv:4"]


def test_an_empty_cell_of_a_joined_row_contradicts_nothing_and_a_third_row_heals_no_contradiction(
    write_text: Callable, run_ingest: Callable
) -> None:
    write_text("list.csv", b"file,who\naudio/a.wav,1\naudio/b.wav,2\n")
    write_text("people.csv", b"id,sex,age\n1,,\n1,f,NA\n1,,30\n2,f,40\n2,m,\n2,f,40\n")
    result = run_ingest(
        "manifest",
        manifest="list.csv",
        join=[{"table": "people.csv", "on": "who", "key": "id"}],
        columns={**PATH, "sex": "sex", "age_years": "age"},
    )
    assert result.recordings["sex"].fillna("").tolist() == ["female", ""]
    assert result.recordings["age_years"].tolist() == [30.0, 40.0]
    assert notices(result, "joined_twice") == ["people.csv:6"]


def test_a_lost_recording_has_the_id_that_it_would_have_had(
    write_text: Callable, run_ingest: Callable, tmp_path: Path
) -> None:
    write_text("list.csv", b"file,who\na,1\nb,1\nc,1\nd,1\ngone,2\n")
    path = {"column": "file", "template": "audio/{}.wav"}
    run_ingest("manifest", manifest="list.csv", columns={"path": path, "patient": "who"})
    assert read_flow(tmp_path / "tables" / "flow.csv")["recording_id"].tolist() == [
        *(f"set/audio/{name}" for name in "abcd"),
        "set/audio/gone",
    ]


FORMS = b"""who,form,sex,file
1,baseline,f,
1,visit,,audio/a.wav
2,baseline,m,
2,visit,,audio/b.wav
"""


def test_a_row_without_a_file_is_a_lost_recording_unless_it_may_be_empty(
    root: Path, write_text: Callable, run_ingest: Callable
) -> None:
    for name in "cd":
        (root / f"audio/{name}.wav").unlink()
    write_text("export.csv", FORMS)
    own = {"manifest": "export.csv", "join": [{"table": "export.csv", "on": "who"}]}
    columns = {"patient": "who", "sex": "export.csv:sex"}
    result = run_ingest("manifest", columns={**columns, "path": "file"}, **own)
    assert result.rejected == [("export.csv", line, "path: it is empty") for line in (2, 4)]
    result = run_ingest("manifest", columns={**columns, "path": {"column": "file", "may_be_empty": True}}, **own)
    assert result.rejected == []
    assert notices(result, "no_file_in_cell") == ["export.csv:2", "export.csv:4"]
    assert result.summary["flow"]["found"]["recordings"] == 2
    assert result.recordings["sex"].tolist() == ["female", "male"]


def test_redcap_checkboxes_and_several_values_in_a_cell(write_text: Callable, run_ingest: Callable) -> None:
    rows = [
        "file,who,sound___1,sound___2,notes",
        "audio/a.wav,1,1,1,crackle; Giemen",
        "audio/b.wav,2,0,0,crackle;crackle",
        "audio/c.wav,3,1,,Giemen",
        "audio/d.wav,4,0,2,",
    ]
    write_text("export.csv", "\n".join(rows).encode())
    labels = {
        "sound": {"checkboxes": {"sound___1": "crackle", "sound___2": "wheeze"}, "none": "normal"},
        "note": {"column": "notes", "separator": ";", "values": {"giemen": "wheeze"}},
    }
    result = run_ingest("manifest", manifest="export.csv", columns={**PATH, "labels": labels})
    # A box that nobody filled in leaves open what was heard, even where another one is ticked.
    assert result.recordings["label_sound"].fillna("").tolist() == ["crackle+wheeze", "normal", "", ""]
    assert result.recordings["label_note"].fillna("").tolist() == ["crackle+wheeze", "crackle", "wheeze", ""]
    assert notices(result, "not_understood") == ["sound 'sound___2 = 2'"]


RATED = b"""file,who,rater,finding
audio/a.wav,1,A,crackle
audio/a.wav,1,B,normal
audio/b.wav,2,A,normal
audio/b.wav,2,B,normal
"""


@pytest.mark.parametrize(
    ("keep", "expected"),
    [(None, ["", "normal"]), ("agreement", ["", "normal"]), ("first", ["crackle", "normal"]), ("each", ["", "normal"])],
)
def test_raters_who_differ_are_named_and_the_settings_say_whose_word_counts(
    write_text: Callable, run_ingest: Callable, keep: str | None, expected: list[str]
) -> None:
    write_text("list.csv", RATED)
    options = {} if keep is None else {"raters": {"column": "rater", "keep": keep}}
    result = run_ingest("manifest", manifest="list.csv", columns={**PATH, "labels": {"finding": "finding"}}, **options)
    assert result.rejected == []
    assert result.recordings["label_finding"].fillna("").tolist() == expected
    assert notices(result, "raters_differ") == ["audio/a.wav"]
    if keep == "each":
        assert result.recordings["label_finding_A"].tolist() == ["crackle", "normal"]
        assert result.recordings["label_finding_B"].tolist() == ["normal", "normal"]


def test_rows_that_give_one_file_to_two_patients_are_not_believed(write_text: Callable, run_ingest: Callable) -> None:
    write_text("list.csv", b"file,who\naudio/a.wav,1\naudio/a.wav,2\naudio/b.wav,7.0\naudio/c.wav,7\n")
    result = run_ingest("manifest", manifest="list.csv", columns=PATH)
    assert result.fault_classes == [("list.csv", 2, "contradiction")]
    assert result.recordings["patient_id"].tolist() == ["set/7", "set/7"]


def test_a_rater_marks_events_and_the_first_ones_alone_may_count(write_text: Callable, run_ingest: Callable) -> None:
    write_text("list.csv", b"file,rater,from,to,what\naudio/a.wav,A,0,500,wheeze\naudio/a.wav,B,1000,2000,crackle\n")
    columns = {
        "path": "file",
        "start_s": {"column": "from", "unit": "ms"},
        "end_s": {"column": "to", "unit": "ms"},
        "event": "what",
    }
    rated = {"manifest": "list.csv", "columns": columns}
    each = run_ingest("manifest", raters={"column": "rater", "keep": "each"}, **rated)
    assert each.events[["start_s", "end_s", "kind", "source"]].to_numpy().tolist() == [
        [0.0, 0.5, "wheeze", "A"],
        [1.0, 2.0, "crackle", "B"],
    ]
    first = run_ingest("manifest", raters={"column": "rater", "keep": "first"}, **rated)
    assert first.events["kind"].tolist() == ["wheeze"]
    assert notices(first, "other_rater") == ["audio/a.wav"]
    with pytest.raises(ValidationError, match="events have no agreement"):
        run_ingest("manifest", raters={"column": "rater", "keep": "agreement"}, **rated)


def test_a_row_with_several_recordings_gives_one_for_each_place(write_text: Callable, run_ingest: Callable) -> None:
    rows = ["who,file_left,file_right,heard_left,heard_right"]
    rows += ["1,audio/a.wav,audio/b.wav,normal,wheeze", "2,audio/c.wav,,normal,"]
    write_text("list.csv", "\n".join(rows).encode())
    columns = {"path": "file_{side}", "patient": "who", "labels": {"heard": "heard_{side}"}}
    result = run_ingest(
        "manifest", manifest="list.csv", wide={"name": "side", "values": ["left", "right"]}, columns=columns
    )
    assert result.rejected == []
    assert result.recordings[["path", "patient_id", "label_heard", "attr_side"]].to_numpy().tolist() == [
        ["audio/a.wav", "set/1", "normal", "left"],
        ["audio/b.wav", "set/1", "wheeze", "right"],
        ["audio/c.wav", "set/2", "normal", "left"],
    ]
    assert notices(result, "no_file_in_cell") == ["list.csv:3"]


def test_an_id_without_suffix_finds_the_one_file_of_that_name(
    write_text: Callable, write_wav: Callable, run_ingest: Callable
) -> None:
    write_wav("other/d.wav", seed=9)
    write_text("list.csv", "file,who\n\u00a0A\u200b,1\nb.mp3,2\nd,3\ngone,4\n".encode())
    result = run_ingest("manifest", manifest="list.csv", columns=PATH)
    assert result.recordings["path"].tolist() == ["audio/a.wav", "audio/b.wav"]
    assert notices(result, "found_by_name") == ["2 rows"]
    assert [(line, reason.split(":")[0]) for _, line, reason in result.rejected] == [(4, "ambiguous"), (5, "missing")]
    assert "'audio/d.wav', 'other/d.wav'" in result.rejected[0][2]
    write_text("list.csv", b"file,who\na,1\nb,2\n")
    by_template = {"path": {"column": "file", "template": "audio/{}.wav"}, "patient": "who"}
    templated = run_ingest("manifest", manifest="list.csv", columns=by_template)
    assert templated.recordings["path"].tolist() == ["audio/a.wav", "audio/b.wav"]


def test_patients_stand_anywhere_in_the_path(write_wav: Callable, run_ingest: Callable) -> None:
    for number, name in enumerate(("P1/visit1/rec1", "P1/visit2/rec1", "P2/visit1/rec1")):
        write_wav(f"{name}.wav", seed=number)
    options = {"files": "P*/**/*.wav", "path_pattern": "(?P<person>P[0-9]+)/visit(?P<visit>[0-9]+)/.*"}
    result = run_ingest("manifest", columns={"patient": "person", "attributes": {"visit": "visit"}}, **options)
    assert result.recordings["patient_id"].tolist() == ["set/P1", "set/P1", "set/P2"]
    assert notices(result, "patient_unknown") == []
    nobody = run_ingest("manifest", files="P*/**/*.wav")
    assert len(notices(nobody, "patient_unknown")) == 3


def test_two_columns_tell_patients_of_two_sites_apart(write_text: Callable, run_ingest: Callable) -> None:
    write_text("list.csv", b"file,site,number\naudio/a.wav,North,1\naudio/b.wav,South,1\naudio/c.wav,,1\n")
    result = run_ingest("manifest", manifest="list.csv", columns={"path": "file", "patient": ["site", "number"]})
    assert result.recordings["patient_id"].tolist() == ["set/North-1", "set/South-1"]
    assert result.fault_classes == [("list.csv", 4, "patient")]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"manifest": "l.csv", "columns": {"path": {"column": "f", "template": "a.wav"}}}, "expected one {} in it"),
        ({"manifest": "l.csv", "columns": {"path": "f", "sex": {"column": "s", "values": {"w": "x"}}}}, "not x"),
        (
            {"manifest": "l.csv", "columns": {"path": "f"}, "wide": {"name": "x", "values": ["1"]}},
            "no column holds {x}",
        ),
        ({"manifest": "l.csv", "columns": {"path": "f", "age_years": {"born": "b"}}}, "runs from `born` to `at`"),
        ({"columns": {"path": "id"}, "pattern": "(?P<id>.*)"}, "belong to a table of recordings"),
        ({"manifest": "l.csv", "columns": {"path": "f"}, "table": {"encoding": "utf-9"}}, "no encoding of this name"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        TypeAdapter(DatasetSettings).validate_python({"description": "d", "root": "r", "layout": "manifest", **options})


def test_a_column_that_is_a_group_of_the_pattern_too_is_named(write_text: Callable, run_ingest: Callable) -> None:
    write_text("list.csv", b"id,who\naudio/a.wav,1\n")
    with pytest.raises(DataError, match="'id' is a column and a group"):
        run_ingest("manifest", manifest="list.csv", pattern="(?P<id>.*)", columns={"path": "id", "patient": "who"})


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"pattern": "(?P<id>.*)", "columns": {"path": "id"}}, "id"),
        ({"path_pattern": "(?P<id>.*)", "columns": {"path": "id"}}, "id"),
        ({"join": [{"table": "people.csv", "on": "who", "key": "id"}], "columns": {"path": "sound"}}, "sound"),
        ({"pattern": "(?P<by>.*)", "columns": PATH, "raters": {"column": "by", "keep": "first"}}, "by"),
    ],
    ids=["pattern", "path_pattern", "join", "rater"],
)
def test_which_file_or_rater_a_row_is_about_stands_in_the_table_itself(
    write_text: Callable, run_ingest: Callable, options: dict[str, Any], name: str
) -> None:
    """A path that only the pattern names ended in a traceback."""
    write_text("list.csv", b"file,who\naudio/a.wav,1\n")
    write_text("people.csv", b"id,sound\n1,audio/a.wav\n")
    with pytest.raises(DataError, match=rf"list\.csv: '{name}' is no column of this table.*expected one of file, who"):
        run_ingest("manifest", manifest="list.csv", **options)
