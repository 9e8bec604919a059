"""What is predicted: targets, and for every dataset the rule that gives each target its value."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)

from auscult.config.base import Label, Settings
from auscult.config.events import EventSettings
from auscult.config.objects import ObjectSettings

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
    special kind `recording` stands for the whole recording, `marked_recording` for the whole of each recording in which
    any event is marked. A clip that shares sound with an event of `unknown`, a kind
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

    @property
    def class_names(self) -> set[str]:
        """The classes that the rule names; none where it takes equal names."""
        return set((self.classes or {}).values())

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        seen: dict[str, str] = {}
        for value, name in (self.classes or {}).items():
            if seen.setdefault(fold_label(value), name) != name:
                raise ValueError(f"classes gives {value!r} two meanings, {seen[fold_label(value)]!r} and {name!r}")
        return self


class EventClassRule(Settings):
    """The class of a multi-class task, read from the events in a clip: one exclusive class, or unknown.

    A class lists event kinds, any of which makes it; kinds joined by `+` make it where all of them, and no other kind
    that the rule names, are there. A clip that holds none of the kinds, and that the annotators listened to, is of the
    class `none`, or unknown. A clip that holds kinds of several classes is unknown, or of the class whose events it
    shares most sound with. Case does not matter.

    >>> rule = EventClassRule(events={"crackle": ["crackle"], "both": ["Crackle+wheeze"]}, none="normal")
    >>> rule.combinations == {frozenset({"crackle", "wheeze"}): "both"}
    True
    """

    events: dict[Label, Annotated[tuple[EventKind, ...], Field(min_length=1)]] = Field(
        min_length=1, description="class -> kinds, or kinds joined by + that are there together"
    )
    none: Label | None = Field(default=None, description="class where none of the kinds is there; default: unknown")
    several: Literal["unknown", "longest"] = Field(
        default="unknown", description="of kinds of several classes; longest: the class of which most sound is there"
    )
    annotated_by: tuple[EventKind, ...] = Field(default=("cycle",), min_length=1)
    unknown: tuple[EventKind, ...] = Field(default=(), description="kinds that leave a clip's class unknown")
    may_be_absent: tuple[EventKind, ...] = Field(default=(), description="named values that the data may lack")

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        seen: dict[frozenset[str], str] = {}
        for name, kinds in self.events.items():
            for kind in kinds:
                parts = frozenset(fold_label(part) for part in kind.split("+"))
                if "" in parts:
                    raise ValueError(f"events.{name}: {kind!r} joins a kind that has no name")
                if seen.setdefault(parts, name) != name:
                    raise ValueError(f"events gives {kind!r} to two classes, {seen[parts]!r} and {name!r}")
        both = sorted(set(self.kinds) & set(self.unknown))
        if both:
            raise ValueError(f"{both} stand in both events and unknown")
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """All kinds that the classes name, each once."""
        parts = (fold_label(part) for kinds in self.events.values() for kind in kinds for part in kind.split("+"))
        return tuple(dict.fromkeys(parts))

    @property
    def singles(self) -> dict[str, str]:
        """Kind -> its class, of kinds that make one by themselves."""
        return {kind: name for name, kinds in self.events.items() for kind in kinds if "+" not in kind}

    @property
    def combinations(self) -> dict[frozenset[str], str]:
        """Kinds that are there together -> their class."""
        return {
            frozenset(fold_label(part) for part in kind.split("+")): name
            for name, kinds in self.events.items()
            for kind in kinds
            if "+" in kind
        }

    @property
    def class_names(self) -> set[str]:
        """The classes that the rule can give."""
        return {*self.events, *([] if self.none is None else [self.none])}


def _rule_tag(value: Any) -> str:
    keys = value.keys() if isinstance(value, dict) else getattr(type(value), "model_fields", {}).keys()
    return "events" if "events" in keys else "column"


TargetRule = Annotated[
    Annotated[ColumnRule, Tag("column")] | Annotated[EventRule, Tag("events")], Discriminator(_rule_tag)
]
ClassesRule = Annotated[
    Annotated[ClassRule, Tag("column")] | Annotated[EventClassRule, Tag("events")], Discriminator(_rule_tag)
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
    type: Literal["binary", "multi_label", "multi_class", "events", "objects"] = Field(
        description="events: targets are kinds of events, found with onset and offset; objects: the one target is a "
        "kind of object, found in pictures with its outline; both are judged as multi_label too"
    )
    targets: tuple[Label, ...] = Field(min_length=1, description="multi_class: the classes, in order")
    level: Level = Field(description="where the headline figure is taken")
    datasets: dict[str, dict[str, TargetRule]] = Field(default={}, description="dataset -> target -> rule")
    classes_from: dict[str, ClassesRule] = Field(default={}, description="multi_class: dataset -> rule")
    doubtful: tuple[str, ...] = Field(default=(), description="datasets that need allow_doubtful in the experiment")
    overlap: OverlapRule = OverlapRule()
    aggregate: Aggregate = Aggregate()
    four_class: FourClass | None = None
    events: EventSettings | None = Field(default=None, description="type events only")
    objects: ObjectSettings | None = Field(default=None, description="type objects only")
    normal_class: Label | None = Field(
        default=None, description="multi_class: the class of healthy sounds; sensitivity and specificity go by it"
    )
    left_out_classes: tuple[Label, ...] = Field(
        default=(), description="multi_class: classes whose rows the scores by normal_class leave out (poor quality)"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_maps(cls, value: Any) -> Any:
        section = value.get("type") if isinstance(value, dict) else None
        if section in ("events", "objects") and value.get(section) is None:
            return {**value, section: {}}
        return value

    @model_serializer(mode="wrap")
    def _without_no_objects(self, to_dict: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What was made before there were tasks of objects stays what it is.
        values: dict[str, Any] = to_dict(self)
        if self.objects is None:
            values.pop("objects", None)
        return values

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.type == "binary" and len(self.targets) != 1:
            raise ValueError(f"a binary task has one target, not {list(self.targets)}")
        if self.type not in {"binary", "events", "objects"} and len(self.targets) < 2:
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
            strange = sorted(rule.class_names - set(self.targets))
            if strange:
                raise ValueError(f"classes_from.{dataset}: {strange} are no classes of this task")
        self._check_normal_class()
        self._check_events()
        self._check_objects()
        if self.four_class and not {self.four_class.crackle, self.four_class.wheeze} <= set(self.targets):
            raise ValueError(f"four_class names {self.four_class}, the targets are {list(self.targets)}")
        return self

    def _check_normal_class(self) -> None:
        given = [name for name in (self.normal_class, *self.left_out_classes) if name is not None]
        if given and self.type != "multi_class":
            raise ValueError(f"normal_class and left_out_classes belong to multi_class; this task is {self.type}")
        strange = sorted(set(given) - set(self.targets))
        if strange:
            raise ValueError(f"normal_class, left_out_classes: {strange} are no classes of this task")
        if self.left_out_classes and self.normal_class is None:
            raise ValueError("left_out_classes is read with normal_class only; name the class of healthy sounds")
        if len(set(given)) < len(given):
            raise ValueError(f"normal_class and left_out_classes name a class twice: {given}")
        if self.normal_class is not None and len(set(self.targets) - set(given)) == 0:
            raise ValueError("no class is left that is neither normal_class nor in left_out_classes")

    def _check_events(self) -> None:
        if self.events is not None and self.type != "events":
            raise ValueError(f"`events` belongs to tasks of type events; this task is {self.type}")
        if self.events is None:
            return
        if "micro" in self.targets:
            raise ValueError("targets cannot be called 'micro': results of events use this name for all kinds together")
        for dataset, rules in self.datasets.items():
            columns = [target for target, rule in rules.items() if isinstance(rule, ColumnRule)]
            if columns:
                raise ValueError(
                    f"datasets.{dataset}: {columns} are read from columns; a task of type events reads events: "
                    "name their kinds under `events`"
                )

    def _check_objects(self) -> None:
        if self.objects is not None and self.type != "objects":
            raise ValueError(f"`objects` belongs to tasks of type objects; this task is {self.type}")
        if self.objects is not None and len(self.targets) != 1:
            raise ValueError(
                f"a task of type objects has one target, for label images do not name kinds; found {list(self.targets)}"
            )

    @property
    def finds_events(self) -> bool:
        """Whether it finds events in time, beside saying which are there."""
        return self.events is not None

    @property
    def finds_objects(self) -> bool:
        """Whether it finds objects in pictures, beside saying whether there are any."""
        return self.objects is not None

    @property
    def maps_bands(self) -> bool:
        """Whether maps of events are over frames and mel bands, not over frames alone."""
        return self.events is not None and self.events.maps == "bands"

    @property
    def learns_maps(self) -> bool:
        """Whether maps are learned, of objects and of boundaries."""
        return self.finds_events or self.finds_objects

    @property
    def object_settings(self) -> ObjectSettings:
        """What is learned of objects and how they are judged.

        Raises:
            ValueError: The task finds none.
        """
        if self.objects is None:
            raise ValueError(f"a {self.type} task finds no objects in pictures")
        return self.objects

    @property
    def event_settings(self) -> EventSettings:
        """What is learned of events and how they are judged.

        Raises:
            ValueError: The task finds none.
        """
        if self.events is None:
            raise ValueError(f"a {self.type} task finds no events in time")
        return self.events

    @property
    def normal_column(self) -> int:
        """The column of the normal class.

        Raises:
            ValueError: The task has none.
        """
        return self.targets.index(str(self.normal_class))

    @property
    def left_out_columns(self) -> list[int]:
        """The columns of the classes that the scores by the normal class leave out."""
        return [self.targets.index(name) for name in self.left_out_classes]

    @property
    def supported_datasets(self) -> tuple[str, ...]:
        """Datasets that have a rule."""
        return tuple(self.classes_from if self.type == "multi_class" else self.datasets)
