"""How metrics read, in `report.txt` and `report.html` alike: names, numbers with intervals, why one is undefined."""

from auscult.presentation.blocks import Block, blocks, flat, headline
from auscult.presentation.numbers import LEVELS, LOWER_IS_BETTER, METRIC_NAMES, Number, plural, plural_of
from auscult.presentation.protocols import OPTIMISTIC, ProtocolTable, protocol_table
from auscult.presentation.slices import SliceRow, SliceTable, slice_table

__all__ = [
    "LEVELS",
    "LOWER_IS_BETTER",
    "METRIC_NAMES",
    "OPTIMISTIC",
    "Block",
    "Number",
    "ProtocolTable",
    "SliceRow",
    "SliceTable",
    "blocks",
    "flat",
    "headline",
    "plural",
    "plural_of",
    "protocol_table",
    "slice_table",
]
