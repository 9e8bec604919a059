"""What is proposed of a dataset, what each guess rests on, and what was left in doubt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auscult.datasets.sources import DatasetTables

Place = tuple[str, ...]
"""Where in the settings a comment stands: `("columns", "patient")`."""
Ask = Callable[[str, Sequence[str], str], str]
"""Asks a question: its text, the answers, the best guess; returns an answer."""


@dataclass
class Proposal:
    """The settings of a dataset as they grow, with what is to be said of them.

    Attributes:
        ask: Asks where a guess is not sure; None: the best guess is taken.
        settings: As in `config/datasets/<name>.yaml`.
        comments: Place in the settings -> what the guess rests on.
        doubts: What somebody should look at, in a sentence each.
        unused: What was not understood: files, columns.
        switches: The lines to change if silence, which is unknown now, means that nothing was heard.
    """

    ask: Ask | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    comments: dict[Place, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    switches: list[str] = field(default_factory=list)

    @property
    def columns(self) -> dict[str, Any]:
        """The section `columns`."""
        return self.settings.setdefault("columns", {})

    def section(self, role: str) -> tuple[dict[str, Any], Place]:
        """Return where the column of a role is named: places, visits and dates are attributes."""
        if role not in ("place", "visit", "date"):
            return self.columns, ("columns", role)
        return self.columns.setdefault("attributes", {}), ("columns", "attributes", role)

    def put(self, role: str, column: Any, comment: str) -> None:
        """Say which column holds a role, and comment on it."""
        section, place = self.section(role)
        section[role] = column
        self.say(comment, *place)

    def say(self, comment: str, *place: str) -> None:
        """Comment on a guess."""
        self.comments[place] = comment

    def choose(self, question: str, answers: Sequence[str], best: str, *, is_sure: bool, how: str = "") -> str:
        """Return the best guess, or what somebody answers where it is not sure; an unsure guess becomes a doubt.

        Args:
            question: What is asked.
            answers: What may be answered.
            best: The guess.
            is_sure: Whether there is nothing to ask.
            how: Which line of the draft says the other answer.
        """
        if is_sure or len(answers) < 2:
            return best
        if self.ask is not None:
            return self.ask(question, answers, best)
        others = ", ".join(answer for answer in answers if answer != best)
        self.doubts.append(f"{question} Taken: {best}; it could also be: {others}{how and f'; then {how}'}.")
        return best

    def means_absence(self, question: str, absence: str, how: str) -> bool:
        """Ask whether silence means that nothing was heard; where nobody answers it is unknown, and `how` says more."""
        unknown = "it is unknown"
        is_absence = self.choose(question, [unknown, absence], unknown, is_sure=False, how=how) == absence
        self.switches += [] if is_absence else [how]
        return is_absence


@dataclass(frozen=True)
class TaskGuess:
    """A task for one dataset.

    Attributes:
        settings: As in `config/tasks/<name>.yaml`, for the dataset.
        reason: Why it is this one.
        comments: Place in the settings -> comment.
    """

    settings: dict[str, Any]
    reason: str
    comments: dict[Place, str]


@dataclass(frozen=True)
class Drafted:
    """A draft that was written.

    Attributes:
        name: Of dataset and experiment.
        task: The task's name.
        path: The file that was written.
        place: Where the workflow looks for it.
        proposal: Of the dataset.
        guess: What the task is, and why.
        split: How the patients are divided, or why they cannot be.
        tables: The recordings and events, as the draft reads them.
        is_feasible: Whether they can be divided.
        changes: What must be changed in the file before anything can be trained, if anything must.
    """

    name: str
    task: str
    path: Path
    place: Path
    proposal: Proposal
    guess: TaskGuess
    split: str
    tables: DatasetTables
    is_feasible: bool
    changes: str | None = None
