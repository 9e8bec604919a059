"""Maps become the events that they were made of, and decoding is chosen by what it finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.config import ClipSettings, SpectrogramSettings
from auscult.config.events import Collars, KindDecoding
from auscult.datasets.event_maps import event_maps
from auscult.labels import Intervals
from auscult.metrics.event_decoding import choose_decoding, decode, lay_out
from auscult.metrics.events import TrueEvents
from auscult.spectrograms.frames import FrameGrid

KINDS = ("crackle", "wheeze")
NO_EVENTS = Intervals(np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0))
GRID = FrameGrid.of(SpectrogramSettings(n_fft=400, hop_samples=160), ClipSettings(length_s=2.0, sample_rate_hz=8000))
STEP_S = GRID.step_s


def windows(durations_s: list[float], hop_s: float, grid: FrameGrid = GRID) -> tuple[np.ndarray, np.ndarray]:
    starts = [np.arange(0, max(duration, 0.1), hop_s) for duration in durations_s]
    return np.repeat(np.arange(len(starts)), [len(each) for each in starts]), np.concatenate(starts)


def known(rows: list[tuple[int, float, float]], durations_s: list[float]) -> TrueEvents:
    cells, starts, ends = (np.array(part) for part in zip(*rows, strict=True))
    return TrueEvents(KINDS, np.array(durations_s), Intervals(cells, starts, ends), NO_EVENTS)


def tracks_of(truth: TrueEvents, hop_s: float, grid: FrameGrid = GRID):
    recordings, starts_s = windows(list(truth.durations_s), hop_s, grid)
    maps = event_maps(recordings, starts_s, truth, grid, boundary_s=2 * grid.step_s)
    return lay_out(maps.astype(np.float32), recordings, starts_s, truth.durations_s, grid)


def in_order(found: Intervals) -> np.ndarray:
    order = np.lexsort((found.starts, found.rows))
    return np.stack([found.rows[order], found.starts[order], found.ends[order]], axis=1)


@st.composite
def some_events(draw: st.DrawFn) -> tuple[list[tuple[int, float, float]], list[float]]:
    """Events of 60 ms and more, 60 ms and more apart."""
    durations_s = draw(st.lists(st.integers(300, 5200), min_size=1, max_size=3))
    rows = []
    for cell in range(len(durations_s) * len(KINDS)):
        at = draw(st.integers(0, 900))
        for _ in range(draw(st.integers(0, 4))):
            end = at + draw(st.integers(60, 900))
            if end > durations_s[cell // len(KINDS)]:
                break
            rows.append((cell, at / 1000, end / 1000))
            at = end + draw(st.integers(60, 900))
    return rows, [duration / 1000 for duration in durations_s]


@settings(max_examples=150, deadline=None)
@given(some_events(), st.sampled_from([2.0, 1.0, 0.7]))
def test_events_come_back_to_a_frame(case: tuple, hop_s: float) -> None:
    rows, durations_s = case
    if not rows:
        return
    truth = known(rows, durations_s)
    found = in_order(decode(tracks_of(truth, hop_s), [KindDecoding()] * 2))
    true = in_order(truth.events)
    assert found[:, 0].tolist() == true[:, 0].tolist()
    # The window leaves the ends of a clip open: what lies there is known to half a window.
    at_ends = GRID.first_s + STEP_S
    lengths = np.array(durations_s)[true[:, :1].astype(int) // len(KINDS)]
    is_inside = (true[:, 1:] > at_ends) & (true[:, 1:] < lengths - at_ends) & (hop_s < 2)
    assert (np.abs(found[:, 1:] - true[:, 1:]) <= np.where(is_inside, STEP_S, at_ends) + 1e-6).all()


def test_an_event_shorter_than_a_frame_has_one() -> None:
    truth = known([(0, 0.503, 0.506), (1, 0.0, 0.004)], [2.0])
    maps = event_maps(np.array([0]), np.array([0.0]), truth, GRID, boundary_s=0.02)
    assert maps[0, :2].sum(axis=1).tolist() == [1, 1]
    assert np.flatnonzero(maps[0, 0]).tolist() == [round((0.5045 - GRID.first_s) / STEP_S)]


def test_unknown_frames_are_those_with_unknown_sound() -> None:
    durations_s = np.array([2.0])
    truth = TrueEvents(
        KINDS,
        durations_s,
        Intervals(np.array([0]), np.array([0.2]), np.array([0.6])),
        Intervals(np.array([0, 1]), np.array([0.61, 0.9]), np.array([0.99, 0.905])),
    )
    maps = event_maps(np.array([0]), np.array([0.0]), truth, GRID, boundary_s=0.04)
    begin, end = GRID.middles_s - STEP_S / 2, GRID.middles_s + STEP_S / 2
    for kind, (start, stop) in enumerate([(0.61, 0.99), (0.9, 0.905)]):
        touched = (begin < stop - 1e-6) & (end > start + 1e-6)
        assert np.array_equal(maps[0, kind] == -1, touched & (maps[0, kind] != 1))
        assert np.array_equal(maps[0, 2 + kind] == -1, maps[0, kind] == -1)
    inside = (GRID.middles_s >= 0.2) & (GRID.middles_s < 0.6)
    assert np.array_equal(maps[0, 0] == 1, inside)
    near = np.abs(GRID.middles_s[:, None] - [0.2, 0.6]).min(axis=1) < 0.02
    assert np.array_equal(maps[0, 2] == 1, near & (maps[0, 0] != -1))


def test_boundaries_part_events_that_touch() -> None:
    truth = known([(0, 0.4, 0.8), (0, 0.8, 1.5)], [2.0])
    tracks = tracks_of(truth, 1.0)
    assert len(decode(tracks, [KindDecoding()] * 2).rows) == 1
    found = in_order(decode(tracks, [KindDecoding(boundary=0.5)] * 2))
    assert np.abs(found[:, 1:] - [[0.4, 0.8], [0.8, 1.5]]).max() <= STEP_S


def test_merging_and_least_length_act_within_a_recording() -> None:
    truth = known([(0, 0.5, 0.9), (0, 1.0, 1.4), (0, 1.9, 2.0), (2, 0.0, 0.5)], [2.0, 2.0])
    tracks = tracks_of(truth, 2.0)
    merged = in_order(decode(tracks, [KindDecoding(merge_s=0.2)] * 2))
    assert merged[:, 0].tolist() == [0, 0, 2]
    assert merged[0, 1:] == pytest.approx([0.5, 1.4], abs=STEP_S)
    long = in_order(decode(tracks, [KindDecoding(least_s=0.2)] * 2))
    assert long[:, 0].tolist() == [0, 0, 2]
    assert long[1, 1:] == pytest.approx([1.0, 1.4], abs=STEP_S)


def test_the_median_takes_out_single_frames() -> None:
    maps = np.zeros((1, 4, GRID.n_frames), dtype=np.float32)
    maps[0, 0, 20] = 1
    maps[0, 0, 40:60] = 1
    maps[0, 0, 50] = 0
    tracks = lay_out(maps, np.array([0]), np.array([0.0]), np.array([2.0]), GRID)
    assert len(decode(tracks, [KindDecoding()] * 2).rows) == 3
    assert len(decode(tracks, [KindDecoding(median_s=0.1)] * 2).rows) == 1


def test_pieces_of_a_long_recording_give_what_the_whole_gives_away_from_seams() -> None:
    rng = np.random.default_rng(3)
    frames = rng.uniform(size=(4, 700)).astype(np.float32)
    n = GRID.n_frames
    starts = np.arange(0, 700 - n, 50)
    maps = np.stack([frames[:, start : start + n] for start in starts])
    times = starts * STEP_S
    whole = lay_out(maps, np.zeros(len(starts), dtype=np.int64), times, np.array([14.0]), GRID).of_recording(0)
    covered = starts[-1] + n
    assert np.allclose(whole[:, :covered], frames[:, :covered], atol=1e-6)


def test_decoding_is_chosen_by_the_score_of_events() -> None:
    rng = np.random.default_rng(7)
    rows, durations_s = [], [4.0] * 30
    for recording in range(30):
        for kind in range(2):
            start = rng.uniform(0.2, 2.5)
            rows.append((2 * recording + kind, start, start + rng.uniform(0.4, 1.0)))
    truth = known(rows, durations_s)
    tracks = tracks_of(truth, 2.0)
    # Crackles are predicted with low probabilities and with noise of single frames.
    tracks.values[0] = 0.25 * tracks.values[0] + 0.3 * (rng.uniform(size=tracks.values.shape[1]) < 0.02)
    chosen = choose_decoding(tracks, truth, Collars(onset_s=0.1, offset_s=0.1))
    assert chosen["crackle"].f1 > 0.9
    assert chosen["crackle"].decoding.threshold < 0.26
    assert chosen["crackle"].decoding.median_s > 0
    assert chosen["wheeze"].decoding == KindDecoding()
    assert chosen["wheeze"].f1 == 1


def test_without_events_the_plain_decoding_stands() -> None:
    truth = known([(0, 0.5, 0.9)], [2.0])
    chosen = choose_decoding(tracks_of(truth, 2.0), truth, Collars())
    assert (chosen["wheeze"].decoding, chosen["wheeze"].f1) == (KindDecoding(), None)
    assert "no event of this kind" in chosen["wheeze"].note
