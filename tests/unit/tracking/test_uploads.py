import json
import shutil

import pandas as pd
import pytest

from auscult.errors import DataError
from auscult.tracking.uploads import choose_uploads, holds_id, known_ids


@pytest.fixture
def job_dir(job_dirs):
    return job_dirs[0]


def test_only_figures_weights_and_the_models_description(job_dir):
    uploads, withheld = choose_uploads(job_dir)
    assert [upload.name for upload in uploads] == [
        "model/model.safetensors",
        "model/model.json",
        "figures/learning_curves.png",
        "figures/roc.png",
        "figures/roc.svg",
    ]
    assert withheld == []


def test_ids_are_known_whole_and_bare(job_dir):
    ids = known_ids(job_dir / "predictions.parquet")
    assert {"icbhi/101", "101", "bd/zarah-0007", "zarah-0007", "101_1b1_Al_sc_Meditron"} <= ids


@pytest.mark.parametrize("text", ["icbhi/101", "zarah-0007", "x 101_1b1_Al_sc_Meditron:0003 y", "BP42_Asthma"])
def test_a_description_that_names_someone_is_withheld(job_dir, text):
    (job_dir / "model.json").write_text(json.dumps({"model": {"name": "mixednet"}, "seen": [text]}))
    uploads, withheld = choose_uploads(job_dir)
    assert withheld == ["model/model.json"]
    assert "model/model.json" not in [upload.name for upload in uploads]


@pytest.mark.parametrize("name", ["zarah-0007.png", "spectrogram_101.png", "101_1b1_Al_sc_Meditron.svg"])
def test_a_figure_named_after_someone_is_withheld_unnamed(job_dir, name):
    source = job_dir / "figures" / ("roc.svg" if name.endswith("svg") else "roc.png")
    shutil.copyfile(source, job_dir / "figures" / name)
    uploads, withheld = choose_uploads(job_dir)
    assert name not in [upload.path.name for upload in uploads]
    assert len(withheld) == 1
    assert name not in withheld[0]


def test_text_inside_pictures_and_weights_is_read(job_dir):
    import numpy as np
    from safetensors.numpy import save_file

    picture = job_dir / "figures" / "roc.png"
    picture.write_bytes(picture.read_bytes() + b"tEXtTitle\0bd/zarah-0007_left_07")
    save_file({"w": np.zeros(2)}, job_dir / "model.safetensors", metadata={"first": "jordan/BP42_Asthma"})
    assert choose_uploads(job_dir)[1] == ["model/model.safetensors", "figures (number 2 by name)"]


def test_words_that_hold_an_id_are_not_ids(tmp_path):
    path = tmp_path / "model.json"
    path.write_text('{"name": "theory", "rate": 10100, "n": 101, "kind": "testing"}')
    assert not holds_id(path, {"theo", "101", "test", "ng"})
    assert holds_id(path, {"theory"})


def test_predictions_without_ids_are_refused(job_dir):
    pd.DataFrame({"clip_id": ["a"]}).to_parquet(job_dir / "predictions.parquet")
    with pytest.raises(DataError, match="recording_id and patient_id"):
        choose_uploads(job_dir)
    (job_dir / "predictions.parquet").write_bytes(b"torn")
    with pytest.raises(DataError, match="evaluate the job again"):
        choose_uploads(job_dir)


def test_torn_weights_are_refused(job_dir):
    (job_dir / "model.safetensors").write_bytes(b"abc")
    with pytest.raises(DataError, match="not a safetensors file"):
        choose_uploads(job_dir)
