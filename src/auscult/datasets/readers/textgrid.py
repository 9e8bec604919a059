"""Praat's TextGrid, in its long and short text forms (Praat manual, "TextGrid file formats").

Both hold the same strings, numbers and flags in the same order; all other words are there for people. So only these
are read. A quote within a string is doubled; a `!` opens a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from auscult.datasets.readers.reading import MalformedError, parse_number

BINARY_START = b"ooBinaryFile"
_TOKEN = re.compile(r'"(?P<text>(?:[^"]|"")*+)(?P<close>"?)|!.*|(?P<word>[^\s"]+)')
_START = re.compile(r'\s*(?:File type\s*=\s*)?"ooTextFile(?: short)?"')
_CHRONOLOGICAL = re.compile(r'\s*"Praat chronological TextGrid text file"')
_NUMBER = re.compile(r"[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class Interval:
    """One labelled stretch of a tier, in s, or a point, whose end is its start; `line` is that of its label."""

    tier: str
    start_s: float
    end_s: float
    text: str
    line: int


@dataclass(frozen=True)
class TextGrid:
    """The tiers' names in order, and all their intervals and points that have a text."""

    tiers: list[str]
    intervals: list[Interval]


def is_textgrid(text: str) -> bool:
    """Tell whether a text is one of Praat's objects, or its chronological form."""
    return _START.match(text) is not None or _CHRONOLOGICAL.match(text) is not None


def parse_textgrid(text: str) -> TextGrid:
    r"""Read a TextGrid; intervals without a text are gaps, and left out.

    Raises:
        MalformedError: It is another object or form, or breaks off.

    >>> grid = '"ooTextFile"\n"TextGrid"\n0 2 <exists> 1 "IntervalTier" "sound" 0 2 2 0 1 "" 1 2 "a ""fine"" one"'
    >>> parse_textgrid(grid).intervals
    [Interval(tier='sound', start_s=1.0, end_s=2.0, text='a "fine" one', line=3)]
    """
    if _CHRONOLOGICAL.match(text):
        raise MalformedError("TextGrid: this is Praat's chronological form; save it as a text file or short text file")
    if not _START.match(text):
        raise MalformedError("TextGrid: the file does not open as Praat's text files do, with ooTextFile")
    tokens = _Tokens(text)
    tokens.text("the file's type")
    kind = tokens.text("the object's class")
    if kind != "TextGrid":
        raise MalformedError(f"TextGrid: the file holds Praat's {kind!r}, expected a TextGrid")
    start_s = tokens.number("xmin")
    if start_s != 0:
        # Nobody knows whether the recording was cut as the grid was.
        raise MalformedError(f"TextGrid: it starts at {start_s:g} s, expected 0; shift its times in Praat")
    tokens.number("xmax")
    tiers: list[str] = []
    intervals: list[Interval] = []
    if tokens.flag():
        for _ in range(tokens.count("tiers")):
            name, found = _read_tier(tokens)
            tiers.append(name)
            intervals += found
    return TextGrid(tiers, intervals)


def _read_tier(tokens: _Tokens) -> tuple[str, list[Interval]]:
    kind, name = tokens.text("a tier's class"), tokens.text("a tier's name")
    if kind not in ("IntervalTier", "TextTier"):
        raise MalformedError(f"TextGrid: line {tokens.line} has a tier of class {kind!r}")
    tokens.number("xmin")
    tokens.number("xmax")
    found: list[Interval] = []
    for _ in range(tokens.count("intervals or points")):
        start_s = tokens.number("a time")
        end_s = tokens.number("a time") if kind == "IntervalTier" else start_s
        text = tokens.text("a label")
        if text.strip() or kind == "TextTier":
            found.append(Interval(name, start_s, end_s, text.strip(), tokens.line))
    return name, found


class _Tokens:
    """The strings, numbers and flags of a file, one after the other, with the line of the last."""

    def __init__(self, text: str) -> None:
        self.line = 1
        self._tokens = self._find(text)

    def _find(self, text: str) -> Iterator[tuple[str, str]]:
        line, counted = 1, 0
        for match in _TOKEN.finditer(text):
            line += text.count("\n", counted, match.start())
            counted = match.start()
            self.line = line
            word = match["word"]
            if match["text"] is not None:
                if not match["close"]:
                    raise MalformedError(f"TextGrid: the quote of line {line} has no partner")
                yield "text", match["text"].replace('""', '"')
            elif word is not None and _NUMBER.fullmatch(word):
                yield "number", word
            elif word in ("<exists>", "<absent>"):
                yield "flag", word

    def _next(self, kind: str, name: str) -> str:
        found, value = next(self._tokens, ("end", ""))
        if found == "end":
            raise MalformedError(f"TextGrid: the file ends where {name} is expected; it was cut short")
        if found != kind:
            raise MalformedError(f"TextGrid: line {self.line} has {value!r}, expected {name}")
        return value

    def text(self, name: str) -> str:
        return self._next("text", name)

    def number(self, name: str) -> float:
        return parse_number(self._next("number", name), f"{name} of line {self.line}")

    def flag(self) -> bool:
        return self._next("flag", "whether there are tiers") == "<exists>"

    def count(self, name: str) -> int:
        """Return how many there are; a file that holds fewer ends early."""
        count = self.number(f"the number of {name}")
        if count < 0 or count != int(count):
            raise MalformedError(f"TextGrid: line {self.line} has {count:g}, expected the number of {name}")
        return int(count)
