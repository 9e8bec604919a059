import shutil
from pathlib import Path

import pytest
import yaml

from auscult.config import list_experiments, load_dataset, load_experiment, load_project, load_task
from auscult.config.project import require_device
from auscult.config.resolve import merge
from auscult.errors import ConfigError


@pytest.fixture
def config_dir(project_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(project_dir / "config", tmp_path / "config"))


@pytest.fixture
def broken(config_dir: Path):
    """Return a function that changes train2356 and gives the error that follows."""

    def change(**changes) -> str:
        path = config_dir / "experiments" / "pneumonia" / "train2356.yaml"
        raw = yaml.safe_load(path.read_text())
        raw.update(changes)
        path.write_text(yaml.safe_dump(raw))
        with pytest.raises(ConfigError) as caught:
            load_experiment(config_dir, "pneumonia", "train2356")
        message = str(caught.value)
        assert str(path) in message
        return message

    return change


def test_every_shipped_experiment_resolves(project_dir: Path) -> None:
    shipped = list_experiments(project_dir / "config")
    assert {("pneumonia", "train2356"), ("crackles_wheezes", "train2356"), ("digits", "fsdd")} <= set(shipped)
    for task, name in shipped:
        assert load_experiment(project_dir / "config", task, name).jobs


def test_every_shipped_dataset_and_task_loads(project_dir: Path) -> None:
    config = project_dir / "config"
    for path in (config / "datasets").glob("*.yaml"):
        assert load_dataset(config, path.stem).root
    for path in (config / "tasks").glob("*.yaml"):
        assert load_task(config, path.stem).supported_datasets


def test_preset_of_train2356_has_the_shape_of_the_design(project_dir: Path) -> None:
    job = load_experiment(project_dir / "config", "pneumonia", "train2356").job(1)
    assert (job.spectrogram.n_mels, job.spectrogram.n_frames(job.clips.n_samples)) == (128, 311)


OFFICIAL = {"kind": "official"}


def test_the_official_icbhi_split_with_pneumonia_is_refused_at_once(broken) -> None:
    message = broken(datasets=["icbhi"], split=OFFICIAL)
    for part in (
        "split.kind: the official split cannot judge 'pneumonia'",
        "icbhi: all six patients with pneumonia (122, 135, 140, 191, 219, 226) stand in train, none in test",
        "Proposal: `split: {kind: patients}`",
    ):
        assert part in message
    assert "job 2" in broken(datasets=["icbhi"], split={"kind": "patients"}, jobs=[{}, {"split": OFFICIAL}])


def test_an_official_list_that_can_judge_saves_the_others(config_dir: Path) -> None:
    def load(task: str, **changes):
        path = config_dir / "experiments" / task / "official.yaml"
        raw = yaml.safe_load((config_dir / "experiments" / task / "train2356.yaml").read_text())
        path.write_text(yaml.safe_dump({**raw, "split": OFFICIAL, "jobs": [{}], **changes}))
        return load_experiment(config_dir, task, "official").job(1)

    assert load("crackles_wheezes", datasets=["icbhi"]).split.kind == "official"
    # Of bd nothing is known beforehand: what its list holds, its tables say.
    assert load("pneumonia", datasets=["icbhi", "bd"]).datasets == ("icbhi", "bd")


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"modle": {"name": "mixednet"}}, ["unknown key 'modle'", "did you mean 'model'"]),
        (
            {"model": {"name": "test_cnn"}, "train": {"pretrained": {"timm": "hub"}}},
            ["train.pretrained.timm: test_cnn is not from timm", "train.pretrained.weights"],
        ),
        ({"model": {"name": "mixnet"}}, ["unknown model 'mixnet'", "did you mean 'mixednet'"]),
        ({"model": {"name": "timm/eficientnet_b0"}}, ["did you mean 'timm/efficientnet_b0'"]),
        ({"model": {"name": "os.system"}}, ["unknown model 'os.system'"]),
        ({"model": {}}, ["a model needs a `name`"]),
        ({"train": {"epoch": 3}}, ["train: unknown key 'epoch'", "did you mean 'epochs'"]),
        ({"train": {"epochs": "many"}}, ["train.epochs", "found 'many'", "integer"]),
        ({"train": {"optimizer": {"name": "adm"}}}, ["train.optimizer.name", "found 'adm'", "did you mean 'adam'"]),
        ({"train": {"monitor": "val/auc"}}, ["train.monitor", "did you mean 'val/auroc'"]),
        ({"train": {"optimizer": {"lr": float("nan")}}}, ["train.optimizer.lr", "finite"]),
        ({"datasets": ["icbi"]}, ["unknown dataset 'icbi'", "did you mean 'icbhi'"]),
        ({"datasets": ["perch"]}, ["'perch' has no labels for task 'pneumonia'", "bd, icbhi, jordan"]),
        ({"datasets": ["bd", "bd"]}, ["['bd'] more than once"]),
        ({"clips": {"preset": "window_10s"}}, ["clips preset 'window_10s'", "did you mean 'window_10s_8khz'"]),
        ({"clips": {"preset": "../../tasks/pneumonia"}}, ["unknown clips preset"]),
        ({"split": {"kind": "patient"}}, ["split.kind", "found 'patient'", "did you mean 'patients'"]),
        ({"spectrogram": {"n_fft": 65536}, "clips": {"length_s": 1}}, ["do not fit into a clip of 8000 samples"]),
        ({"spectrogram": {"f_max_hz": 5000}}, ["lies above 4000 Hz"]),
        ({"jobs": [{}, {"spectrogram": {"nfft": 512}}]}, ["jobs[2]: spectrogram", "did you mean 'n_fft'"]),
        ({"jobs": [{"sede": 1}]}, ["jobs[1]", "unknown key 'sede'"]),
        ({"jobs": [{"task": "digits"}]}, ["a job cannot change the task"]),
        ({"jobs": []}, ["jobs"]),
        ({"task": "digit"}, ["task: unknown task 'digit'", "did you mean 'digits'"]),
        ({"task": "digits"}, ["'icbhi' has no labels for task 'digits'", "supported: fsdd"]),
        ({"allow_doubtful": ["bd"]}, ["'bd' is not doubtful"]),
        ({"evaluate": {"threshold": "icbhi_score"}}, ["icbhi_score needs a task with `four_class`"]),
        (
            {
                "task": "digits",
                "datasets": ["fsdd"],
                "allow_doubtful": [],
                "evaluate": {"calibration": "platt"},
                "jobs": [{}],
                "augment": {},
                "train": {"monitor": "val/loss", "mode": "min"},
            },
            ["platt fits each target by itself", "multi-class task 'digits'", "use `temperature`"],
        ),
    ],
)
def test_a_fault_names_file_key_found_and_allowed(broken, changes: dict, parts: list[str]) -> None:
    message = broken(**changes)
    for part in parts:
        assert part in message


def test_a_key_said_twice_is_refused(config_dir: Path) -> None:
    path = config_dir / "experiments" / "pneumonia" / "train2356.yaml"
    path.write_text(path.read_text() + "\ntask: pneumonia\n")
    with pytest.raises(ConfigError, match="'task' stands here twice"):
        load_experiment(config_dir, "pneumonia", "train2356")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"- a list", "expected a mapping"),
        (b"a: [1", "not valid YAML"),
        (b"a: \xff", "not UTF-8"),
        (b"? [1, 2]\n: 3", "not text"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(config_dir: Path, content: bytes, part: str) -> None:
    (config_dir / "experiments" / "pneumonia" / "odd.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=part):
        load_experiment(config_dir, "pneumonia", "odd")


def test_yaml_tags_that_build_python_objects_are_refused(config_dir: Path) -> None:
    path = config_dir / "experiments" / "pneumonia" / "odd.yaml"
    path.write_text("description: !!python/object/apply:os.system ['true']\n")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_experiment(config_dir, "pneumonia", "odd")


def test_an_unknown_experiment_names_the_nearest(config_dir: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'train2356'"):
        load_experiment(config_dir, "pneumonia", "train2355")


def test_jobs_state_only_what_differs(config_dir: Path) -> None:
    path = config_dir / "experiments" / "pneumonia" / "train2356.yaml"
    raw = yaml.safe_load(path.read_text())
    raw["jobs"] = [
        {},
        {"spectrogram": {"n_fft": 512}},
        {"model": {"name": "timm/resnet18"}},
        {"clips": {"preset": "cycle_8s_4khz"}},
        {"train": {"optimizer": {"name": "sgd"}}},
    ]
    path.write_text(yaml.safe_dump(raw))
    base, fft, model, clips, optimizer = load_experiment(config_dir, "pneumonia", "train2356").jobs
    assert fft == base.model_copy(update={"spectrogram": base.spectrogram.model_copy(update={"n_fft": 512})})
    assert model.model.name == "timm/resnet18"
    assert (clips.clips.unit, clips.clips.sample_rate_hz) == ("cycle", 4000)
    # Naming another optimizer drops the learning rate that was chosen for the first one.
    assert (optimizer.train.optimizer.name, optimizer.train.optimizer.lr) == ("sgd", 1e-3)
    assert base.split.seed == 12


def test_merge_does_not_touch_its_arguments() -> None:
    base = {"a": {"b": [1, 2], "c": 3}}
    assert merge(base, {"a": {"b": [9]}}) == {"a": {"b": [9], "c": 3}}
    assert base == {"a": {"b": [1, 2], "c": 3}}


def test_a_doubtful_dataset_needs_a_word(config_dir: Path) -> None:
    path = config_dir / "tasks" / "pneumonia.yaml"
    path.write_text(path.read_text() + "\ndoubtful: [bd]\n")
    with pytest.raises(ConfigError, match=r"in doubt.*allow_doubtful: \[bd\]"):
        load_experiment(config_dir, "pneumonia", "train2356")
    experiment = config_dir / "experiments" / "pneumonia" / "train2356.yaml"
    experiment.write_text(experiment.read_text() + "\nallow_doubtful: [bd]\n")
    assert load_experiment(config_dir, "pneumonia", "train2356").job(1).allow_doubtful == ("bd",)


def test_a_root_on_the_command_line_replaces_the_tracked_one(config_dir: Path) -> None:
    project = load_project({"roots": {"icbhi": "elsewhere"}}, config_dir)
    dataset = load_dataset(config_dir, "icbhi", project.roots)
    assert (dataset.root, dataset.tracked_by) == ("elsewhere", None)


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"rots": {}}, "did you mean 'roots'"),
        ({"roots": {"icbih": "x"}}, "did you mean 'icbhi'"),
        ({"device": "gpu"}, "allowed: 'auto', 'cpu' or 'cuda'"),
    ],
)
def test_a_fault_in_the_project_settings_is_clear(config_dir: Path, values: dict, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_project(values, config_dir)
    assert part in str(caught.value)


def test_a_folder_without_experiments_names_those_that_have_some(project_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown folder 'pneumona'; did you mean 'pneumonia'\? allowed: .*digits"):
        load_experiment(project_dir / "config", "pneumona", "train2356")


def test_a_folder_without_configuration_says_where_the_project_is(
    project_dir: Path, monkeypatch, tmp_path: Path
) -> None:
    """From a folder below the project, `auscult experiment list` printed an empty table, with status 0."""
    (tmp_path / "project" / "docs").mkdir(parents=True)
    (tmp_path / "project" / "config" / "experiments").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project" / "docs")
    with pytest.raises(ConfigError, match=f"the project is in {tmp_path / 'project'}: cd"):
        list_experiments(Path("config"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"no such folder in {tmp_path}; go to the project's folder"):
        load_experiment(Path("config"), "pneumonia", "train2356")


def test_a_gpu_that_is_asked_for_must_be_there(tmp_path: Path) -> None:
    require_device("auto", tmp_path)
    with pytest.raises(ConfigError, match=r"this machine has no GPU .*--config device=auto"):
        require_device("cuda", tmp_path)
    (tmp_path / "nvidia0").touch()
    require_device("cuda", tmp_path)
    require_device("cuda", tmp_path, visible="0")
    with pytest.raises(ConfigError, match="hides every GPU"):
        require_device("cuda", tmp_path, visible="")


@pytest.mark.parametrize(("text", "expected"), [("1", 1.0), ("2.5", 2.5), ("null", None)])
def test_numbers_inside_a_section_on_the_command_line_are_text_and_read(
    text: str, expected: float | None, tmp_path: Path
) -> None:
    # As Snakemake leaves them: --config 'tracking={system_metrics_s: 1, live: false}'.
    project = load_project({"tracking": {"system_metrics_s": text, "live": "false"}}, tmp_path)

    assert project.tracking.system_metrics_s == expected
    assert not project.tracking.live


def test_numbers_inside_a_section_of_a_section_are_read_too(tmp_path: Path) -> None:
    kafka = {"brokers": "b:9092", "topic": "runs", "timeout_s": "5"}

    assert load_project({"events": {"kafka": kafka}}, tmp_path).events.buses == ("kafka",)
