import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from auscult.config.claims import CLAIMS, CLAIMS_FILE
from auscult.config.files import PROTOCOL_SUFFIX, STUDY_FILE
from auscult.config.model import timm_names
from auscult.config.schema import experiment_schema, schema_texts


def test_the_schemas_in_the_repository_are_in_step(project_dir: Path) -> None:
    folder = project_dir / "config" / "schema"
    stale = [
        name
        for name, text in schema_texts().items()
        if not (folder / name).is_file() or (folder / name).read_text(encoding="utf-8") != text
    ]
    assert not stale, f"{stale} are not in step with the settings; repair with: auscult schema"


def test_every_shipped_experiment_fits_the_schema_that_editors_use(project_dir: Path) -> None:
    experiments, claims = Draft202012Validator(experiment_schema()), Draft202012Validator(CLAIMS.json_schema())
    for path in (project_dir / "config" / "experiments").glob("*/*.yaml"):
        if path.name == STUDY_FILE or path.name.endswith(PROTOCOL_SUFFIX):
            continue
        validator = claims if path.name == CLAIMS_FILE else experiments
        validator.validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_the_schema_refuses_a_misspelt_key(project_dir: Path) -> None:
    raw = yaml.safe_load((project_dir / "config/experiments/pneumonia/train2356.yaml").read_text(encoding="utf-8"))
    raw["jobs"] = [{"spectrogram": {"nfft": 512}}]
    assert not Draft202012Validator(experiment_schema()).is_valid(raw)


def test_the_list_of_timm_architectures_is_in_step() -> None:
    timm = pytest.importorskip("timm")
    assert timm_names() == frozenset(timm.list_models()), (
        "repair with: python -c \"import timm; print(*timm.list_models(), sep='\\n')\" "
        "> src/auscult/config/timm_models.txt"
    )


def test_the_configuration_imports_no_heavy_library() -> None:
    code = (
        "import sys, auscult.config, auscult.config.paths, auscult.cli\n"
        "heavy = {'torch', 'mlflow', 'pandas', 'numpy', 'h5py', 'librosa', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, sorted(heavy)\n"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
