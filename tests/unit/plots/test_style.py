from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from auscult.plots.style import panel, save, styled


def _draw():
    with styled():
        figure, axes = panel()
        axes.plot([0, 1], [1, 0], label="<a & b>")
        axes.legend()
        return figure


def test_a_rerun_gives_the_same_bytes(tmp_path):
    for suffix in ("svg", "png"):
        save(_draw(), tmp_path / f"one.{suffix}")
        save(_draw(), tmp_path / f"two.{suffix}")

        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()


def test_svg_holds_text_and_neither_date_nor_version(tmp_path):
    save(_draw(), tmp_path / "one.svg")

    text = (tmp_path / "one.svg").read_text()

    assert "&lt;a &amp; b&gt;" in text
    assert "dc:date" not in text
    assert "matplotlib.org" not in text.split("-->")[-1]


def test_no_text_is_taken_for_mathematics_and_none_breaks_the_file(tmp_path):
    with styled():
        figure, axes = panel()
        axes.plot([0, 1], label=r"$\bad$ of $5")
        axes.set_title("a\x0bb")
        axes.legend()
    with pytest.warns(UserWarning, match="missing from font"):
        save(figure, tmp_path / "one.svg")
    drawn = "".join(ElementTree.parse(tmp_path / "one.svg").getroot().itertext())
    assert r"$\bad$ of $5" in drawn and "a\ufffdb" in drawn


def test_the_style_ends_with_its_block():
    before = mpl.rcParams["axes.spines.top"]

    _draw()

    assert mpl.rcParams["axes.spines.top"] == before


def test_what_is_drawn_does_not_depend_on_the_matplotlibrc_of_who_draws_it(tmp_path):
    def drawn():
        with styled():
            figure, axes = panel()
            axes.plot([0, 1], label="a_b$c")
            axes.legend()
        save(figure, tmp_path / "a.svg")
        return (tmp_path / "a.svg").read_bytes()

    plain = drawn()
    with mpl.rc_context({"text.usetex": True, "font.family": "serif", "axes.facecolor": "black", "font.size": 30}):
        assert drawn() == plain
        assert mpl.rcParams["text.usetex"]
