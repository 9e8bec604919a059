"""A reader's docstring is its page in the documentation: origin, layout, terms of use, known dirt."""

import importlib

import pytest

from auscult.config.dataset import LAYOUTS


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("heading", ["Origin: ", "Terms of use: ", "Layout", "Known dirt"])
def test_each_reader_says_where_its_data_come_from_and_what_is_wrong_with_them(layout: str, heading: str) -> None:
    document = importlib.import_module(f"auscult.datasets.readers.{layout}").__doc__
    paragraphs = [line for line in document.splitlines() if line.startswith(heading)]
    assert len(paragraphs) == 1, f"{layout}: no line of the docstring opens with {heading!r}"
