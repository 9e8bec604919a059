import pytest
from pydantic import ValidationError

from auscult.config.augment import MIXINGS, AugmentSettings, mixing_fault
from auscult.config.task import TaskSettings


def spectrogram(**step):
    return AugmentSettings.model_validate({"spectrogram": [step]})


def test_settings_that_were_written_out_are_read_again():
    settings = AugmentSettings.model_validate(
        {
            "waveform": [{"name": "augmix", "quantity": 0.2, "functions": ["pitch_shift"], "weight": [0.3, 0.7]}],
            "spectrogram": [
                {"name": "mixup", "quantity": 0.2, "classes": [0, 1], "weight": [0.3, 0.7], "unpadded_only": False},
                {"name": "mask_time", "quantity": 1},
            ],
        }
    )
    assert AugmentSettings.model_validate(settings.model_dump(mode="json")) == settings
    assert [(number, step.name) for number, step in settings.mixings] == [(1, "mixup")]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"name": "mixup", "quantity": 0.2, "probability": 0.3}, "leave probability out"),
        ({"name": "mixup", "weight": [0.2, 0.3], "alpha": 0.7}, "leave one out"),
        ({"name": "cutmix", "weight": [0.7, 0.3]}, r"\[0.7, 0.3\] must rise"),
        ({"name": "mixup", "weight": [0.5, 1.5]}, "less than or equal to 1"),
        ({"name": "mixupp"}, "did you mean 'mixup'"),
    ],
)
def test_what_makes_no_sense_is_refused(step, message):
    with pytest.raises(ValidationError, match=message):
        spectrogram(**step)


def test_folders_of_noise_are_found_inside_augmix_too():
    noise = {"name": "background_noise", "folder": "noises"}
    other = noise | {"folder": "wards"}
    settings = AugmentSettings.model_validate(
        {"waveform": [noise, {"name": "augmix", "functions": ["gain", other, noise]}, {"name": "polarity"}]}
    )
    assert settings.noise_folders == ("noises", "wards")
    assert AugmentSettings().noise_folders == ()


def task(kind, targets):
    return TaskSettings.model_construct(type=kind, targets=tuple(targets))


@pytest.mark.parametrize(
    ("kind", "targets", "step", "fault"),
    [
        ("binary", ["sick"], {"classes": (0, 1)}, None),
        ("binary", ["sick"], {"classes": (0, "sick")}, r"classes: found ['sick'], allowed for this task: 0, 1"),
        ("multi_label", ["crackle", "wheeze"], {"classes": ("none", "wheeze"), "label": "union"}, None),
        ("multi_label", ["crackle", "wheeze"], {"classes": (0, 1)}, "allowed for this task: crackle, wheeze, none"),
        ("multi_class", ["a", "b"], {"classes": ("a", "b")}, None),
        ("multi_class", ["a", "b"], {"label": "union"}, "label: union would give one clip two classes"),
    ],
)
@pytest.mark.parametrize("name", MIXINGS)
def test_classes_and_label_rules_fit_the_task(name, kind, targets, *, step, fault):
    found = mixing_fault(spectrogram(name=name, **step).mixings[0][1], task(kind, targets))
    assert (found is None) == (fault is None)
    assert fault is None or fault in found
