"""What is predicted: targets, and for every dataset the rule that gives each target its value."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from auscult.config.base import Label, Settings

Level = Literal["clip", "recording", "patient"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""Where predictions are judged; those of clips are combined to recordings and patients."""

_WHOLE_NUMBER = re.compile(r"([+-]?[0-9]+)\.0+")


def fold_label(value: str) -> str:
    """Return a label as it is compared: case, blanks around it and a number's `.0` say nothing.

    >>> fold_label(" Crackle"), fold_label("1.0")
    ('crackle', '1')
    """
    folded = value.strip().casefold()
    number = _WHOLE_NUMBER.fullmatch(folded)
    return number.group(1) if number else folded


class ColumnRule(Settings):
    """A target read from a label column of the recordings.

    A value may hold parts joined by `+` (`heart failure+copd`). One part in `positive` makes the target 1; else, all
    parts in `negative` (or, with `others`, none in `unknown`) make it 0; anything else is unknown. Case does not
    matter.
    """

    column: str
    positive: tuple[Label, ...] = Field(min_length=1)
    negative: tuple[Label, ...] | Literal["others"]
    unknown: tuple[Label, ...] = ()
    may_be_absent: tuple[Label, ...] = Field(default=(), description="named values that the data may lack")

    @model_validator(mode="after")
    def _check_disjoint(self) -> Self:
        lists = {"positive": self.positive, "negative": self.negative, "unknown": self.unknown}
        seen: dict[str, str] = {}
        for name, values in lists.items():
            for value in {fold_label(value) for value in values} if isinstance(values, tuple) else ():
                if value in seen:
                    raise ValueError(f"{value!r} stands in both {seen[value]} and {name}")
                seen[value] = name
        return self


EventKind = Annotated[str, AfterValidator(fold_label)]
"""A kind of event, as the tables hold it: lower case."""


class EventRule(Settings):
    """A target read from events: 1 where one of `events` overlaps the clip enough, 0 where the annotators looked.

    `annotated_by` names the event kinds whose intervals were listened to; outside them the target is unknown. The
    special kind `recording` stands for the whole recording. A clip that shares sound with an event of `unknown`, a kind
    that neither is the target nor excludes it, is never 0. Case does not matter.
    """

    events: tuple[EventKind, ...] = Field(min_length=1)
    annotated_by: tuple[EventKind, ...] = Field(default=("cycle",), min_length=1)
    unknown: tuple[EventKind, ...] = ()
    may_be_absent: tuple[EventKind, ...] = Field(default=(), description="named values that the data may lack")

    @model_validator(mode="after")
    def _check_disjoint(self) -> Self:
        both = sorted(set(self.events) & set(self.unknown))
        if both:
            raise ValueError(f"{both} stand in both events and unknown")
        return self


class ClassRule(Settings):
    """The class of a multi-class task, read from a label column; values that `classes` does not name are unknown."""

    column: str
    classes: dict[Label, str] | None = Field(default=None, description="value -> class; default: equal names")
    may_be_absent: tuple[Label, ...] = Field(default=(), description="named values that the data may lack")

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        seen: dict[str, str] = {}
        for value, name in (self.classes or {}).items():
            if seen.setdefault(fold_label(value), name) != name:
                raise ValueError(f"classes gives {value!r} two meanings, {seen[fold_label(value)]!r} and {name!r}")
        return self


def _rule_tag(value: Any) -> str:
    keys = value.keys() if isinstance(value, dict) else type(value).model_fields.keys()
    return "events" if "events" in keys else "column"


TargetRule = Annotated[
    Annotated[ColumnRule, Tag("column")] | Annotated[EventRule, Tag("events")], Discriminator(_rule_tag)
]


class OverlapRule(Settings):
    """When an event counts for a clip: what they share is at least `min_fraction` of the event, the clip or either."""

    min_fraction: float = Field(default=0.5, gt=0, le=1)
    of: Literal["event", "clip", "either"] = "either"


class FourClass(Settings):
    """The derived ICBHI view of two independent targets: none, crackle, wheeze, both."""

    crackle: str
    wheeze: str


class Aggregate(Settings):
    """How the predictions of clips become that of a recording or patient."""

    method: Literal["mean", "max", "noisy_or"] = "mean"


RESERVED_TARGETS = frozenset({"macro", "four_class", "multi_class"})


class TaskSettings(Settings):
    """A task: `config/tasks/<name>.yaml`."""

    description: str
    type: Literal["binary", "multi_label", "multi_class"]
    targets: tuple[Label, ...] = Field(min_length=1, description="multi_class: the classes, in order")
    level: Level = Field(description="where the headline figure is taken")
    datasets: dict[str, dict[str, TargetRule]] = Field(default={}, description="dataset -> target -> rule")
    classes_from: dict[str, ClassRule] = Field(default={}, description="multi_class: dataset -> rule")
    doubtful: tuple[str, ...] = Field(default=(), description="datasets that need allow_doubtful in the experiment")
    overlap: OverlapRule = OverlapRule()
    aggregate: Aggregate = Aggregate()
    four_class: FourClass | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.type == "binary" and len(self.targets) != 1:
            raise ValueError(f"a binary task has one target, not {list(self.targets)}")
        if self.type != "binary" and len(self.targets) < 2:
            raise ValueError(f"a {self.type} task has at least two targets, not {list(self.targets)}")
        if len({target.casefold() for target in self.targets}) < len(self.targets):
            raise ValueError(f"targets {list(self.targets)} names one twice")
        reserved = sorted(RESERVED_TARGETS.intersection(self.targets))
        if reserved:
            raise ValueError(f"targets cannot be called {reserved}: results use these names for their own sections")
        if self.type == "multi_class" and self.aggregate.method != "mean":
            raise ValueError(
                f"aggregate.method {self.aggregate.method!r}: multi_class tasks average predictions of clips; use mean"
            )
        if self.type == "multi_class" and self.datasets:
            raise ValueError("a multi_class task maps its datasets under `classes_from`, not `datasets`")
        if self.type != "multi_class" and self.classes_from:
            raise ValueError(f"`classes_from` belongs to multi_class; a {self.type} task uses `datasets`")
        for dataset, rules in self.datasets.items():
            missing = [target for target in self.targets if target not in rules]
            surplus = [target for target in rules if target not in self.targets]
            if missing or surplus:
                raise ValueError(
                    f"datasets.{dataset}: targets without a rule {missing}, rules without a target {surplus}"
                )
        for dataset, rule in self.classes_from.items():
            strange = sorted(set((rule.classes or {}).values()) - set(self.targets))
            if strange:
                raise ValueError(f"classes_from.{dataset}: {strange} are no classes of this task")
        if self.four_class and not {self.four_class.crackle, self.four_class.wheeze} <= set(self.targets):
            raise ValueError(f"four_class names {self.four_class}, the targets are {list(self.targets)}")
        return self

    @property
    def supported_datasets(self) -> tuple[str, ...]:
        """Datasets that have a rule."""
        return tuple(self.classes_from if self.type == "multi_class" else self.datasets)
