"""Models that find events: maps for every frame, of any size of input, in the right places."""

import pytest
import torch
from pydantic import TypeAdapter
from torch.nn import functional

from auscult.config.model import MODELS, ModelSettings
from auscult.errors import ConfigError
from auscult.models import build_model
from auscult.models.trim import fitted_size, restore, trim

ADAPTER = TypeAdapter(ModelSettings)
METHODS = ("resize", "padding", "reflect")
SIZES = [(1 + 7 * n % 61, 2 + 13 * n % 307) for n in range(50)]
SMALL = {
    "unet": {"channels": 4, "depth": 3},
    "dcan": {"channels": 4, "depth": 3},
    "crnn": {"channels": [4, 8], "gru_size": 8},
}


def model_of(name: str, shape: tuple[int, int], n_targets: int = 2, **settings):
    values = {"name": name, "over_time": "max", **SMALL.get(name, {}), **settings}
    return build_model(ADAPTER.validate_python(values), n_targets, shape, seed=1, learns_maps=True)


@pytest.mark.parametrize("method", METHODS)
def test_a_place_comes_back_to_itself_from_every_size(method: str) -> None:
    assert len(set(SIZES)) == 50
    for size in SIZES:
        for row, column in {(0, 0), (size[0] - 1, size[1] - 1), (size[0] // 2, size[1] // 3)}:
            maps = torch.zeros(1, 1, *size)
            maps[0, 0, row, column] = 1
            trimmed = trim(maps, 16, method)
            assert tuple(trimmed.shape[2:]) == fitted_size(size, 16)
            back = restore(trimmed, size, method)
            assert back.shape == maps.shape
            found = divmod(int(back.argmax()), size[1])
            assert abs(found[0] - row) <= 1
            assert abs(found[1] - column) <= 1
            if method != "resize":
                assert torch.equal(back, maps)


def test_reflection_goes_to_and_fro() -> None:
    maps = torch.tensor([0.0, 1.0, 2.0]).expand(1, 1, 1, 3)
    assert trim(maps, 8, "reflect")[0, 0, 0].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert trim(maps, 8, "padding")[0, 0, 0].tolist() == [0, 1, 2, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["unet", "dcan"])
def test_maps_have_every_frame_of_any_size(name: str, method: str) -> None:
    for size in SIZES[::10]:
        assert model_of(name, size, trim=method).eval()(torch.randn(2, *size), as_maps=True).shape == (2, 4, size[1])
    # The bands are the model's, the frames are not.
    model = model_of(name, (16, 50), trim=method).eval()
    for n_frames in (7, 33, 128):
        assert model(torch.randn(2, 16, n_frames), as_maps=True).shape == (2, 4, n_frames)
    assert model(torch.randn(2, 16, 50)).shape == (2, 2)


@pytest.mark.parametrize("n_frames", [40, 41, 43, 97])
def test_a_crnn_gives_maps_at_every_frame_though_it_joins_some(n_frames: int) -> None:
    for time_pool in (1, 2, 4):
        model = model_of("crnn", (16, n_frames), time_pool=time_pool)
        assert model(torch.randn(2, 16, n_frames), as_maps=True).shape == (2, 4, n_frames)


ABLE = [name for name, settings in MODELS.items() if settings.decides_over_time]


@pytest.mark.parametrize("name", [*ABLE, "timm/mobilenetv3_small_050", "timm/vit_tiny_patch16_224"])
def test_what_is_heard_at_a_frame_shows_at_that_frame(name: str) -> None:
    """The middle of what an impulse changes lies where the impulse is, to a step of the model."""
    n_frames = 331
    settings = {"stage": 1} if name == "timm/mobilenetv3_small_050" else {}
    model = model_of(name, (64, n_frames), **settings).eval()
    step = max(model.head.frames_per_step, 2)
    torch.manual_seed(0)
    quiet = 0.1 * torch.randn(1, 64, n_frames)
    with torch.no_grad():
        still = model(quiet, as_maps=True)
        for frame in (120, 165, 210):
            loud = quiet.clone()
            loud[:, :, frame - 2 : frame + 3] += 3
            change = (model(loud, as_maps=True) - still).abs()[0].sum(dim=0)
            if name == "timm/vit_tiny_patch16_224":
                found = float(change.argmax())  # attention spreads a little everywhere
            else:
                weights = change * (change > change.max() / 4)
                found = float((weights * torch.arange(n_frames)).sum() / weights.sum())
            assert abs(found - frame) <= step, (frame, found)


@pytest.mark.parametrize("name", sorted(SMALL))
def test_the_band_of_a_sound_tells_its_kind(name: str) -> None:
    """Equal bursts in four bands, of which two are kinds and two are decoys; loudness alone tells nothing."""
    generator = torch.Generator().manual_seed(5)
    inputs, targets = 0.3 * torch.randn(12, 32, 60, generator=generator), torch.zeros(12, 4, 60)
    for clip in range(12):
        for number, band in enumerate((4, 12, 20, 28)):
            start = int(torch.randint(0, 50, (1,), generator=generator))
            inputs[clip, band - 2 : band + 2, start : start + 8] += 3
            if number < 2:
                targets[clip, number, start : start + 8] = 1
    model = model_of(name, (32, 60))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        functional.binary_cross_entropy_with_logits(model(inputs, as_maps=True), targets).backward()
        optimizer.step()
    found = model.eval()(inputs, as_maps=True)[:, :2].sigmoid() > 0.5
    true = targets[:, :2] == 1
    assert (found & true).sum() / (found | true).sum() > 0.7


def test_maps_between_steps_are_linear_and_end_flat() -> None:
    head = model_of("crnn", (16, 40), time_pool=4).head
    steps = torch.tensor([[[0.0], [4.0], [8.0]]])
    maps = head.at_frames(steps, 13)[0, 0]
    # The middle of step s is frame 4 s + 1.5.
    expected = [min(max(frame - 1.5, 0), 8) for frame in range(13)]
    assert maps.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("over_time", ["max", "mean", "log_mean_exp"])
def test_the_logits_of_a_clip_are_those_of_its_objects(over_time: str) -> None:
    model = model_of("unet", (16, 50), over_time=over_time).eval()
    inputs = torch.randn(3, 16, 50)
    maps = model(inputs, as_maps=True)
    objects = maps[:, :2]
    expected = {
        "max": objects.amax(dim=2),
        "mean": objects.mean(dim=2),
        "log_mean_exp": objects.exp().mean(dim=2).log(),
    }[over_time]
    torch.testing.assert_close(model(inputs), expected)


def test_the_branches_of_dcan_are_apart() -> None:
    model = model_of("dcan", (16, 48)).eval()
    inputs = torch.randn(1, 16, 48)
    before = model(inputs, as_maps=True)
    with torch.no_grad():
        for parameter in model.backbone.contours.parameters():
            parameter.add_(0.5)
    after = model(inputs, as_maps=True)
    assert torch.equal(before[:, :2], after[:, :2])
    assert not torch.allclose(before[:, 2:], after[:, 2:])


def test_tanh_is_read_as_a_probability() -> None:
    inputs = torch.randn(2, 16, 48)
    logits = model_of("dcan", (16, 48)).eval()(inputs, as_maps=True)
    tanh = model_of("dcan", (16, 48), final_activation="tanh").eval()(inputs, as_maps=True)
    torch.testing.assert_close(tanh.sigmoid(), (1 + logits.tanh()) / 2)


def test_models_that_cannot_find_events_are_refused() -> None:
    with pytest.raises(ConfigError, match="combines its frames or pixels by max, mean or log_mean_exp"):
        model_of("unet", (16, 48), over_time="attention")
    with pytest.raises(ConfigError, match="found None"):
        model_of("sequence_net", (64, 300), over_time=None)
    with pytest.raises(ConfigError, match="each branch has a linear layer of its own"):
        model_of("dcan", (16, 48), head={"hidden_size": 4})


@pytest.mark.parametrize("name", ["unet", "dcan", "crnn"])
def test_they_classify_clips_too(name: str) -> None:
    values = {"name": name, **SMALL[name]}
    model = build_model(ADAPTER.validate_python(values), 3, (16, 50))
    assert model(torch.randn(2, 16, 50)).shape == (2, 3)
