"""The draft as a YAML file with a comment on each guess."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auscult.config.documents import dump_yaml
from auscult.datasets.draft.proposal import Place

_WIDTH = 10_000
_MAX_FLOW = 110


def yaml_text(values: Mapping[str, Any], comments: Mapping[Place, str], head: list[str]) -> str:
    """Return the settings as YAML: a key a line, short mappings in one, each comment behind what it is about.

    Args:
        values: The experiment's file.
        comments: Place in it -> comment.
        head: Lines of comment above all.
    """
    return "\n".join([*(f"# {line}" for line in head), *_lines(values, comments, ()), ""])


def _lines(values: Mapping[str, Any], comments: Mapping[Place, str], place: Place) -> Iterator[str]:
    indent = "  " * len(place)
    for key, value in values.items():
        here = (*place, key)
        comment = comments.get(here)
        flow = _flow(value)
        is_open = len(flow) > _MAX_FLOW or any(other[:-1] == here for other in _parents(comments))
        if isinstance(value, Mapping) and value and (is_open or _is_section(here)):
            yield _with(f"{indent}{_flow(key)}:", comment)
            yield from _lines(value, comments, here)
        elif isinstance(value, list) and is_open and isinstance(value[0], Mapping):
            yield _with(f"{indent}{_flow(key)}:", comment)
            for number, item in enumerate(value):
                yield _with(f"{indent}  - {_flow(item)}", comments.get((*here, str(number))))
        else:
            yield _with(f"{indent}{_flow(key)}: {flow}", comment)


def _parents(comments: Mapping[Place, str]) -> Iterator[Place]:
    for place in comments:
        yield from (place[:length] for length in range(1, len(place) + 1))


def _is_section(place: Place) -> bool:
    return place[0] == "define" and len(place) <= 3 + (place[-1] in ("columns", "datasets"))


def _with(line: str, comment: str | None) -> str:
    return line if not comment else f"{line}  # {' '.join(comment.split())}"


def _flow(value: Any) -> str:
    text = dump_yaml(value, width=_WIDTH, flow=True)
    return text.removesuffix("\n").removesuffix("\n...")
