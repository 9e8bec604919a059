"""Events in time and frequency: each in its own bands, and what nobody knows is neither there nor not there."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from auscult.config import SpectrogramSettings, TaskSettings
from auscult.config.dataset import DatasetSettings
from auscult.config.paths import STAGE_VERSIONS, ingest_version
from auscult.datasets.event_maps import UNKNOWN, ClipEvents
from auscult.datasets.table_writers import EventWriter
from auscult.spectrograms.frames import BandGrid, FrameGrid
from auscult.storage.tables import BAND_COLUMNS, Event, read_events

NAN = np.nan
TASK = TaskSettings.model_validate(
    {
        "description": "toy",
        "type": "events",
        "targets": ["crackle", "wheeze"],
        "level": "clip",
        "events": {"maps": "bands", "boundary_s": 0.2},
        "datasets": {
            "toy": {
                kind: {"events": [kind], "annotated_by": ["recording"], "unknown": ["unclear"]}
                for kind in ("crackle", "wheeze")
            }
        },
    }
)
RECORDINGS = pd.DataFrame(
    {"recording_id": ["toy/a", "toy/b"], "patient_id": "toy/p", "dataset": "toy", "duration_s": 4.0}
)
CLIPS = pd.DataFrame({"recording_id": ["toy/b", "toy/a", "toy/a"], "start_s": [0.0, 0.0, 2.0]})
GRID = FrameGrid(0.05, 0.1, 20, 2.0)
BANDS = BandGrid((0.0, 100.0, 200.0, 300.0, 400.0), (50.0, 150.0, 250.0, 350.0))


def clip_events(*rows: tuple) -> ClipEvents:
    table = pd.DataFrame(rows, columns=["recording_id", "start_s", "end_s", "kind", *BAND_COLUMNS])
    return ClipEvents.of(CLIPS, RECORDINGS, table, TASK, GRID, bands=BANDS)


def cells(plane: np.ndarray, value: int) -> tuple[list[int], list[int]]:
    """Return the bands and the frames that hold a value; all their pairs must."""
    bands, frames = (np.unique(part) for part in np.nonzero(plane == value))
    assert (plane[np.ix_(bands, frames)] == value).all()
    return bands.tolist(), frames.tolist()


def test_events_at_once_keep_their_own_bands_and_boundaries() -> None:
    events = clip_events(
        ("toy/a", 0.5, 1.0, "wheeze", 100.0, 200.0),
        ("toy/a", 0.8, 1.5, "wheeze", 300.0, NAN),  # up to the highest band
        ("toy/a", 2.5, 2.9, "crackle", 120.0, 130.0),  # between two centres: the nearest band
    )
    assert len(events.truth.events.rows) == 2  # for scores in time the two wheezes are one
    maps = events.maps()
    assert maps.shape == (3, 4, 4, 20)
    assert not maps[0].any()
    wheeze, boundaries = maps[1, 1], maps[1, 3]
    assert cells(wheeze[:3], 1) == ([1], list(range(5, 10)))
    assert cells(wheeze[3:], 1) == ([0], list(range(8, 15)))
    assert cells(boundaries[:3], 1) == ([1], [4, 5, 9, 10])
    assert cells(boundaries[3:], 1) == ([0], [7, 8, 14, 15])
    assert cells(maps[2, 0], 1) == ([1], [5, 6, 7, 8])
    assert not (maps == UNKNOWN).any()
    # Over frames it is one event.
    assert np.flatnonzero(events.frame_maps()[1, 1] == 1).tolist() == list(range(5, 15))


def test_what_is_not_known_is_unknown_in_all_bands() -> None:
    events = clip_events(
        ("toy/a", 0.5, 1.0, "wheeze", NAN, NAN),
        ("toy/a", 0.8, 1.2, "wheeze", 100.0, 200.0),
        ("toy/a", 1.6, 2.0, "unclear", NAN, NAN),
    )
    maps = events.maps()[1]
    wheeze, boundaries = maps[1], maps[3]
    assert cells(wheeze, 1) == ([1], [8, 9, 10, 11])  # the box wins over what is not known
    assert np.flatnonzero((wheeze == UNKNOWN).all(axis=0)).tolist() == [5, 6, 7, 16, 17, 18, 19]
    # The first event's onset and offset may be in any band, and where it goes on none of it begins or ends.
    assert np.flatnonzero((boundaries == UNKNOWN).all(axis=0)).tolist() == [4, 5, 9, 10, 16, 17, 18, 19]
    assert not boundaries[:, 6].any()
    assert cells(boundaries, 1) == ([1], [7, 8, 11, 12])
    assert cells(maps[0], UNKNOWN) == ([0, 1, 2, 3], [16, 17, 18, 19])


def test_what_is_unclear_beside_an_event_is_unknown_in_its_other_bands() -> None:
    events = clip_events(("toy/a", 0.5, 1.0, "wheeze", 100.0, 200.0), ("toy/a", 0.0, 2.0, "unclear", NAN, NAN))
    for found in (events, ClipEvents.joined([events]), events.take(np.array([0, 1, 2]))):
        wheeze = found.maps()[1, 1]
        assert cells(wheeze, 1) == ([1], [5, 6, 7, 8, 9])
        assert (wheeze == UNKNOWN).sum() == wheeze.size - 5
        assert np.flatnonzero(found.frame_maps()[1, 1] == 1).tolist() == [5, 6, 7, 8, 9]


def test_joined_and_taken_clips_keep_their_maps() -> None:
    rows = [("toy/a", 0.5, 1.0, "wheeze", 100.0, 200.0), ("toy/b", 0.5, 1.5, "crackle", 0.0, 100.0)]
    events = clip_events(*rows)
    both = ClipEvents.joined([events, events])
    assert np.array_equal(both.maps(), np.concatenate([events.maps()] * 2))
    assert np.array_equal(both.take(np.array([2, 3])).maps(), events.maps()[[2, 0]])
    changed = clip_events(("toy/a", 0.5, 1.0, "wheeze", 100.0, 300.0), rows[1])
    assert changed.digest() != events.digest()


def test_bands_of_a_range_are_those_whose_centres_it_holds() -> None:
    bands = BandGrid.of(SpectrogramSettings(n_mels=32, f_min_hz=50), 8000)
    centres = np.array(bands.centres_hz)
    lows, highs = np.array([200.0, 0.0, NAN, 10.0, 3999.9]), np.array([900.0, 5000.0, NAN, 40.0, 4000.0])
    first, end = bands.bands_of(lows, highs)
    assert np.arange(first[0], end[0]).tolist() == np.flatnonzero((centres >= 200) & (centres <= 900)).tolist()
    assert (first[1], end[1]) == (first[2], end[2]) == (0, 32)
    assert first[3] == end[3]  # below all bands
    assert first[4] == end[4]  # above them
    one = centres[7] + 1.0
    assert [part.tolist() for part in bands.bands_of(np.array([one]), np.array([one + 0.5]))] == [[7], [8]]


def test_tables_have_the_columns_where_frequencies_may_be_known_and_are_read_without(tmp_path: Path) -> None:
    event = Event("toy/a", 0.5, 1.0, "wheeze", "toy", low_hz=100.0)
    for has_bands in (True, False):
        with EventWriter(tmp_path / f"{has_bands}.parquet", has_bands=has_bands) as writer:
            writer.add(event)
    stored = pd.read_parquet(tmp_path / "False.parquet")
    assert not set(BAND_COLUMNS) & set(stored)
    for name, low_hz in (("True", 100.0), ("False", NAN)):
        table = read_events(tmp_path / f"{name}.parquet")
        assert table[list(BAND_COLUMNS)].to_numpy() == pytest.approx(np.array([[low_hz, NAN]]), nan_ok=True)


@pytest.mark.parametrize(
    ("settings", "is_raised"),
    [
        ({"layout": "icbhi"}, False),
        ({"layout": "manifest", "files": "*.wav", "annotations": {"files": "{stem}.csv", "format": "table"}}, False),
        (
            {"layout": "manifest", "files": "*.wav", "annotations": {"files": "{stem}.txt"}},
            True,
        ),  # may be a label track
        (
            {
                "layout": "manifest",
                "files": "*.wav",
                "annotations": {"files": "{stem}.csv", "format": "table", "low_hz": 4},
            },
            True,
        ),
    ],
)
def test_tables_are_made_again_where_files_may_hold_frequencies(settings: dict, is_raised: bool) -> None:
    dataset = TypeAdapter(DatasetSettings).validate_python({"description": "d", "root": "data/d", **settings})
    assert ingest_version(dataset) == STAGE_VERSIONS["ingest"] + is_raised
    assert ("low_hz" in str(dataset.model_dump())) == ("low_hz" in str(settings))
