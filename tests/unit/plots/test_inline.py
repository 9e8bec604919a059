import base64
import io

import numpy as np
import pytest
from PIL import Image

from auscult.plots.inline import inline_svg, page_figure, png_data, read_figure
from auscult.plots.spectrograms import Axis, spectrogram
from auscult.plots.style import panel, save, styled


@pytest.fixture
def svg(tmp_path):
    with styled():
        figure, axes = panel()
        axes.plot([0, 1], [0, 1], "o-", label="a < b")
        axes.legend()
    save(figure, tmp_path / "one.svg")
    return (tmp_path / "one.svg").read_text()


def test_two_copies_on_one_page_share_no_id(svg):
    one, two = str(inline_svg(svg, "one", "label")), str(inline_svg(svg, "two", "label"))

    def ids(text):
        return {part.split('"')[0] for part in text.split(' id="')[1:]}

    assert ids(one)
    assert not ids(one) & ids(two)
    used = {part.split(")")[0] for part in one.split("url(#")[1:]} | {
        part.split('"')[0] for part in one.split('href="#')[1:]
    }
    assert used
    assert used <= ids(one)


def test_the_picture_scales_reads_out_and_takes_the_font_of_the_page(svg):
    text = str(inline_svg(svg, "one", 'a "label" & more'))

    assert text.startswith("<svg ")
    assert 'role="img" aria-label="a &#34;label&#34; &amp; more"' in text
    assert "max-width:422px" in text
    assert "a &lt; b" in text
    assert "DejaVu" not in text
    assert "font-size: 8.5px" in text


def test_what_is_no_svg_is_refused():
    with pytest.raises(ValueError, match="no <svg> element"):
        inline_svg("<p>", "one", "label")


def test_a_spectrogram_keeps_its_colours_in_a_third_of_the_bytes(tmp_path):
    rng = np.random.default_rng(0)
    axis = Axis(np.geomspace(30, 4000, 128), 0.05, 0.03)
    save(spectrogram(rng.normal(-50, 12, (128, 300)), axis, 8.0, (-80, -20)), tmp_path / "one.png")

    data = base64.b64decode(png_data(tmp_path / "one.png").removeprefix("data:image/png;base64,"))

    with Image.open(tmp_path / "one.png") as before, Image.open(io.BytesIO(data)) as after:
        difference = np.abs(np.asarray(before.convert("RGB"), float) - np.asarray(after.convert("RGB"), float))
    assert difference.mean() < 2
    assert len(data) < 0.5 * (tmp_path / "one.png").stat().st_size


def test_a_figure_goes_into_a_page_with_and_without_a_file(tmp_path):
    with styled():
        figure, axes = panel()
        axes.plot([0, 1], [0, 1])
    for suffix in (".svg", ".png"):
        save(figure, tmp_path / f"one{suffix}")

    assert page_figure(figure, "one", "A line", "Two points.") == read_figure(
        tmp_path / "one.svg", "one", "A line", "Two points."
    )
    assert png_data(figure) == png_data(tmp_path / "one.png")
