"""Several recordings in one row: which columns stand once for each of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

MARK = "{position}"


@dataclass(frozen=True)
class Wide:
    """Columns that stand once for each value.

    Attributes:
        values: What differs in their names.
        columns: Name with `{position}` in it -> the columns.
    """

    values: list[str]
    columns: dict[str, list[str]]


def find_wide(paths: Sequence[str], columns: Sequence[str]) -> Wide | None:
    """Return what differs in the names of the columns of paths, and all columns that stand once for each.

    >>> find_wide(["file_RU", "file_LL"], ["ID", "file_RU", "file_LL"])
    Wide(values=['RU', 'LL'], columns={'file_{position}': ['file_RU', 'file_LL']})
    """
    words = [re.split(r"(?<=[^\W_])(?=[\W_])|(?<=[\W_])(?=[^\W_])", name) for name in paths]
    if len(paths) < 2 or len({len(parts) for parts in words}) > 1:
        return None
    differing = [place for place, parts in enumerate(zip(*words, strict=True)) if len(set(parts)) > 1]
    if len(differing) != 1 or len(words[0]) < 2:
        return None
    values = [parts[differing[0]] for parts in words]
    if len(set(values)) < len(values):
        return None
    found: dict[str, list[str]] = {}
    for name in columns:
        form = re.sub(rf"(?<![^\W_]){re.escape(values[0])}(?![^\W_])", lambda _: MARK, name, count=1)
        names = [form.replace(MARK, value) for value in values]
        if form != name and set(names) <= set(columns):
            found[form] = names
    return Wide(values, found)
