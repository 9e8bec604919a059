"""Ctrl-C ends a command or a workflow script with one word, from the first import on.

Imported for its effect, before all that takes time to import; the exit status stays that of an interrupted process.
"""

from __future__ import annotations

import sys
from types import TracebackType


def _report(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
    else:
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = _report
