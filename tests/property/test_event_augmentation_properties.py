"""Maps of events stay where their sound is, whatever moved it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auscult.augment import Augmenter, ItemMaker
from auscult.augment.maps import gathered, laid_over
from auscult.augment.pipeline import EpochItems, Mix
from auscult.config.augment import SPECTROGRAM, AugmentSettings, Mixup, events_fault
from auscult.config.task import TaskSettings
from auscult.config.waveform_augment import WAVEFORM
from auscult.spectrograms.frames import FrameGrid
from auscult.training.batches import TrainingAugmentation
from auscult.training.sampler import Sampler

RATE_HZ, N_SAMPLES, N_FFT, HOP = 4000, 16_000, 256, 80
N_FRAMES = (N_SAMPLES - N_FFT) // HOP + 1
GRID = FrameGrid(N_FFT / 2 / RATE_HZ, HOP / RATE_HZ, N_FRAMES, N_SAMPLES / RATE_HZ)
CPU = torch.device("cpu")


def augmenter_of(values: dict[str, object], n_valid: np.ndarray, seed: int = 3) -> Augmenter:
    augment = AugmentSettings.model_validate(values)
    return Augmenter(
        augment, n_valid=n_valid, n_samples=N_SAMPLES, sample_rate_hz=RATE_HZ, seed=seed, device=CPU, grid=GRID
    )


def items_of(n: int, mixes: tuple[Mix, ...] = ()) -> EpochItems:
    return EpochItems(np.arange(n), np.full(n, -1), np.zeros((n, 1), np.float32), mixes)


@pytest.mark.parametrize(
    ("step", "edge_s"),
    [
        ({"name": "time_shift", "max_shift_s": 3.0}, 0.0),
        ({"name": "time_shift", "max_shift_s": 3.0, "fill": "zero"}, 0.0),
        ({"name": "speed", "rate": [0.5, 2.0]}, 0.01),
        # Its window is a tenth of a second.
        ({"name": "time_stretch", "rate": [0.5, 2.0]}, 0.1),
    ],
)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_maps_follow_the_sound(step: dict[str, object], edge_s: float, data: st.DataObject) -> None:
    n_valid = data.draw(st.sampled_from([N_SAMPLES, 11_000]))
    start_s = data.draw(st.floats(0.0, n_valid / RATE_HZ - 0.5))
    end_s = start_s + data.draw(st.floats(0.2, 0.5))
    times_s = np.arange(N_SAMPLES) / RATE_HZ
    sound = torch.from_numpy((((times_s >= start_s) & (times_s < end_s)) * np.sin(times_s * 3000)).astype(np.float32))
    first, end = GRID.frames_of(np.array([start_s]), np.array([end_s]))
    maps = torch.zeros((1, 2, N_FRAMES), dtype=torch.int8)
    maps[0, 0, first[0] : end[0]] = 1
    seed = data.draw(st.integers(0, 1000))
    augmenter = augmenter_of({"waveform": [{**step, "probability": 1.0}]}, np.array([n_valid]), seed)
    items = items_of(1)
    batch = augmenter.batch(items, items.rows(np.arange(1)), 1, maps)
    changed = batch.waveforms(sound[None])[0]
    assert batch.maps is not None
    assert not batch.maps[0, 1].any()
    found = batch.maps[0, 0] == 1
    # Whether each frame holds sound, but for those that an edge of it lies near to.
    reach = int(edge_s * RATE_HZ) + HOP
    middles = (N_FFT // 2 + HOP * torch.arange(N_FRAMES)).tolist()
    loud = changed.abs() > 0.1
    for frame, middle in enumerate(middles):
        near = loud[max(0, middle - reach) : middle + reach]
        share = float(near.float().mean())
        if share > 0.8:
            assert found[frame], (frame, share)
        if share == 0:
            assert not found[frame], frame


@given(rate=st.floats(1.0, 4.0), at=st.integers(0, 199), n_silent=st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_no_event_is_too_short_to_stay(rate: float, at: int, n_silent: int) -> None:
    maps = torch.zeros((1, 1, 200), dtype=torch.int8)
    maps[0, 0, at] = 1
    places = rate * torch.arange(200, dtype=torch.float64)[None] - n_silent
    silent = (places < 0) | (places > 199)
    found = gathered(maps, places.masked_fill(silent, torch.nan), is_stretched=True)
    is_inside = bool(((places < at + 0.5) & ~silent).any()) and bool((places >= at - 0.5).any())
    assert int(found.sum()) == (1 if is_inside else 0)
    assert not found[0, 0, silent[0]].any()


@given(
    pairs=st.lists(st.tuples(st.sampled_from([-1, 0, 1]), st.sampled_from([-1, 0, 1])), min_size=1, max_size=30),
)
@settings(max_examples=50, deadline=None)
def test_two_maps_at_once_know_what_either_is_sure_of(pairs: list[tuple[int, int]]) -> None:
    first, second = (torch.tensor(side, dtype=torch.int8) for side in zip(*pairs, strict=True))
    expected = [1 if 1 in pair else -1 if -1 in pair else 0 for pair in pairs]
    found = laid_over(first, second)
    assert (found.dtype, found.tolist()) == (torch.int8, expected)
    assert torch.equal(found, laid_over(second, first))


def test_mixed_clips_have_the_events_of_both_and_a_crop_moves_them() -> None:
    n = 6
    rng = np.random.default_rng(2)
    maps = torch.from_numpy(rng.integers(-1, 2, (n, 4, N_FRAMES)).astype(np.int8))
    partners = np.array([3, -1, 0, 5, -1, 1])
    shares = np.array([0.5, 0, 0.2, 1.0, 0, 0], np.float32)
    items = items_of(n, (Mix(0, partners, np.zeros((n, 2), np.int64), shares),))
    augmenter = augmenter_of({"spectrogram": [{"name": "mixup", "label": "union"}]}, np.full(n, N_SAMPLES))
    rows = items.rows(np.arange(n))
    batch = augmenter.batch(items, rows, 1, maps[torch.from_numpy(rows.clips)])
    batch.spectrograms(torch.zeros(len(rows.clips), 8, N_FRAMES))
    expected = [laid_over(maps[0], maps[3]), maps[1], laid_over(maps[2], maps[0]), maps[5], maps[4], maps[5]]
    assert torch.equal(batch.maps, torch.stack(expected))

    # Two bands of the spectrogram are two channels of the maps: a crop of whole bands moves both alike.
    crop = {"name": "resize_crop", "min_share_time": 0.5, "min_share_frequency": 1.0, "probability": 0.7}
    augmenter = augmenter_of(
        {"spectrogram": [{"name": "mask_time", "max_width_frames": 1}, crop]}, np.full(n, N_SAMPLES)
    )
    items = items_of(n)
    smooth = torch.linspace(0, 1, N_FRAMES).expand(n, 2, N_FRAMES).contiguous()
    events = (smooth > 0.6).to(torch.int8)
    batch = augmenter.batch(items, items.rows(np.arange(n)), 1, events)
    found = batch.spectrograms(smooth)
    silenced = found == 0
    differs = (batch.maps != (found > 0.6)) & ~silenced
    assert int(differs.sum(dim=2).max()) <= 2
    assert 0 < sum(not torch.equal(batch.maps[row], events[row]) for row in range(n)) < n


@pytest.mark.parametrize("order", ["shuffle", "balanced", "window"])
@given(n=st.integers(3, 80), n_copies=st.integers(1, 4), seed=st.integers(0, 50), epoch=st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_each_clip_comes_once_in_each_pass(order: str, n: int, n_copies: int, seed: int, epoch: int) -> None:
    groups = np.arange(n) % 2 if order == "balanced" else None
    window = 16 if order == "window" else None
    made = Sampler(n, 8, seed, label_groups=groups, window=window, n_added=2, n_copies=n_copies)
    visited = np.concatenate(made.plan(epoch))
    assert len(visited) == n * n_copies + 2
    assert sorted(visited[visited >= n * n_copies]) == [n * n_copies, n * n_copies + 1]
    passes, clips = np.divmod(visited[visited < n * n_copies], n)
    assert passes.tolist() == sorted(passes.tolist())
    assert np.bincount(passes, minlength=n_copies).tolist() == [n] * n_copies
    if order != "balanced":
        assert sorted(clips.tolist()) == sorted(list(range(n)) * n_copies)
    alone = Sampler(n, 8, seed, label_groups=groups, window=window)
    assert clips[:n].tolist() == np.concatenate(alone.plan(epoch)).tolist()
    if n > 20 and n_copies > 1:
        assert clips[:n].tolist() != clips[n : 2 * n].tolist()


TASK = TaskSettings.model_validate(
    {
        "description": "toy",
        "type": "events",
        "targets": ["crackle", "wheeze"],
        "level": "clip",
        "events": {},
        "datasets": {
            "toy": {kind: {"events": [kind], "annotated_by": ["recording"]} for kind in ("crackle", "wheeze")},
        },
    }
)
ALL_STEPS = {
    "waveform": [{"name": "time_stretch", "probability": 1.0}, {"name": "time_shift"}],
    "spectrogram": [
        {"name": "roll_time"},
        {"name": "mixup", "label": "union", "quantity": 0.3},
        {"name": "resize_crop"},
    ],
    "augments": 2,
}


def test_each_visit_of_a_clip_is_its_own_and_the_same_in_whatever_batch() -> None:
    n, rng = 20, np.random.default_rng(0)
    augment = AugmentSettings.model_validate(ALL_STEPS)
    maps = rng.integers(-1, 2, (n, 4, N_FRAMES)).astype(np.int8)
    sounds = torch.from_numpy(rng.standard_normal((n, N_SAMPLES)).astype(np.float32))

    def framed(waveforms: torch.Tensor) -> torch.Tensor:
        return waveforms.unfold(1, N_FFT, HOP).abs().mean(2)[:, None].expand(-1, 4, -1).contiguous()

    def visits(plan: list[np.ndarray]) -> dict[int, tuple[torch.Tensor, torch.Tensor]]:
        maker = ItemMaker(
            augment,
            np.zeros((n, 2), np.float32),
            task=TASK,
            is_unpadded=np.ones(n, dtype=bool),
            shape=(4, N_FRAMES),
            seed=1,
        )
        augmenter = augmenter_of(ALL_STEPS, np.full(n, N_SAMPLES))
        made = TrainingAugmentation(maker, augmenter, framed, maps)
        found = {}
        for items in plan:
            rows = made.items(1).rows(items)
            results = made.run(lambda batch, as_maps: batch, sounds[rows.clips], rows, 1)
            found |= {int(item): pair for item, *pair in zip(items, *results, strict=True)}
        return found

    first = visits(Sampler(n, 8, 1, n_added=6, n_copies=2).plan(1))
    assert sorted(first) == list(range(2 * n + 6))
    again = visits(np.array_split(rng.permutation(2 * n + 6), 5))
    for item, pair in first.items():
        assert all(torch.equal(one, other) for one, other in zip(pair, again[item], strict=True))
    assert sum(not torch.equal(first[clip][1], first[clip + n][1]) for clip in range(n)) > n // 2


def test_what_cannot_be_followed_says_why() -> None:
    assert events_fault(Mixup(name="mixup", label="union")) is None
    for name, part in (("cutmix", "half"), ("patch_mix", "half"), ("mixup", "label: union")):
        assert part in str(events_fault(SPECTROGRAM[name].model_validate({"name": name})))
    for function in ("time_stretch", "speed", "time_shift"):
        augmix = WAVEFORM["augmix"].model_validate({"name": "augmix", "functions": ["gain", function]})
        assert f"{function}: chains lie over the sound that stays" in str(events_fault(augmix))
        assert events_fault(WAVEFORM[function].model_validate({"name": function})) is None
