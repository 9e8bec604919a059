"""A picture is drawn as it is, and beside it in grey with the evidence on the place that it is of."""

import numpy as np
import pytest

from auscult.plots.clip import Evidence
from auscult.plots.thumbnail import thumbnail


@pytest.mark.parametrize("n_channels", [1, 3, 5])
def test_evidence_lies_over_the_same_picture_in_grey(n_channels: int) -> None:
    picture = np.random.default_rng(1).uniform(0, 255, (n_channels, 12, 20))
    found = np.zeros((12, 20), np.float32)
    found[:3] = 1
    plain, explained = thumbnail(picture, Evidence(found, "why"), title="t").axes
    shown = np.asarray(plain.images[0].get_array())
    assert np.allclose(shown, (picture.transpose(1, 2, 0) if n_channels == 3 else picture[0]) / 255, atol=1e-6)
    below, above = explained.images
    assert np.asarray(below.get_array()).shape == (12, 20)
    assert np.array_equal(above.get_array(), found)
    assert below.origin == above.origin == plain.images[0].origin == "upper"
    assert len(thumbnail(picture, Evidence(None, "none")).axes) == 1
