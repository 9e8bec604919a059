"""A dataset and its verification in the terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from auscult.datasets.description import Description
from auscult.datasets.facts import MAX_VALUES_SHOWN, Column, ages_text, counts_text, extent_text, kinds_text, span_text
from auscult.datasets.flow import account_lines
from auscult.datasets.sources import root_text
from auscult.datasets.tasks import Balance
from auscult.datasets.verify import Verification
from auscult.formatting.numbers import plural
from auscult.formatting.terminal import console, table
from auscult.formatting.text import listed
from auscult.storage.tables import Notice

_BAR_CELLS = 24
_SHOWN_IDS = 10
MAX_FAULTS_SHOWN = 200
_EXAMPLES = 3


def print_description(found: Description, *, show_ids: bool) -> None:
    """Print a dataset: facts, labels, events, tasks, rejections, notices, and the reader's docstring."""
    screen = console()
    screen.print(Text(found.name, style="bold") + Text(f"  {found.settings.description}"))
    screen.print(extent_text(found.facts))
    screen.print(found.origin, style="dim")
    _print_flow(found.facts.flow, found.name)
    if found.facts.is_simulated:
        screen.print("The sounds are simulated; no patient was recorded.", style="yellow")
    screen.print(_facts(found, show_ids=show_ids))
    for column in found.facts.labels:
        screen.print(_values(column, show_ids=show_ids))
    if found.facts.events:
        screen.print(_events(found))
    for line in _tasks(found):
        screen.print(line)
    _print_faults(found, show_ids=show_ids)
    screen.print(Text(f"\nLayout {found.settings.layout}", style="bold"))
    screen.print(Text(found.reader_doc))


def _print_flow(flow: Mapping[str, Any], dataset: str) -> None:
    """Print what became of the recordings that were found, and what must not be passed over."""
    screen = console()
    for line in account_lines(flow, dataset):
        screen.print(Text(line))
    for warning in flow["warnings"]:
        screen.print(Text(f"Warning: {warning}", style="yellow"))


def _facts(found: Description, *, show_ids: bool) -> Table:
    facts, settings = found.facts, found.settings
    rows = table("", "", title=f"\n{facts.noun.capitalize()}s and patients")
    rows.show_header = False
    rows.add_row("layout", settings.layout)
    rows.add_row("root", root_text(found.settings, found.root))
    rows.add_row("tracked by", settings.tracked_by or "nothing")
    if not facts.are_pictures:
        rows.add_row("duration (s)", span_text(facts.durations_s))
    rows.add_row(f"{facts.noun}s per patient", span_text(facts.per_patient))
    for column in facts.technical:
        rows.add_row(column.name, Text(counts_text(column, show_ids=show_ids)))
    rows.add_row("sex (patients)", counts_text(facts.sex, show_ids=show_ids, unit="patients"))
    unknown = f"; not stated for {plural(facts.n_ages_unknown, 'patient')}" if facts.n_ages_unknown else ""
    rows.add_row("age", f"{ages_text(facts)}{unknown}" if len(facts.ages_years) else "not stated")
    for column in facts.attributes:
        rows.add_row(column.name, Text(counts_text(column, show_ids=show_ids)))
    return rows


def _values(column: Column, *, show_ids: bool) -> Table | Text:
    title = f"Label {column.name}"
    if not column.values or (column.identifies and not show_ids):
        return Text(f"{title}: {counts_text(column, show_ids=show_ids)}")
    rows = table(column.name, "", "recordings", "patients", numbers=("recordings", "patients"), title=title)
    most = max(column.values[0].recordings, column.missing)
    for value in column.values[:MAX_VALUES_SHOWN]:
        rows.add_row(Text(value.value), _bar(value.recordings, most), f"{value.recordings:,}", f"{value.patients:,}")
    rest = column.values[MAX_VALUES_SHOWN:]
    if rest:
        n = sum(value.recordings for value in rest)
        rows.add_row(f"{len(rest):,} more values", _bar(n, most), f"{n:,}", "")
    if column.missing:
        rows.add_row("not stated", _bar(column.missing, most), f"{column.missing:,}", "", style="dim")
    return rows


def _bar(count: int, most: int) -> str:
    """Return a bar of up to 24 characters, in eighths of one."""
    eighths = round(8 * _BAR_CELLS * count / most)
    return "█" * (eighths // 8) + ("", *"▏▎▍▌▋▊▉")[eighths % 8]


def _events(found: Description) -> Table:
    numbers = ("events", "in recordings", "shortest (s)", "median (s)", "longest (s)")
    rows = table("kind", *numbers, numbers=numbers, title="Events")
    for event in found.facts.events:
        spans = (event.durations_s[0], event.median_s, event.durations_s[-1])
        cells = (f"{len(event.durations_s):,}", f"{event.recordings:,}", *(f"{span:.2f}" for span in spans))
        rows.add_row(event.kind, *cells)
    return rows


def _tasks(found: Description) -> list[Table | Text]:
    if not found.tasks:
        return [Text("No task uses this dataset: add it to a file of config/tasks.\n", style="yellow")]
    rows = table("task", "target", "recordings +/−/?", "patients +/−/?", title="Tasks: positive / negative / unknown")
    faults: list[Table | Text] = []
    for task in found.tasks:
        name = f"{task.name} (doubtful)" if task.is_doubtful else task.name
        if task.fault is not None:
            faults.append(Text(f"{name}: {task.fault}\n", style="red"))
        for number, target in enumerate(task.targets):
            rows.add_row(
                name if number == 0 else "", target.target, _balance(target.recordings), _balance(target.patients)
            )
    return [rows, *faults]


def _balance(counts: Balance) -> str:
    return f"{counts.positive:,} / {counts.negative:,} / {counts.unknown:,}"


def _print_faults(found: Description, *, show_ids: bool) -> None:
    screen, facts = console(), found.facts
    n_rejected = sum(facts.rejected.values())
    screen.print(Text("Rejected: ", style="bold") + Text(kinds_text(facts.rejected), style="red" if n_rejected else ""))
    if show_ids:
        for row in found.tables.rejected.head(_SHOWN_IDS).to_dict("records"):
            screen.print(Text(f"  {row['file']}{_line(row['line'])}: {row['reason']}"))
    screen.print(Text("Noticed: ", style="bold") + Text(kinds_text(facts.notices)))
    if show_ids:
        for kind in facts.notices:
            subjects = found.tables.summary["notices"][kind]["subjects"][:_SHOWN_IDS]
            screen.print(Text(f"  {kind.replace('_', ' ')}: {', '.join(subjects)}"))
    if n_rejected or facts.notices:
        screen.print(f"`auscult data verify {found.name}` names every file and line.", style="dim")


def _line(line: object) -> str:
    return f":{line}" if isinstance(line, int) else ""


def print_verification(found: Verification) -> None:
    """Print the checks, every fault, the notices by kind with examples, and the verdict."""
    screen = console()
    screen.print(Text(found.dataset, style="bold") + Text(f"  {found.root}"))
    checks = table("check", "expected", "found", "files or ids")
    for name, count in found.counts.items():
        published = found.published.get(name)
        checks.add_row(name, "" if published is None else f"{published:,} published", f"{count:,}", "")
    for row in (*_fault_rows(found), *_sound_rows(found), *_table_rows(found)):
        checks.add_row(*row)
    screen.print(checks)
    if found.flow:
        _print_flow(found.flow, found.dataset)
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
        return [("files that cannot be read", "none", "none", Text())]
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
        ("described differently", difference.described_otherwise),
    ]
    return [(f"against {where}: {name}", "none", f"{len(ids):,}", _some(ids)) for name, ids in parts if ids]


def _some(names: Sequence[str]) -> Text:
    return Text(listed(list(dict.fromkeys(names)), _EXAMPLES))


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
        screen.print(Text("\nClean: every file was read and decoded to its end.", style="bold green"))
        return
    reasons: list[str] = []
    if found.faults:
        reasons.append(f"{plural(len(found.faults), 'fault')} in the files, named above")
    if found.shared_between_patients:
        reasons.append("the same sound belongs to several patients: no split can keep them apart")
    if found.tables_error is not None:
        reasons.append(found.tables_error)
    if found.difference is not None and not found.difference.is_none:
        remedy = f"delete {found.compared_with} and run the workflow again, if the root is right"
        reasons.append(f"{found.compared_with} differs: {remedy}")
    screen.print(Text(f"\nNot clean: {'; '.join(reasons)}.", style="bold red"))
