"""What a draft is made of: settings, a comment on each guess, questions, and what was not used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Place = tuple[str, ...]
"""Where in the settings a comment stands: `("columns", "patient")`."""
Ask = Callable[[str, Sequence[str], str], str]
"""Asks a question: its text, the answers, the best guess; returns an answer."""


@dataclass
class Proposal:
    """The settings of a dataset as they grow, with what is to be said of them.

    Attributes:
        settings: As in `config/datasets/<name>.yaml`.
        comments: Place in the settings -> what the guess rests on.
        doubts: What somebody should look at, in a sentence each.
        unused: What was not understood: files, columns.
        ask: Asks where a guess is not sure; None: the best guess is taken.
        label: The label column that was asked for.
        patient: The patient's column, or pattern, that was asked for.
    """

    settings: dict[str, Any] = field(default_factory=dict)
    comments: dict[Place, str] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    ask: Ask | None = None
    label: str | None = None
    patient: str | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """The section `columns`."""
        return self.settings.setdefault("columns", {})

    def say(self, comment: str, *place: str) -> None:
        """Comment on a guess."""
        self.comments[place] = comment

    def choose(self, question: str, answers: Sequence[str], best: str, *, is_sure: bool) -> str:
        """Return the best guess, or what somebody answers where it is not sure; an unsure guess becomes a doubt."""
        if is_sure or len(answers) < 2:
            return best
        if self.ask is not None:
            return self.ask(question, answers, best)
        others = ", ".join(answer for answer in answers if answer != best)
        self.doubts.append(f"{question} Taken: {best}; it could also be: {others}.")
        return best
