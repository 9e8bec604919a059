"""docs/augmentation.md names every step with every setting and its default."""

import re
from pathlib import Path

import pytest

from auscult.config.augment import MIXINGS, PICTURE, SPECTROGRAM_FUNCTIONS, Augmentation
from auscult.config.waveform_augment import WAVEFORM_FUNCTIONS

TEXT = (Path(__file__).parents[3] / "docs" / "augmentation.md").read_text()
WAVEFORMS, SPECTROGRAMS = TEXT.split("## On waveforms")[1].split("## On spectrograms")
PICTURES = TEXT.split("## On pictures")[1].split("\n## ")[0]
STEPS = [
    (text, name, kind)
    for text, registry in ((WAVEFORMS, WAVEFORM_FUNCTIONS), (SPECTROGRAMS, SPECTROGRAM_FUNCTIONS), (PICTURES, PICTURE))
    for name, kind in registry.items()
]


def shown(default: object) -> str:
    if isinstance(default, tuple):
        return "[" + ", ".join(shown(part) for part in default) + "]"
    return f"{default:g}" if isinstance(default, int | float) else str(default)


@pytest.mark.parametrize(("text", "name", "kind"), STEPS, ids=[name for _, name, _ in STEPS])
def test_the_docs_name_every_setting_and_its_default(text, name, kind) -> None:
    (row,) = [line for line in text.splitlines() if line.startswith(f"| `{name}` |")]
    for setting, field in kind.model_fields.items():
        if setting == "name" or setting in Augmentation.model_fields:
            continue
        if field.is_required():
            assert f"`{setting}`" in row
            continue
        found = re.search(rf"`{setting}` `?(\[.*?\]|[\w.-]+)", row)
        assert found is not None, f"{setting} is missing"
        assert found[1] == shown(field.default)


def test_the_docs_name_every_setting_of_mixing():
    section = TEXT.split("## Of two clips")[1].split("\n## ")[0]
    for name, kind in MIXINGS.items():
        (row,) = [line for line in section.splitlines() if line.startswith(f"| `{name}` |")]
        own = {*kind.model_fields} - {*Augmentation.model_fields, "name"}
        of_all = {"classes", "weight", "label"}
        assert {*re.findall(r"`(\w+)` [\d.]+", row)} == own - of_all
        for setting in own - of_all:
            assert f"`{setting}` {kind.model_fields[setting].default:g}" in row
        for setting in of_all:
            assert f"| `{setting}" in section
