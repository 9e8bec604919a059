"""Spellings of one patient's id, as tables of several hands hold them: `P1` and `p1`, `019` and `19`."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

SIMILAR_PATIENTS = "similar_patient_ids"
"""The kind of finding that names such ids, in the tables of a dataset and in the audit of a split."""
SPELLINGS = "perhaps one person: ids that differ in case, blanks, hyphens, leading zeros or Unicode form alone"
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))
_HYPHENS = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"), "-")
_WHOLE = re.compile(r"([0-9]+)\.0+")
_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])")


def alike_id(text: str) -> str:
    r"""Return what two spellings of one id have in common.

    Case, blanks, what cannot be seen, kinds of hyphens, forms of Unicode, zeros before a number and `.0` behind it say
    nothing.

    >>> alike_id("ward/P‑007 ") == alike_id("ward/p-7"), alike_id("7.0") == alike_id("07"), alike_id("70")
    (True, True, '70')
    """
    plain = unicodedata.normalize("NFKC", text.translate(_HYPHENS)).translate(_HYPHENS | _INVISIBLE).casefold()
    dataset, slash, patient = " ".join(plain.split()).rpartition("/")
    whole = _WHOLE.fullmatch(patient)
    return dataset + slash + _ZEROS.sub("", whole.group(1) if whole else patient)


def spellings_of_one(patients: Iterable[str]) -> list[list[str]]:
    """Return the groups of different ids that are spellings of one, sorted.

    >>> spellings_of_one(["ward/p1", "ward/2", "ward/P1", "ward/P1"])
    [['ward/P1', 'ward/p1']]
    """
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for patient in patients:
        groups[alike_id(patient)].add(patient)
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)
