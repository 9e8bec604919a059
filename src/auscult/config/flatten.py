"""Nested settings under dotted keys, and what differs between two or more of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

ABSENT: Any = object()
"""Stands for a value where there is no such key."""
_MAX_CHARACTERS = 60


def flatten(settings: Mapping[str, Any], *, numbers_sections: bool = False) -> dict[str, Any]:
    """Return nested settings under dotted keys; lists and empty sections stay whole.

    Args:
        settings: JSON-like.
        numbers_sections: A list that holds sections is taken apart too, its entries numbered from 1.

    >>> flatten({"train": {"epochs": 3, "optimizer": {"lr": 0.1}}, "datasets": ["a"]})
    {'train.epochs': 3, 'train.optimizer.lr': 0.1, 'datasets': ['a']}
    >>> flatten({"augment": [{"name": "mixup"}, {"name": "augmix"}]}, numbers_sections=True)
    {'augment.1.name': 'mixup', 'augment.2.name': 'augmix'}
    """
    return {".".join(parts): value for parts, value in leaves(settings, numbers_sections=numbers_sections)}


def leaves(
    settings: Mapping[str, Any], *, numbers_sections: bool = False, parents: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield what `flatten` returns, each key as the parts of its path below `parents`."""
    for key, value in settings.items():
        section = value
        if numbers_sections and isinstance(value, list | tuple) and any(isinstance(entry, Mapping) for entry in value):
            section = {str(number): entry for number, entry in enumerate(value, start=1)}
        path = (*parents, str(key))
        if isinstance(section, Mapping) and section:
            yield from leaves(section, numbers_sections=numbers_sections, parents=path)
        else:
            yield path, value


def differing_keys(flat: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys whose values are not the same in all of `flat`, in the order in which they first come.

    >>> differing_keys([{"lr": 0.1, "epochs": 3}, {"lr": 0.1, "epochs": 4}, {"lr": 0.1}])
    ['epochs']
    """
    keys = dict.fromkeys(key for settings in flat for key in settings)
    return [key for key in keys if any(settings.get(key, ABSENT) != flat[0].get(key, ABSENT) for settings in flat)]


@dataclass(frozen=True)
class Difference:
    """One setting that differs; as text it reads `train.epochs: 3 -> 4`.

    Attributes:
        key: Dotted; entries of lists are numbered from 1.
        before: Its value, or `ABSENT`.
        now: Its value, or `ABSENT`.
    """

    key: str
    before: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.key or 'all'}: {_text(self.before)} -> {_text(self.now)}"


def differences(before: Any, now: Any, key: str = "") -> list[Difference]:
    """Return which settings differ, however deep they stand; `key` is where the two stand themselves.

    >>> [str(found) for found in differences({"train": {"epochs": 3, "lr": 0.1}}, {"train": {"epochs": 4, "lr": 0.1}})]
    ['train.epochs: 3 -> 4']
    >>> [str(found) for found in differences({"seeds": [1]}, {"seeds": [1, 2], "folds": None})]
    ['seeds.2: absent -> 2', 'folds: absent -> none']
    """
    pairs = _pairs(before, now)
    if pairs is None:
        return [] if before == now else [Difference(key, before, now)]
    return [
        found for name, (old, new) in pairs.items() for found in differences(old, new, f"{key}.{name}" if key else name)
    ]


def _pairs(before: Any, now: Any) -> dict[str, tuple[Any, Any]] | None:
    """Return what stands under the same name in two sections or two lists; None for anything else."""
    if isinstance(before, list | tuple) and isinstance(now, list | tuple):
        before, now = (dict(enumerate(values, start=1)) for values in (before, now))
    if not (isinstance(before, Mapping) and isinstance(now, Mapping)):
        return None
    return {str(name): (before.get(name, ABSENT), now.get(name, ABSENT)) for name in dict.fromkeys([*before, *now])}


def _text(value: Any) -> str:
    if value is ABSENT:
        return "absent"
    text = "none" if value is None else str(value)
    return text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 3] + "..."
