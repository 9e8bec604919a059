"""What fits an experiment that finds events, and what is told at once."""

import shutil
from pathlib import Path

import pytest
import yaml

from auscult.config import load_experiment
from auscult.config.resolve import merge
from auscult.errors import ConfigError


@pytest.fixture
def load(project_dir: Path, tmp_path: Path):
    config_dir = Path(shutil.copytree(project_dir / "config", tmp_path / "config"))
    path = config_dir / "experiments" / "sprsound" / "event_times.yaml"
    shipped = yaml.safe_load(path.read_text())

    def load(maps="frames", **changes):
        task = config_dir / "tasks" / "sprsound_event_times.yaml"
        task.write_text(yaml.safe_dump(merge(yaml.safe_load(task.read_text()), {"events": {"maps": maps}})))
        path.write_text(yaml.safe_dump({**merge(shipped, changes), "jobs": [{}]}))
        return load_experiment(config_dir, "sprsound", "event_times").job(1)

    return load


def test_a_model_of_events_decides_at_each_frame(load) -> None:
    assert load().model.over_time == "max"
    assert load(model={"name": "crnn", "over_time": "mean"}).model.over_time == "mean"
    assert load(train={"loss": {"name": "dice", "obj_weight": 2.0}}).train.loss.obj_weight == 2.0
    steps = {
        "spectrogram": [{"name": "roll_time"}],
        "waveform": [{"name": "time_stretch"}, {"name": "augmix", "functions": ["gain"]}],
    }
    augment = load(augment={**steps, "augments": 3}).augment
    assert (len(augment.steps), augment.augments) == (3, 3)
    assert "augments" not in load(augment=steps).augment.model_dump()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"model": {"name": "sequence_net"}}, "'sequence_net' pools its features over the clip and finds no events"),
        ({"model": {"name": "crnn", "over_time": "attention"}}, "attention does not combine maps"),
        (
            {"model": {"name": "crnn", "frontend": {"name": "cqt"}}},
            "model.frontend: 'cqt' has frames of its own; a task of type events takes mel, learnable_mel, linear",
        ),
        ({"clips": {"unit": "cycle", "hop_s": None}}, "found unit 'cycle' and pad 'zero'"),
        ({"clips": {"pad": "repeat"}}, "found unit 'window' and pad 'repeat'"),
        ({"evaluate": {"shifts_s": [-0.5, 0.5]}}, "evaluate.shifts_s: shifts would move events in time"),
        ({"seeds": [0, 1], "ensemble": True}, "ensemble: a task of type events takes trained models alone"),
        (
            {"augment": {"spectrogram": [{"name": "roll_time"}, {"name": "mixup"}]}},
            "augment.spectrogram[2] (mixup): label: found 'soft'; the maps of two clips are laid over each other",
        ),
        (
            {"augment": {"spectrogram": [{"name": "cutmix", "label": "union"}]}},
            "augment.spectrogram[1] (cutmix): takes some of the mel bands, and of an event there may be half",
        ),
        (
            {"augment": {"spectrogram": [], "augments": 2}},
            "augments: 2 would repeat each clip as it is: name a step, or leave it out",
        ),
        (
            {"augment": {"waveform": [{"name": "augmix", "functions": ["gain", "time_stretch"]}]}},
            "augment.waveform[1] (augmix): time_stretch: chains lie over the sound that stays",
        ),
        (
            {"train": {"loss": {"name": "cross_entropy"}}},
            "'cross_entropy' does not fit a task of type events; use one of auto",
        ),
        ({"train": {"monitor": "val/event_f"}}, "did you mean 'val/event_f1'"),
    ],
)
def test_what_does_not_fit_is_told_with_what_does(load, changes: dict, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(**changes)
    assert text in str(caught.value)


def test_weights_of_maps_belong_to_events(project_dir: Path, tmp_path: Path) -> None:
    config_dir = Path(shutil.copytree(project_dir / "config", tmp_path / "config"))
    path = config_dir / "experiments" / "pneumonia" / "train2356.yaml"
    raw = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(merge(raw, {"train": {"loss": {"bnd_weight": 2.0}}})))
    with pytest.raises(ConfigError, match="obj_weight and bnd_weight belong to tasks of type events"):
        load_experiment(config_dir, "pneumonia", "train2356")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"model": {"name": "crnn"}}, "model.name: 'crnn' does not keep the mel bands"),
        ({"model": {"name": "timm/resnet18"}}, "take unet, dcan, or events.maps: frames"),
        ({"model": {"name": "unet", "frontend": {"name": "linear"}}}, "model.frontend: 'linear' has no mel bands"),
        ({"model": {"name": "dcan"}, "augment": {"waveform": [{"name": "speed"}]}}, "augment: speed moves sound in"),
        (
            {"model": {"name": "unet"}, "augment": {"waveform": [{"name": "augmix", "functions": ["pitch_shift"]}]}},
            "augment: pitch_shift moves sound in frequency",
        ),
        (
            {"model": {"name": "unet"}, "augment": {"spectrogram": [{"name": "resize_crop"}]}},
            "of resize_crop say `min_share_frequency: 1`",
        ),
    ],
)
def test_maps_over_bands_are_refused_where_frequency_is_lost_or_moved(load, changes: dict, text: str) -> None:
    load(**changes)
    with pytest.raises(ConfigError) as caught:
        load(maps="bands", **changes)
    assert text in str(caught.value)


def test_models_that_keep_frequency_take_maps_over_bands(load) -> None:
    steps = [{"name": "roll_time"}, {"name": "resize_crop", "min_share_frequency": 1.0}]
    for name in ("unet", "dcan"):
        job = load(maps="bands", model={"name": name}, augment={"spectrogram": steps})
        assert job.model.name == name
