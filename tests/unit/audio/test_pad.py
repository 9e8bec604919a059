import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as checking
from hypothesis import strategies as st

from auscult.audio.cut import pad

HOWS = ("zero", "reflect", "repeat")


@checking(deadline=None)
@given(st.lists(st.integers(-99, 99), min_size=1, max_size=20), st.integers(0, 100), st.sampled_from(HOWS))
def test_the_true_part_stays(samples: list[int], n_padding: int, how: str) -> None:
    waveform = np.array(samples, np.int16)
    padded = pad(waveform, len(samples) + n_padding, how)
    assert padded.dtype == np.int16
    assert len(padded) == len(samples) + n_padding
    assert padded[: len(samples)].tolist() == samples


@checking(deadline=None)
@given(st.lists(st.integers(-99, 99), min_size=2, max_size=20), st.integers(0, 100))
def test_reflection_is_that_of_numpy(samples: list[int], n_padding: int) -> None:
    waveform = np.array(samples)
    assert np.array_equal(
        pad(waveform, len(samples) + n_padding, "reflect"), np.pad(waveform, (0, n_padding), "reflect")
    )


@checking(deadline=None)
@given(st.lists(st.integers(-99, 99), min_size=1, max_size=20), st.integers(0, 100))
def test_repetition_is_that_of_numpy(samples: list[int], n_padding: int) -> None:
    waveform = np.array(samples)
    assert np.array_equal(pad(waveform, len(samples) + n_padding, "repeat"), np.pad(waveform, (0, n_padding), "wrap"))


def test_zeros_follow() -> None:
    assert pad(np.array([4, 5]), 4, "zero").tolist() == [4, 5, 0, 0]


def test_one_sample_is_repeated() -> None:
    assert pad(np.array([4]), 3, "reflect").tolist() == [4, 4, 4]


@pytest.mark.parametrize("n_valid", [0, 5])
def test_what_cannot_be_padded_is_refused(n_valid: int) -> None:
    with pytest.raises(ValueError, match=f"cannot pad {n_valid} samples to 4"):
        pad(np.zeros(n_valid), 4, "zero")


def test_one_sample_has_no_turning_point_and_is_held() -> None:
    with np.errstate(all="raise"):
        assert pad(np.array([7]), 3, "reflect").tolist() == [7, 7, 7]
