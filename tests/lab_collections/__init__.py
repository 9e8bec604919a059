"""Small collections as labs and hospitals keep them: each writer returns what a reader must find, by path.

The truth has a row for each recording: path, patient, label (None: unknown), and how many events are marked in it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pandas as pd
import soundfile

RATE_HZ = 8000
DURATION_S = 2.0
Writer = Callable[[Path, np.random.Generator], pd.DataFrame]


def sound(rng: np.random.Generator, label: str | None) -> np.ndarray:
    """Return breath-like noise of 2 s at 8 kHz; what is neither healthy nor unknown whistles or crackles in it."""
    t = np.arange(round(DURATION_S * RATE_HZ)) / RATE_HZ
    breath = rng.normal(0, 0.02, len(t)) * (1.2 + np.sin(2 * np.pi * 0.8 * t))
    kind = str(label).casefold()
    if any(word in kind for word in ("wheez", "giemen", "positiv", "rhonc", "asthma")):
        breath += 0.2 * np.sin(2 * np.pi * rng.uniform(350, 450) * t)
    if any(word in kind for word in ("crack", "rg", "copd", "pneumonia", "rub")):
        breath[rng.integers(0, len(t) - 40, 24)[:, None] + np.arange(12)] += 0.5 * np.hanning(12)
    return np.clip(breath, -0.99, 0.99).astype(np.float32)


def write_sound(path: Path, samples: np.ndarray, codec: str | None = None) -> None:
    """Write a recording; the suffix says the format, `codec` what only FFmpeg writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if codec is None:
        soundfile.write(path, samples, RATE_HZ, **({"format": "MP3"} if path.suffix == ".mp3" else {}))
        return
    formats = {"aac": "ipod", "libopus": "opus", "libopencore_amrnb": "amr"}
    with av.open(str(path), "w", format=formats[codec]) as container:
        stream = container.add_stream(codec, rate=RATE_HZ, layout="mono")
        if codec == "libopencore_amrnb":
            stream.bit_rate = 12_200
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.rate = RATE_HZ
        graph = av.AudioResampler(stream.format, stream.layout, stream.rate, stream.codec_context.frame_size or None)
        for part in [*graph.resample(frame), *graph.resample(None)]:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def rows_of(rng: np.random.Generator, n_patients: int, per_patient: int, labels: list[str | None]) -> list[Any]:
    """Return (patient number, recording number, label); every label occurs."""
    rows = []
    for patient in range(1, n_patients + 1):
        for number in range(1, per_patient + 1):
            rows.append((patient, number, labels[(patient + (0 if rng.random() < 0.8 else 1)) % len(labels)]))
    return rows


def truth(rows: list[tuple[str, str, str | None]], events: dict[str, int] | None = None) -> pd.DataFrame:
    """Return the truth as a table."""
    table = pd.DataFrame(rows, columns=["path", "patient", "label"])
    return table.assign(events=[(events or {}).get(path, 0) for path in table["path"]])


def coughs(root: Path, rng: np.random.Generator) -> pd.DataFrame:
    """Write mp3 files whose table holds ids, in German, with semicolons, commas in numbers and cp1252."""
    lines, found = ["Aufnahme;Proband;Alter;Geschlecht;Ger\u00e4t;Ergebnis"], []
    words = {"positiv": "positive", "negativ": "negative", "unklar": None}
    for patient, number, label in rows_of(rng, 16, 3, ["positiv", "negativ", "positiv", "negativ", "unklar"]):
        name = f"{patient:02x}{number}a7"
        write_sound(root / f"coughs/{name}.mp3", sound(rng, label))
        age = f"{20 + 3 * patient},{number}"
        lines.append(f"{name};Pr-{patient:02d};{age};{'wm'[patient % 2]};Ger\u00e4t S\u00fcd;{label}")
        found.append((f"coughs/{name}.mp3", f"Pr-{patient:02d}", words[str(label)]))
    (root / "metadata.csv").write_bytes("\r\n".join(lines).encode("cp1252"))
    return truth(found)


def manikin(root: Path, rng: np.random.Generator) -> pd.DataFrame:
    """Write sounds of a manikin, whose table names neither folder nor suffix, and no patient."""
    lines, found = ["Gender,Lung Sound Type,Location,Lung Sound ID"], []
    for number, label in enumerate(["Normal", "Wheezing", "Fine Crackles", "Normal", "Rhonchi"] * 9):
        name = f"{'MF'[number % 2]}_{label[0]}_{number:02d}"
        write_sound(root / f"LS/{name}.wav", sound(rng, label))
        lines.append(f"{'MF'[number % 2]},{label},R{'UAL'[number % 3]}A,{name}")
        found.append((f"LS/{name}.wav", f"LS/{name}", label))
    (root / "LS.csv").write_text("\n".join(lines), encoding="utf-8")
    return truth(found)


def respanno(root: Path, rng: np.random.Generator) -> pd.DataFrame:
    """Write recordings with a text file of intervals each; some are empty, one label is misspelt."""
    found, events = [], {}
    (root / "annotations").mkdir(parents=True)
    for patient, number, label in rows_of(rng, 16, 3, ["Wheeze", None, "Crackle", None]):
        stem = f"REC_{3 * patient + number:03d}_P{patient:02d}"
        write_sound(root / f"wav/{stem}.wav", sound(rng, label))
        marked = [] if label is None else [f"0.40 1.40 {label}", f"1.50 1.90 {'Wheez' if patient == 4 else label}"]
        (root / f"annotations/{stem}.txt").write_text("\n".join(marked), encoding="utf-8")
        found.append((f"wav/{stem}.wav", f"P{patient:02d}", None))
        events[f"wav/{stem}.wav"] = len(marked)
    return truth(found, events)


def redcap(root: Path, rng: np.random.Generator) -> pd.DataFrame:
    """Write a REDCap export: a row of the first form with sex (a code) and date of birth, then one for each visit.

    Only visits have a file; each checkbox is a column, and is 0 where a form does not have it.
    """
    boxes = ["crackle", "wheeze", "rhonchus", "rub"]
    header = ["record_id", "redcap_event_name", "sex", "dob", "visit_date", "audio_file"]
    table, found = [[*header, *(f"sound___{number}" for number in range(1, 5))]], []
    for patient, visit, label in rows_of(
        rng, 16, 3, ["crackle", "none", "wheeze", "none", "crackle+wheeze", "rhonchus+rub"]
    ):
        name = f"{patient}_visit{visit}.wav"
        write_sound(root / f"files/{name}", sound(rng, label))
        ticks = [str(int(box in str(label).split("+"))) for box in boxes]
        if visit == 1:
            born = dt.date(1950 + patient, 5, 2).isoformat()
            table.append([str(patient), "baseline_arm_1", str(1 + patient % 2), born, "", "", "0", "0", "0", "0"])
        table.append([str(patient), f"visit_{visit}_arm_1", "", "", f"2024-0{visit}-10", name, *ticks])
        found.append((f"files/{name}", str(patient), label))
    lines = [",".join(f'"{cell}"' for cell in row) for row in table]
    (root / "export_DATA_2024-03-01.csv").write_text("\r\n".join(lines), encoding="utf-8-sig")
    return truth(found)


def ward(root: Path, rng: np.random.Generator) -> pd.DataFrame:
    """Write a workbook of two sheets under a merged title, with umlauts, and several findings in a cell."""
    words = {"Giemen": "wheeze", "RG": "crackle", "o.B.": "normal", "Giemen; RG": "wheeze+crackle", "k.A.": None}
    sheet: list[list[Any]] = [["Station 4", None, None, None], ["Datei", "Pat-Nr", "Datum", "Befund"]]
    found = []
    for patient, number, label in rows_of(rng, 16, 3, ["Giemen", "o.B.", "RG", "o.B.", "Giemen; RG", "k.A."]):
        name = f"M\u00fcller-{patient:02d}_{number}.wav"
        write_sound(root / f"Aufnahmen/{name}", sound(rng, label))
        sheet.append([name, patient if number % 2 else str(patient), dt.date(2024, 3, number), label])
        found.append((f"Aufnahmen/{name}", str(patient), words[str(label)]))
    people: list[list[Any]] = [["Patienten", None, None], ["Pat-Nr", "Geschlecht", "Alter"]]
    people += [[float(p), ("weiblich", "m\u00e4nnlich")[p % 2], f"{40 + p},5"] for p in range(1, 17)]
    with pd.ExcelWriter(root / "Stationsliste.xlsx") as book:
        pd.DataFrame(people).to_excel(book, sheet_name="Patienten", index=False, header=False)
        pd.DataFrame(sheet).to_excel(book, sheet_name="Aufnahmen", index=False, header=False)
    return truth(found)


def visits(root: Path, rng: np.random.Generator) -> pd.DataFrame:
    """Write folders of patients and visits, and a table of diagnoses by patient."""
    lines, found = ["patient\tdiagnosis\tage\tsex"], []
    for patient in range(1, 17):
        label = ["Asthma", "Healthy", "COPD", "Healthy", "Pneumonia", "Healthy"][patient % 6]
        lines.append(f"P{patient:02d}\t{label}\t{30 + patient}\t{('male', 'female')[patient % 2]}")
        for visit, place in ((1, "anterior"), (1, "posterior"), (2, "anterior")):
            path = f"P{patient:02d}/visit{visit}/{place}.wav"
            write_sound(root / path, sound(rng, label))
            found.append((path, f"P{patient:02d}", label))
    (root / "diagnoses.tsv").write_text("\n".join(lines), encoding="utf-8")
    return truth(found)


def raters(root: Path, rng: np.random.Generator) -> pd.DataFrame:
    """Write a list of the words of two raters, who differ at times; some files only one of them heard."""
    lines, found = [], []
    for patient, number, label in rows_of(rng, 16, 3, ["wheeze", "normal"]):
        path = f"sounds/S{patient:02d}-{number}.wav"
        write_sound(root / path, sound(rng, label))
        differs, alone = number == 2 and patient % 3 == 0, number == 3 and patient % 2 == 0
        other = {"wheeze": "normal", "normal": "wheeze"}[str(label)] if differs else label
        lines += [f"{path},AB,{label}", *([] if alone else [f"{path},CD,{other}"])]
        found.append((path, f"S{patient:02d}", None if differs else label))
    shuffled = [lines[at] for at in rng.permutation(len(lines))]
    (root / "ratings.csv").write_text("\n".join(["file,rater,label", *shuffled]), encoding="utf-8")
    return truth(found)


def phones(root: Path, rng: np.random.Generator) -> pd.DataFrame:
    """Write m4a, opus, amr and wav side by side, and one m4a that is called wav; ages in months."""
    lines, found = ["file\tage (months)\tsex\theard"], []
    kinds = [(".m4a", "aac"), (".opus", "libopus"), (".amr", "libopencore_amrnb"), (".wav", None), (".wav", "aac")]
    for patient, number, label in rows_of(rng, 16, 2, ["wheeze", "nothing"]):
        suffix, codec = kinds[(2 * patient + number) % 5 if patient > 1 else 3 + number % 2]
        name = f"2024-03-{patient:02d}_P{patient:03d}_{('left', 'right')[number - 1]}{suffix}"
        write_sound(root / name, sound(rng, label), codec)
        lines.append(f"{name}\t{30 + patient}\t{'MF'[patient % 2]}\t{label}")
        found.append((name, f"P{patient:03d}", label))
    (root / "list.tsv").write_text("\n".join(lines), encoding="utf-8")
    return truth(found)


def praat(root: Path, rng: np.random.Generator) -> pd.DataFrame:
    """Write TextGrids of two tiers, some in UTF-16, and the patients in an OpenDocument sheet."""
    from tests.unit.datasets.test_lab_tables import write_ods

    root.mkdir(parents=True, exist_ok=True)
    found, events = [], {}
    for patient, number, label in rows_of(rng, 16, 3, ["wheeze", None, "crackle", None]):
        stem = f"S{patient:02d}_{number}"
        write_sound(root / f"{stem}.wav", sound(rng, label))
        sounds = [(0.0, 0.4, ""), (0.4, 1.4, label or ""), (1.4, 2.0, "")]
        text = textgrid({"phases": [(0.0, 1.0, "inspiration"), (1.0, 2.0, "expiration")], "sounds": sounds})
        (root / f"{stem}.TextGrid").write_text(text, encoding="utf-16" if patient % 4 == 0 else "utf-8")
        found.append((f"{stem}.wav", f"S{patient:02d}", None))
        events[f"{stem}.wav"] = int(label is not None)
    rows = [["Subject", "Sex", "Age"], *([f"S{p:02d}", "fm"[p % 2], 30 + p] for p in range(1, 17))]
    write_ods(root / "patients.ods", "Sheet1", rows)
    return truth(found, events)


def textgrid(tiers: dict[str, list[tuple[float, float, str]]]) -> str:
    """Return interval tiers in Praat's long text form."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {DURATION_S:g}"]
    lines += ["tiers? <exists>", f"size = {len(tiers)}", "item []:"]
    for place, (name, intervals) in enumerate(tiers.items(), start=1):
        lines += [f"    item [{place}]:", '        class = "IntervalTier"', f'        name = "{name}"']
        lines += ["        xmin = 0", f"        xmax = {DURATION_S:g}", f"        intervals: size = {len(intervals)}"]
        for number, (start_s, end_s, text) in enumerate(intervals, start=1):
            lines += [f"        intervals [{number}]:", f"            xmin = {start_s:g}"]
            lines += [f"            xmax = {end_s:g}", f'            text = "{text}"']
    return "\n".join(lines) + "\n"


def wide(root: Path, rng: np.random.Generator) -> pd.DataFrame:
    """Write a sheet of one row a patient with four places each; some were not recorded."""
    places = ["RU", "LU", "RL", "LL"]
    rows: list[list[Any]] = [["ID", "sex", "age", *(f"file_{p}" for p in places), *(f"finding_{p}" for p in places)]]
    found = []
    for patient in range(1, 17):
        files: list[str | None] = []
        labels: list[str | None] = []
        for number, place in enumerate(places):
            if patient % 7 == number:
                files, labels = [*files, None], [*labels, None]
                continue
            label = ["crackle", "clear"][(patient + (number == 0)) % 2]
            path = f"rec/{patient:02d}{place}.wav"
            write_sound(root / path, sound(rng, label))
            files, labels = [*files, path], [*labels, label]
            found.append((path, str(patient), label))
        rows.append([patient, "FM"[patient % 2], 50 + patient, *files, *labels])
    (root / "rec/01RU.txt").write_text("0.5\t1.0\tcrackle\n", encoding="utf-8")
    pd.DataFrame(rows).to_excel(root / "wide.xlsx", index=False, header=False)
    return truth(found)


WRITERS: dict[str, Writer] = {
    writer.__name__: writer for writer in (coughs, manikin, respanno, redcap, ward, visits, raters, phones, praat, wide)
}
"""Name -> who writes it."""
