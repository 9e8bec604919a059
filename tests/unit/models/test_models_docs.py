"""What docs/models.md states is computed again. Rows of models: | `name` | ..., with cells of the columns below."""

import os
import re

import pytest
import yaml
from pydantic import TypeAdapter

from auscult.config.encoder import encoder_names
from auscult.config.files import parse
from auscult.config.layers import LAYERS
from auscult.config.model import MODELS, ModelSettings, timm_names
from auscult.config.spectrogram import (
    ConstantQFrontend,
    LearnableMelFrontend,
    LinearFrontend,
    MelFrontend,
    PublishedFrontend,
)
from auscult.models import model_facts

REPAIR = "AUSCULT_RENEW_DOCS=1 .venv/bin/python -m pytest -n 0 tests/unit/models/test_models_docs.py"
ADAPTER = TypeAdapter(ModelSettings)
SHAPE = (128, 311)
OPEN = ("layers", "published")
"""Models that are nothing without what the experiment says."""


@pytest.fixture(scope="module")
def page(project_dir):
    return project_dir / "docs" / "models.md"


def cells_of(name):
    """What the columns of a model's row must say."""
    facts = model_facts(parse(ADAPTER, {"name": name}, "docs"), 1, SHAPE)
    least = "" if facts.least_shape is None else f"[{facts.least_shape[0]}, {facts.least_shape[1]}]"
    return {
        "parameters": f"{facts.n_parameters:,}",
        "least input": least,
        "input [1, 128, 311]": facts.input_note or "as it is",
    }


def renewed(text):
    """Return the page with every computed cell as it must be."""
    lines, columns = [], []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        row = re.match(r"\| `([\w/]+)` \|", line)
        if line.startswith("| model |"):
            columns = cells
        elif not line:
            columns = []
        if columns and row and row[1] not in OPEN:
            computed = cells_of(row[1])
            cells = [computed.get(column, cell) for column, cell in zip(columns, cells, strict=True)]
            lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def test_counts_and_sizes_are_the_computed_ones(page):
    text = page.read_text(encoding="utf-8")
    expected = renewed(text)
    if os.environ.get("AUSCULT_RENEW_DOCS"):
        page.write_text(expected, encoding="utf-8")
        return
    stale = [old for old, new in zip(text.splitlines(), expected.splitlines(), strict=True) if old != new]
    assert not stale, "docs/models.md is not in step with the models; repair with: " + REPAIR + "\n" + "\n".join(stale)


def test_the_check_sees_a_wrong_count():
    head = "| model | what | parameters |\n|---|---|--:|\n"
    assert renewed(head + "| `test_cnn` | tiny | 234 |") == head + "| `test_cnn` | tiny | 233 |\n"


def test_every_own_model_and_every_layer_with_its_settings_has_a_row(page):
    text = page.read_text(encoding="utf-8")
    assert f"all {len(timm_names()):,} architectures of timm" in text
    shipped = set(MODELS)
    assert shipped <= set(re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE))
    rows = {
        name: set(re.findall(r"`(\w+)`", settings))
        for names, settings in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|(.*)\|$", text, flags=re.MULTILINE)
        for name in re.findall(r"`(\w+)`", names)
    }
    for name, layer in LAYERS.items():
        assert rows[name] - {"same"} == set(layer.model_fields) - {"layer"}, name


def test_every_example_builds(page):
    blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    names = [yaml.safe_load(block)["model"]["name"] for block in blocks]
    own = ["sequence_net", "timm/efficientnet_b0", "published", "layers", "mixednet", "mixednet"]
    assert names == [*own, "timm/mobilenetv3_small_100"]
    for block in blocks:
        facts = model_facts(parse(ADAPTER, yaml.safe_load(block)["model"], "docs"), 1, SHAPE)
        assert facts.n_parameters > 1000


def test_the_table_of_front_ends_holds_all_and_their_settings(page):
    section = page.read_text(encoding="utf-8").split("## Front ends")[1].split("\n## ")[0]
    rows = {row[0]: row[2] for row in re.findall(r"^\| `(\w+)` \|([^|]*)\|([^|]*)\|$", section, flags=re.MULTILINE)}
    kinds = {
        "mel": MelFrontend,
        "learnable_mel": LearnableMelFrontend,
        "linear": LinearFrontend,
        "cqt": ConstantQFrontend,
        "published": PublishedFrontend,
    }
    assert set(rows) == set(kinds)
    for name, kind in kinds.items():
        assert set(re.findall(r"`(\w+)`", rows[name])) == set(kind.model_fields) - {"name"}


def test_every_encoder_has_a_row(page):
    section = page.read_text(encoding="utf-8").split("## Published pretrained encoders")[1].split("\n## ")[0]
    named = {
        name
        for row in re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert named == {name for name in encoder_names() if not name.startswith("test_")}
