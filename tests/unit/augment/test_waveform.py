"""What holds for every waveform augmentation, and the order, the picking and the padding of all."""

import numpy as np
import pytest
import soundfile
import torch

from auscult.augment import ClipRandom
from auscult.augment.waveform import Sounds, WaveformAugmenter, build_step
from auscult.config.waveform_augment import WAVEFORM, Gain, Polarity

N_CLIPS = 12
N_SAMPLES = 9000
CPU = torch.device("cpu")
NAMES = tuple(WAVEFORM)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("noise")
    rng = np.random.default_rng(1)
    soundfile.write(folder / "a.wav", 0.1 * rng.standard_normal(20_000), 8000)
    soundfile.write(folder / "b.flac", 0.1 * rng.standard_normal(4000), 8000)
    return str(folder)


def step(name: str, folder: str) -> dict:
    extra = {
        "time_shift": {"max_shift_s": 0.4},
        # Rates come in steps of 0.01, and 1 would change nothing.
        "speed": {"rate": [1.05, 1.2]},
        "background_noise": {"folder": folder},
        "augmix": {"functions": ["pitch_shift", "time_stretch", "gain", "band_stop", "gaussian_noise"]},
    }
    return {"name": name, **extra.get(name, {})}


def sounds(n_clips: int = N_CLIPS) -> torch.Tensor:
    return 0.1 * torch.randn(n_clips, N_SAMPLES, generator=torch.Generator().manual_seed(1))


def padded() -> tuple[torch.Tensor, torch.Tensor]:
    """Every third clip ends with zeros, every third repeats its sound."""
    waveforms = sounds()
    n_valid = torch.full((N_CLIPS,), N_SAMPLES)
    n_valid[::3], n_valid[1::3] = 5000, 6000
    waveforms[::3, 5000:] = 0
    waveforms[1::3, 6000:] = waveforms[1::3, :3000]
    return waveforms, n_valid


@pytest.mark.parametrize("name", NAMES)
def test_the_result_depends_on_the_clip_not_on_its_batch_and_the_input_is_unchanged(name, folder, augment) -> None:
    waveforms, n_valid = padded()
    before = waveforms.clone()
    whole = augment(waveforms, step(name, folder), n_valid=n_valid)
    assert torch.equal(waveforms, before)
    assert whole.shape == waveforms.shape
    assert whole.dtype == torch.float32
    assert (whole != waveforms).any(dim=1).all()
    assert torch.equal(augment(waveforms, step(name, folder), n_valid=n_valid), whole)
    order = torch.randperm(N_CLIPS, generator=torch.Generator().manual_seed(2))
    parts = [
        augment(waveforms[part], step(name, folder), n_valid=n_valid[part], ids=part)
        for part in order.split([1, 2, 4, 5])
    ]
    assert torch.equal(torch.cat(parts), whole[order])
    if name != "polarity":
        assert not torch.equal(augment(waveforms, step(name, folder), n_valid=n_valid, epoch=2), whole)


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_batch_at_once_as_on_a_gpu_gives_what_clip_by_clip_does(name, folder, augment) -> None:
    waveforms, n_valid = padded()
    one_by_one = augment(waveforms, step(name, folder), n_valid=n_valid)
    settings = WAVEFORM[name].model_validate(step(name, folder))
    rng = ClipRandom(3, 1, torch.arange(N_CLIPS))
    rng.chance(1)
    built = build_step(settings, 8000, CPU)
    n_sound = torch.where(torch.arange(N_CLIPS) % 3 == 0, 5000, N_SAMPLES)
    at_once = built.apply(Sounds(waveforms, n_sound, has_padding=True), built.draw(rng))
    assert (at_once - one_by_one).abs().max() < 1e-6


@pytest.mark.gpu
@pytest.mark.parametrize("name", NAMES)
def test_a_gpu_gives_what_a_cpu_does(name, folder, augment) -> None:
    waveforms, n_valid = padded()
    device = torch.device("cuda")
    settings = WAVEFORM[name].model_validate({**step(name, folder), "probability": 1})
    found = WaveformAugmenter([settings], 8000, device)(
        waveforms.to(device),
        ClipRandom(3, 1, torch.arange(N_CLIPS, device=device)),
        n_valid=n_valid.to(device),
        eligible=[torch.ones(N_CLIPS, dtype=torch.bool, device=device)],
    )
    torch.testing.assert_close(found.cpu(), augment(waveforms, step(name, folder), n_valid=n_valid), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_silent_padding_stays_silent_and_repeated_padding_is_sound(name, folder, augment) -> None:
    waveforms, n_valid = padded()
    changed = augment(waveforms, step(name, folder), n_valid=n_valid)
    assert not changed[::3, 5000:].any()
    # Behind the end of what is sped up there is silence; all else changes what repeats the sound.
    assert (changed[1::3, 6000:7000] != waveforms[1::3, 6000:7000]).any(dim=1).all()


@pytest.mark.parametrize("name", NAMES)
def test_silence_and_a_clip_of_few_samples_stay_finite(name, folder, augment) -> None:
    waveforms = sounds(4)
    waveforms[0] = 0
    waveforms[1, 1:] = 0
    n_valid = torch.tensor([N_SAMPLES, 1, N_SAMPLES, N_SAMPLES])
    changed = augment(waveforms, step(name, folder), n_valid=n_valid)
    assert changed.isfinite().all()
    assert not changed[0].any()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_drawn_does_not_depend_on_who_is_eligible(name, folder, augment) -> None:
    waveforms = sounds()
    steps = (step(name, folder), {"name": "gain"})
    everybody, some = torch.ones(N_CLIPS, dtype=torch.bool), torch.arange(N_CLIPS) % 2 == 0
    whole = augment(waveforms, *steps)
    assert torch.equal(augment(waveforms, *steps, eligible=[some, everybody])[some], whole[some])
    gained = augment(waveforms, *steps, eligible=[some & ~some, everybody])
    factors = gained.norm(dim=1) / waveforms.norm(dim=1)
    torch.testing.assert_close(gained, waveforms * factors[:, None])
    assert factors.unique().numel() == N_CLIPS
    assert torch.equal(augment(waveforms, *steps, eligible=[some & ~some] * 2), waveforms)


def test_each_clip_is_changed_with_its_own_probability_and_all_where_a_quantity_is_made(augment) -> None:
    waveforms = torch.ones(4000, 2)
    share = (augment(waveforms, {"name": "polarity", "probability": 0.25}) < 0)[:, 0].float().mean()
    assert share == pytest.approx(0.25, abs=0.03)
    made = WaveformAugmenter([Polarity(name="polarity", quantity=0.2)], 8000, CPU)
    eligible = torch.arange(4000) < 70
    n_valid = torch.full((4000,), 2)
    changed = made(waveforms, ClipRandom(1, 1, torch.arange(4000)), n_valid=n_valid, eligible=[eligible])
    assert torch.equal(changed[:, 0] < 0, eligible)


def test_steps_follow_their_order(augment) -> None:
    waveforms = sounds()
    clipping, gain = {"name": "clipping", "below_peak_db": [6, 6]}, {"name": "gain", "gain_db": [6, 6]}
    one = augment(augment(waveforms, clipping), gain)
    torch.testing.assert_close(augment(waveforms, clipping, gain), one)


def test_each_step_needs_its_eligible_clips() -> None:
    augmenter = WaveformAugmenter([Gain(name="gain")], 8000, CPU)
    with pytest.raises(ValueError, match="1 waveform steps, but eligible clips for 0"):
        augmenter(sounds(2), ClipRandom(1, 1, torch.arange(2)), n_valid=torch.tensor([5, 5]), eligible=[])
