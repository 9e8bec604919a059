"""A dataset's page: one HTML file that stands alone, in the style of the reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auscult.datasets.description import Description, examples_generator
from auscult.datasets.facts import ages_text, counts_text, kinds_text
from auscult.datasets.sources import root_text
from auscult.formatting.numbers import duration_text, plural, recordings_text
from auscult.plots.dataset import draw_events, draw_labels, draw_patients, draw_recordings, draw_tasks
from auscult.plots.excerpts import Picture, choose_excerpts, draw_excerpts
from auscult.plots.picture_examples import draw_picture_examples
from auscult.reports.data_tables import class_rule_text, rule_text
from auscult.reports.html import doc_html, page_templates
from auscult.storage.files import write_output

N_EXAMPLES = 6
MAX_IDS_SHOWN = 200


@dataclass(frozen=True)
class Ids:
    """Names of files and patients; only on a page with `--show-ids`.

    Attributes:
        rejected: (file and line, reason).
        notices: (kind, subjects).
        n_hidden: Rejections beyond those shown.
    """

    rejected: list[tuple[str, str]]
    notices: list[tuple[str, str]]
    n_hidden: int


def write_page(found: Description, path: Path, *, show_ids: bool) -> None:
    """Write the page of a dataset.

    Args:
        found: The dataset.
        path: An `.html` file; replaced when it is there.
        show_ids: Whether the page may name patients, recordings and files.

    Raises:
        ConfigError: The path is a folder, or cannot be written.
    """
    write_output(path, render(found, show_ids=show_ids))


def render(found: Description, *, show_ids: bool) -> str:
    """Return the page."""
    facts = found.facts
    examples, why_none = _examples(found)
    return (
        page_templates()
        .get_template("dataset.html.j2")
        .render(
            found=found,
            facts=facts,
            cards=_cards(found),
            columns=_columns(found, show_ids=show_ids),
            recordings=draw_recordings(facts),
            patients=draw_patients(facts),
            labels=draw_labels(facts, show_ids=show_ids),
            hidden_labels=[
                (column.name, counts_text(column, show_ids=show_ids))
                for column in facts.labels
                if not column.values or (column.identifies and not show_ids)
            ],
            events=draw_events(facts),
            tasks=draw_tasks(found.tasks),
            rules={task.name: _rules(found, task.name) for task in found.tasks},
            examples=examples,
            why_no_examples=why_none,
            flow=_flow(facts.flow),
            rejected=kinds_text(facts.rejected),
            notices=kinds_text(facts.notices),
            ids=_ids(found) if show_ids else None,
            doc=doc_html(found.reader_doc),
        )
    )


def _cards(found: Description) -> list[tuple[str, str, str]]:
    """Return (name, value, note) of the main facts."""
    facts = found.facts
    n_events = sum(len(event.durations_s) for event in facts.events)
    kinds = plural(len(facts.events), "kind") if facts.events else "none annotated"
    n_rejected = sum(facts.rejected.values())
    n_rates = len(facts.technical[0].values)
    reasons = plural(len(facts.rejected), "reason") if n_rejected else "every file was read"
    per_patient = f"median {np.median(facts.per_patient):g} {facts.noun}s"
    if facts.are_pictures:
        return [
            ("Pictures", f"{facts.n_recordings:,}", plural(len(facts.labels), "label")),
            ("Patients", f"{facts.n_patients:,}", per_patient),
            ("Rejected", f"{n_rejected:,}", reasons),
        ]
    return [
        ("Recordings", f"{facts.n_recordings:,}", f"median {np.median(facts.durations_s):.3g} s"),
        ("Patients", f"{facts.n_patients:,}", per_patient),
        ("Sound", duration_text(facts.duration_s), plural(n_rates, "sample rate")),
        ("Events", f"{n_events:,}", kinds),
        ("Rejected", f"{n_rejected:,}", reasons),
    ]


def _columns(found: Description, *, show_ids: bool) -> list[tuple[str, str]]:
    facts = found.facts
    rows = [
        ("layout", found.settings.layout),
        ("root", root_text(found.settings, found.root)),
        ("tracked by", found.settings.tracked_by or "nothing"),
    ]
    rows += [(column.name, counts_text(column, show_ids=show_ids)) for column in facts.technical]
    if not facts.sex.values:
        rows.append(("sex", "not stated"))
    rows.append(("age", ages_text(facts) if len(facts.ages_years) else "not stated"))
    rows += [(column.name.replace("_", " "), counts_text(column, show_ids=show_ids)) for column in facts.attributes]
    return rows


def _rules(found: Description, name: str) -> list[tuple[str, str]]:
    task = next(task.task for task in found.tasks if task.name == name)
    if task.type == "multi_class":
        return [("class", class_rule_text(task.classes_from[found.name]))]
    return [(target, rule_text(rule.model_dump(mode="json"))) for target, rule in task.datasets[found.name].items()]


def _examples(found: Description) -> tuple[list[Picture], str]:
    """Return pictures, and why some are missing; the reason names no file."""
    if not found.root.is_dir():
        return [], "The dataset's root does not exist, so there are no examples."
    hidden = [column.name for column in found.facts.labels if column.identifies]
    tables = found.tables
    if found.settings.holds_pictures:
        pictures, faults = draw_picture_examples(
            tables.recordings, found.root, N_EXAMPLES, examples_generator(), hidden
        )
    else:
        excerpts = choose_excerpts(tables.recordings, tables.events, N_EXAMPLES, examples_generator())
        pictures, faults = draw_excerpts(excerpts, found.root, found.settings, hidden)
    if not faults:
        return pictures, ""
    return pictures, (
        f"{plural(len(faults), found.facts.noun)} could not be read: the files have changed or moved since the tables "
        f"were written. `auscult data verify {found.name}` names them."
    )


def _flow(flow: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what was found, lost by reason, and read."""
    lost = [(f"lost: {row['reason']}", recordings_text(row)) for row in flow["lost"]]
    return [("found", recordings_text(flow["found"])), *lost, ("read", recordings_text(flow["read"]))]


def _ids(found: Description) -> Ids:
    rows = found.tables.rejected.head(MAX_IDS_SHOWN).to_dict("records")
    notices = found.tables.summary["notices"]
    subjects = {kind: notices[kind]["subjects"][:MAX_IDS_SHOWN] for kind in found.facts.notices}
    return Ids(
        rejected=[
            (f"{row['file']}:{row['line']}" if isinstance(row["line"], int) else str(row["file"]), str(row["reason"]))
            for row in rows
        ],
        notices=[(kind.replace("_", " "), ", ".join(names)) for kind, names in subjects.items()],
        n_hidden=len(found.tables.rejected) - len(rows),
    )
