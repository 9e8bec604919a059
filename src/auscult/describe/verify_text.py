"""A verification in the terminal: what was expected, what was found, which files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rich.text import Text

from auscult.describe.tables import console, table
from auscult.describe.verify import Verification
from auscult.presentation import plural
from auscult.tables import Notice

MAX_FAULTS_SHOWN = 200
_EXAMPLES = 3


def print_verification(found: Verification) -> None:
    """Print the checks, then every fault, the notices by kind with examples, and the verdict."""
    screen = console()
    screen.print(Text(found.dataset, style="bold") + Text(f"  {found.root}"))
    checks = table("check", "expected", "found", "files or ids")
    for name, count in found.counts.items():
        published = found.published.get(name)
        checks.add_row(name, "" if published is None else f"{published:,} published", f"{count:,}", "")
    for row in (*_fault_rows(found), *_sound_rows(found), *_table_rows(found)):
        checks.add_row(*row)
    screen.print(checks)
    if found.faults:
        screen.print(Text("Faults", style="bold red"))
    for fault in found.faults[:MAX_FAULTS_SHOWN]:
        where = fault.file if fault.line is None else f"{fault.file}:{fault.line}"
        screen.print(Text(f"  {where}: {fault.reason}"))
    if len(found.faults) > MAX_FAULTS_SHOWN:
        screen.print(f"  and {len(found.faults) - MAX_FAULTS_SHOWN:,} more; --json holds all", style="dim")
    _print_notices(found.notices)
    _print_verdict(found)


def _fault_rows(found: Verification) -> list[tuple[str, str, str, Text]]:
    by_class: defaultdict[str, list[str]] = defaultdict(list)
    for fault in found.faults:
        by_class[fault.reason.split(":", 1)[0]].append(fault.file)
    if not by_class:
        return [("files that cannot be placed", "none", "none", Text())]
    return [(name, "none", f"{len(files):,}", _some(files)) for name, files in sorted(by_class.items())]


def _sound_rows(found: Verification) -> list[tuple[str, str, str, Text]]:
    between, within = found.shared_between_patients, found.shared_within_patient
    rows = [
        (
            "equal sounds of two patients",
            "none",
            plural(len(between), "sound") if between else "none",
            _some([" = ".join(shared.recordings) for shared in between]),
        )
    ]
    if within:
        names = _some([" = ".join(shared.recordings) for shared in within])
        rows.append(("equal sounds of one patient", "", plural(len(within), "sound"), names))
    return rows


def _table_rows(found: Verification) -> list[tuple[str, str, str, Text]]:
    difference = found.difference
    if found.tables_error is not None:
        return [(f"against {found.compared_with}", "equal", "cannot be read", Text())]
    if difference is None:
        return []
    where = found.compared_with or ""
    if difference.is_none:
        return [(f"against {where}", "equal", "equal", Text())]
    parts = [
        ("gained", difference.gained),
        ("lost", difference.lost),
        ("changed", difference.changed),
        ("described otherwise", difference.described_otherwise),
    ]
    return [(f"against {where}: {name}", "none", f"{len(ids):,}", _some(ids)) for name, ids in parts if ids]


def _some(names: Sequence[str]) -> Text:
    distinct = list(dict.fromkeys(names))
    rest = len(distinct) - _EXAMPLES
    return Text(", ".join(distinct[:_EXAMPLES]) + (f", and {rest:,} more" if rest > 0 else ""))


def _print_notices(notices: Sequence[Notice]) -> None:
    screen = console()
    by_kind: defaultdict[str, list[Notice]] = defaultdict(list)
    for notice in notices:
        by_kind[notice.kind].append(notice)
    if by_kind:
        screen.print(Text("\nNotices (no faults)", style="bold"))
    for kind, found in sorted(by_kind.items()):
        screen.print(Text(f"  {kind.replace('_', ' ')}: {len(found):,}"))
        for notice in found[:_EXAMPLES]:
            screen.print(Text(f"    {notice.subject}: {notice.text}"), style="dim")
        if len(found) > _EXAMPLES:
            screen.print(f"    and {len(found) - _EXAMPLES:,} more", style="dim")


def _print_verdict(found: Verification) -> None:
    screen = console()
    if found.is_clean:
        screen.print(Text("\nClean: every file was placed and decoded to its end.", style="bold green"))
        return
    reasons: list[str] = []
    if found.faults:
        reasons.append(f"{plural(len(found.faults), 'fault')} in the files, named above")
    if found.shared_between_patients:
        reasons.append("the same sound stands under several patients: a split could not keep them apart")
    if found.tables_error is not None:
        reasons.append(found.tables_error)
    if found.difference is not None and not found.difference.is_none:
        remedy = f"delete {found.compared_with} and run the workflow again, if the root is right"
        reasons.append(f"{found.compared_with} says otherwise: {remedy}")
    screen.print(Text(f"\nNot clean: {'; '.join(reasons)}.", style="bold red"))
