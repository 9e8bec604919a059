"""Refuse a commit that holds recordings or tables of patients: the hook `patient-data` of `.pre-commit-config.yaml`.

Usage: `refuse_patient_data.py FILE...`, or `refuse_patient_data.py --tracked` for all that git tracks or is about to:
`make check` and CI ask so, and a clone without the hook is looked at too. A file is judged by its name's ending and by
its first bytes, since a renamed recording is still one. Two things are excepted: the files of `ALLOWED`, in which
nothing is of patients, and those files of the demo's remote that the last commit holds already. A `dvc push` of other
data adds new ones there, and those are refused. Python's standard library is all that is needed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path

ALLOWED = frozenset(
    {
        "tests/golden/audio.npz",
        "tests/unit/datasets/written_by_xlwt.xls",
        "tests/unit/models/ast_of_transformers.safetensors",
    }
)
"""Tracked files that look like patients' data and are simulated or invented; a new one is named here, in a commit that
is read."""
DEMO = ".dvc/demo/"

_ENDINGS = {
    # Of recorders, stethoscopes, phones and dictating machines; what auscult reads and what it does not.
    r"wave?|w64|rf64|bwf|flac|og[gav]|opus|spx|mp[1-4]|m4[abv]|aac|ac3|aif[fc]?|wma|asf|amr|awb|3gp|3g2|caf|au|snd|voc"
    r"|mk[av]|webm|weba|mov|avi|ds[2s]|msv|dvf|vox|sph|pcm|raw|ra|rm|midi?|zsa": "a recording",
    r"[ct]sv|tab|parquet|feather|arrow|orc|jsonl|ndjson|xls[xmb]?|xlt[xm]?|od[sb]|numbers|sav|zsav|por|dta|sas7bdat|xpt"
    r"|rds|rda|rdata|sqlite3?|db|mdb|accdb|dbf": "a table",
    r"h5|hdf5?|np[yz]|zarr|mat|edf|bdf|dcm|pt|pth|ckpt|safetensors|onnx|pkl|pickle|joblib": "arrays",
    r"textgrid|eaf|trs|antx": "annotations of recordings",
    r"zip|7z|rar|tar|tgz|gz|bz2|xz|zst": "an archive, which may hold recordings",
}
_MAGIC = {
    rb"RIFF.{4}WAVE|RF64|riff\x2e\x91|fLaC|OggS|ID3|\xff[\xe2-\xe7\xf2-\xf7\xfa-\xfd\xf1\xf9]|FORM.{4}AIF|.{4}ftyp"
    rb"|#!AMR|caff|\.snd\x00|\x30\x26\xb2\x75\x8e\x66|\x1a\x45\xdf\xa3|Creative Voice File|NIST_1A|MThd"
    rb"|\x0b\x77": "a recording",
    rb"PAR1|SQLite format|ARROW1|PK\x03\x04.{0,4000}(xl/|opendocument\.spreadsheet)|\xd0\xcf\x11\xe0": "a table",
    rb"\x89HDF|\x93NUMPY|MATLAB 5\.0|.{128}DICM": "arrays",
    rb"PK\x03\x04|7z\xbc\xaf|Rar!|\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|.{257}ustar": (
        "an archive, which may hold recordings"
    ),
}
# What a column that names people is called, without case, accents and punctuation.
_ID = r"(id|nr|no|num|number|nummer|name|code|key|kennung|kurzel|kuerzel)"
_PERSON = re.compile(
    rf"(patient(en|in)?|pat|subject|participant|proband(en|in)?|teilnehmer)s?{_ID}?|(case|fall|record|study|hospital){_ID}"
    r"|mrn|medicalrecord(id|no|number)|nhsnumber|versichertennummer|ssn|geburts(datum|tag)|geburtsjahr|geboren(am)?"
    r"|dateofbirth|birth(date|day)|dob|vorname|nachname|familienname|(first|last|family|full)name|surname|forename"
)
_HEADER_WITHIN_LINES = 5
"""Titles stand above a table's header."""
_JSON_KEY = re.compile(r"\"([^\"\n]{1,40}[^\"\ns])\"\s*:\s*[\"0-9]")
"""A plural is a count of people, in published metrics too."""
# Code, prose and settings speak of patients; a list of them under another ending is told by its first line.
_CODE_AND_PROSE = frozenset(
    {".py", ".pyi", ".smk", ".md", ".rst", ".j2", ".css", ".html", ".svg", ".yaml", ".yml", ".toml", ".cff", ".sh"}
)
_JSON = frozenset({".json", ".geojson", ".js"})


def reason(name: str, head: bytes) -> str | None:
    r"""What a file seems to hold that must not be committed, or None.

    Args:
        name: Its path.
        head: Its first 4,096 bytes.

    >>> reason("notes/P001.wav", b"")
    'a recording'
    >>> reason("P001", b"RIFF....WAVEfmt")
    'a recording'
    >>> reason("list.bak", b"patient_id,age\n101,7\n")
    'a table with a column of patients'
    >>> reason("README.md", b"# auscult")
    """
    ending = Path(name).suffix.lower()
    by_name = (what for endings, what in _ENDINGS.items() if re.fullmatch(endings, ending.removeprefix(".")))
    by_content = (what for start, what in _MAGIC.items() if re.match(start, head, re.DOTALL))
    if found := next(by_name, None) or next(by_content, None):
        return found
    if ending in _CODE_AND_PROSE:
        return None
    text = _text(head)
    names = _JSON_KEY.findall(text) if ending in _JSON else _column_names(text)
    return "a table with a column of patients" if any(_names_people(name) for name in names) else None


def _column_names(text: str) -> Iterator[str]:
    """Yield what may be a table's headings: prose and code have no second column in the next line."""
    for line, below in pairwise(text.splitlines()[: _HEADER_WITHIN_LINES + 1]):
        for separator in ",;\t|":
            if separator in line and separator in below:
                yield from line.split(separator)


def _names_people(heading: str) -> bool:
    """Tell whether a heading names people.

    >>> [_names_people(text) for text in ("Patienten-ID", " Pat.-Nr.", "MRN", "Record ID", "patience", "name")]
    [True, True, True, True, False, False]
    """
    plain = unicodedata.normalize("NFKD", heading.casefold())
    return _PERSON.fullmatch("".join(letter for letter in plain if letter.isalnum())) is not None


def _text(head: bytes) -> str:
    """Decode as far as the head of a table needs it: Excel writes UTF-16 too."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head.decode("utf-16", errors="replace")
    return head.decode("utf-8-sig", errors="replace")


def refused(names: Iterable[str], committed: Callable[[str], bool]) -> dict[str, str]:
    """The files that must not be committed, each with its reason.

    Args:
        names: Paths below the working folder, with `/`.
        committed: Says whether the last commit holds a path.
    """
    found: dict[str, str] = {}
    for name in names:
        if name in ALLOWED or not Path(name).is_file():
            continue
        if name.startswith(DEMO):
            what = None if committed(name) else "new in the demo's remote, which a `dvc push` of other data fills"
        else:
            with Path(name).open("rb") as file:
                what = reason(name, file.read(4096))
        if what is not None:
            found[name] = what
    return found


def _committed(name: str) -> bool:
    return subprocess.run(["git", "cat-file", "-e", f"HEAD:{name}"], capture_output=True, check=False).returncode == 0


def tracked() -> list[str]:
    """The files of this folder's repository that git tracks, or that `git add` has named."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, check=True).stdout
    return [os.fsdecode(name) for name in listed.split(b"\0") if name]


def main(arguments: list[str]) -> int:
    """Print what is refused, and what to do instead; the status is 1 when there is any."""
    found = refused(tracked() if arguments == ["--tracked"] else arguments, _committed)
    for name, what in found.items():
        sys.stderr.write(f"error: {name} looks like {what}; git must not hold it\n")
    if found:
        sys.stderr.write(
            "  Recordings and tables of patients belong below data/ (versioned by DVC, docs/data.md), below "
            "collections/, or outside of this folder.\n"
        )
        sys.stderr.write(
            "  Take them out again: git rm --cached FILE. No patient stands in it? git commit --no-verify.\n"
        )
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
