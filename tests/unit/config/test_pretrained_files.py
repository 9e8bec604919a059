"""Files of pretrained weights are compared with the model when an experiment is read, by names and shapes alone."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
import yaml
from typer.testing import CliRunner

from auscult.cli import app
from auscult.config import load_experiment
from auscult.config.model import timm_names
from auscult.config.timm_fingerprints import _known, fingerprint, timm_architectures
from auscult.errors import ConfigError

AST = Path(__file__).parents[1] / "models" / "ast_of_transformers.safetensors"
FBANK = {"unit": "window", "length_s": 1.0, "sample_rate_hz": 16_000}
TINY_AST = {"name": "published", "encoder": "test_ast"}


@pytest.fixture
def ast_file(tmp_path):
    """Write the tiny transformer's weights, spoilt by `change`, and return the path."""

    def write(change=lambda weights: None):
        weights = {k: v for k, v in safetensors.torch.load_file(AST).items() if not k.startswith("test.")}
        change(weights)
        path = tmp_path / "ast.safetensors"
        safetensors.torch.save_file(weights, path)
        return path

    return write


@pytest.fixture
def timm_file(tmp_path):
    def write(name, **arguments):
        path = tmp_path / f"{name}.safetensors"
        safetensors.torch.save_file(timm.create_model(name, pretrained=False, **arguments).state_dict(), path)
        return path

    return write


@pytest.fixture
def resolve(project_dir, tmp_path):
    """Resolve a job with this model, clips and pretrained weights; other sections are those of a shipped experiment."""

    def load(model, clips=FBANK, **pretrained):
        config = tmp_path / "config"
        (config / "experiments" / "pneumonia").mkdir(parents=True, exist_ok=True)
        for folder in ("tasks", "datasets", "presets"):
            if not (config / folder).exists():
                (config / folder).symlink_to(project_dir / "config" / folder)
        raw = yaml.safe_load((project_dir / "config/experiments/pneumonia/train2356.yaml").read_text())
        raw |= {"model": model, "clips": clips, "augment": {}, "jobs": [{}]}
        raw["train"] = {"epochs": 1, "pretrained": {key: str(value) for key, value in pretrained.items()}}
        (config / "experiments/pneumonia/x.yaml").write_text(yaml.safe_dump(raw))
        return load_experiment(config, "pneumonia", "x").job(1)

    return load


QKV = "audio_spectrogram_transformer.encoder.layer.0.attention.attention.query.weight"


def test_weights_that_fit_pass(resolve, ast_file, timm_file):
    job = resolve(TINY_AST, published=ast_file())
    assert (job.frontend, job.model.frontend.encoder) == ("model", "test_ast")
    resolve({"name": "timm/test_vit"}, timm=timm_file("test_vit", num_classes=3, in_chans=1, img_size=96))
    resolve({"name": "timm/test_vit"}, timm="not/there/yet.safetensors")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.pop(QKV), f"does not fit test_ast: {QKV} is missing; it holds something like test_ast"),
        (lambda w: w.update({"extra": torch.zeros(2)}), "does not fit test_ast: extra is unknown"),
        (lambda w: w.update({QKV: torch.zeros(24, 48)}), f"{QKV} is [24, 48], expected [24, 24]"),
    ],
)
def test_a_file_of_a_published_encoder_that_lacks_something_is_refused_by_name(resolve, ast_file, change, said):
    path = ast_file(change)
    with pytest.raises(ConfigError) as caught:
        resolve(TINY_AST, published=path)
    assert said in str(caught.value)
    assert f"train.pretrained.published: {path} " in str(caught.value)


def test_a_file_of_something_else_is_refused_with_what_it_is(resolve, ast_file, timm_file, tmp_path):
    with pytest.raises(ConfigError, match="does not fit timm/test_vit; it holds the published encoder test_ast"):
        resolve({"name": "timm/test_vit"}, timm=ast_file())
    with pytest.raises(ConfigError, match="does not fit timm/test_vit; it holds timm/test_convnext"):
        resolve({"name": "timm/test_vit"}, timm=timm_file("test_convnext"))
    with pytest.raises(ConfigError, match=r"is of no model of this project: .*; it holds timm/test_vit"):
        resolve({"name": "test_cnn"}, weights=timm_file("test_vit"))
    with pytest.raises(ConfigError, match=r"published: test_cnn is no published encoder; take model: .*panns_cnn14"):
        resolve({"name": "test_cnn"}, published=ast_file())
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no weights at all")
    with pytest.raises(ConfigError, match="no readable safetensors file"):
        resolve({"name": "timm/test_vit"}, timm=broken)


def test_an_encoder_wants_its_own_sample_rate_and_front_end(resolve):
    with pytest.raises(ConfigError, match=r"model.frontend: test_ast was trained on sound at 16000 Hz"):
        resolve(TINY_AST, clips={**FBANK, "sample_rate_hz": 8000}, published="later.pth")
    with pytest.raises(ConfigError, match="has a front end of its own"):
        resolve({**TINY_AST, "frontend": {"name": "mel"}}, published="later.pth")
    with pytest.raises(ConfigError, match="unknown encoder 'as'; did you mean 'ast'"):
        resolve({"name": "published", "encoder": "as"}, published="later.pth")


def test_the_comparison_imports_no_torch(ast_file):
    code = (
        "import sys; from pathlib import Path; from auscult.config.pretrained import what_it_holds;"
        "from auscult.storage.tensor_names import safetensors_shapes;"
        f"print(what_it_holds(safetensors_shapes(Path({str(ast_file())!r}))));"
        "assert not {'torch', 'numpy', 'timm'} & set(sys.modules)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.stdout.strip() == "the published encoder test_ast", finished.stderr


def inspected(path):
    return CliRunner().invoke(app, ["models", "inspect", str(path)], catch_exceptions=False).output


def test_inspect_says_what_a_file_is_and_how_to_use_it(ast_file, timm_file, tmp_path):
    path = ast_file()
    text = inspected(path)
    assert "the published encoder test_ast" in text
    assert "model: {name: published, encoder: test_ast}" in text
    assert f"train: {{pretrained: {{published: {path}}}}}" in text
    assert f"SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}" in text
    path = timm_file("test_vit")
    pickled = tmp_path / "weights.pth"
    torch.save({"state_dict": safetensors.torch.load_file(path), "epoch": 3}, pickled)
    for file in (path, pickled):
        assert "timm/test_vit" in inspected(file)
        assert f"train: {{pretrained: {{timm: {file}}}}}" in inspected(file)
    torch.save({"something": torch.zeros(2, 3), "else": torch.zeros(4)}, pickled)
    assert inspected(pickled).splitlines()[:2] == [
        f"{pickled}: something unknown (else, something)",
        f"2 tensors, 10 values, {pickled.stat().st_size / 1e6:.1f} MB",
    ]


def test_the_list_of_fingerprints_names_every_architecture_once():
    names = [name for architectures in _known().values() for name in architectures]
    assert sorted(names) == sorted(timm_names()), "repair with: python tools/timm_fingerprints.py"


@pytest.mark.parametrize("name", sorted(timm_names())[::90])
def test_a_file_of_timms_is_known_by_its_names_and_widths(name):
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in timm.create_model(name).state_dict().items()}
        assert name in timm_architectures(shapes), "repair with: python tools/timm_fingerprints.py"
    assert fingerprint({**shapes, "head.weight": (2, 5)}) == fingerprint(shapes)
