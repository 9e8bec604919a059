"""Errors that a user can fix: each says what was found, what was expected and what to do."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class AuscultError(Exception):
    """Base of all errors that are the input's fault; the command line prints them without a traceback."""


class ConfigError(AuscultError):
    """A setting is unknown, misspelt or impossible."""


class DivergedError(ConfigError):
    """A training's numbers became NaN or infinite under its settings."""


class DataError(AuscultError):
    """A file, table or store is missing, damaged or not what its settings say."""


class UnreadableError(DataError, ValueError):
    """A file is no JSON; a ValueError too, for those who have a remedy of their own."""


class BusyError(DataError):
    """Another process holds what is needed: nothing is at fault, and a later attempt may succeed."""


class InfeasibleError(AuscultError):
    """The data cannot support what was asked (no positive patient in a split, say)."""


_MAY_PASS = frozenset({
    errno.EAGAIN, errno.EBUSY, errno.EDQUOT, errno.EINTR, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOLCK,
    errno.ENOMEM, errno.ENOSPC, errno.ESTALE, errno.ETIMEDOUT,
})  # fmt: skip
"""Of a disk that is full, a file server that does not answer, a limit that others reached."""


def may_pass(error: BaseException) -> bool:
    """Say whether another attempt may end otherwise with the same settings and input.

    >>> may_pass(BusyError("results/x is being trained")), may_pass(DataError("no usable recording"))
    (True, False)
    """
    if isinstance(error, BusyError):
        return True
    cause = error.__cause__
    return cause is not None and (is_from_outside(cause) or may_pass(cause))


def is_from_outside(error: BaseException) -> bool:
    """Say whether the system around a file or a connection failed: nothing is said of what stands in the file."""
    is_network = isinstance(error, ConnectionError | TimeoutError)
    return is_network or (isinstance(error, OSError) and error.errno in _MAY_PASS)


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed name that is most like `name`, or None when nothing comes close.

    >>> nearest("mixnet", ["mixednet", "cnn14"])
    'mixednet'
    >>> nearest("banana", ["mixednet", "cnn14"]) is None
    True
    """
    matches = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return matches[0] if matches else None


def some(names: Iterable[str], n_shown: int = 6) -> str:
    """Return the first names, and how many more there are.

    >>> some(["a", "b"]), some("abcdefgh")
    ('a, b', 'a, b, c, d, e, f and 2 more')
    """
    listed = list(names)
    rest = f" and {len(listed) - n_shown} more" if len(listed) > n_shown else ""
    return ", ".join(listed[:n_shown]) + rest


def unknown_name(kind: str, name: str, allowed: Iterable[str]) -> str:
    """Say that `name` is no known `kind`, what is allowed, and the nearest match.

    >>> unknown_name("model", "mixnet", ["mixednet", "cnn14"])
    "unknown model 'mixnet'; did you mean 'mixednet'? allowed: cnn14, mixednet"
    >>> unknown_name("task", "pneumonia", [])
    "unknown task 'pneumonia'; there is none yet"
    """
    names = sorted(allowed)
    if not names:
        return f"unknown {kind} {name!r}; there is none yet"
    close = nearest(name, names)
    hint = f"; did you mean {close!r}?" if close else ";"
    shown = ", ".join(names[:30]) + (f", ... ({len(names)} in all)" if len(names) > 30 else "")
    return f"unknown {kind} {name!r}{hint} allowed: {shown}"
