"""JSON as it must be: a key said twice, NaN and endless nesting are refused; the library takes them, or breaks."""

from __future__ import annotations

import json
from typing import Any

from auscult.corpora.reading import MalformedError


def parse_object(data: bytes) -> dict[str, Any]:
    """Read a UTF-8 document that holds one JSON object.

    Raises:
        MalformedError: It is not UTF-8, not JSON, not an object, or says a key twice.

    >>> parse_object(b'{"a": ["1", 2]}')
    {'a': ['1', 2]}
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedError(f"not UTF-8: byte 0x{data[error.start]:02x} at position {error.start + 1}") from None
    try:
        value = json.loads(text, object_pairs_hook=_refuse_repeated_keys, parse_constant=_refuse_constant)
    except MalformedError:
        raise
    except (ValueError, RecursionError) as error:
        # A plain ValueError comes from an integer of more digits than Python converts.
        raise MalformedError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise MalformedError(f"not JSON: found {type(value).__name__}, expected an object")
    return value


def _refuse_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        raise MalformedError(f"not JSON: the keys {sorted({key for key in keys if keys.count(key) > 1})} stand twice")
    return result


def _refuse_constant(name: str) -> None:
    raise MalformedError(f"not JSON: {name} is no JSON number")
