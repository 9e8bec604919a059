"""What the fixed layouts can hold: the label values and event kinds of each, from the constants of their readers.

A part of such a dataset need not hold all of it, so a task's rule may name what is not there. Of other layouts nobody
knows the words beforehand.
"""

from __future__ import annotations

from typing import Any

from auscult.datasets.readers import bd, hf_lung, icbhi_files, jordan, sprsound

CYCLE_KINDS = ("cycle", "crackle", "wheeze")
"""What a file of cycles tells: the cycle, and what was heard in it."""

_CYCLES: dict[str, Any] = {"labels": {"diagnosis": sorted(icbhi_files.DIAGNOSES.values())}, "events": CYCLE_KINDS}
_VOCABULARIES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("icbhi", "perch", "antwerp", "antwerp_sim"), _CYCLES),
    "jordan": {
        "labels": {
            "diagnosis": sorted(set(jordan.DIAGNOSES.values())),
            "sounds": sorted({*jordan.SOUNDS.values(), jordan.UNCLEAR}),
        }
    },
    "bd": {"labels": {"pep1": sorted(bd.PEP1_VALUES)}},
    "sprsound": {
        "labels": {"record": sorted(set(sprsound.RECORD_LABELS.values()))},
        "events": sorted({"cycle", *(kind for kinds in sprsound.EVENT_KINDS.values() for kind in kinds)}),
    },
    "hf_lung": {"events": sorted(set(hf_lung.KINDS.values()))},
}


def vocabulary_of(layout: str) -> dict[str, Any]:
    """Return what a layout can hold: `labels`, column -> values, and `events`, kinds; empty for an open layout.

    >>> vocabulary_of("antwerp_sim")["events"], vocabulary_of("manifest")
    (['cycle', 'crackle', 'wheeze'], {})
    """
    found = _VOCABULARIES.get(layout)
    if found is None:
        return {}
    return {"labels": found.get("labels", {}), "events": list(found.get("events", ()))}
