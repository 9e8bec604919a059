import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as checking
from hypothesis import strategies as st

from auscult.audio.cut import cut_cycles, cut_recording, cut_windows
from auscult.config import ClipSettings

RATE = 1000
seconds = st.integers(100, 4000).map(lambda milliseconds: milliseconds / 1000)


@checking(deadline=None)
@given(n_samples=st.integers(1, 20_000), length_s=seconds, hop_s=seconds, min_valid_s=seconds)
def test_windows_tile_the_recording(n_samples: int, length_s: float, hop_s: float, min_valid_s: float) -> None:
    settings = ClipSettings(length_s=length_s, hop_s=hop_s, min_valid_s=min_valid_s, sample_rate_hz=RATE)
    cuts = cut_windows(n_samples, settings)
    length, hop = settings.n_samples, settings.hop_samples
    assert [cut.start_sample for cut in cuts] == [index * hop for index in range(len(cuts))]
    for cut in cuts:
        assert cut.n_valid == min(length, n_samples - cut.start_sample) >= 1
        assert cut.start_s == pytest.approx(cut.start_sample / RATE)
        assert cut.end_s == pytest.approx((cut.start_sample + cut.n_valid) / RATE)
    for cut in cuts[1:]:
        assert cut.n_valid == length or cut.n_valid >= round(min_valid_s * RATE)
    # Only the last may be partly filled, and what is left over is less than the least, or a gap that the hop leaves.
    assert all(cut.n_valid == length for cut in cuts[:-1])
    left_over_from = cuts[-1].start_sample + hop
    if cuts[-1].start_sample + length < n_samples and left_over_from < n_samples:
        assert n_samples - left_over_from < min(length, round(min_valid_s * RATE))


@checking(deadline=None)
@given(n_samples=st.integers(1, 5000), n_clips=st.integers(1, 6))
def test_windows_without_overlap_and_least_hold_every_sample_once(n_samples: int, n_clips: int) -> None:
    settings = ClipSettings(length_s=n_samples / RATE / n_clips + 0.001, min_valid_s=0, sample_rate_hz=RATE)
    covered = np.zeros(n_samples, int)
    for cut in cut_windows(n_samples, settings):
        covered[cut.start_sample : cut.start_sample + cut.n_valid] += 1
    assert (covered == 1).all()


def test_a_window_that_reaches_the_end_is_the_last() -> None:
    settings = ClipSettings(length_s=10, hop_s=5, sample_rate_hz=100, min_valid_s=1)
    assert [cut.start_sample for cut in cut_windows(1000, settings)] == [0]
    assert [(cut.start_sample, cut.n_valid) for cut in cut_windows(1200, settings)] == [(0, 1000), (500, 700)]


def test_the_first_window_is_kept_however_short() -> None:
    settings = ClipSettings(length_s=10, sample_rate_hz=100, min_valid_s=5)
    assert [(cut.start_sample, cut.n_valid) for cut in cut_windows(3, settings)] == [(0, 3)]


@checking(deadline=None)
@given(
    n_samples=st.integers(100, 10_000),
    cycles=st.lists(st.tuples(st.floats(0, 0.999), st.floats(0.001, 3)), max_size=12),
    length_s=seconds,
)
def test_cycles_lie_where_their_events_say(n_samples: int, cycles: list[tuple[float, float]], length_s: float) -> None:
    settings = ClipSettings(unit="cycle", length_s=length_s, sample_rate_hz=RATE)
    duration_s = n_samples / RATE
    starts = [share * duration_s for share, _ in cycles]
    ends = [start + length for start, (_, length) in zip(starts, cycles, strict=True)]
    cuts = cut_cycles(n_samples, settings, starts, ends)
    assert [cut.start_s for cut in cuts] == sorted(starts)
    for cut in cuts:
        assert abs(cut.start_sample - cut.start_s * RATE) <= 1
        assert 1 <= cut.n_valid <= settings.n_samples
        assert cut.start_sample + cut.n_valid <= n_samples
        assert abs(cut.n_valid - (cut.end_s - cut.start_s) * RATE) <= 1.001
        assert cut.end_s <= min(duration_s, cut.start_s + length_s) + 1e-9


def test_touching_cycles_keep_the_times_of_their_events() -> None:
    settings = ClipSettings(unit="cycle", length_s=8, sample_rate_hz=4000)
    border = 1.00007
    first, second = cut_cycles(40_000, settings, [0.03, border], [border, 2.2])
    assert first.end_s == second.start_s == border
    assert first.start_sample + first.n_valid == second.start_sample


def test_a_cycle_longer_than_a_clip_is_truncated_from_its_start() -> None:
    settings = ClipSettings(unit="cycle", length_s=2, sample_rate_hz=100)
    (cut,) = cut_cycles(2000, settings, [1.0], [9.0])
    assert cut == (100, 200, 1.0, 3.0)


@pytest.mark.parametrize("end_s", [0.5, 0.503])
def test_a_cycle_of_no_length_keeps_one_sample(end_s: float) -> None:
    settings = ClipSettings(unit="cycle", length_s=2, sample_rate_hz=100)
    assert cut_cycles(1000, settings, [0.5], [end_s]) == [(50, 1, 0.5, end_s)]


def test_a_cycle_beyond_the_end_holds_what_there_is() -> None:
    settings = ClipSettings(unit="cycle", length_s=2, sample_rate_hz=100)
    (cut,) = cut_cycles(150, settings, [1.0], [1.8])
    assert cut == (100, 50, 1.0, 1.5)
    with pytest.raises(ValueError, match=r"starts at 1\.5 s, the recording ends at 1\.5 s"):
        cut_cycles(150, settings, [1.5], [1.8])


def test_a_recording_is_one_clip() -> None:
    settings = ClipSettings(unit="recording", length_s=2, sample_rate_hz=100)
    assert cut_recording(1000, settings) == [(0, 200, 0.0, 2.0)]
