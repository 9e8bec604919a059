import pytest
import yaml

from auscult.config import load_dataset
from auscult.config.paths import local_root
from auscult.errors import ConfigError


def write(tmp_path, **values):
    folder = tmp_path / "datasets"
    folder.mkdir(exist_ok=True)
    document = {"description": "d", "layout": "icbhi", "root": "gs://lung-sounds/icbhi", **values}
    (folder / "lungs.yaml").write_text(yaml.safe_dump(document))
    return tmp_path


def test_a_root_may_be_a_bucket(tmp_path):
    settings = load_dataset(write(tmp_path), "lungs")
    assert local_root("lungs", settings.root) == "work/raw/lungs"
    moved = load_dataset(write(tmp_path, root="data/x", tracked_by="data.dvc"), "lungs", {"lungs": "gs://other/x"})
    assert moved.root == "gs://other/x"
    assert moved.tracked_by is None


@pytest.mark.parametrize("root", ["s3://bucket/x", "gs://", "gs:///x", "gs://Bucket/x", "https://host/x"])
def test_any_other_address_is_refused(tmp_path, root):
    with pytest.raises(ConfigError, match=r"lungs.yaml: root: found '.*'; expected a folder, or gs://bucket/prefix"):
        load_dataset(write(tmp_path, root=root), "lungs")


def test_a_bucket_is_not_tracked_by_dvc(tmp_path):
    with pytest.raises(ConfigError, match="tracked_by: DVC tracks folders of this project"):
        load_dataset(write(tmp_path, tracked_by="data.dvc"), "lungs")
