"""Refuse a commit that holds recordings or tables of patients: the hook `patient-data` of `.pre-commit-config.yaml`.

Usage: `refuse_patient_data.py FILE...`. A file is judged by its name's ending and by its first bytes, since a renamed
recording is still one. Two places are excepted: golden arrays of simulated sounds, and those files of the demo's remote
that the last commit holds already. A `dvc push` of other data adds new ones there, and those are refused.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

GOLDEN = "tests/golden/"
DEMO = ".dvc/demo/"

_ENDINGS = {
    r"wave?|w64|rf64|flac|og[ga]|opus|mp[234]|m4a|aac|ac3|aif[fc]?|wma|amr|3g[p2]|caf|au|snd|mka|webm": "a recording",
    r"[ct]sv|parquet|feather|arrow|xlsx?|ods|sav|dta|rds|sqlite|db": "a table",
    r"h5|hdf5|np[yz]|mat|edf|pt|pkl": "arrays",
}
_MAGIC = {
    rb"RIFF.{4}WAVE|RF64|fLaC|OggS|ID3|\xff[\xfb\xf3\xf2]|FORM.{4}AIF|.{4}ftyp|#!AMR": "a recording",
    rb"PAR1|SQLite format": "a table",
    rb"\x89HDF": "arrays",
}
# The head of a table with a column that names people; prose and code have no second column beside it.
_PATIENT_COLUMN = re.compile(
    r"^[^\n]*\b(patient|subject|participant)([_ ]?(id|nr|no|number))?\"?[ ]?[,;\t][^\n]*\n[^\n]*[,;\t]", re.IGNORECASE
)
_TEXT = frozenset({"", ".txt", ".dat", ".tab"})


def reason(name: str, head: bytes) -> str | None:
    r"""What a file seems to hold that must not be committed, or None.

    Args:
        name: Its path.
        head: Its first 4,096 bytes.

    >>> reason("notes/P001.wav", b"")
    'a recording'
    >>> reason("P001", b"RIFF....WAVEfmt")
    'a recording'
    >>> reason("list.txt", b"patient_id,age\n101,7\n")
    'a table with a column of patients'
    >>> reason("README.md", b"# auscult")
    """
    ending = Path(name).suffix.lower()
    by_name = (what for endings, what in _ENDINGS.items() if re.fullmatch(endings, ending.removeprefix(".")))
    by_content = (what for start, what in _MAGIC.items() if re.match(start, head, re.DOTALL))
    if found := next(by_name, None) or next(by_content, None):
        return found
    if ending in _TEXT and _PATIENT_COLUMN.match(head.decode("utf-8", errors="replace")):
        return "a table with a column of patients"
    return None


def refused(names: Iterable[str], committed: Callable[[str], bool]) -> dict[str, str]:
    """The files that must not be committed, each with its reason.

    Args:
        names: Paths below the working folder, with `/`.
        committed: Says whether the last commit holds a path.
    """
    found: dict[str, str] = {}
    for name in names:
        if name.startswith(GOLDEN) or not Path(name).is_file():
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


def main(names: list[str]) -> int:
    """Print what is refused, and what to do instead; the status is 1 when there is any."""
    found = refused(names, _committed)
    for name, what in found.items():
        sys.stderr.write(f"error: {name} looks like {what}; git must not hold it\n")
    if found:
        sys.stderr.write("  Recordings and tables of patients belong below data/, versioned by DVC (docs/data.md).\n")
        sys.stderr.write(
            "  Take them out again: git rm --cached FILE. No patient stands in it? git commit --no-verify.\n"
        )
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
