import subprocess
import sys

import pytest
from typer.testing import CliRunner

from auscult.cli import app
from auscult.config.model import MODELS, TimmSettings, timm_names
from auscult.errors import ConfigError
from auscult.models import build_model, count_parameters, model_facts
from auscult.models.listing import list_models, matching_names

CNN14 = 79_675_969


def listed(*arguments):
    found = CliRunner().invoke(app, ["models", "list", *arguments])
    assert found.exit_code == 0, found.output
    return found.stdout.splitlines()


def test_without_a_pattern_the_own_models_are_listed_and_timm_is_pointed_to():
    header, *rows, blank, pointer = listed()
    assert header.split() == ["model", "family", "parameters", "input", "[1,", "128,", "311]"]
    assert [row.split()[0] for row in rows] == sorted(MODELS)
    assert "cnn14 panns 79,675,969 as it is; any size from [32, 32]" in [" ".join(row.split()) for row in rows]
    assert "layers layers what the experiment declares, layer by layer" in [" ".join(row.split()) for row in rows]
    assert (blank, f"{len(timm_names()):,} architectures of timm" in pointer) == ("", True)


def test_a_pattern_looks_through_timm_too_with_or_without_its_prefix():
    assert matching_names("*mixednet*") == ["mixednet"]
    assert matching_names("resnet1?") == matching_names("timm/resnet1?") == ["timm/resnet18"]
    both = matching_names("*net*")
    assert both[:2] == ["mixednet", "sequence_net"]
    assert "timm/efficientnet_b0" in both[2:]
    assert len(matching_names(None, with_timm=True)) == len(MODELS) + len(timm_names())


def test_timm_rows_state_family_count_and_how_the_input_is_fitted():
    rows = [" ".join(row.split()) for row in listed("vit_tiny_patch16_224")[1:]]
    assert rows == [
        "timm/vit_tiny_patch16_224 vision_transformer 5,419,393 padded with zeros from [128, 311] to [128, 320]"
    ]


def test_counts_can_be_left_out():
    assert [row.split() for row in listed("cnn1*", "--no-counts")] == [
        ["model", "family"],
        ["cnn10", "panns"],
        ["cnn14", "panns"],
    ]


def test_another_size_can_be_asked_for():
    row = listed("mixednet", "--mels", "20", "--frames", "40")[1]
    assert "not this input: mixednet halves its input 5 times and needs at least [32 mel, 32 frames]" in row


def test_a_model_is_counted_only_when_its_line_is_asked_for(monkeypatch):
    counted = []
    real = model_facts
    monkeypatch.setattr("auscult.models.listing.model_facts", lambda *given: counted.append(given) or real(*given))
    lines = list_models(["test_cnn", "mixednet", "cnn14"])
    assert counted == []
    next(lines)
    assert len(counted) == 1
    assert [model.n_parameters for model in lines] == [14_945, CNN14]
    counted.clear()
    assert [model.n_parameters for model in list_models(["cnn14"], with_counts=False)] == [None]
    assert counted == []


def test_a_pattern_without_match_names_what_is_near():
    with pytest.raises(
        ConfigError, match=r"no model is called 'mixdnet\*'; did you mean mixednet, .*own models: cnn10"
    ):
        matching_names("mixdnet*")
    with pytest.raises(ConfigError, match=r"no model is called 'zzzzzz'; own models: cnn10"):
        matching_names("zzzzzz")


@pytest.mark.parametrize("name", ["mixednet", "sequence_net", "test_cnn", "timm/mobilenetv3_small_050", "timm/dla34"])
def test_facts_without_weights_are_those_of_the_model_in_earnest(name):
    settings = MODELS[name](name=name) if name in MODELS else TimmSettings(name=name)
    facts = model_facts(settings, 3, (64, 144))
    model = build_model(settings, 3, (64, 144))
    assert facts.n_parameters == count_parameters(model)
    assert facts.input_note == model.input_note


def test_help_imports_no_torch():
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom auscult.cli import app\n"
        "found = CliRunner().invoke(app, ['models', 'list', '--help'])\n"
        "assert found.exit_code == 0 and '--no-counts' in found.output, found.output\n"
        "assert not {'torch', 'timm', 'numpy'} & set(sys.modules)\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
