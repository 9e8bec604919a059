import pytest
from pydantic import TypeAdapter, ValidationError

from auscult.config.waveform_augment import (
    WAVEFORM,
    WAVEFORM_FUNCTIONS,
    Augmix,
    PitchShift,
    TimeStretch,
    WaveformAugmentation,
)

ADAPTER = TypeAdapter(WaveformAugmentation)


def read(**step):
    return ADAPTER.validate_python(step)


@pytest.mark.parametrize("name", sorted(set(WAVEFORM) - {"background_noise", "augmix"}))
def test_a_name_alone_is_a_step_and_is_read_again_as_it_was_written_out(name):
    step = read(name=name)
    assert type(step) is WAVEFORM[name]
    assert ADAPTER.validate_python(step.model_dump(mode="json")) == step


def test_the_step_of_the_design_is_read():
    step = read(
        name="augmix",
        quantity=0.2,
        functions=["pitch_shift", "time_stretch"],
        weight=[0.3, 0.7],
        unpadded_only=False,
    )
    assert isinstance(step, Augmix)
    assert step.functions == (PitchShift(name="pitch_shift"), TimeStretch(name="time_stretch"))
    assert step.weight == (0.3, 0.7)
    assert ADAPTER.validate_python(step.model_dump(mode="json", exclude={"probability"})) == step


def test_functions_of_augmix_take_settings():
    step = read(name="augmix", functions=["gain", {"name": "pitch_shift", "max_semitones": 5}])
    assert step.functions[1].max_semitones == 5


def test_an_editor_is_told_that_functions_are_names_or_mappings():
    schema = ADAPTER.json_schema()["$defs"]["Augmix"]["properties"]["functions"]["items"]
    names, mappings = schema["anyOf"]
    assert set(names["enum"]) == set(WAVEFORM_FUNCTIONS)
    ours, plugins = mappings["anyOf"]
    assert set(ours["discriminator"]["mapping"]) == set(WAVEFORM_FUNCTIONS)
    assert set(plugins["properties"]["name"]["not"]["enum"]) == set(WAVEFORM_FUNCTIONS)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"name": "pitchshift"}, "unknown augmentation 'pitchshift'; did you mean 'pitch_shift'"),
        ({"name": "gain", "gain": 3}, "unknown key 'gain', did you mean 'gain_db'"),
        ({"name": "speed", "rate": [1.2, 0.9]}, r"\[1.2, 0.9\] must rise"),
        ({"name": "time_stretch", "rate": [0.1, 2]}, "greater than or equal to 0.25"),
        ({"name": "pitch_shift", "max_semitones": 25}, "less than or equal to 24"),
        ({"name": "background_noise"}, "folder\n  Field required"),
        ({"name": "coloured_noise", "colours": ["green"]}, "'white', 'pink', 'brown', 'blue' or 'violet'"),
        ({"name": "coloured_noise", "colours": []}, "name at least one"),
        (
            {"name": "device_response", "low_cut_hz": [50, 900], "high_cut_hz": [800, 2000]},
            "must lie below high_cut_hz",
        ),
        ({"name": "augmix", "functions": []}, "name at least one of time_shift"),
        ({"name": "augmix", "functions": ["pitch_shft"]}, "unknown function of augmix .* did you mean 'pitch_shift'"),
        ({"name": "augmix", "functions": ["augmix"]}, "unknown function of augmix 'augmix'"),
        ({"name": "augmix", "functions": ["background_noise"]}, "folder\n  Field required"),
        ({"name": "augmix", "functions": ["gain"], "weight": [0.7, 0.3]}, r"\[0.7, 0.3\] must rise"),
        (
            {"name": "augmix", "functions": [{"name": "gain", "probability": 1}]},
            "gain: probability is decided for augmix",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(step, message):
    with pytest.raises(ValidationError, match=message):
        ADAPTER.validate_python(step)
