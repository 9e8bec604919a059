"""What our logger plugins of Snakemake have in common: they take events of jobs, and write no text of the log."""

from __future__ import annotations

from snakemake_interface_logger_plugins.base import LogHandlerBase


class JobEventHandler(LogHandlerBase):
    """Says to Snakemake what it need not do for a handler of events; `emit` and `writes_to_stream` are its own."""

    @property
    def writes_to_file(self) -> bool:
        """Snakemake means a file with the log's text."""
        return False

    @property
    def has_filter(self) -> bool:
        """Snakemake's own filter would leave jobs out where it is to be quiet."""
        return True

    @property
    def has_formatter(self) -> bool:
        """What is written is no text of the log."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """The jobs alone are looked at."""
        return False
