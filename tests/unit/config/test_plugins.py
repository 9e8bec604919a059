"""User code in `plugins/`: what a dry run reads of it, and what is refused."""

import re
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from auscult.config import DatasetSettings, JobSettings
from auscult.config.files import parse
from auscult.config.plugin_files import read_plugins
from auscult.config.plugins import plugins_used
from auscult.errors import ConfigError
from auscult.storage.files import sha256_file

DOCS = Path(__file__).parents[3] / "docs/plugins.md"
HEAD = "from auscult import plugin\n\n\n"


def write_documented(folder: Path) -> None:
    """Write the files that the page of plugins shows, each into the place that its first line says."""
    for name, text in re.findall(r"```python\n# (plugins/\w+\.py)\n(.*?)```", DOCS.read_text(), re.DOTALL):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_documented(tmp_path)
    return tmp_path


def job_of(**sections) -> JobSettings:
    values = {
        "task": "toy",
        "datasets": ["toy"],
        "clips": {},
        "spectrogram": {},
        "split": {"kind": "patients"},
        "model": {"name": "test_cnn"},
    }
    return parse(TypeAdapter(JobSettings), {**values, **sections}, "toy.yaml")


ALL = {
    "model": {"name": "gated_cnn", "width": 8, "dropout": 0.1},
    "augment": {
        "waveform": [{"name": "fade", "probability": 0.3}, {"name": "augmix", "functions": ["fade", "gain"]}],
        "spectrogram": [{"name": "turn_round"}],
    },
    "train": {
        "loss": {"name": "squared_hinge", "class_weights": "none"},
        "train_step": {"name": "consistent", "weight": 1},
        "test_step": {"name": "both_ways"},
    },
}


def test_settings_of_plugins_are_checked_filled_in_and_written_out(project):
    job = job_of(**ALL)
    written = job.model_dump(mode="json")
    assert JobSettings.model_validate(written) == job
    found = {"gated", "steps", "hinge", "decide_twice"}
    assert plugins_used(job) == {f"plugins/{name}.py": sha256_file(Path(f"plugins/{name}.py")) for name in found}
    assert written["model"]["plugin_sha256"] == sha256_file(Path("plugins/gated.py"))
    assert (written["model"]["width"], written["augment"]["waveform"][1]["functions"][0]["max_share"]) == (8, 0.5)
    assert written["train"]["train_step"]["weight"] == 1.0
    # Who uses none has none of it in what his results are keyed by.
    plain = job_of().model_dump(mode="json")
    assert plugins_used(job_of()) == {}
    assert not re.search("plugin|train_step|test_step", str(plain))
    dataset = {"description": "toy", "layout": "ward", "root": "x", "table": "a.csv"}
    assert TypeAdapter(DatasetSettings).validate_python(dataset).model_extra == {"table": "a.csv"}


def test_nothing_is_imported_before_the_job(project):
    """Settings are checked with files that no one could import; `config` itself imports no torch (import-linter)."""
    for path in Path("plugins").iterdir():
        path.write_text(f"raise RuntimeError\n{path.read_text()}")
    job = job_of(**ALL)
    with pytest.raises(ConfigError, match=r"plugins/gated\.py: cannot be imported: RuntimeError"):
        job.model.implementation()


def test_a_changed_file_changes_the_settings_of_those_who_use_it_alone(project):
    settings = [job_of(model={"name": name}).model_dump() for name in ("gated_cnn", "test_cnn")]
    job = job_of(model={"name": "gated_cnn"})
    path = Path("plugins/gated.py")
    path.write_text(path.read_text() + "# a comment\n")
    again = [job_of(model={"name": name}).model_dump() for name in ("gated_cnn", "test_cnn")]
    assert (again[0] != settings[0], again[1] == settings[1]) == (True, True)
    # A job that was planned with the earlier file does not run with this one.
    with pytest.raises(ConfigError, match=r"plugins/gated\.py:\d+: its SHA-256 is .* the file was changed since"):
        job.model.implementation()


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"model": {"name": "gated_cn"}}, "toy.yaml: model: unknown model 'gated_cn', did you mean 'gated_cnn'?"),
        ({"train": {"loss": {"name": "squared_hing"}}}, "unknown loss 'squared_hing'; did you mean 'squared_hinge'?"),
        ({"augment": {"spectrogram": [{"name": "turn_rond"}]}}, "did you mean 'turn_round'?"),
        ({"train": {"train_step": {"name": "consistant"}}}, "did you mean 'consistent'?"),
        (
            {"model": {"name": "gated_cnn", "widht": 3}},
            "toy.yaml: model: model 'gated_cnn' (plugins/gated.py:18): it has no setting 'widht', did you mean 'width'",
        ),
        ({"model": {"name": "gated_cnn", "width": "wide"}}, "width: found 'wide'; input should be a valid integer"),
        ({"model": {"name": "gated_cnn", "dropout": 2}}, "toy.yaml: model.dropout: found 2"),
        ({"model": {"name": "gated_cnn", "plugin_sha256": "no"}}, "toy.yaml: model.plugin_sha256: found 'no'"),
    ],
)
def test_what_a_config_says_wrongly_is_refused(project, sections, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        job_of(**sections)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('@plugin.model("mine")\ndef f(input_shape', "1: no Python"),
        ('@plugin.modle("mine")\ndef f(input_shape): ...', "unknown decorator 'modle'; did you mean 'model'?"),
        (
            "@plugin.model(NAME)\ndef f(input_shape): ...",
            "expected a name in quotes, of letters, digits, _ and -, such",
        ),
        ('@plugin.model("timm/x")\ndef f(input_shape): ...', "expected a name in quotes"),
        ('@plugin.model("mine")\nclass F: ...', "expected a function, found `F`"),
        ('@plugin.model("mine")\ndef f(): ...', "found the arguments (), expected (input_shape, *, <settings>)"),
        ('@plugin.loss("mine")\ndef f(logits, targets, gamma=2.0): ...', "expected (logits, targets, *, <settings>)"),
        ('@plugin.loss("mine")\ndef f(logits, targets, *, gamma=2.0): ...', "gamma: found no type"),
        ('@plugin.loss("mine")\ndef f(logits, targets, *, gamma: Tensor): ...', "gamma: found `Tensor`; the type of"),
        ('@plugin.loss("mine")\ndef f(logits, targets, *, gamma: int = G): ...', "its default must be written out"),
        (
            '@plugin.loss("mine")\ndef f(logits, targets, *, gamma: int = "x"): ...',
            "its default 'x' is not of its type",
        ),
        ('@plugin.model("mine")\ndef f(input_shape, *, dropout: float): ...', "every model has a setting of this name"),
        ('@plugin.model("mixednet")\ndef f(input_shape): ...', "model 'mixednet' is a name of auscult's own"),
        ('@plugin.reader("manifest")\ndef f(root, dataset): ...', "reader 'manifest' is a name of auscult's own"),
        ('@plugin.loss("focal")\ndef f(logits, targets): ...', "loss 'focal' is a name of auscult's own"),
        (
            '@plugin.model("gated_cnn")\ndef f(input_shape): ...',
            "'gated_cnn' is registered by plugins/gated.py:18 already",
        ),
        ("from .gated import Gated", "imports '.gated': a plugin is one file"),
        ("from .. import src", "imports '..': a plugin is one file"),
        ("import gated", "imports 'gated': a plugin is one file"),
        ("def f():\n    from plugins import gated", "imports 'plugins': a plugin is one file"),
    ],
)
def test_what_a_file_says_wrongly_is_refused_with_its_line(project, text, message):
    Path("plugins/other.py").write_text(HEAD + text + "\n")
    with pytest.raises(ConfigError, match=r"^plugins/other\.py:\d+: .*" + re.escape(message).removeprefix("1:\\ ")):
        read_plugins()


def test_nothing_outside_the_folder_is_taken(project, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "far.py").write_text(HEAD + '@plugin.model("far")\ndef far(input_shape): ...\n')
    Path("plugins/near").mkdir()
    Path("plugins/near/far.py").write_bytes((elsewhere / "far.py").read_bytes())
    assert ("model", "far") not in read_plugins()
    for name in ("../far", "far.py", str(elsewhere / "far.py")):
        with pytest.raises(ConfigError, match="unknown model"):
            job_of(model={"name": name})
    Path("plugins/link.py").symlink_to(elsewhere / "far.py")
    with pytest.raises(ConfigError, match=r"plugins/link\.py: expected a file, found a link"):
        read_plugins()
    Path("plugins").rename("moved")
    Path("plugins").symlink_to(elsewhere)
    with pytest.raises(ConfigError, match="plugins: expected a folder of the project, found a link"):
        read_plugins()


def test_decorators_are_known_however_they_are_imported(project):
    argument = "*, sizes: 'tuple[int, ...]' = (1, 2), mode: Literal['a', 'b'] | None = None"
    texts = (
        f'from auscult.plugin import model as m\n@m("one")\ndef f(input_shape, {argument}): ...\n',
        f'import auscult.plugin\n@auscult.plugin.model("two")\ndef f(input_shape, {argument}): ...\n',
        f'from auscult import plugin as p\n@p.model("three")\ndef f(input_shape, {argument}): ...\n',
    )
    for number, text in enumerate(texts):
        Path(f"plugins/way{number}.py").write_text(text)
    for name in ("one", "two", "three"):
        assert job_of(model={"name": name, "mode": "b"}).model.model_extra == {"sizes": [1, 2], "mode": "b"}
        with pytest.raises(ConfigError, match=r"sizes\.1: found 'x'.*mode: found 'c'"):
            job_of(model={"name": name, "sizes": [1, "x"], "mode": "c"})
