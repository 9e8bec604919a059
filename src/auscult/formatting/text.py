"""How lists and long names are written: cut short where they would not fit, what is left out counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def shortened(text: str, most: int) -> str:
    """Return `text` in at most `most` characters, its end cut off.

    >>> shortened("crackle", 7), shortened("fine crackle", 7)
    ('crackle', 'fine c…')
    """
    return text if len(text) <= most else f"{text[: most - 1]}…"


def listed(names: Sequence[str], most: int) -> str:
    """Return the first `most` names, and how many are left out.

    >>> listed(["a", "b", "c"], 2), listed(["a", "b"], 2)
    ('a, b, and 1 more', 'a, b')
    """
    rest = len(names) - most
    return ", ".join(names[:most]) + (f", and {rest:,} more" if rest > 0 else "")


def tally(counts: Mapping[str, int], *, most: int | None = None, missing: int = 0, none: str = "none") -> str:
    """Return `value (count), ...`, the most frequent first.

    Args:
        counts: Value -> how many.
        most: Values shown; None: all.
        missing: How many have no value.
        none: Text for no counts at all.

    >>> tally({"left": 2, "right": 1_300}), tally({"a": 3, "b": 2, "c": 1}, most=1, missing=4), tally({})
    ('right (1,300), left (2)', 'a (3), 2 more, not stated (4)', 'none')
    """
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = ordered if most is None else ordered[:most]
    parts = [f"{value} ({count:,})" for value, count in shown]
    if len(ordered) > len(shown):
        parts.append(f"{len(ordered) - len(shown):,} more")
    if missing:
        parts.append(f"not stated ({missing:,})" if parts else "not stated")
    return ", ".join(parts) or none


def join_words(words: Sequence[str]) -> str:
    """Join words as a sentence does.

    >>> join_words(["a"]), join_words(["a", "b"]), join_words(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
